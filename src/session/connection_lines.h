/* What the log says of connections that end, before the login or after it, and of channels that
 * do. A client may come and go, or fail, as often as it likes: so many lines a second of each kind
 * go to the log, and the number of the others.
 *
 * Each shard has its own. On the shard's worker. */
#ifndef LEVERET_SESSION_CONNECTION_LINES_H
#define LEVERET_SESSION_CONNECTION_LINES_H

#include "base/log_quota.h"
#include "net/timer_wheel.h"

struct shard;

enum connection_line {
    /* Of those that have not logged in. */
    CONNECTION_LINE_REFUSED,
    CONNECTION_LINE_GAVE_WAY,
    CONNECTION_LINE_TOO_SLOW,
    CONNECTION_LINE_NO_PROXY,
    CONNECTION_LINE_NO_TLS,
    CONNECTION_LINE_NO_AMQP,
    CONNECTION_LINE_ENDED_EARLY, /* for an error */
    CONNECTION_LINE_NO_LOGIN,
    /* Of those that have. */
    CONNECTION_LINE_CLOSED,         /* for an error: the client was told its code and text */
    CONNECTION_LINE_LOST,           /* without a word of the client's */
    CONNECTION_LINE_SILENT,         /* no heartbeats */
    CONNECTION_LINE_CHANNEL_CLOSED, /* for an error; ten times as many lines */
    CONNECTION_LINES,
};

struct connection_lines {
    struct shard *shard;
    struct connection_line_quota {
        struct log_quota quota;
        struct timer tell; /* how many were left out */
        struct connection_lines *all;
    } of[CONNECTION_LINES];
};

void connection_lines_init(struct connection_lines *x, struct shard *s);

/* Logs how many were left out that nothing has told of yet. */
void connection_lines_release(struct connection_lines *x);

/* Logs a warning, unless there were too many of its kind within a second: those are counted, and
 * their number is logged when the second is over. */
void connection_lines_log(struct shard *s, enum connection_line kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
