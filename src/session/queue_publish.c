#include "session/queue_publish.h"

#include "base/clock.h"
#include "server/vhost.h"
#include "session/channel.h"
#include "session/connection.h"
#include "session/delayed_exchange.h"
#include "session/durable_log.h"
#include "session/held_settles.h"
#include "session/message_properties.h"
#include "session/paging.h"
#include "session/shard.h"

struct publish_item {
    struct message *message;
    struct publish_origin origin; /* a channel is held */
};

/* Publishes for one queue, gathered over a turn. */
struct publish_record {
    struct mail_record head;
    struct queue_handle *queue;
    uint64_t count;
    struct publish_item items[];
};

/* The outcome of one run of a channel's publishes. */
struct confirm_record {
    struct mail_record head;
    struct channel *channel;
    uint64_t first;
    uint64_t last;
    bool accepted;
};

static void handle_confirm(struct worker *w, struct mail_record *r)
{
    struct confirm_record *c = (struct confirm_record *)(void *)r;

    (void)w;
    for (uint64_t number = c->first; number <= c->last; number++) {
        channel_on_confirm(c->channel, number, c->accepted);
        channel_drop(c->channel);
    }
}

static void confirm(struct shard *s, uint32_t worker, struct channel *channel, uint64_t number,
                    bool accepted)
{
    struct confirm_record c = {
        .head = {.handle = handle_confirm, .size = sizeof(c)},
        .channel = channel,
        .first = number,
        .last = number,
        .accepted = accepted,
    };
    struct confirm_record *last = NULL;

    if (worker != shard_id(s))
        last = (struct confirm_record *)(void *)worker_mail_last(s->worker, worker, handle_confirm);
    if (last != NULL && last->channel == channel && last->accepted == accepted &&
        last->last + 1 == number)
        last->last = number;
    else
        shard_send(s, worker, &c.head);
}

void queue_answer_publish(struct shard *s, uint32_t worker, const struct publish_origin *origin,
                          bool accepted)
{
    switch (origin->kind) {
    case ORIGIN_NONE:
    case ORIGIN_PLAIN:
        break;
    case ORIGIN_CONFIRM:
        confirm(s, worker, origin->channel, origin->number, accepted);
        break;
    case ORIGIN_DEAD_LETTER:
        held_settle_mail_answer(s, worker, origin->held, (uint32_t)origin->number, accepted);
        break;
    }
}

static bool must_be_durable(const struct queue_handle *queue, const struct message *msg)
{
    return queue->durable != NULL && (msg->flags & MESSAGE_PERSISTENT) != 0;
}

/* The time of day, for the journal; 0: never. */
static int64_t time_of_day_ms(const struct shard *s, int64_t expiry_ms)
{
    return expiry_ms != EXPIRY_NEVER ? expiry_ms - shard_now_ms(s) + clock_realtime_ms() : 0;
}

static enum publish_outcome add_message(struct shard *s, struct queue_handle *queue,
                                        struct message *msg, int64_t expiry_ms)
{
    struct store_location location = {.segment = 0};
    bool durable = must_be_durable(queue, msg);

    if (durable) {
        location = durable_queue_append(queue->durable, msg, time_of_day_ms(s, expiry_ms));
        if (store_location_is_none(location))
            return PUBLISH_UNKEPT;
    }
    if (queue_enqueue(queue->queue, msg, location, expiry_ms, shard_now_ms(s), &s->effects) == 0)
        return PUBLISH_REFUSED;
    if (!list_linked(&queue->paging))
        paging_watch(s, queue, msg->body_size);
    return durable ? PUBLISH_PENDING : PUBLISH_ACCEPTED;
}

static int64_t expiry_of(const struct queue_handle *queue, const struct message *msg,
                         int64_t now_ms)
{
    if (queue_options_delays(&queue->options))
        return now_ms + delayed_message_ms(msg);
    return queue_expiry(queue->queue, message_expiration_ms(msg), now_ms);
}

static enum publish_outcome add_by_rules(struct shard *s, struct queue_handle *queue,
                                         struct message *msg)
{
    int64_t now_ms = shard_now_ms(s);
    int64_t expiry_ms = expiry_of(queue, msg, now_ms);
    enum publish_outcome outcome = PUBLISH_REFUSED;

    if (queue_admit(queue->queue, msg, now_ms, &s->effects))
        outcome = add_message(s, queue, msg, expiry_ms);
    /* Either may have handed messages to consumers. */
    if (queue->durable != NULL)
        durable_queue_delivered(queue->durable);
    return outcome;
}

/* What is published to a queue that is being deleted is gone with it, and accepted: it was routed
 * while the queue was there. A dead letter is refused: who keeps it to have it confirmed sends it
 * again, to what the exchange leads to by then. */
static enum publish_outcome enqueue(struct shard *s, struct queue_handle *queue,
                                    struct message *msg, const struct publish_origin *origin)
{
    if (queue->queue == NULL)
        return origin->kind == ORIGIN_DEAD_LETTER ? PUBLISH_REFUSED : PUBLISH_ACCEPTED;
    if (queue_handle_options(queue)->rules != NULL || (msg->flags & MESSAGE_HAS_EXPIRATION) != 0)
        return add_by_rules(s, queue, msg);
    return add_message(s, queue, msg, EXPIRY_NEVER);
}

/* The publisher's connection is not read from until its journal comes by. */
struct hold_back_record {
    struct mail_record head;
    struct publish_origin origin; /* of the connection's publish; a channel is held for that */
};

