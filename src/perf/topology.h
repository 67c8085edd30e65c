/* The exchange, queues and bindings a run needs: declared before it, deleted after it. Blocking.
 * The functions return 0, or -1 with c->error filled in. */
#ifndef LEVERET_PERF_TOPOLOGY_H
#define LEVERET_PERF_TOPOLOGY_H

#include "amqp/table.h"
#include "base/buffer.h"
#include "perf/client.h"
#include "perf/options.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOPOLOGY_NAME_MAX = 256 };

/* Encodes key=value arguments into `out`, without the length of the table, and returns a view of
 * them. Whole numbers become 64-bit integers, true and false booleans, all else strings. */
struct amqp_table topology_arguments(const struct option_fields *fields, struct buffer *out);

/* The name of a queue, and what it is bound with and published to with. */
void topology_queue_name(char out[TOPOLOGY_NAME_MAX], const struct perf_options *o, uint64_t queue);
void topology_binding_key(char out[TOPOLOGY_NAME_MAX], const struct perf_options *o,
                          uint64_t queue);
void topology_routing_key(char out[TOPOLOGY_NAME_MAX], const struct perf_options *o,
                          uint64_t queue);

/* Whether messages go through an exchange that is ours to declare. */
bool topology_has_exchange(const struct perf_options *o);

/* Deletes what a run before has left, then declares the exchange, the queues and their bindings.
 * Does nothing with --predeclared. */
int topology_declare(struct client *c, const struct perf_options *o);

/* Binds the first queues to the exchange with `o->count` topic patterns of which each matches one
 * key of slab_key_write: a quarter each exact, with a `*`, with a `#`, and with a `*` before. */
int topology_bind_patterns(struct client *c, const struct perf_options *o);

/* Deletes queues and exchange, unless --keep or --predeclared. */
int topology_delete(struct client *c, const struct perf_options *o);

/* Declares, binds or deletes queue number `queue`, without waiting for the answers. Returns how
 * many there will be. */
unsigned topology_send_declare(struct client *c, const struct perf_options *o, uint64_t queue);
unsigned topology_send_bind(struct client *c, const struct perf_options *o, uint64_t queue);
unsigned topology_send_delete(struct client *c, const struct perf_options *o, uint64_t queue);

/* Sends for each queue from 0 to `count` - 1 what `send` sends, some hundred at a time, and waits
 * for all answers. */
int topology_for_each(struct client *c, const struct perf_options *o, uint64_t count,
                      unsigned (*send)(struct client *c, const struct perf_options *o,
                                       uint64_t queue));

#endif
