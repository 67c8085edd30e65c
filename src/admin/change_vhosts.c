/* Virtual hosts made and deleted while the broker runs. */
#include "admin/api.h"
#include "admin/commit.h"
#include "base/memory.h"
#include "broker/topology.h"
#include "server/vhost.h"
#include "session/audit.h"
#include "session/broker.h"
#include "session/broker_parameters.h"
#include "session/broker_users.h"
#include "session/broker_vhosts.h"
#include "session/connection.h"
#include "session/queue_home.h"
#include "session/shard.h"

#include <stdlib.h>
#include <string.h>

enum {
    STATUS_CREATED = 201,
    STATUS_BAD_REQUEST = 400,
    STATUS_FORBIDDEN = 403,
    STATUS_NOT_FOUND = 404,
    NAME_MAX_SIZE = 255,
    A_TURN = 64, /* connections and queues that a worker deals with in one */
};

/* ---- Making ---- */

void api_put_vhost(const struct api_request *r, struct api_answer *answer)
{
    struct bytes name = r->segments[1];
    bool made;

    if (name.size == 0 || name.size > NAME_MAX_SIZE || memchr(name.data, 0, name.size) != NULL) {
        api_fail(answer, STATUS_BAD_REQUEST,
                 "a virtual host's name has 1 to %d bytes, none of them zero", NAME_MAX_SIZE);
        return;
    }
    broker_vhost_put(r->broker, name, &made);
    api_answer_committed(r, answer);
    if (made && answer->status < STATUS_BAD_REQUEST)
        answer->status = STATUS_CREATED;
}

/* ---- Deleting: connections ---- */

struct closing {
    struct vhost *vhost;
    size_t cursor;
};

static void close_if_there(struct hash_node *node, void *context)
{
    struct connection *c = container_of(node, struct connection, by_id);
    const struct closing *closing = context;

    if (c->vhost == closing->vhost && c->state != CONNECTION_DEAD)
        connection_close_for_deleted_vhost(c);
}

static void close_some(struct shard *s, void *context)
{
    struct closing *c = context;

    c->cursor = hash_map_scan(&s->connections_by_id, c->cursor, A_TURN, close_if_there, c);
}

/* Nobody opens it any more; a connection that is on its way to another worker is closed when it
 * arrives. */
static void close_connections(const struct api_request *r, struct vhost *v)
{
    for (uint32_t w = 0; w < r->broker->server->worker_count; w++) {
        struct closing c = {.vhost = v};

        do
            ask_and_wait(r->asker, w, close_some, &c);
        while (c.cursor != 0);
    }
}

/* ---- Deleting: queues, exchanges and bindings ---- */

struct queue_batch {
    struct queue_handle *items[A_TURN * 4];
    size_t count;
};

static void collect_queue(struct queue_handle *h, void *context)
{
    struct queue_batch *b = context;

    if (b->count < sizeof(b->items) / sizeof(b->items[0]))
        b->items[b->count++] = queue_handle_ref(h);
}

static void delete_those_at_home(struct shard *s, void *context)
{
    const struct queue_batch *b = context;

    for (size_t i = 0; i < b->count; i++) {
        if (b->items[i]->home_worker == shard_id(s))
            queue_home_delete(s, b->items[i]);
    }
    shard_run_effects(s);
}

/* The connections are told, and handle no method any more: no queue comes. */
static void delete_queues(const struct api_request *r, struct vhost *v)
{
    struct queue_batch *b = memory_alloc(sizeof(*b));

    do {
        b->count = 0;
        vhost_lock_read(v);
        topology_scan_queues(v->topology, 0, A_TURN, collect_queue, b);
        vhost_unlock(v);
        for (uint32_t w = 0; b->count != 0 && w < r->broker->server->worker_count; w++)
            ask(r->asker, w, delete_those_at_home, b);
        asker_wait(r->asker);
        for (size_t i = 0; i < b->count; i++)
            queue_handle_unref(b->items[i]);
    } while (b->count != 0);
    free(b);
}

struct exchange_names {
    char *items[A_TURN];
    size_t sizes[A_TURN];
    size_t count;
};

static void collect_exchange(const struct exchange *e, void *context)
{
    struct exchange_names *n = context;
    struct bytes name = exchange_name(e);

    if (name.size == 0 || bytes_starts_with(name, "amq.") || n->count == A_TURN)
        return;
    n->items[n->count] = bytes_to_string(name);
    n->sizes[n->count++] = name.size;
}

static size_t delete_some_exchanges(struct vhost *v, size_t cursor, size_t *deleted)
{
    struct exchange_names n = {.count = 0};

    vhost_lock_write(v);
    cursor = topology_scan_exchanges(v->topology, cursor, A_TURN / 4, collect_exchange, &n);
    for (size_t i = 0; i < n.count; i++) {
        struct refusal refusal;

        topology_delete_exchange(v->topology, bytes_of(n.items[i], n.sizes[i]), false, &refusal);
        free(n.items[i]);
    }
    vhost_unlock(v);
    *deleted += n.count;
    return cursor;
}

static void delete_exchanges(struct vhost *v)
{
    size_t deleted;

    do {
        size_t cursor = 0;

        deleted = 0;
        do
            cursor = delete_some_exchanges(v, cursor, &deleted);
        while (cursor != 0);
    } while (deleted != 0);
}

/* Those that are left lead from one predeclared exchange to another. */
static void delete_bindings(struct vhost *v)
{
    bool left;

    do {
        vhost_lock_write(v);
        left = topology_remove_bindings(v->topology, A_TURN);
        vhost_unlock(v);
    } while (left);
}

/* ---- Deleting ---- */

static bool is_configured(const struct config *c, struct bytes name)
{
    for (size_t i = 0; i < c->vhosts.count; i++) {
        if (bytes_equal(c->vhosts.items[i].name, name))
            return true;
    }
    return false;
}

static void stop_recording(struct vhost *v)
{
    vhost_lock_write(v);
    topology_observe(v->topology, NULL);
    vhost_unlock(v);
}

void api_delete_vhost(const struct api_request *r, struct api_answer *answer)
{
    struct broker *b = r->broker;
    struct bytes name = r->segments[1];
    struct vhost *v;

    if (is_configured(b->server->config, name)) {
        api_fail(answer, STATUS_FORBIDDEN,
                 "virtual host '%.*s' is in the configuration file and would come back",
                 BYTES_ARGS(name));
        return;
    }
    v = vhost_take_out(&b->server->vhosts, name);
    if (v == NULL) {
        api_fail(answer, STATUS_NOT_FOUND, "virtual host '%.*s' does not exist", BYTES_ARGS(name));
        return;
    }
    audit_log("vhost", "vhost '%.*s' was deleted", BYTES_ARGS(v->name));
    close_connections(r, v);
    delete_queues(r, v);
    delete_exchanges(v);
    delete_bindings(v);
    stop_recording(v);
    if (b->definitions != NULL)
        definitions_remove_vhost(b->definitions, v->name, (struct definitions_done){.call = NULL});
    broker_parameters_forget_vhost(b, v->name);
    broker_users_forget_vhost(b, v->name);
    api_answer_committed(r, answer);
}
