#include "session/queue_home.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/delivery_timers.h"
#include "session/durable_log.h"
#include "session/letter_window.h"
#include "session/shard.h"
#include "session/subscription.h"
#include "session/undefined_queue.h"
#include "store/recovery.h"

#include <assert.h>
#include <stdlib.h>

/* ---- Questions of channels ---- */

static void handle_answer(struct worker *w, struct mail_record *r)
{
    struct queue_command *answer = (struct queue_command *)(void *)r;
    struct channel *ch = answer->channel;

    (void)w;
    channel_on_answer(ch, answer);
    queue_handle_unref(answer->queue);
    channel_drop(ch);
}

static struct consumer_link *link_create(struct queue_command *c,
                                         const struct consumer_options *options)
{
    struct consumer_link *link = memory_alloc_zeroed(1, sizeof(*link));

    link->consumer = queue_consume(c->queue->queue, options, link);
    if (link->consumer == NULL) {
        free(link);
        return NULL;
    }
    link->subscription = c->subscription;
    link->queue = queue_handle_ref(c->queue);
    link->worker = c->head.from;
    return link;
}

static enum queue_outcome do_consume(struct queue_command *c)
{
    c->link = link_create(c, &c->options);
    return c->link != NULL ? QUEUE_OK : QUEUE_EXCLUSIVE_USE;
}

/* That a message was delivered once is recorded for all below a place in the queue. Where further
 * deliveries count, each is recorded too, with the count that the message has when it is ready
 * again: a broker that is killed would forget it otherwise. */
static void record_redelivery(const struct effect *e)
{
    struct queue_handle *h = queue_owner(e->queue);
    const struct queue_rules *rules = queue_handle_options(h)->rules;

    if (h->durable == NULL || rules == NULL ||
        (!rules->counts_deliveries && rules->delivery_limit == UINT64_MAX) ||
        store_location_is_none(e->location) || paging_owns(e->location))
        return;
    durable_queue_returned(h->durable, e->sequence, e->delivery_count + 1);
}

static enum queue_outcome do_get(struct shard *s, struct queue_command *c)
{
    const struct consumer_options getter = {
        .getter = true, .default_consumer_timeout_ms = s->broker->limits->consumer_timeout_ms};
    struct consumer *consumer = NULL;
    struct effect got;

    queue_used(c->queue->queue, shard_now_ms(s), &s->effects);
    if (queue_message_count(c->queue->queue) == 0)
        return QUEUE_EMPTY;
    if (c->subscription != NULL) {
        if (c->link == NULL)
            c->link = link_create(c, &getter);
        assert(c->link != NULL); /* a getter is never refused */
        consumer = c->link->consumer;
    }
    switch (queue_get(c->queue->queue, consumer, shard_now_ms(s), &got, &s->effects)) {
    case QUEUE_GET_EMPTY:
        return QUEUE_EMPTY;
    case QUEUE_GET_WAIT:
        return QUEUE_ON_DISK;
    case QUEUE_GET_MESSAGE:
        break;
    }
    if (c->queue->durable != NULL)
        durable_queue_delivered(c->queue->durable);
    if (got.delivery_count != 0 && consumer != NULL)
        record_redelivery(&got);
    c->message = consumer != NULL ? message_ref(got.message) : got.message;
    c->number = got.number;
    c->delivery_count = got.delivery_count;
    return QUEUE_OK;
}

/* Who is asked to release what a queue drops all at once. */
struct releasing {
    struct shard *shard;
    struct queue_handle *queue;
};

static void release_stored(void *context, struct store_location location)
{
    const struct releasing *r = context;

    if (paging_owns(location))
        paging_release(r->shard, location);
    else
        durable_queue_release(r->queue->durable, location);
}

void queue_home_settled(struct shard *s, struct queue_handle *queue, uint64_t sequence,
                        struct store_location location)
{
    if (paging_owns(location))
        paging_release(s, location);
    else
        durable_queue_settled(queue->durable, sequence, location);
}

