/* Connections that have not logged in: how many there may be, and how much of the log. Whoever can
 * reach the port may open as many as he likes, so none of them takes a place from those who come
 * after it: where there are too many, the oldest gives way. A client that logs in as soon as it
 * can is gone from here before that.
 *
 * Each shard has its own; the limits count over all. On the shard's worker. */
#ifndef LEVERET_SESSION_HANDSHAKES_H
#define LEVERET_SESSION_HANDSHAKES_H

#include "base/list.h"
#include "base/log_quota.h"
#include "net/timer_wheel.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct connection;
struct shard;

/* By how many connections a limit may be passed while another worker is asked to make room. */
#define HANDSHAKES_AHEAD 16

/* What the log says of connections that have not logged in. */
enum handshake_line {
    HANDSHAKE_REFUSED,
    HANDSHAKE_GAVE_WAY,
    HANDSHAKE_TOO_SLOW,
    HANDSHAKE_NO_PROXY,
    HANDSHAKE_NO_TLS,
    HANDSHAKE_NO_AMQP,
    HANDSHAKE_CLOSED,
    HANDSHAKE_NO_LOGIN,
    HANDSHAKE_LINES,
};

struct handshakes {
    struct list waiting; /* connections by .in_handshakes, the oldest first */
    /* The id of the first of them, UINT64_MAX when there is none. Other workers read it. */
    atomic_uint_least64_t oldest;
    struct handshake_lines {
        struct log_quota quota;
        struct timer tell; /* how many were left out */
        struct shard *shard;
    } lines[HANDSHAKE_LINES];
};

void handshakes_init(struct handshakes *x, struct shard *s);

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

/* Logs a warning, unless there were too many of its kind within a second: those are counted, and
 * their number is logged when the second is over. */
void handshakes_log(struct shard *s, enum handshake_line kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
