/* Connections that have not logged in: how many there may be. Whoever can reach the port may open
 * as many as he likes, so none of them takes a place from those who come after it: where there are
 * too many, the oldest gives way. A client that logs in as soon as it can is gone from here before
 * that.
 *
 * Each shard has its own; the limits count over all. On the shard's worker. */
#ifndef LEVERET_SESSION_HANDSHAKES_H
#define LEVERET_SESSION_HANDSHAKES_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct connection;
struct shard;

/* By how many connections a limit may be passed while another worker is asked to make room. */
#define HANDSHAKES_AHEAD 16

struct handshakes {
    struct list waiting; /* connections by .in_handshakes, the oldest first */
    /* The id of the first of them, UINT64_MAX when there is none. Other workers read it. */
    atomic_uint_least64_t oldest;
};

void handshakes_init(struct handshakes *x);

/* Makes room for one more connection, which counts as one that has not logged in from then on, by
 * killing the oldest of those if need be, whichever worker has it. Another worker does so when it
 * takes its mail: until then there are a few more than the limit, HANDSHAKES_AHEAD at most. Returns
 * whether there is room; if not, that is logged. */
bool handshakes_admit(struct shard *s);

/* Puts the connection that was admitted in its place. */
void handshakes_add(struct connection *c);

/* It has logged in, or is gone. Harmless when it is not one of them. */
void handshakes_remove(struct connection *c);

/* Whether it has not logged in. */
bool handshakes_has(const struct connection *c);

#endif