uint64_t queue_home_purge(struct shard *s, struct queue_handle *queue)
{
    struct releasing releasing = {.shard = s, .queue = queue};
    uint64_t messages = queue_purge(queue->queue, release_stored, &releasing);

    if (queue->durable != NULL)
        durable_queue_purged(queue->durable);
    return messages;
}

static enum queue_outcome do_delete(struct shard *s, struct queue_command *c)
{
    struct queue *q = c->queue->queue;

    if (c->if_unused && queue_consumer_count(q) != 0)
        return QUEUE_IN_USE;
    if (c->if_empty && queue_message_count(q) != 0)
        return QUEUE_NOT_EMPTY;
    c->definitions_changed = c->queue->durable != NULL;
    c->messages = queue_home_delete(s, c->queue);
    return QUEUE_OK;
}

static enum queue_outcome do_operation(struct shard *s, struct queue_command *c)
{
    switch (c->operation) {
    case QUEUE_STATUS:
        c->definitions_changed =
            c->queue->durable != NULL && !durable_queue_is_defined(c->queue->durable);
        queue_used(c->queue->queue, shard_now_ms(s), &s->effects);
        return QUEUE_OK;
    case QUEUE_CONSUME:
        return do_consume(c);
    case QUEUE_CANCEL:
        if (c->link->consumer != NULL)
            consumer_cancel(c->link->consumer, shard_now_ms(s), &s->effects);
        return QUEUE_OK;
    case QUEUE_GET:
        return do_get(s, c);
    case QUEUE_PURGE:
        c->messages = queue_home_purge(s, c->queue);
        return QUEUE_OK;
    case QUEUE_DELETE:
        return do_delete(s, c);
    }
    return QUEUE_GONE;
}

static void handle_question(struct worker *w, struct mail_record *r)
{
    struct shard *s = shard_of(w);
    struct queue_command c = *(struct queue_command *)(void *)r;
    struct queue *q = c.queue->queue;

    if (q != NULL) {
        c.outcome = do_operation(s, &c);
        if (c.outcome == QUEUE_ON_DISK) {
            paging_park_get(s, &c);
            shard_run_effects(s);
            return;
        }
        if (c.operation != QUEUE_PURGE && c.operation != QUEUE_DELETE)
            c.messages = queue_message_count(q);
        if (c.operation != QUEUE_DELETE)
            c.consumers = queue_consumer_count(q);
    } else {
        c.outcome = c.operation == QUEUE_CANCEL ? QUEUE_OK : QUEUE_GONE;
    }
    if (c.options.pool != NULL)
        credit_pool_unref(c.options.pool);
    c.head.handle = handle_answer;
    shard_send(s, r->from, &c.head);
    /* After the answer: a consumer's cancel may end an auto-delete queue. */
    shard_run_effects(s);
}

void queue_ask(struct shard *s, const struct queue_command *question)
{
    struct queue_command c = *question;

    c.head = (struct mail_record){.handle = handle_question, .size = sizeof(c)};
    channel_hold(c.channel);
    queue_handle_ref(c.queue);
    if (c.options.pool != NULL)
        credit_pool_ref(c.options.pool);
    shard_send(s, c.queue->home_worker, &c.head);
}

/* ---- Settling, windows, releases ---- */

struct link_record {
    struct mail_record head;
    struct consumer_link *link;
    struct subscription *subscription;
    uint32_t count;
};

static void send_link(struct shard *s, uint32_t to,
                      void (*handle)(struct worker *w, struct mail_record *r),
                      struct consumer_link *link, struct subscription *sub, uint32_t count)
{
    struct link_record c = {
        .head = {.handle = handle, .size = sizeof(c)},
        .link = link,
        .subscription = sub,
        .count = count,
    };

    shard_send(s, to, &c.head);
}

static void handle_starved(struct worker *w, struct mail_record *r)
{
    struct link_record *c = (struct link_record *)(void *)r;

    (void)w;
    channel_on_pool_refilled(c->subscription->channel);
}

/* Credit came back to a channel's pool: its other consumers, on whatever workers, may go on. */
static void tell_starved(struct shard *s, struct consumer_link *link, struct credit_pool *pool)
{
    if (credit_pool_take_starved(pool))
        send_link(s, link->worker, handle_starved, link, link->subscription, 0);
}

