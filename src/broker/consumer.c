#include "broker/queue_internal.h"

#include "base/memory.h"

static struct priority_level *level_from_queue_link(struct list_node *link)
{
    return container_of(link, struct priority_level, by_queue);
}

static struct priority_level *level_from_ready_link(struct list_node *link)
{
    return container_of(link, struct priority_level, ready_link);
}

static struct consumer *consumer_from_queue_link(struct list_node *link)
{
    return container_of(link, struct consumer, by_queue);
}

/* The level of this priority, made when there is none yet. */
static struct priority_level *level_join(struct queue *q, int32_t priority)
{
    struct list_node *where = &q->levels.head;
    struct priority_level *level;

    list_for_each(&q->levels, node) {
        level = level_from_queue_link(node);
        if (level->priority == priority) {
            level->consumer_count++;
            return level;
        }
        if (level->priority < priority) {
            where = node;
            break;
        }
    }
    level = memory_alloc(sizeof(*level));
    list_init(&level->ready);
    list_insert_before(where, &level->by_queue);
    list_node_init(&level->ready_link);
    level->priority = priority;
    level->consumer_count = 1;
    return level;
}

static void level_leave(struct priority_level *level)
{
    if (--level->consumer_count != 0)
        return;
    assert(list_empty(&level->ready));
    list_remove(&level->by_queue);
    free(level);
}

static void level_link_ready(struct queue *q, struct priority_level *level)
{
    struct list_node *where = &q->ready_levels.head;

    list_for_each(&q->ready_levels, node) {
        if (level_from_ready_link(node)->priority < level->priority) {
            where = node;
            break;
        }
    }
    list_insert_before(where, &level->ready_link);
}

static void consumer_link_ready(struct consumer *c)
{
    if (list_empty(&c->level->ready))
        level_link_ready(c->queue, c->level);
    list_append(&c->level->ready, &c->ready_link);
}

static void consumer_unlink_ready(struct consumer *c)
{
    list_remove(&c->ready_link);
    if (list_empty(&c->level->ready))
        list_remove(&c->level->ready_link);
}

static bool can_take(const struct consumer *c)
{
    if (c->getter || c->cancelled || c->paused || c->starved || c->standby)
        return false;
    return c->prefetch == 0 || c->unacked.count < c->prefetch; /* with no_ack nothing is unacked */
}

/* Brings the ready list and the queue's active link up to date with the consumer's state. */
void consumer_update(struct consumer *c)
{
    bool ready = can_take(c);

    if (ready == list_linked(&c->ready_link))
        return;
    if (ready)
        consumer_link_ready(c);
    else
        consumer_unlink_ready(c);
    queue_update_active(c->queue);
}

/* RabbitMQ "Single Active Consumer": which one has the queue to itself is not the consumers' to
 * say. */
static bool may_consume(const struct queue *q, bool exclusive)
{
    const struct queue_rules *rules = q->options->rules;

    if (q->exclusive_use || (exclusive && q->consumer_count != 0))
        return false;
    return !exclusive || rules == NULL || !rules->single_active_consumer;
}

struct consumer *queue_consume(struct queue *q, const struct consumer_options *options,
                               void *session)
{
    struct consumer *c;

    if (!options->getter && !may_consume(q, options->exclusive))
        return NULL;

    c = memory_alloc_zeroed(1, sizeof(*c));
    list_node_init(&c->ready_link);
    list_append(&q->consumers, &c->by_queue);
    unacked_init(&c->unacked);
    c->queue = q;
    c->session = session;
    c->prefetch = options->prefetch;
    c->no_ack = options->no_ack;
    c->exclusive = options->exclusive;
    c->getter = options->getter;
    consumer_watch_begin(c, options);
    if (c->getter)
        return c;

    if (options->pool != NULL && !c->no_ack)
        c->pool = credit_pool_ref(options->pool);
    c->level = level_join(q, options->priority);
    q->consumer_count++;
    q->exclusive_use = c->exclusive;
    if (q->extra != NULL)
        queue_consumer_came(q, c);
    consumer_update(c);
    return c;
}

