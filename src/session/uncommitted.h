/* What of a virtual host's durable exchanges, queues and bindings was changed and is not committed
 * yet, by name. Who asks for what another has just asked for finds it done in the topology, but
 * must not be told so before the disk has it. Under the lock of the virtual host: for writing to
 * note, for reading to look. */
#ifndef LEVERET_SESSION_UNCOMMITTED_H
#define LEVERET_SESSION_UNCOMMITTED_H

#include "base/bytes.h"
#include "base/hash_map.h"
#include "base/list.h"
#include "broker/topology.h"
#include "store/definitions.h"

#include <stdbool.h>

/* As large as what waits for the definitions' thread. */
struct uncommitted {
    struct definitions *definitions; /* borrowed */
    struct hash_map by_key;
    struct list changes; /* in the order of the definitions */
};

void uncommitted_init(struct uncommitted *u, struct definitions *d);
void uncommitted_free(struct uncommitted *u);

/* A change was just given to the definitions: declared or deleted. */
void uncommitted_note_exchange(struct uncommitted *u, struct bytes name);
void uncommitted_note_queue(struct uncommitted *u, struct bytes name);
void uncommitted_note_binding(struct uncommitted *u, const struct binding_declaration *b);

/* Whether the last change of it still has to be committed. Bindings that differ in their arguments
 * alone are told together. One that went with one of its ends is told with that. */
bool uncommitted_has_exchange(const struct uncommitted *u, struct bytes name);
bool uncommitted_has_queue(const struct uncommitted *u, struct bytes name);
bool uncommitted_has_binding(const struct uncommitted *u, const struct binding_declaration *b);

#endif