void queue_home_credit_came_back(struct shard *s, struct consumer_link *link)
{
    struct credit_pool *pool = consumer_pool(link->consumer);

    if (pool != NULL)
        tell_starved(s, link, pool);
}

struct late_record {
    struct mail_record head;
    struct queue_handle *queue; /* a reference */
    uint32_t count;
};

static void handle_late(struct worker *w, struct mail_record *r)
{
    struct late_record *c = (struct late_record *)(void *)r;

    (void)w;
    if (c->queue->queue != NULL)
        queue_count_late(c->queue->queue, c->count);
    queue_handle_unref(c->queue);
}

void queue_count_late_at_home(struct shard *s, struct queue_handle *queue, uint32_t count)
{
    struct late_record c = {
        .head = {.handle = handle_late, .size = sizeof(c)},
        .queue = queue_handle_ref(queue),
        .count = count,
    };

    shard_send(s, queue->home_worker, &c.head);
}

struct settle_record {
    struct mail_record head;
    struct consumer_link *link;
    uint64_t first;
    uint64_t last;
    uint32_t count;
    enum settle_outcome outcome;
};

static void handle_settle(struct worker *w, struct mail_record *r)
{
    struct shard *s = shard_of(w);
    struct settle_record *c = (struct settle_record *)(void *)r;
    struct consumer *consumer = c->link->consumer;
    uint32_t settled;

    if (consumer == NULL)
        return;
    settled =
        consumer_settle(consumer, c->first, c->last, c->outcome, shard_now_ms(s), &s->effects);
    if (settled < c->count)
        queue_count_late(c->link->queue->queue, c->count - settled);
    if (c->outcome == SETTLE_REQUEUE)
        paging_watch(s, c->link->queue, UINT32_MAX);
    queue_home_credit_came_back(s, c->link);
    if (s->effects.count != 0)
        shard_run_effects(s);
}

void queue_settle(struct shard *s, struct subscription *sub, uint64_t first, uint64_t last,
                  uint32_t count, enum settle_outcome outcome)
{
    uint32_t home = sub->queue->home_worker;
    struct settle_record c = {
        .head = {.handle = handle_settle, .size = sizeof(c)},
        .link = sub->link,
        .first = first,
        .last = last,
        .count = count,
        .outcome = outcome,
    };

    if (home != shard_id(s)) {
        struct settle_record *before =
            (struct settle_record *)(void *)worker_mail_last(s->worker, home, handle_settle);

        if (before != NULL && before->link == c.link && before->outcome == outcome &&
            before->last + 1 == first) {
            before->last = last;
            before->count += count;
            return;
        }
    }
    shard_send(s, home, &c.head);
}

static void handle_stop(struct worker *w, struct mail_record *r)
{
    struct link_record *c = (struct link_record *)(void *)r;

    (void)w;
    if (c->link->consumer != NULL)
        consumer_pause(c->link->consumer);
}

void queue_stop_link(struct shard *s, struct subscription *sub)
{
    send_link(s, sub->queue->home_worker, handle_stop, sub->link, sub, 0);
}

static void handle_released(struct worker *w, struct mail_record *r)
{
    struct link_record *c = (struct link_record *)(void *)r;
    struct channel *ch = c->subscription->channel;

    (void)w;
    subscription_free(c->subscription);
    channel_on_subscription_gone(ch);
}

static void handle_release(struct worker *w, struct mail_record *r)
{
    struct shard *s = shard_of(w);
    struct link_record c = *(struct link_record *)(void *)r;
    struct consumer_link *link = c.link;

    if (link->consumer != NULL) {
        delivery_timers_forget(s, link->consumer);
        consumer_release(link->consumer, shard_now_ms(s), &s->effects);
        paging_watch(s, link->queue, UINT32_MAX);
    }
    queue_handle_unref(link->queue);
    free(link);
    send_link(s, r->from, handle_released, NULL, c.subscription, 0);
    shard_run_effects(s);
}