void *consumer_session(const struct consumer *c)
{
    return c->session;
}

struct queue *consumer_queue(const struct consumer *c)
{
    return c->queue;
}

bool consumer_no_ack(const struct consumer *c)
{
    return c->no_ack;
}

struct consumer *queue_first_consumer(struct queue *q)
{
    struct list_node *node = list_first(&q->consumers);

    return node != NULL ? consumer_from_queue_link(node) : NULL;
}

struct consumer *queue_next_consumer(struct queue *q, struct consumer *c)
{
    struct list_node *node = list_next(&q->consumers, &c->by_queue);

    return node != NULL ? consumer_from_queue_link(node) : NULL;
}

struct consumer *queue_next_consumer_ready(struct queue *q)
{
    struct list_node *level = list_first(&q->ready_levels);

    if (level == NULL)
        return NULL;
    return container_of(level_from_ready_link(level)->ready.head.next, struct consumer, ready_link);
}

bool consumer_take_credit(struct consumer *c)
{
    if (c->pool == NULL || credit_pool_take(c->pool))
        return true;
    c->starved = true;
    consumer_unlink_ready(c);
    return false;
}

static void move_behind_equals(struct consumer *c)
{
    if (c->ready_link.next == c->ready_link.previous)
        return; /* alone */
    list_remove(&c->ready_link);
    list_append(&c->level->ready, &c->ready_link);
}

void consumer_deliver(struct consumer *c, const struct entry *entry, struct effect *out)
{
    out->consumer = c;
    out->message = entry->message;
    out->sequence = entry->sequence;
    out->location = entry->location;
    out->delivery_count = entry->delivery_count;
    out->redelivered = entry->delivery_count != 0;
    if (!c->no_ack) {
        out->number = unacked_add(&c->unacked, entry);
        c->queue->unacked_count++;
        c->queue->unacked_bytes += message_footprint(entry->message);
    }
    if (c->getter)
        return;
    if (can_take(c))
        move_behind_equals(c);
    else
        consumer_unlink_ready(c);
}

void consumer_pause(struct consumer *c)
{
    c->paused = true;
    consumer_update(c);
}

void consumer_resume(struct consumer *c)
{
    c->paused = false;
    consumer_update(c);
}

struct credit_pool *consumer_pool(const struct consumer *c)
{
    return c->pool;
}

void consumer_set_pool(struct consumer *c, struct credit_pool *pool)
{
    struct credit_pool *old = c->pool;

    if (c->no_ack || c->getter || pool == old)
        return;
    c->pool = pool != NULL ? credit_pool_ref(pool) : NULL;
    if (pool != NULL)
        credit_pool_add(pool, c->unacked.count);
    if (old != NULL) {
        credit_pool_give(old, c->unacked.count);
        credit_pool_unref(old);
    }
    consumer_pool_refilled(c);
}

void consumer_pool_refilled(struct consumer *c)
{
    c->starved = false;
    consumer_update(c);
}

/* Stops deliveries for good. Returns whether the queue is unused for it now. */
static bool stop(struct consumer *c, int64_t now_ms, struct effects *out)
{
    struct queue *q = c->queue;

    if (c->cancelled)
        return false;
    c->cancelled = true;
    if (c->getter)
        return false;

    consumer_update(c);
    q->consumer_count--;
    if (c->exclusive)
        q->exclusive_use = false;
    if (q->extra != NULL)
        queue_consumer_stopped(q, c, now_ms, out);
    return q->consumer_count == 0 && q->options->auto_delete;
}

void consumer_cancel(struct consumer *c, int64_t now_ms, struct effects *out)
{
    if (stop(c, now_ms, out))
        effects_add(out, EFFECT_UNUSED, c->queue);
}

