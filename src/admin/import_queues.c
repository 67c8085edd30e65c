#include "admin/import_queues.h"

#include "base/memory.h"
#include "broker/queue_options.h"
#include "broker/refusal.h"
#include "broker/topology.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/queue_home.h"
#include "session/shard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BATCH = 64,
};

struct import_queue {
    struct vhost *vhost;
    struct bytes name;
    const char *place;
    struct queue_options options;
    bool parsed; /* there are options, which are to be freed */
    uint32_t worker;
    bool created;
    bool failed;
    struct refusal refusal; /* when it failed */
};

void import_queues_init(struct import_queues *q, struct asker *a,
                        void (*done)(void *context, const char *place, bool created,
                                     const char *reason),
                        void *context)
{
    *q = (struct import_queues){.asker = a, .done = done, .context = context};
    arena_init(&q->arena);
    q->items = memory_alloc_zeroed(BATCH, sizeof(*q->items));
}

void import_queues_release(struct import_queues *q)
{
    free(q->items);
    arena_free(&q->arena);
}

/* Takes over `options` when it returns true. */
static bool create(struct shard *s, struct import_queue *i)
{
    uint32_t limit = s->broker->limits->max_queues;

    if (limit != 0 && atomic_load(&s->worker->server->queue_count) >= limit) {
        snprintf(i->refusal.text, sizeof(i->refusal.text),
                 "the limit of %" PRIu32 " queues (limits.max_queues) is reached", limit);
        return false;
    }
    if (queue_home_create(s, i->vhost, i->name, &i->options, 0) != NULL)
        return true;
    snprintf(i->refusal.text, sizeof(i->refusal.text), "the definitions cannot be written");
    return false;
}

/* Makes one, or compares it with what is there. */
static void declare(struct shard *s, struct import_queue *i)
{
    const struct queue_handle *existing;

    vhost_lock_write(i->vhost);
    existing = topology_find_queue(i->vhost->topology, i->name);
    if (existing == NULL) {
        i->created = create(s, i);
        i->failed = !i->created;
        i->parsed = !i->created;
    } else if (existing->owner != 0) {
        refuse(&i->refusal, REFUSAL_RESOURCE_LOCKED,
               "queue '%.*s' in vhost '%.*s' is there and is exclusive", BYTES_ARGS(i->name),
               BYTES_ARGS(i->vhost->name));
        i->failed = true;
    } else {
        i->failed = queue_options_equivalent(&existing->options, &i->options, i->name,
                                             i->vhost->name, &i->refusal) < 0;
    }
    vhost_unlock(i->vhost);
}

/* On a worker. */
static void declare_those_at_home(struct shard *s, void *context)
{
    struct import_queues *q = context;

    for (size_t k = 0; k < q->count; k++) {
        if (q->items[k].worker == shard_id(s) && q->items[k].parsed)
            declare(s, &q->items[k]);
    }
}

void import_queues_flush(struct import_queues *q)
{
    if (q->count == 0)
        return;
    for (uint32_t w = 0; w < q->asker->broker->server->worker_count; w++)
        ask(q->asker, w, declare_those_at_home, q);
    asker_wait(q->asker);
    for (size_t k = 0; k < q->count; k++) {
        struct import_queue *i = &q->items[k];

        q->done(q->context, i->place, i->created, i->failed ? i->refusal.text : NULL);
        if (i->parsed)
            queue_options_free(&i->options);
    }
    q->count = 0;
    arena_free(&q->arena);
}

void import_queues_add(struct import_queues *q, struct vhost *v, const struct definition_record *r,
                       const char *place)
{
    struct import_queue *i = &q->items[q->count++];
    size_t place_size = strlen(place) + 1;

    *i = (struct import_queue){
        .vhost = v,
        .name = arena_copy(&q->arena, r->name),
        .place = (const char *)arena_copy(&q->arena, bytes_of(place, place_size)).data,
        .worker = q->next_worker++ % q->asker->broker->server->worker_count,
    };
    if (r->name.size == 0) {
        snprintf(i->refusal.text, sizeof(i->refusal.text), "a queue must have a name");
        i->failed = true;
    } else {
        i->parsed = queue_options_parse(&i->options, r->durable, false, r->auto_delete,
                                        &r->arguments, r->name, v->name, &i->refusal) == 0;
        i->failed = !i->parsed;
    }
    if (q->count == BATCH)
        import_queues_flush(q);
}