void queue_release_link(struct shard *s, struct subscription *sub)
{
    send_link(s, sub->queue->home_worker, handle_release, sub->link, sub, 0);
}

struct window_record {
    struct mail_record head;
    struct consumer_link *link;
    uint64_t bytes;
    uint32_t count;
};

static bool window_is_open(const struct consumer_link *link)
{
    return link->in_flight < CONSUMER_LINK_WINDOW &&
           link->in_flight_bytes < CONSUMER_LINK_WINDOW_BYTES;
}

static void handle_window(struct worker *w, struct mail_record *r)
{
    struct window_record *c = (struct window_record *)(void *)r;

    (void)w;
    c->link->in_flight -= c->count;
    c->link->in_flight_bytes -= c->bytes;
    if (c->link->consumer != NULL && window_is_open(c->link))
        consumer_resume(c->link->consumer);
}

void queue_return_window(struct shard *s, struct subscription *sub, uint32_t count, uint64_t bytes)
{
    struct window_record c = {
        .head = {.handle = handle_window, .size = sizeof(c)},
        .link = sub->link,
        .bytes = bytes,
        .count = count,
    };

    shard_send(s, sub->queue->home_worker, &c.head);
}

struct pool_record {
    struct mail_record head;
    struct consumer_link *link;
    struct credit_pool *pool; /* a reference */
};

static void handle_set_pool(struct worker *w, struct mail_record *r)
{
    struct pool_record *c = (struct pool_record *)(void *)r;

    (void)w;
    if (c->link->consumer != NULL)
        consumer_set_pool(c->link->consumer, c->pool);
    credit_pool_unref(c->pool);
}

void queue_set_pool(struct shard *s, struct subscription *sub, struct credit_pool *pool)
{
    struct pool_record c = {
        .head = {.handle = handle_set_pool, .size = sizeof(c)},
        .link = sub->link,
        .pool = credit_pool_ref(pool),
    };

    shard_send(s, sub->queue->home_worker, &c.head);
}

static void handle_pool_refilled(struct worker *w, struct mail_record *r)
{
    struct link_record *c = (struct link_record *)(void *)r;

    (void)w;
    if (c->link->consumer != NULL)
        consumer_pool_refilled(c->link->consumer);
}

void queue_pool_refilled(struct shard *s, struct subscription *sub)
{
    send_link(s, sub->queue->home_worker, handle_pool_refilled, sub->link, sub, 0);
}

struct sync_record {
    struct mail_record head;
    struct channel *channel; /* held once for each of the shard's journals */
    uint64_t number;
};

static void handle_sync(struct worker *w, struct mail_record *r)
{
    struct shard *s = shard_of(w);
    struct sync_record *c = (struct sync_record *)(void *)r;

    for (uint32_t i = 0; i < s->log_count; i++)
        durable_log_await_synced(s->logs[i], c->channel, c->number, r->from);
}

uint32_t queue_sync(struct shard *s, uint32_t worker, struct channel *channel, uint64_t number)
{
    uint32_t count = s->broker->shards[worker].log_count;
    struct sync_record c = {
        .head = {.handle = handle_sync, .size = sizeof(c)},
        .channel = channel,
        .number = number,
    };

    for (uint32_t i = 0; i < count; i++)
        channel_hold(channel);
    if (count != 0)
        shard_send(s, worker, &c.head);
    return count;
}

/* ---- At home ---- */

struct delivery_record {
    struct mail_record head;
    struct subscription *subscription;
    struct message *message; /* a reference */
    uint64_t number;
    uint32_t delivery_count;
};

static void handle_delivery(struct worker *w, struct mail_record *r)
{
    struct delivery_record *d = (struct delivery_record *)(void *)r;

    (void)w;
    subscription_deliver(d->subscription, d->number, d->message, d->delivery_count, true);
}

static void deliver_by_mail(struct shard *s, struct consumer_link *link, const struct effect *e,
                            bool owned)
{
    struct delivery_record *d = (struct delivery_record *)(void *)worker_mail(
        s->worker, link->worker, sizeof(*d), handle_delivery);

    d->subscription = link->subscription;
    d->message = owned ? e->message : message_ref(e->message);
    d->number = e->number;
    d->delivery_count = e->delivery_count;
    link->in_flight++;
    link->in_flight_bytes += e->message->body_size;
    if (!window_is_open(link))
        consumer_pause(link->consumer);
}

