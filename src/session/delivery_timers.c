#include "session/delivery_timers.h"

#include "base/memory.h"
#include "broker/queue.h"
#include "session/channel.h"
#include "session/paging.h"
#include "session/queue_home.h"
#include "session/shard.h"
#include "session/subscription.h"

#include <stdlib.h>

/* Messages of one consumer that go back before the next one gets its turn, and how many consumers
 * have theirs before the loop looks at its sockets again. */
#define CONSUMER_BUDGET 128u
#define TURN_CONSUMERS 32u

struct consumer_timer {
    struct timer timer;
    struct list_node due; /* in the shard's list */
    struct shard *shard;
    struct consumer *consumer; /* which it goes with */
};

static void on_due(struct timer *t)
{
    struct consumer_timer *timer = container_of(t, struct consumer_timer, timer);

    list_append(&timer->shard->due_consumers, &timer->due);
}

static struct consumer_timer *timer_of(struct shard *s, struct consumer *c)
{
    struct consumer_timer *timer = consumer_clock(c);

    if (timer != NULL)
        return timer;
    timer = memory_alloc(sizeof(*timer));
    timer_init(&timer->timer, on_due);
    list_node_init(&timer->due);
    timer->shard = s;
    timer->consumer = c;
    consumer_set_clock(c, timer);
    return timer;
}

void delivery_timers_set(struct shard *s, struct consumer *c, int64_t due_ms)
{
    struct consumer_timer *timer = timer_of(s, c);

    if (list_linked(&timer->due))
        return;
    if (due_ms > shard_now_ms(s)) {
        timer_set(&s->worker->timers, &timer->timer, due_ms);
        return;
    }
    timer_cancel(&s->worker->timers, &timer->timer);
    list_append(&s->due_consumers, &timer->due);
}

void delivery_timers_forget(struct shard *s, struct consumer *c)
{
    struct consumer_timer *timer = consumer_clock(c);

    if (timer == NULL)
        return;
    timer_cancel(&s->worker->timers, &timer->timer);
    list_remove(&timer->due);
    consumer_set_clock(c, NULL);
    free(timer);
}

/* ---- To the channel ---- */

struct taken_back_record {
    struct mail_record head;
    struct subscription *subscription;
    uint64_t first;
    uint64_t last;
};

static void handle_taken_back(struct worker *w, struct mail_record *r)
{
    const struct taken_back_record *t = (const struct taken_back_record *)(const void *)r;

    (void)w;
    channel_on_taken_back(t->subscription->channel, t->subscription, t->first, t->last);
}

void delivery_timers_taken_back(struct shard *s, const struct effect *e)
{
    struct consumer_link *link = consumer_session(e->consumer);
    struct taken_back_record t = {
        .head = {.handle = handle_taken_back, .size = sizeof(t)},
        .subscription = link->subscription,
        .first = e->number,
        .last = e->sequence,
    };

    shard_send(s, link->worker, &t.head);
    paging_watch(s, link->queue, UINT32_MAX);
    queue_home_credit_came_back(s, link);
}

struct overdue_record {
    struct mail_record head;
    struct subscription *subscription;
    struct consumer_overdue overdue;
};

static void handle_overdue(struct worker *w, struct mail_record *r)
{
    const struct overdue_record *o = (const struct overdue_record *)(const void *)r;

    (void)w;
    channel_on_overdue(o->subscription->channel, o->subscription, &o->overdue);
}

/* Closes the channel, when that lives here, and the consumer goes with it. */
static void tell_overdue(struct shard *s, const struct consumer_link *link,
                         const struct consumer_overdue *overdue)
{
    struct overdue_record o = {
        .head = {.handle = handle_overdue, .size = sizeof(o)},
        .subscription = link->subscription,
        .overdue = *overdue,
    };

    shard_send(s, link->worker, &o.head);
}

/* ---- What is due ---- */

static void work_off(struct shard *s, struct consumer *c)
{
    struct consumer_link *link = consumer_session(c);
    struct consumer_overdue overdue =
        consumer_on_time(c, shard_now_ms(s), CONSUMER_BUDGET, &s->effects);

    shard_run_effects(s);
    if (overdue.up_to != 0)
        tell_overdue(s, link, &overdue);
}

bool delivery_timers_run(struct shard *s)
{
    struct list_node *node;

    for (uint32_t i = 0; i < TURN_CONSUMERS && (node = list_take_first(&s->due_consumers)) != NULL;
         i++)
        work_off(s, container_of(node, struct consumer_timer, due)->consumer);
    return !list_empty(&s->due_consumers);
}
