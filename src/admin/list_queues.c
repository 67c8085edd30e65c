/* Queues: what they are is read under the virtual host's lock, what is in them is asked of the
 * workers they are at home on, some at a time. */
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

static const char *const QUEUE_KEY[] = {"vhost", "name", NULL};

struct queue_figures {
    struct queue_handle *handle; /* a reference */
    bool there;
    uint64_t ready;
    uint64_t unacked;
    uint64_t ready_bytes;
    uint64_t paged;
    struct queue_lease_counts leases;
    uint32_t consumers;
    struct policy_match applies; /* a reference each */
};

struct queue_batch {
    struct queue_figures *items;
    size_t count;
    size_t capacity;
};

struct finding {
    const struct api_request *request;
    struct listing listing;
    struct queue_batch batch;
};

static void find_queue(struct queue_handle *h, void *context)
{
    struct queue_batch *b = context;

    if (b->count == b->capacity) {
        b->capacity = b->capacity != 0 ? 2 * b->capacity : SCAN_COUNT;
        b->items = memory_resize(b->items, b->capacity, sizeof(*b->items));
    }
    b->items[b->count++] = (struct queue_figures){.handle = queue_handle_ref(h)};
}

static void note_policies(struct queue_figures *f)
{
    const struct queue_effective *e = f->handle->effective;

    if (e != NULL && e->policy != NULL)
        f->applies.policy = policy_ref(e->policy);
    if (e != NULL && e->operator_policy != NULL)
        f->applies.operator_policy = policy_ref(e->operator_policy);
}

/* On a worker: those of the batch that are at home here. */
static void count_messages(struct shard *s, void *context)
{
    const struct queue_batch *b = context;

    for (size_t i = 0; i < b->count; i++) {
        struct queue_figures *f = &b->items[i];
        const struct queue *q;

        if (f->handle->home_worker != shard_id(s))
            continue;
        q = f->handle->queue;
        if (q == NULL)
            continue;
        f->there = true;
        f->ready = queue_message_count(q);
        f->unacked = queue_unacked_count(q);
        f->ready_bytes = queue_ready_bytes(q);
        f->paged = queue_paged_count(q);
        f->leases = queue_lease_counts(q);
        f->consumers = queue_consumer_count(q);
        note_policies(f);
    }
}

static json_t *type_of(const struct queue_handle *h)
{
    const struct value *type = table_get(&h->options.arguments, "x-queue-type");

    return type != NULL ? json_from_value(type) : json_string("classic");
}

static json_t *effective_definition(const struct policy_match *m)
{
    struct arena arena;
    struct table merged;
    json_t *definition;

    arena_init(&arena);
    merged = policy_merge_definitions(&arena, m);
    definition = json_from_table(&merged);
    arena_free(&arena);
    return definition;
}

static json_t *row_of(const struct queue_figures *f, const struct vhost *v)
{
    const struct queue_handle *h = f->handle;
    json_t *row = json_object();

    json_object_set_new(row, "name", json_from_bytes(h->name));
    json_object_set_new(row, "vhost", json_from_bytes(v->name));
    json_object_set_new(row, "type", type_of(h));
    json_object_set_new(row, "durable", json_boolean(h->options.durable));
    json_object_set_new(row, "auto_delete", json_boolean(h->options.auto_delete));
    json_object_set_new(row, "exclusive", json_boolean(h->owner != 0));
    if (h->owner != 0)
        json_object_set_new(row, "owner_pid", json_from_count(h->owner));
    json_object_set_new(row, "arguments", json_from_table(&h->options.arguments));
    json_object_set_new(row, "policy", json_from_policy(f->applies.policy));
    json_object_set_new(row, "operator_policy", json_from_policy(f->applies.operator_policy));
    json_object_set_new(row, "effective_policy_definition", effective_definition(&f->applies));
    json_object_set_new(row, "messages", json_from_count(f->ready + f->unacked));
    json_object_set_new(row, "messages_ready", json_from_count(f->ready));
    json_object_set_new(row, "messages_unacknowledged", json_from_count(f->unacked));
    json_object_set_new(row, "messages_paged_out", json_from_count(f->paged));
    json_object_set_new(row, "message_bytes_ready", json_from_count(f->ready_bytes));
    json_object_set_new(row, "deliveries_expired", json_from_count(f->leases.expired));
    json_object_set_new(row, "deliveries_extended", json_from_count(f->leases.extended));
    json_object_set_new(row, "settlements_late", json_from_count(f->leases.late));
    json_object_set_new(row, "consumers", json_integer(f->consumers));
    json_object_set_new(row, "worker", json_integer(h->home_worker));
    json_object_set_new(row, "state", json_string("running"));
    return row;
}

static void add_queues(struct vhost *v, void *context)
{
    struct finding *f = context;
    struct asker *asker = f->request->asker;
    struct queue_batch *b = &f->batch;
    size_t cursor = 0;

    do {
        vhost_lock_read(v);
        cursor = topology_scan_queues(v->topology, cursor, SCAN_COUNT, find_queue, b);
        vhost_unlock(v);
        for (uint32_t i = 0; b->count != 0 && i < f->request->broker->server->worker_count; i++)
            ask(asker, i, count_messages, b);
        asker_wait(asker);
        for (size_t i = 0; i < b->count; i++) {
            if (b->items[i].there)
                listing_add(&f->listing, row_of(&b->items[i], v));
            policy_unref(b->items[i].applies.policy);
            policy_unref(b->items[i].applies.operator_policy);
            queue_handle_unref(b->items[i].handle);
        }
        b->count = 0;
    } while (cursor != 0);
}

void api_queues(const struct api_request *r, struct api_answer *answer)
{
    struct finding f = {.request = r};

    listing_init(&f.listing, QUEUE_KEY, r->columns);
    if (api_each_vhost(r, 1, add_queues, &f, answer))
        listing_write(&f.listing, &answer->body);
    listing_free(&f.listing);
    free(f.batch.items);
}
