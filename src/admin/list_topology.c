/* Virtual hosts, exchanges and bindings, which any thread may read under the virtual host's lock.
 * It is given back after each few, so that nobody waits long for it. */
#include "admin/api.h"
#include "admin/json_value.h"
#include "admin/listing.h"
#include "base/memory.h"
#include "broker/queue.h"
#include "broker/topology.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/shard.h"

#include <stdlib.h>

enum {
    SCAN_COUNT = 256,
};

static const char *const VHOST_KEY[] = {"name", NULL};
static const char *const NAME_KEY[] = {"vhost", "name", NULL};
static const char *const BINDING_KEY[] = {
    "vhost", "source", "destination_type", "destination", "routing_key", "arguments", NULL};

/* The rows of one virtual host that a scan under its lock found. */
struct finding {
    struct vhost *vhost;
    json_t *rows;
    struct listing *listing;
};

/* ---- Virtual hosts ---- */

static void add_vhost(struct vhost *v, void *context)
{
    json_t *row = json_object();

    json_object_set_new(row, "name", json_from_bytes(v->name));
    json_object_set_new(row, "tracing", json_false());
    listing_add(context, row);
}

void api_vhosts(const struct api_request *r, struct api_answer *answer)
{
    struct listing l;

    listing_init(&l, VHOST_KEY, r->columns);
    if (api_each_vhost(r, 1, add_vhost, &l, answer))
        listing_write(&l, &answer->body);
    listing_free(&l);
}

/* ---- Exchanges ---- */

/* A delayed exchange, whose messages wait where they are at home. */
struct delayed {
    struct queue_handle *handle; /* a reference */
    json_t *row;
    uint64_t messages;
};

struct exchange_finding {
    const struct api_request *request;
    struct vhost *vhost;
    struct listing *listing;
    json_t *rows;
    struct delayed *delayed;
    size_t delayed_count;
    size_t delayed_capacity;
};

static void note_delayed(struct exchange_finding *f, struct queue_handle *h, json_t *row)
{
    if (f->delayed_count == f->delayed_capacity) {
        f->delayed_capacity = f->delayed_capacity != 0 ? 2 * f->delayed_capacity : SCAN_COUNT;
        f->delayed = memory_resize(f->delayed, f->delayed_capacity, sizeof(*f->delayed));
    }
    f->delayed[f->delayed_count++] = (struct delayed){.handle = queue_handle_ref(h), .row = row};
}

/* On a worker: those that are at home here. */
static void count_delayed(struct shard *s, void *context)
{
    const struct exchange_finding *f = context;

    for (size_t i = 0; i < f->delayed_count; i++) {
        const struct queue_handle *h = f->delayed[i].handle;

        if (h->home_worker == shard_id(s) && h->queue != NULL)
            f->delayed[i].messages = queue_message_count(h->queue);
    }
}

static void tell_delayed(struct exchange_finding *f)
{
    for (uint32_t i = 0; f->delayed_count != 0 && i < f->request->broker->server->worker_count; i++)
        ask(f->request->asker, i, count_delayed, f);
    asker_wait(f->request->asker);
    for (size_t i = 0; i < f->delayed_count; i++) {
        json_object_set_new(f->delayed[i].row, "messages_delayed",
                            json_from_count(f->delayed[i].messages));
        queue_handle_unref(f->delayed[i].handle);
    }
    f->delayed_count = 0;
}

static void find_exchange(const struct exchange *e, void *context)
{
    struct exchange_finding *f = context;
    json_t *row = json_object();

    json_object_set_new(row, "name", json_from_bytes(exchange_name(e)));
    json_object_set_new(row, "vhost", json_from_bytes(f->vhost->name));
    json_object_set_new(row, "type", json_from_bytes(exchange_type(e)));
    json_object_set_new(row, "durable", json_boolean(exchange_durable(e)));
    json_object_set_new(row, "auto_delete", json_boolean(exchange_auto_delete(e)));
    json_object_set_new(row, "internal", json_boolean(exchange_internal(e)));
    json_object_set_new(row, "arguments", json_from_table(exchange_arguments(e)));
    json_object_set_new(row, "policy", json_from_policy(exchange_policy(e)));
    json_object_set_new(row, "messages_delayed", json_null());
    if (exchange_delays(e) != NULL)
        note_delayed(f, exchange_delays(e), row);
    json_array_append_new(f->rows, row);
}

static void add_exchanges(struct vhost *v, void *context)
{
    struct exchange_finding *f = context;
    size_t cursor = 0;

    f->vhost = v;
    do {
        f->rows = json_array();
        vhost_lock_read(v);
        cursor = topology_scan_exchanges(v->topology, cursor, SCAN_COUNT, find_exchange, f);
        vhost_unlock(v);
        tell_delayed(f);
        listing_add_all(f->listing, f->rows);
    } while (cursor != 0);
}

void api_exchanges(const struct api_request *r, struct api_answer *answer)
{
    struct listing l;
    struct exchange_finding f = {.request = r, .listing = &l};

    listing_init(&l, NAME_KEY, r->columns);
    if (api_each_vhost(r, 1, add_exchanges, &f, answer))
        listing_write(&l, &answer->body);
    listing_free(&l);
    free(f.delayed);
}

/* ---- Bindings ---- */

static void find_binding(const struct binding_declaration *b, bool durable, void *context)
{
    const struct finding *f = context;
    json_t *row = json_object();

    (void)durable;
    json_object_set_new(row, "source", json_from_bytes(b->source));
    json_object_set_new(row, "source_type", json_string("exchange"));
    json_object_set_new(row, "vhost", json_from_bytes(f->vhost->name));
    json_object_set_new(row, "destination", json_from_bytes(b->destination));
    json_object_set_new(row, "destination_type",
                        json_string(b->to_exchange ? "exchange" : "queue"));
    json_object_set_new(row, "routing_key", json_from_bytes(b->routing_key));
    json_object_set_new(row, "arguments", json_from_table(b->arguments));
    json_array_append_new(f->rows, row);
}

/* The default exchange leads to every queue by its name (AMQP 0-9-1 §3.1.3.1). */
static void find_default_binding(struct queue_handle *h, void *context)
{
    const struct binding_declaration b = {
        .source = bytes_of(NULL, 0), .destination = h->name, .routing_key = h->name};

    find_binding(&b, h->options.durable, context);
}

static void add_bindings(struct vhost *v, void *context)
{
    struct finding f = {.vhost = v, .listing = context};
    size_t cursor = 0;

    do {
        f.rows = json_array();
        vhost_lock_read(v);
        cursor = topology_scan_bindings(v->topology, cursor, SCAN_COUNT, find_binding, &f);
        vhost_unlock(v);
        listing_add_all(f.listing, f.rows);
    } while (cursor != 0);
    do {
        f.rows = json_array();
        vhost_lock_read(v);
        cursor = topology_scan_queues(v->topology, cursor, SCAN_COUNT, find_default_binding, &f);
        vhost_unlock(v);
        listing_add_all(f.listing, f.rows);
    } while (cursor != 0);
}

void api_bindings(const struct api_request *r, struct api_answer *answer)
{
    struct listing l;

    listing_init(&l, BINDING_KEY, r->columns);
    if (api_each_vhost(r, 1, add_bindings, &l, answer))
        listing_write(&l, &answer->body);
    listing_free(&l);
}
