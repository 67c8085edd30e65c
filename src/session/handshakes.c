#include "session/handshakes.h"

#include "session/broker.h"
#include "session/connection.h"
#include "session/shard.h"

#include <stdatomic.h>

void handshakes_init(struct handshakes *x)
{
    list_init(&x->waiting);
    atomic_init(&x->oldest, UINT64_MAX);
}

/* A limit that is passed: on all connections, or on those that have not logged in. */
struct passed {
    uint32_t by;
    uint32_t limit;
    const char *key;
};

/* Which limit on connections it is. */
static const char *max_connections_key(const struct shard *s)
{
    return s->worker->server->max_connections != s->broker->limits->max_connections
               ? "limits.max_connections, as far as the limit on open files allows"
               : "limits.max_connections";
}

static struct passed passed_limit(const struct shard *s)
{
    struct server *server = s->worker->server;
    uint32_t connections = atomic_load(&server->connection_count);
    uint32_t waiting = atomic_load(&server->handshake_count);

    if (connections > server->max_connections)
        return (struct passed){.by = connections - server->max_connections,
                               .limit = server->max_connections,
                               .key = max_connections_key(s)};
    if (waiting > server->max_handshakes)
        return (struct passed){.by = waiting - server->max_handshakes,
                               .limit = server->max_handshakes,
                               .key = "limits.max_handshakes"};
    return (struct passed){.by = 0};
}

/* The shard of the connection that has waited longest, NULL when nobody waits. The shard itself
 * knows; what it sees of others may be a moment old. */
static struct shard *shard_of_oldest(struct shard *s)
{
    struct server *server = s->worker->server;
    uint64_t oldest = UINT64_MAX;
    struct shard *of = NULL;

    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct shard *other = &s->broker->shards[i];
        uint64_t id = atomic_load_explicit(&other->handshakes.oldest, memory_order_relaxed);

        if (id < oldest) {
            oldest = id;
            of = other;
        }
    }
    return of;
}

static void kill_oldest(struct shard *s, const struct passed *passed)
{
    struct connection *c =
        container_of(list_first(&s->handshakes.waiting), struct connection, in_handshakes);

    connection_lines_log(
        s, CONNECTION_LINE_GAVE_WAY,
        "%s: has not logged in and gives way to a newer connection: the limit of %u (%s) "
        "is reached",
        c->peer, passed->limit, passed->key);
    connection_kill(c);
}

static struct passed make_room(struct shard *s);

/* Another worker's connection does not fit. Its turn to go may have passed: somebody else went, or
 * it has logged in, and then the next one goes. */
static void handle_make_room(struct worker *w, struct mail_record *r)
{
    (void)r;
    make_room(shard_of(w));
}

/* Has the oldest of all give way while a limit is passed. Returns the limit that stays passed
 * because nobody is here to go; .by is 0 when there is none. */
static struct passed make_room(struct shard *s)
{
    struct passed passed;

    while ((passed = passed_limit(s)).by > 0) {
        struct shard *of = shard_of_oldest(s);

        if (of != NULL && of != s && passed.by <= HANDSHAKES_AHEAD) {
            worker_mail(s->worker, shard_id(of), sizeof(struct mail_record), handle_make_room);
            return (struct passed){.by = 0};
        }
        if (list_empty(&s->handshakes.waiting))
            return passed;
        kill_oldest(s, &passed);
    }
    return passed;
}

bool handshakes_admit(struct shard *s)
{
    struct server *server = s->worker->server;
    struct passed passed;

    atomic_fetch_add(&server->connection_count, 1);
    atomic_fetch_add(&server->handshake_count, 1);
    passed = make_room(s);
    if (passed.by == 0)
        return true;
    atomic_fetch_sub(&server->connection_count, 1);
    atomic_fetch_sub(&server->handshake_count, 1);
    connection_lines_log(s, CONNECTION_LINE_REFUSED,
                         "refused a connection: the limit of %u (%s) is reached", passed.limit,
                         passed.key);
    return false;
}

static void publish_oldest(struct handshakes *x)
{
    const struct list_node *first = list_first(&x->waiting);
    uint64_t id = first == NULL ? UINT64_MAX
                                : container_of(first, const struct connection, in_handshakes)->id;

    atomic_store_explicit(&x->oldest, id, memory_order_relaxed);
}

void handshakes_add(struct connection *c)
{
    list_append(&c->shard->handshakes.waiting, &c->in_handshakes);
    publish_oldest(&c->shard->handshakes);
}

void handshakes_remove(struct connection *c)
{
    if (!list_linked(&c->in_handshakes))
        return;
    list_remove(&c->in_handshakes);
    publish_oldest(&c->shard->handshakes);
    atomic_fetch_sub(&c->shard->worker->server->handshake_count, 1);
}

bool handshakes_has(const struct connection *c)
{
    return list_linked(&c->in_handshakes);
}