void queue_home_deliver(struct shard *s, const struct effect *e)
{
    struct consumer_link *link = consumer_session(e->consumer);
    bool owned = consumer_no_ack(e->consumer);

    if (e->delivery_count != 0 && !owned)
        record_redelivery(e);
    if (link->worker == shard_id(s))
        subscription_deliver(link->subscription, e->number, e->message, e->delivery_count, owned);
    else
        deliver_by_mail(s, link, e, owned);
}

/* How long what is due waits for messages that are being read from disk. */
#define BEHIND_MS 1

/* The timer of a queue that has one. */
struct queue_timer {
    struct timer timer;
    struct shard *shard;
    struct queue_handle *queue; /* not a reference: it goes with the queue */
};

static void on_queue_timer(struct timer *t)
{
    struct queue_timer *timer = container_of(t, struct queue_timer, timer);
    struct shard *s = timer->shard;
    struct queue_handle *queue = queue_handle_ref(timer->queue);

    if (dead_reads_are_behind(s))
        timer_set(&s->worker->timers, t, shard_now_ms(s) + BEHIND_MS);
    else
        queue_on_time(queue->queue, shard_now_ms(s), &s->effects);
    shard_run_effects(s);
    if (queue->queue != NULL && !timer_is_set(t)) {
        queue_set_clock(queue->queue, NULL);
        free(timer);
    }
    queue_handle_unref(queue);
}

void queue_home_set_timer(struct shard *s, struct queue_handle *queue, int64_t due_ms)
{
    struct queue_timer *timer = queue_clock(queue->queue);

    if (timer == NULL) {
        timer = memory_alloc(sizeof(*timer));
        timer_init(&timer->timer, on_queue_timer);
        timer->shard = s;
        timer->queue = queue;
        queue_set_clock(queue->queue, timer);
    }
    timer_set(&s->worker->timers, &timer->timer, due_ms);
}

static void free_timer(struct shard *s, struct queue *q)
{
    struct queue_timer *timer = queue_clock(q);

    if (timer == NULL)
        return;
    timer_cancel(&s->worker->timers, &timer->timer);
    free(timer);
}

/* Under the lock of the virtual host, or before workers run. Without one, `vhost` NULL, the queue
 * is none that policies are for. */
static struct queue_handle *create(struct shard *s, struct vhost *vhost, struct bytes name,
                                   const struct queue_options *options, uint64_t owner)
{
    struct queue_handle *queue = queue_handle_create(name, options, shard_id(s), owner);
    struct queue_effective *former;

    list_node_init(&queue->by_owner);
    list_node_init(&queue->paging);
    queue->durable = NULL;
    if (vhost != NULL) {
        queue_handle_follow(queue, topology_policies(vhost->topology), &former);
        policy_walk_add(&s->policy_walk, queue);
    }
    queue->queue = queue_create(queue_handle_options(queue), queue, &s->active_queues);
    return queue;
}

/* Gives the queue its name; the topology has the one reference afterwards. */
static void add(struct shard *s, struct vhost *vhost, struct queue_handle *queue)
{
    topology_add_queue(vhost->topology, queue);
    atomic_fetch_add(&s->worker->server->queue_count, 1);
    queue_handle_unref(queue);
}

/* A queue without a name, with its place in a journal when it is durable. NULL: the disk refuses it
 * an id. */
static struct queue_handle *create_kept(struct shard *s, struct vhost *vhost, struct bytes name,
                                        const struct queue_options *options, uint64_t owner)
{
    bool durable = options->durable && !options->exclusive && s->log != NULL;
    struct queue_handle *queue;
    uint64_t id = 0;

    if (durable) {
        id = definitions_next_queue_id(s->broker->definitions);
        if (id == 0)
            return NULL;
    }
    queue = create(s, vhost, name, options, owner);
    if (durable)
        queue->durable = durable_queue_create(s->log, queue, id);
    return queue;
}

