#include "admin/active_consumers.h"

#include "base/memory.h"
#include "broker/queue.h"
#include "broker/topology.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/queue_home.h"
#include "session/shard.h"
#include "session/subscription.h"

#include <stdlib.h>

enum {
    SCAN_COUNT = 256,
};

/* Some queues, and the active consumer of each once their homes have been asked. */
struct batch {
    struct batch_item {
        struct queue_handle *handle; /* a reference */
        const struct subscription *active;
    } * items;
    size_t count;
    size_t capacity;
};

struct finding {
    const struct api_request *request;
    struct active_consumers *found;
    struct batch batch;
};

static bool has_single_active_consumer(const struct queue_handle *h)
{
    return h->options.rules != NULL && h->options.rules->single_active_consumer;
}

static void find_queue(struct queue_handle *h, void *context)
{
    struct batch *b = context;

    if (!has_single_active_consumer(h))
        return;
    if (b->count == b->capacity) {
        b->capacity = b->capacity != 0 ? 2 * b->capacity : SCAN_COUNT;
        b->items = memory_resize(b->items, b->capacity, sizeof(*b->items));
    }
    b->items[b->count++] = (struct batch_item){.handle = queue_handle_ref(h)};
}

/* On a worker: those of the batch that are at home here. */
static void note_active(struct shard *s, void *context)
{
    const struct batch *b = context;

    for (size_t i = 0; i < b->count; i++) {
        struct batch_item *item = &b->items[i];
        const struct consumer *active;

        if (item->handle->home_worker != shard_id(s) || item->handle->queue == NULL)
            continue;
        active = queue_active_consumer(item->handle->queue);
        if (active != NULL)
            item->active = ((struct consumer_link *)consumer_session(active))->subscription;
    }
}

static void take(struct active_consumers *a, struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->items[i].active != NULL) {
            if (a->count == a->capacity) {
                a->capacity = a->capacity != 0 ? 2 * a->capacity : SCAN_COUNT;
                a->items =
                    memory_resize(a->items, a->capacity, sizeof(const struct subscription *));
            }
            a->items[a->count++] = b->items[i].active;
        }
        queue_handle_unref(b->items[i].handle);
    }
    b->count = 0;
}

static void find_in_vhost(struct vhost *v, void *context)
{
    struct finding *f = context;
    size_t cursor = 0;

    do {
        vhost_lock_read(v);
        cursor = topology_scan_queues(v->topology, cursor, SCAN_COUNT, find_queue, &f->batch);
        vhost_unlock(v);
        for (uint32_t i = 0; f->batch.count != 0 && i < f->request->broker->server->worker_count;
             i++)
            ask(f->request->asker, i, note_active, &f->batch);
        asker_wait(f->request->asker);
        take(f->found, &f->batch);
    } while (cursor != 0);
}

static int compare(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t) * (const struct subscription *const *)a;
    uintptr_t right = (uintptr_t) * (const struct subscription *const *)b;

    return (left > right) - (left < right);
}

bool active_consumers_find(struct active_consumers *a, const struct api_request *r,
                           struct api_answer *answer)
{
    struct finding f = {.request = r, .found = a};
    bool found;

    *a = (struct active_consumers){.items = NULL};
    found = api_each_vhost(r, 1, find_in_vhost, &f, answer);
    if (a->count != 0)
        qsort(a->items, a->count, sizeof(const struct subscription *), compare);
    free(f.batch.items);
    return found;
}

void active_consumers_free(struct active_consumers *a)
{
    free(a->items);
}

bool active_consumers_have(const struct active_consumers *a, const struct subscription *s)
{
    if (!has_single_active_consumer(s->queue))
        return true;
    return a->count != 0 &&
           bsearch(&s, a->items, a->count, sizeof(const struct subscription *), compare) != NULL;
}