static bool delivered_too_often(const struct queue *q, const struct entry *entry)
{
    const struct queue_rules *rules = q->options->rules;

    return rules != NULL && entry->delivery_count > rules->delivery_limit;
}

/* A delivery limit of n lets a message be delivered n + 1 times. */
static void requeue(struct queue *q, struct entry *entry, uint32_t body_size, int64_t now_ms,
                    struct effects *out)
{
    entry_count_delivery(entry);
    if (delivered_too_often(q, entry))
        queue_end_entry(q, entry, DEAD_LETTER_DELIVERY_LIMIT, out);
    else
        queue_return(q, entry, body_size, now_ms, out);
}

void consumer_settle_entry(struct consumer *c, struct entry entry, enum settle_outcome outcome,
                           int64_t now_ms, struct effects *out)
{
    struct queue *q = c->queue;
    uint32_t body_size;

    q->unacked_count--;
    if (entry.message != NULL) {
        body_size = entry.message->body_size;
        q->unacked_bytes -= message_footprint(entry.message);
    } else {
        body_size = unacked_forget_paged(&c->unacked);
    }
    switch (outcome) {
    case SETTLE_ACK:
        if (entry.message != NULL)
            message_unref(entry.message);
        queue_settled(q, &entry, out);
        break;
    case SETTLE_REQUEUE:
        requeue(q, &entry, body_size, now_ms, out);
        break;
    case SETTLE_REJECT:
        queue_end_entry(q, &entry, DEAD_LETTER_REJECTED, out);
        break;
    }
}

static void messages_came_back(struct queue *q, struct effects *out)
{
    if (q->extra != NULL)
        queue_keep_limits(q, out);
    queue_update_active(q);
}

void consumer_settle_begin(struct consumer *c, enum settle_outcome outcome, int64_t now_ms,
                           struct effects *out)
{
    queue_held_changed(c->queue);
    if (outcome == SETTLE_REQUEUE && c->queue->extra != NULL)
        queue_make_room(c->queue, now_ms, out);
}

void consumer_settle_end(struct consumer *c, uint32_t count, enum settle_outcome outcome,
                         struct effects *out)
{
    if (count == 0)
        return;
    unacked_tidy(&c->unacked);
    if (c->watch != NULL)
        delivery_deadlines_tidy(&c->watch->deadlines, &c->unacked);
    if (c->pool != NULL)
        credit_pool_give(c->pool, count);
    consumer_update(c);
    if (outcome == SETTLE_REQUEUE)
        messages_came_back(c->queue, out);
}

uint32_t consumer_settle(struct consumer *c, uint64_t first, uint64_t last,
                         enum settle_outcome outcome, int64_t now_ms, struct effects *out)
{
    struct unacked *u = &c->unacked;
    uint32_t settled = 0;

    consumer_settle_begin(c, outcome, now_ms, out);
    for (uint32_t i = unacked_find(u, first); i < u->span; i++) {
        struct unacked_slot *slot = unacked_at(u, i);

        if (slot->number > last)
            break;
        if (unacked_is_settled(slot))
            continue;
        consumer_settle_entry(c, unacked_take(u, slot), outcome, now_ms, out);
        settled++;
    }
    consumer_settle_end(c, settled, outcome, out);
    return settled;
}

void consumer_release(struct consumer *c, int64_t now_ms, struct effects *out)
{
    struct queue *q = c->queue;
    bool unused = stop(c, now_ms, out);

    consumer_settle(c, 0, UINT64_MAX, SETTLE_REQUEUE, now_ms, out);
    if (unused)
        effects_add(out, EFFECT_UNUSED, q);

    list_remove(&c->by_queue);
    if (c->level != NULL)
        level_leave(c->level);
    if (c->pool != NULL)
        credit_pool_unref(c->pool);
    unacked_free(&c->unacked);
    consumer_watch_end(c);
    free(c);
}