struct queue_handle *queue_home_create(struct shard *s, struct vhost *vhost, struct bytes name,
                                       const struct queue_options *options, uint64_t owner)
{
    struct queue_handle *queue = create_kept(s, vhost, name, options, owner);

    if (queue == NULL)
        return NULL;
    add(s, vhost, queue);
    if (queue->durable != NULL)
        undefined_queue_begin(queue->durable);
    queue_used(queue->queue, shard_now_ms(s), &s->effects);
    shard_run_effects(s);
    return queue;
}

struct queue_handle *queue_home_create_hidden(struct shard *s, struct bytes name,
                                              const struct queue_options *options)
{
    return create_kept(s, NULL, name, options, 0);
}

/* The time of day at which a message ends, 0: never. Asked for one after the other; `*at` rises. */
static int64_t find_expiry(const struct recovered_queue *recovered, uint64_t sequence, size_t *at)
{
    while (*at < recovered->expiry_count && recovered->expiries[*at].sequence < sequence)
        ++*at;
    if (*at == recovered->expiry_count || recovered->expiries[*at].sequence != sequence)
        return 0;
    return recovered->expiries[*at].expires_ms;
}

static void restore_lane(struct shard *s, struct queue_handle *queue, uint32_t lane,
                         const struct recovered_queue *found)
{
    const struct durable_queue *d = queue->durable;
    /* The worker's own time stands still until it runs. */
    int64_t to_clock_ms = clock_monotonic_ms() - clock_realtime_ms();
    size_t next_expiry = 0;

    for (size_t i = 0; i < found->count; i++) {
        const struct recovered_message *m = &found->messages[i];
        int64_t expires_ms = find_expiry(found, m->sequence, &next_expiry);

        if (durable_is_dead(m->delivery_count)) {
            letter_window_restore(s, queue, m);
        } else if (queue_restore(queue->queue, m->sequence, NULL, m->location, m->delivery_count,
                                 m->body_size,
                                 expires_ms != 0 ? expires_ms + to_clock_ms : EXPIRY_NEVER) < 0) {
            log_error("journal", "no memory for the messages of queue '%.*s'",
                      BYTES_ARGS(queue->name));
            abort();
        }
        journal_adopt_message(d->log->journal, m->location);
    }
    queue_restore_lane_done(queue->queue, lane, found->next_sequence);
}

static int compare_ids(const void *key, const void *queue)
{
    uint64_t id = *(const uint64_t *)key;
    uint64_t other = ((const struct recovered_queue *)queue)->id;

    return (id > other) - (id < other);
}

static const struct recovered_queue *find_recovered(const struct recovered *recovered, uint64_t id)
{
    if (recovered->queue_count == 0)
        return NULL;
    return bsearch(&id, recovered->queues, recovered->queue_count, sizeof(*recovered->queues),
                   compare_ids);
}

static struct queue_handle *restore(struct shard *s, struct vhost *vhost, struct bytes name,
                                    const struct queue_options *options, struct durable_log *log,
                                    uint64_t id, const struct recovered *recovered)
{
    struct queue_handle *queue = create(s, vhost, name, options, 0);
    struct durable_queue *d = durable_queue_create(log, queue, id);

    queue->durable = d;
    for (uint32_t lane = 0; lane < queue_lane_count(queue->queue); lane++) {
        const struct recovered_queue *found = find_recovered(recovered, durable_lane_id(id, lane));

        if (found != NULL) {
            durable_queue_adopt(d, lane, found->next_sequence, found->delivered_below);
            restore_lane(s, queue, lane, found);
        } else if (lane == 0) {
            durable_queue_adopt(d, 0, 1, 1);
        }
    }
    queue_restore_done(queue->queue, &s->effects);
    return queue;
}

void queue_home_restore(struct shard *s, struct vhost *vhost, struct bytes name,
                        const struct queue_options *options, struct durable_log *log, uint64_t id,
                        const struct recovered *recovered)
{
    struct queue_handle *queue = restore(s, vhost, name, options, log, id, recovered);

    add(s, vhost, queue);
    queue_used(queue->queue, shard_now_ms(s), &s->effects);
    shard_run_effects(s);
}

