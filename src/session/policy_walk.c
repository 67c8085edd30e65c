#include "session/policy_walk.h"

#include "base/clock.h"
#include "base/memory.h"
#include "broker/queue.h"
#include "broker/topology.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/letter_window.h"
#include "session/shard.h"
#include "store/definitions.h"

#include <stdatomic.h>
#include <stdlib.h>

/* What a turn spends on it. */
#define WALK_BUDGET_NS INT64_C(1000000)
/* Messages that a new limit drops in one go. */
#define WALK_TRIM_BUDGET 1024u
/* Queues that are looked at between two looks at the clock. */
#define WALK_STRIDE 16u

/* What has to happen before somebody is told: a part for each worker, and one for the disk. */
struct policy_change {
    atomic_uint parts;
    atomic_int result;
    struct policies_done done;
};

struct walk_request {
    struct list_node in_walk;
    struct policy_change *change;
};

/* ---- Changes ---- */

static void finish_part(struct policy_change *c, int result)
{
    if (result < 0)
        atomic_store(&c->result, result);
    if (atomic_fetch_sub(&c->parts, 1) != 1)
        return;
    if (c->done.call != NULL)
        c->done.call(c->done.context, atomic_load(&c->result));
    free(c);
}

static void on_committed(void *context, int result)
{
    finish_part(context, result);
}

static void handle_change(struct worker *worker, struct mail_record *r)
{
    struct policy_walk *w = &shard_of(worker)->policy_walk;
    struct walk_request *request = memory_alloc(sizeof(*request));

    request->change = *(struct policy_change **)(void *)(r + 1);
    list_append(&w->asked, &request->in_walk);
    w->left = w->count;
}

void policy_walk_start(struct broker *b, struct policies_done done)
{
    struct policy_change *c = memory_alloc(sizeof(*c));

    atomic_init(&c->parts, b->server->worker_count + 1);
    atomic_init(&c->result, 0);
    c->done = done;
    for (uint32_t i = 0; i < b->server->worker_count; i++)
        worker_post(&b->server->workers[i], handle_change, &c, sizeof(c));
    if (b->definitions != NULL)
        definitions_barrier(b->definitions,
                            (struct definitions_done){.call = on_committed, .context = c});
    else
        finish_part(c, 0);
}

/* ---- Walking ---- */

void policy_walk_init(struct policy_walk *w)
{
    *w = (struct policy_walk){.queues = NULL};
    list_init(&w->asked);
}

static void answer(struct policy_walk *w)
{
    struct list_node *node;

    while ((node = list_take_first(&w->asked)) != NULL) {
        struct walk_request *request = container_of(node, struct walk_request, in_walk);

        finish_part(request->change, 0);
        free(request);
    }
}

void policy_walk_release(struct policy_walk *w)
{
    answer(w);
    free(w->queues);
}

void policy_walk_add(struct policy_walk *w, struct queue_handle *queue)
{
    if (w->count == w->capacity) {
        w->capacity = w->capacity != 0 ? 2 * w->capacity : 16;
        w->queues = memory_resize(w->queues, w->capacity, sizeof(struct queue_handle *));
    }
    queue->home_index = w->count;
    w->queues[w->count++] = queue;
}

/* The last one takes its place, and is looked at once more if it had been. */
void policy_walk_remove(struct policy_walk *w, struct queue_handle *queue)
{
    struct queue_handle *last = w->queues[--w->count];

    last->home_index = queue->home_index;
    w->queues[last->home_index] = last;
    if (w->left > w->count)
        w->left = w->count;
}

/* Returns whether the queue did not follow yet. */
static bool follow(struct shard *s, struct queue_handle *queue)
{
    struct vhost *vhost = queue->vhost;
    struct queue_effective *former;
    bool changed;

    vhost_lock_read(vhost);
    changed = queue_handle_follow(queue, topology_policies(vhost->topology), &former);
    vhost_unlock(vhost);
    if (!changed)
        return false;
    queue_change_options(queue->queue, queue_handle_options(queue), shard_now_ms(s), &s->effects);
    letter_window_follow(queue);
    queue_effective_free(former);
    return true;
}

/* Looks at the next queue, and is done with it unless there is more to drop in it. Returns whether
 * that was worth a look at the clock. */
static bool look_at_next(struct shard *s)
{
    struct policy_walk *w = &s->policy_walk;
    struct queue_handle *queue = queue_handle_ref(w->queues[w->left - 1]);
    bool worth = follow(s, queue);
    bool more = queue_trim(queue->queue, WALK_TRIM_BUDGET, &s->effects);

    if (!more)
        w->left--;
    /* Which may end the queue, or others. */
    shard_run_effects(s);
    queue_handle_unref(queue);
    return worth || more;
}

static void walk(struct shard *s)
{
    int64_t end_ns = clock_monotonic_ns() + WALK_BUDGET_NS;
    uint32_t looked = 0;

    while (s->policy_walk.left != 0) {
        if ((look_at_next(s) || ++looked % WALK_STRIDE == 0) && clock_monotonic_ns() >= end_ns)
            return;
    }
}

bool policy_walk_go_on(struct shard *s)
{
    struct policy_walk *w = &s->policy_walk;

    if (list_empty(&w->asked))
        return false;
    if (!s->worker->stopping)
        walk(s);
    if (w->left != 0 && !s->worker->stopping)
        return true;
    answer(w);
    return false;
}
