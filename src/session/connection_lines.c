#include "session/connection_lines.h"

#include "base/log.h"
#include "session/shard.h"

#include <stdarg.h>
#include <stdio.h>

/* What was left out, behind its number. */
static const char *const LEFT_OUT[CONNECTION_LINES] = {
    [CONNECTION_LINE_REFUSED] =
        "connections were refused (limits.max_connections, limits.max_handshakes)",
    [CONNECTION_LINE_GAVE_WAY] = "connections that had not logged in gave way to newer ones",
    [CONNECTION_LINE_TOO_SLOW] = "handshakes took too long (limits.handshake_timeout_ms)",
    [CONNECTION_LINE_NO_PROXY] = "connections began without a PROXY header",
    [CONNECTION_LINE_NO_TLS] = "connections failed in TLS",
    [CONNECTION_LINE_NO_AMQP] = "connections did not speak AMQP 0-9-1",
    [CONNECTION_LINE_ENDED_EARLY] = "connections were closed before the login",
    [CONNECTION_LINE_NO_LOGIN] = "logins were refused",
    [CONNECTION_LINE_CLOSED] = "connections were closed for errors",
    [CONNECTION_LINE_LOST] = "connections were lost",
    [CONNECTION_LINE_SILENT] = "connections were lost for want of heartbeats",
    [CONNECTION_LINE_CHANNEL_CLOSED] = "channels were closed for errors",
};

static void tell_of_left_out(struct connection_line_quota *q)
{
    size_t kind = (size_t)(q - q->all->of);
    uint32_t left_out = log_quota_tell(&q->quota);

    if (left_out != 0)
        log_warning("connection", "%u more %s; a worker lists %u a second", left_out,
                    LEFT_OUT[kind], log_quota_lines(&q->quota));
}

static void on_second_over(struct timer *t)
{
    tell_of_left_out(container_of(t, struct connection_line_quota, tell));
}

void connection_lines_init(struct connection_lines *x, struct shard *s)
{
    *x = (struct connection_lines){.shard = s};
    for (size_t i = 0; i < CONNECTION_LINES; i++) {
        x->of[i].all = x;
        timer_init(&x->of[i].tell, on_second_over);
    }
    /* Each connection has a quota of its own: these are for ten of them that fail at once. */
    x->of[CONNECTION_LINE_CHANNEL_CLOSED].quota.lines = 10 * LOG_QUOTA_LINES;
}

void connection_lines_release(struct connection_lines *x)
{
    for (size_t i = 0; i < CONNECTION_LINES; i++)
        tell_of_left_out(&x->of[i]);
}

void connection_lines_log(struct shard *s, enum connection_line kind, const char *format, ...)
{
    struct connection_line_quota *q = &s->connection_lines.of[kind];
    char text[LOG_TEXT_SIZE];
    va_list args;

    if (!log_quota_take(&q->quota, shard_now_ms(s))) {
        if (!timer_is_set(&q->tell))
            timer_set(&s->worker->timers, &q->tell, q->quota.end_ms);
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_warning("connection", "%s", text);
}