struct queue_handle *queue_home_restore_hidden(struct shard *s, struct bytes name,
                                               const struct queue_options *options,
                                               struct durable_log *log, uint64_t id,
                                               const struct recovered *recovered)
{
    struct queue_handle *queue = restore(s, NULL, name, options, log, id, recovered);

    shard_run_effects(s);
    return queue;
}

static void handle_queue_gone(struct worker *w, struct mail_record *r)
{
    struct link_record *c = (struct link_record *)(void *)r;

    (void)w;
    channel_on_queue_gone(c->subscription->channel, c->subscription);
}

/* What the queue would want done for its own end is moot: nobody gets it, nothing dies in a queue
 * that is deleted. What the effects own is given back all the same. */
static void drop_moot(struct effects *moot, struct releasing *releasing)
{
    for (uint32_t i = 0; i < moot->count; i++) {
        const struct effect *e = &moot->items[i];

        switch (e->type) {
        case EFFECT_DELIVER:
            if (e->number == 0)
                message_unref(e->message);
            break;
        case EFFECT_DEAD_LETTER:
            if (e->message != NULL)
                message_unref(e->message);
            else
                release_stored(releasing, e->location);
            break;
        case EFFECT_SETTLED:
            release_stored(releasing, e->location);
            break;
        case EFFECT_NONE:
        case EFFECT_UNUSED:
        case EFFECT_RETURNED:
        case EFFECT_FETCH:
        case EFFECT_TIMER:
        case EFFECT_CONSUMER_TIMER:
        case EFFECT_TAKEN_BACK:
            break;
        }
    }
    effects_free(moot);
}

static void end_consumers(struct shard *s, struct queue *q, struct releasing *releasing)
{
    struct effects moot;
    struct consumer *consumer;

    effects_init(&moot);
    while ((consumer = queue_first_consumer(q)) != NULL) {
        struct consumer_link *link = consumer_session(consumer);

        struct credit_pool *pool = consumer_pool(consumer);

        if (pool != NULL)
            credit_pool_ref(pool);
        delivery_timers_forget(s, consumer);
        consumer_release(consumer, shard_now_ms(s), &moot);
        link->consumer = NULL;
        if (pool != NULL) {
            tell_starved(s, link, pool);
            credit_pool_unref(pool);
        }
        send_link(s, link->worker, handle_queue_gone, link, link->subscription, 0);
    }
    drop_moot(&moot, releasing);
}

/* Ends what the handle leads to; its name is gone. Returns how many messages were ready. */
static uint64_t end(struct shard *s, struct queue_handle *queue)
{
    struct queue *q = queue->queue;
    struct releasing releasing = {.shard = s, .queue = queue};
    uint64_t ready;

    shard_finish_effects(s, q);
    ready = queue_message_count(q);
    free_timer(s, q);
    paging_forget(queue);
    end_consumers(s, q, &releasing);
    letter_window_end(queue);
    queue->queue = NULL;
    queue_destroy(q, release_stored, &releasing);
    if (queue->durable != NULL)
        durable_queue_free(queue->durable);
    queue->durable = NULL;
    paging_ask_parked(s, queue);
    return ready;
}

uint64_t queue_home_delete(struct shard *s, struct queue_handle *queue)
{
    struct vhost *vhost = queue->vhost;
    uint64_t ready;

    if (queue->queue == NULL)
        return 0;
    queue_handle_ref(queue);
    vhost_lock_write(vhost);
    topology_remove_queue(vhost->topology, queue);
    vhost_unlock(vhost);
    atomic_fetch_sub(&s->worker->server->queue_count, 1);
    if (list_linked(&queue->by_owner))
        list_remove(&queue->by_owner);
    policy_walk_remove(&s->policy_walk, queue);
    ready = end(s, queue);
    queue_handle_unref(queue);
    return ready;
}

void queue_home_delete_hidden(struct shard *s, struct queue_handle *queue)
{
    if (queue->queue != NULL)
        end(s, queue);
}
