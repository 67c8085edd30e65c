#include "session/handshakes.h"

#include "base/log.h"
#include "session/broker.h"
#include "session/connection.h"
#include "session/shard.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

/* ---- Lines ---- */

/* What was left out, behind its number. */
static const char *const LEFT_OUT[HANDSHAKE_LINES] = {
    [HANDSHAKE_REFUSED] = "connections were refused (limits.max_connections)",
    [HANDSHAKE_GAVE_WAY] = "connections that had not logged in gave way to newer ones",
    [HANDSHAKE_TOO_SLOW] = "handshakes took too long (limits.handshake_timeout_ms)",
    [HANDSHAKE_NO_PROXY] = "connections began without a PROXY header",
    [HANDSHAKE_NO_TLS] = "connections failed in TLS",
    [HANDSHAKE_NO_AMQP] = "connections did not speak AMQP 0-9-1",
    [HANDSHAKE_CLOSED] = "connections were closed before the login",
    [HANDSHAKE_NO_LOGIN] = "logins were refused",
};

static void tell_of_left_out(struct timer *t)
{
    struct handshake_lines *lines = container_of(t, struct handshake_lines, tell);
    size_t kind = (size_t)(lines - lines->shard->handshakes.lines);

    log_warning("connection", "%u more %s; a worker lists %d a second",
                log_quota_tell(&lines->quota), LEFT_OUT[kind], LOG_QUOTA_LINES);
}

void handshakes_log(struct shard *s, enum handshake_line kind, const char *format, ...)
{
    struct handshake_lines *lines = &s->handshakes.lines[kind];
    char text[LOG_TEXT_SIZE];
    va_list args;

    if (!log_quota_take(&lines->quota, shard_now_ms(s))) {
        if (!timer_is_set(&lines->tell))
            timer_set(&s->worker->timers, &lines->tell, lines->quota.end_ms);
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_warning("connection", "%s", text);
}

/* ---- Places ---- */

void handshakes_init(struct handshakes *x, struct shard *s)
{
    list_init(&x->waiting);
    for (size_t i = 0; i < HANDSHAKE_LINES; i++) {
        x->lines[i] = (struct handshake_lines){.shard = s};
        timer_init(&x->lines[i].tell, tell_of_left_out);
    }
}

/* Which limit on connections it is. */
static const char *max_connections_key(const struct shard *s)
{
    return s->worker->server->max_connections != s->broker->limits->max_connections
               ? "limits.max_connections, as far as the limit on open files allows"
               : "limits.max_connections";
}

static bool give_way(struct shard *s, uint32_t limit, const char *key)
{
    struct list_node *oldest = list_first(&s->handshakes.waiting);
    struct connection *c;

    if (oldest == NULL)
        return false;
    c = container_of(oldest, struct connection, in_handshakes);
    handshakes_log(
        s, HANDSHAKE_GAVE_WAY,
        "%s: has not logged in and gives way to a newer connection: the limit of %u (%s) "
        "is reached",
        c->peer, limit, key);
    connection_kill(c);
    return true;
}

bool handshakes_admit(struct shard *s)
{
    struct server *server = s->worker->server;

    if (atomic_fetch_add(&server->connection_count, 1) >= server->max_connections &&
        !give_way(s, server->max_connections, max_connections_key(s))) {
        atomic_fetch_sub(&server->connection_count, 1);
        handshakes_log(s, HANDSHAKE_REFUSED,
                       "refused a connection: the limit of %u (%s) is reached",
                       server->max_connections, max_connections_key(s));
        return false;
    }
    /* Where all of them are other workers' there is one more than the limit for each of those. */
    if (atomic_fetch_add(&server->handshake_count, 1) >= server->max_handshakes)
        give_way(s, server->max_handshakes, "limits.max_handshakes");
    return true;
}

void handshakes_add(struct connection *c)
{
    list_append(&c->shard->handshakes.waiting, &c->in_handshakes);
}

void handshakes_remove(struct connection *c)
{
    if (!list_linked(&c->in_handshakes))
        return;
    list_remove(&c->in_handshakes);
    atomic_fetch_sub(&c->shard->worker->server->handshake_count, 1);
}

bool handshakes_has(const struct connection *c)
{
    return list_linked(&c->in_handshakes);
}
