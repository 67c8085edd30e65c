#include "session/connection_heartbeat.h"

#include "amqp/frame.h"
#include "session/broker.h"
#include "session/connection.h"
#include "session/shard.h"

#include <inttypes.h>

/* How much before the end of an interval a heartbeat goes, so that it arrives within it. */
#define HEARTBEAT_EARLY_MS 200

void connection_heartbeat_begin(struct connection *c)
{
    if (c->heartbeat_s != 0)
        connection_set_timer(c, INT64_C(500) * c->heartbeat_s);
}

static void send_heartbeat(struct connection *c)
{
    output_commit(&c->output,
                  amqp_frame_encode_heartbeat(output_reserve(&c->output, AMQP_FRAME_OVERHEAD)));
    connection_touch(c);
}

/* How long the peer has given no sign of life. While its input is not read, what counts is that it
 * takes output. */
static int64_t silence_ms(const struct connection *c, int64_t now_ms)
{
    if ((c->read_paused & READ_PAUSED_BY_OUTPUT) != 0)
        return now_ms - c->last_write_ms;
    return c->read_paused == 0 ? now_ms - c->last_read_ms : 0;
}

static void lose_silent(struct connection *c, int64_t now_ms)
{
    char source[CONNECTION_LIMIT_SOURCE_SIZE];

    connection_limit_source(c->heartbeat_s, c->shard->broker->limits->heartbeat_s, "heartbeat_s",
                            source);
    connection_lines_log(c->shard, CONNECTION_LINE_SILENT,
                         "%s: lost: no heartbeat for %" PRId64 " ms, of one each %u s (%s)",
                         c->peer, silence_ms(c, now_ms), (unsigned)c->heartbeat_s, source);
    connection_kill(c);
}

void connection_heartbeat_turn(struct connection *c)
{
    int64_t now_ms = shard_now_ms(c->shard);
    int64_t interval_ms = INT64_C(1000) * c->heartbeat_s;
    int64_t next_ms;

    if (2 * silence_ms(c, now_ms) >= 5 * interval_ms) {
        lose_silent(c, now_ms);
        return;
    }
    if (now_ms - c->last_write_ms >= interval_ms - HEARTBEAT_EARLY_MS &&
        c->output.pending_bytes == 0) {
        send_heartbeat(c);
        next_ms = now_ms + interval_ms - HEARTBEAT_EARLY_MS;
    } else {
        next_ms = c->last_write_ms + interval_ms - HEARTBEAT_EARLY_MS;
    }
    if (next_ms < now_ms + interval_ms / 4)
        next_ms = now_ms + interval_ms / 4;
    connection_set_timer(c, next_ms - now_ms);
}
