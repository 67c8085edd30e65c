#include "session/undefined_queue.h"

#include "base/memory.h"
#include "session/broker.h"
#include "session/durable_log.h"
#include "session/queue_publish.h"
#include "session/shard.h"
#include "store/definitions.h"

#include <stdlib.h>

#define WAITS_MIN_CAPACITY 16u

struct defined_wait {
    struct publish_origin origin;
    uint32_t worker;
    uint32_t failures; /* of the journal before it */
};

/* Who waits for one answer of the definitions. Freed when that has come. */
struct undefined_queue {
    struct shard *shard;
    struct durable_queue *durable; /* NULL once the queue is deleted */
    struct defined_wait *waits;
    uint32_t count;
    uint32_t capacity;
    int result;
};

static struct definitions *definitions_of(const struct durable_queue *d)
{
    return d->log->shard->broker->definitions;
}

void undefined_queue_begin(struct durable_queue *d)
{
    d->defined_at = definitions_position(definitions_of(d));
}

bool durable_queue_is_defined(const struct durable_queue *d)
{
    return definitions_reached(definitions_of(d), d->defined_at);
}

static void answer_all(const struct undefined_queue *u, bool accepted)
{
    for (uint32_t i = 0; i < u->count; i++)
        queue_answer_publish(u->shard, u->waits[i].worker, &u->waits[i].origin, accepted);
}

/* What the journal lost meanwhile is not there, defined or not. */
static void await_all(const struct undefined_queue *u)
{
    struct durable_log *log = u->durable->log;

    for (uint32_t i = 0; i < u->count; i++) {
        const struct defined_wait *w = &u->waits[i];

        if (w->failures == log->failures)
            durable_log_await(log, &w->origin, w->worker);
        else
            queue_answer_publish(u->shard, w->worker, &w->origin, false);
    }
}

static void handle_answer(struct worker *w, struct mail_record *r)
{
    struct undefined_queue *u = *(struct undefined_queue **)(void *)(r + 1);
    struct durable_queue *d = u->durable;

    (void)w;
    if (d != NULL) {
        d->undefined = NULL;
        d->undefinable = u->result < 0;
        if (u->result == 0)
            await_all(u);
        else
            answer_all(u, false);
    }
    free(u->waits);
    free(u);
}

/* On the definitions' thread. */
static void on_committed(void *context, int result)
{
    struct undefined_queue *u = context;

    u->result = result;
    worker_post(u->shard->worker, handle_answer, &u, sizeof(u));
}

void undefined_queue_await(struct durable_queue *d, const struct publish_origin *origin,
                           uint32_t worker)
{
    struct undefined_queue *u = d->undefined;
    bool first = u == NULL;

    if (first) {
        u = memory_alloc_zeroed(1, sizeof(*u));
        u->shard = d->log->shard;
        u->durable = d;
        d->undefined = u;
    }
    if (u->count == u->capacity) {
        u->capacity = u->capacity != 0 ? 2 * u->capacity : WAITS_MIN_CAPACITY;
        u->waits = memory_resize(u->waits, u->capacity, sizeof(*u->waits));
    }
    u->waits[u->count++] =
        (struct defined_wait){.origin = *origin, .worker = worker, .failures = d->log->failures};
    if (first)
        definitions_barrier(definitions_of(d),
                            (struct definitions_done){.call = on_committed, .context = u});
}

bool undefined_queue_refuses(struct durable_queue *d)
{
    if (d->undefinable && durable_queue_is_defined(d))
        d->undefinable = false;
    return d->undefinable;
}

void undefined_queue_forget(struct durable_queue *d)
{
    struct undefined_queue *u = d->undefined;

    if (u == NULL)
        return;
    answer_all(u, true);
    u->count = 0;
    u->durable = NULL;
    d->undefined = NULL;
}

void undefined_queue_discard(struct durable_queue *d)
{
    if (d->undefined == NULL)
        return;
    free(d->undefined->waits);
    free(d->undefined);
    d->undefined = NULL;
}