static void hold_back(struct shard *s, const struct publish_origin *origin)
{
    struct connection *c = origin->kind == ORIGIN_CONFIRM ? origin->channel->connection
                                                          : connection_find(s, origin->connection);

    if (c == NULL || c->state != CONNECTION_OPEN || list_linked(&c->held_back))
        return;
    list_append(&s->held_back, &c->held_back);
    connection_pause_reading(c, READ_PAUSED_BY_JOURNAL);
}

static void handle_hold_back(struct worker *w, struct mail_record *r)
{
    hold_back(shard_of(w), &((const struct hold_back_record *)(const void *)r)->origin);
}

/* `origin` has published to the queue, which has not answered yet. */
static void consider_hold_back(struct shard *s, const struct queue_handle *queue, uint32_t worker,
                               const struct publish_origin *origin)
{
    struct hold_back_record h = {
        .head = {.handle = handle_hold_back, .size = sizeof(h)},
        .origin = *origin,
    };

    if (!durable_log_holds_back(((struct durable_queue *)queue->durable)->log))
        return;
    if (origin->kind == ORIGIN_CONFIRM || origin->kind == ORIGIN_PLAIN)
        shard_send(s, worker, &h.head);
}

/* A channel without confirms learns that its message is not kept. */
struct unkept_record {
    struct mail_record head;
    uint64_t connection;
    uint64_t serial;
    struct queue_handle *queue; /* a reference */
};

static void handle_unkept(struct worker *w, struct mail_record *r)
{
    const struct unkept_record *u = (const struct unkept_record *)(const void *)r;

    channel_on_unkept(shard_of(w), u->connection, u->serial, u->queue);
    queue_handle_unref(u->queue);
}

static void mail_unkept(struct shard *s, uint32_t worker, struct queue_handle *queue,
                        const struct publish_origin *origin)
{
    const struct unkept_record *last =
        (struct unkept_record *)(void *)worker_mail_last(s->worker, worker, handle_unkept);
    struct unkept_record *u;

    if (last != NULL && last->connection == origin->connection && last->serial == origin->number)
        return;
    u = (struct unkept_record *)(void *)worker_mail(s->worker, worker, sizeof(*u), handle_unkept);
    u->connection = origin->connection;
    u->serial = origin->number;
    u->queue = queue_handle_ref(queue);
}

/* Settles a publish that came by mail, or has it settled when its message is durable. */
static void settle_publish(struct shard *s, struct queue_handle *queue,
                           const struct publish_item *item, uint32_t worker,
                           enum publish_outcome outcome)
{
    bool accepted = outcome == PUBLISH_ACCEPTED;

    if (outcome == PUBLISH_PENDING)
        consider_hold_back(s, queue, worker, &item->origin);
    if (item->origin.kind == ORIGIN_NONE)
        return;
    if (item->origin.kind == ORIGIN_PLAIN) {
        if (outcome == PUBLISH_UNKEPT)
            mail_unkept(s, worker, queue, &item->origin);
        return;
    }
    if (outcome == PUBLISH_PENDING) {
        durable_queue_await(queue->durable, &item->origin, worker);
        return;
    }
    /* A dead letter that the queue's limits refuse is dropped, unless it is to be confirmed. */
    if (item->origin.kind == ORIGIN_DEAD_LETTER && item->origin.number == 0)
        accepted = outcome != PUBLISH_UNKEPT;
    queue_answer_publish(s, worker, &item->origin, accepted);
}

static void handle_publish(struct worker *w, struct mail_record *r)
{
    struct shard *s = shard_of(w);
    struct publish_record *p = (struct publish_record *)(void *)r;

    for (uint64_t i = 0; i < p->count; i++) {
        enum publish_outcome outcome =
            enqueue(s, p->queue, p->items[i].message, &p->items[i].origin);

        message_unref(p->items[i].message);
        settle_publish(s, p->queue, &p->items[i], r->from, outcome);
    }
    queue_handle_unref(p->queue);
    shard_run_effects(s);
}

static void publish_by_mail(struct shard *s, struct queue_handle *queue,
                            const struct publish_item *item)
{
    uint32_t home = queue->home_worker;
    struct publish_record *p =
        (struct publish_record *)(void *)worker_mail_last(s->worker, home, handle_publish);

    if (p != NULL && p->queue == queue) {
        p = (struct publish_record *)(void *)worker_mail_extend_last(s->worker, home,
                                                                     sizeof(p->items[0]));
    } else {
        p = (struct publish_record *)(void *)worker_mail(
            s->worker, home, sizeof(*p) + sizeof(p->items[0]), handle_publish);
        p->queue = queue_handle_ref(queue);
        p->count = 0;
    }
    p->items[p->count++] = *item;
    if (item->origin.kind == ORIGIN_CONFIRM)
        channel_hold(item->origin.channel);
}

enum publish_outcome queue_publish(struct shard *s, struct queue_handle *queue, struct message *msg,
                                   const struct publish_origin *origin)
{
    struct publish_item item = {.message = msg, .origin = *origin};
    enum publish_outcome outcome;

    if (queue->home_worker != shard_id(s)) {
        message_ref(msg);
        publish_by_mail(s, queue, &item);
        return PUBLISH_PENDING;
    }
    outcome = enqueue(s, queue, msg, origin);
    if (outcome == PUBLISH_PENDING && origin->kind != ORIGIN_NONE) {
        if (origin->kind == ORIGIN_CONFIRM)
            channel_hold(origin->channel);
        settle_publish(s, queue, &item, shard_id(s), outcome);
    }
    return outcome;
}
