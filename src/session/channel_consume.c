/* basic.qos, .consume, .cancel and .get; the other methods of class basic go on to where they
 * belong. */
#include "session/channel.h"

#include "base/arena.h"
#include "base/memory.h"
#include "session/broker.h"
#include "session/channel_topology.h"
#include "session/connection_place.h"
#include "session/consume_arguments.h"
#include "session/delivery.h"
#include "session/direct_reply.h"
#include "session/reply_registry.h"
#include "session/server_names.h"
#include "session/shard.h"
#include "session/subscription.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- basic.qos ---- */

static void refill_all(struct channel *ch)
{
    list_for_each_safe(&ch->subscriptions, node) {
        struct subscription *s = container_of(node, struct subscription, in_channel);

        if (s->state == SUBSCRIPTION_OPEN && !s->getter && !s->no_ack)
            queue_pool_refilled(ch->shard, s);
    }
}

static void create_pool(struct channel *ch)
{
    ch->pool = credit_pool_create();
    list_for_each_safe(&ch->subscriptions, node) {
        struct subscription *s = container_of(node, struct subscription, in_channel);

        if (s->link != NULL && s->state != SUBSCRIPTION_RELEASING && !s->getter && !s->no_ack)
            queue_set_pool(ch->shard, s, ch->pool);
    }
}

void channel_on_pool_refilled(struct channel *ch)
{
    if (ch->state == CHANNEL_OPEN)
        refill_all(ch);
}

/* The channel's common limit; 0 is none. */
static void set_common_limit(struct channel *ch, uint16_t limit)
{
    if (ch->pool == NULL && limit == 0)
        return;
    if (ch->pool == NULL)
        create_pool(ch);
    atomic_store(&ch->pool->limit, limit);
    if (credit_pool_take_starved(ch->pool))
        refill_all(ch);
}

/* A limit for each consumer to come lifts the common one, as with RabbitMQ. */
static int on_qos(struct channel *ch, const struct amqp_basic_qos *m)
{
    if (m->prefetch_size != 0)
        return channel_refuse(ch, AMQP_NOT_IMPLEMENTED, "prefetch_size!=0 (%" PRIu32 ")",
                              m->prefetch_size);
    if (!m->global)
        ch->prefetch = m->prefetch_count;
    set_common_limit(ch, m->global ? m->prefetch_count : 0);
    channel_send(ch, &(struct amqp_method){.id = AMQP_BASIC_QOS_OK});
    return 0;
}

/* ---- basic.consume ---- */

/* A channel has few consumers; the tag is looked for where they are. */
static struct subscription *find_consumer(struct channel *ch, struct bytes tag)
{
    list_for_each(&ch->subscriptions, node) {
        struct subscription *s = container_of(node, struct subscription, in_channel);

        if (!s->getter && s->state <= SUBSCRIPTION_OPEN && bytes_equal(s->tag, tag))
            return s;
    }
    return NULL;
}

static bool has_reply_consumer(const struct channel *ch, struct bytes tag)
{
    return ch->reply_consumer != NULL && bytes_equal(ch->reply_consumer->tag, tag);
}

static void send_consume_ok(struct channel *ch, struct bytes tag)
{
    channel_send(ch, &(struct amqp_method){.id = AMQP_BASIC_CONSUME_OK,
                                           .basic_consume_ok.consumer_tag = tag});
}

static int consume_replies(struct channel *ch, const struct amqp_basic_consume *m, struct bytes tag)
{
    if (ch->reply_consumer != NULL)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED, "reply consumer already set");
    if (!m->no_ack)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED, "reply consumer cannot acknowledge");
    ch->reply_consumer = reply_consumer_create(ch, tag);
    if (!m->no_wait)
        send_consume_ok(ch, tag);
    return 0;
}

static int check_consumer(struct channel *ch, struct bytes tag)
{
    uint32_t limit = ch->shard->broker->limits->max_consumers_per_channel;

    if (find_consumer(ch, tag) != NULL || has_reply_consumer(ch, tag))
        return channel_refuse(ch, AMQP_NOT_ALLOWED, "attempt to reuse consumer tag '%.*s'",
                              BYTES_ARGS(tag));
    if (limit != 0 && ch->consumer_count >= limit)
        return channel_refuse(ch, AMQP_NOT_ALLOWED,
                              "reached maximum (%" PRIu32 ") of consumers per channel "
                              "(limits.max_consumers_per_channel)",
                              limit);
    return 0;
}

static int consume(struct channel *ch, const struct amqp_basic_consume *m, struct bytes tag)
{
    struct queue_command question = {
        .operation = QUEUE_CONSUME,
        .channel = ch,
        .options =
            {
                .no_ack = m->no_ack,
                .exclusive = m->exclusive,
                .prefetch = ch->prefetch,
                .pool = ch->pool,
                .default_consumer_timeout_ms = ch->shard->broker->limits->consumer_timeout_ms,
            },
        .no_wait = m->no_wait,
    };
    struct bytes name;

    if (channel_queue_name(ch, m->queue, &name) < 0 ||
        channel_check_permission(ch, PERMISSION_READ, "queue", name) < 0 ||
        check_consumer(ch, tag) < 0)
        return -EPROTO;
    question.queue = channel_find_queue(ch, name);
    if (question.queue == NULL)
        return -EPROTO;
    if (consume_arguments_read(ch, question.queue, m->arguments, &question.options) < 0) {
        queue_handle_unref(question.queue);
        return -EPROTO;
    }
    if (connection_place(ch->connection, question.queue->home_worker)) {
        queue_handle_unref(question.queue);
        return 0;
    }
    question.subscription = subscription_create(ch, question.queue, tag, m->no_ack, false);
    if (m->arguments.encoded.size != 0)
        question.subscription->arguments =
            bytes_of(bytes_to_string(m->arguments.encoded), m->arguments.encoded.size);
    ch->consumer_count++;
    channel_wait(ch);
    queue_ask(ch->shard, &question);
    queue_handle_unref(question.queue);
    return 0;
}

static int on_consume(struct channel *ch, const struct amqp_basic_consume *m)
{
    char generated[SERVER_NAME_SIZE];
    struct bytes tag = m->consumer_tag;

    if (channel_check_arguments(ch, m->arguments) < 0)
        return -EPROTO;
    if (tag.size == 0) {
        server_name_make("amq.ctag-", generated);
        tag = bytes_from_string(generated);
    }
    if (bytes_equal_string(m->queue, REPLY_QUEUE_NAME)) {
        if (check_consumer(ch, tag) < 0)
            return -EPROTO;
        return consume_replies(ch, m, tag);
    }
    return consume(ch, m, tag);
}

/* ---- basic.cancel ---- */

static void send_cancel_ok(struct channel *ch, struct bytes tag)
{
    channel_send(
        ch, &(struct amqp_method){.id = AMQP_BASIC_CANCEL_OK, .basic_cancel_ok.consumer_tag = tag});
}

static int on_cancel(struct channel *ch, const struct amqp_basic_cancel *m)
{
    struct subscription *s = find_consumer(ch, m->consumer_tag);
    struct queue_command question = {
        .operation = QUEUE_CANCEL,
        .channel = ch,
        .subscription = s,
        .no_wait = m->no_wait,
    };

    if (s == NULL) {
        if (has_reply_consumer(ch, m->consumer_tag)) {
            reply_consumer_free(ch->reply_consumer);
            ch->reply_consumer = NULL;
        }
        if (!m->no_wait)
            send_cancel_ok(ch, m->consumer_tag);
        return 0;
    }
    question.queue = s->queue;
    question.link = s->link;
    s->asked = true;
    channel_wait(ch);
    queue_ask(ch->shard, &question);
    return 0;
}

void channel_on_queue_gone(struct channel *ch, struct subscription *s)
{
    bool notify = s->state == SUBSCRIPTION_OPEN && !s->getter;

    if (ch->state != CHANNEL_OPEN)
        return;
    if (notify) {
        ch->consumer_count--;
        if ((ch->connection->client_capabilities & CLIENT_CONSUMER_CANCEL_NOTIFY) != 0)
            channel_send(ch, &(struct amqp_method){
                                 .id = AMQP_BASIC_CANCEL,
                                 .basic_cancel = {.consumer_tag = s->tag, .no_wait = true}});
    }
    subscription_end(s);
}

/* ---- Deliveries that were not settled in time ---- */

void channel_on_taken_back(struct channel *ch, struct subscription *s, uint64_t first,
                           uint64_t last)
{
    if (ch->state == CHANNEL_OPEN)
        expired_tags_add(ch, s, first, last);
}

static bool has_unsettled(struct channel *ch, const struct subscription *s, uint64_t up_to)
{
    for (uint64_t tag = delivery_tags_next(&ch->unacked, 0); tag != 0;
         tag = delivery_tags_next(&ch->unacked, tag)) {
        const struct delivery_tag_entry *entry = delivery_tags_find(&ch->unacked, tag);

        if (entry->subscription == s && entry->number <= up_to && !entry->in_transaction)
            return true;
    }
    return false;
}

void channel_on_overdue(struct channel *ch, struct subscription *s,
                        const struct consumer_overdue *overdue)
{
    if (ch->state != CHANNEL_OPEN || ch->connection->state != CONNECTION_OPEN ||
        !has_unsettled(ch, s, overdue->up_to))
        return;
    ch->connection->method = (enum amqp_method_id)0;
    channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                   "delivery acknowledgement on channel %u timed out. Timeout value used: %" PRId64
                   " ms. This timeout value can be configured, see consumers doc guide to learn "
                   "more (limits.consumer_timeout_ms, x-consumer-timeout)",
                   (unsigned)ch->number, overdue->timeout_ms);
    channel_go_on(ch);
}

/* ---- basic.get ---- */

/* The subscription through which the channel gets from this queue. */
static struct subscription *find_getter(struct channel *ch, const struct queue_handle *queue)
{
    list_for_each(&ch->subscriptions, node) {
        struct subscription *s = container_of(node, struct subscription, in_channel);

        if (s->getter && s->queue == queue && s->state == SUBSCRIPTION_OPEN)
            return s;
    }
    return NULL;
}

static int on_get(struct channel *ch, const struct amqp_basic_get *m)
{
    struct queue_command question = {.operation = QUEUE_GET, .channel = ch};
    struct bytes name;

    if (channel_queue_name(ch, m->queue, &name) < 0 ||
        channel_check_permission(ch, PERMISSION_READ, "queue", name) < 0)
        return -EPROTO;
    question.queue = channel_find_queue(ch, name);
    if (question.queue == NULL)
        return -EPROTO;
    if (!m->no_ack) {
        question.subscription = find_getter(ch, question.queue);
        if (question.subscription == NULL)
            question.subscription =
                subscription_create(ch, question.queue, bytes_of(NULL, 0), false, true);
        question.link = question.subscription->link;
        question.subscription->asked = true;
    }
    channel_wait(ch);
    queue_ask(ch->shard, &question);
    queue_handle_unref(question.queue);
    return 0;
}

static void send_got(struct channel *ch, struct queue_command *answer)
{
    const struct amqp_method m = {
        .id = AMQP_BASIC_GET_OK,
        .basic_get_ok =
            {
                .delivery_tag = ++ch->last_delivery_tag,
                .redelivered = answer->delivery_count != 0,
                .exchange = message_exchange(answer->message),
                .routing_key = message_routing_key(answer->message),
                .message_count =
                    answer->messages > UINT32_MAX ? UINT32_MAX : (uint32_t)answer->messages,
            },
    };

    if (answer->subscription != NULL) {
        delivery_tags_add(&ch->unacked, ch->last_delivery_tag, answer->subscription,
                          answer->number);
        answer->subscription->unacked++;
    }
    if (queue_options_counts_deliveries(&answer->queue->options))
        delivery_write_method_counted(ch->connection, ch->number, &m, answer->delivery_count,
                                      answer->message);
    else
        delivery_write_method(ch->connection, ch->number, &m, answer->message);
}

/* ---- Answers ---- */

static void on_consume_answer(struct channel *ch, struct queue_command *answer)
{
    struct subscription *s = answer->subscription;
    struct bytes name = answer->queue->name;

    if (answer->outcome == QUEUE_OK) {
        s->link = answer->link;
        s->state = SUBSCRIPTION_OPEN;
        if (s->abandoned) {
            subscription_release(s);
            return;
        }
        if (ch->pool != NULL && ch->pool != answer->options.pool && !s->no_ack)
            queue_set_pool(ch->shard, s, ch->pool);
        if (!answer->no_wait)
            send_consume_ok(ch, s->tag);
        return;
    }
    ch->consumer_count--;
    subscription_free(s);
    if (ch->state != CHANNEL_OPEN)
        channel_on_subscription_gone(ch);
    else if (answer->outcome == QUEUE_EXCLUSIVE_USE)
        channel_refuse(ch, AMQP_ACCESS_REFUSED, "queue '%.*s' in vhost '%.*s' in exclusive use",
                       BYTES_ARGS(name), BYTES_ARGS(ch->connection->vhost->name));
    else
        channel_refuse_no_queue(ch, name);
}

static void on_cancel_answer(struct channel *ch, struct queue_command *answer)
{
    struct subscription *s = answer->subscription;

    s->asked = false;
    if (ch->state != CHANNEL_OPEN) {
        subscription_release(s);
        return;
    }
    if (!answer->no_wait)
        send_cancel_ok(ch, s->tag);
    if (s->state == SUBSCRIPTION_OPEN)
        ch->consumer_count--;
    subscription_end(s);
}

/* What the answer says of the subscription that was asked for: it is open now, or there is nothing
 * at the queue's home for it. May free it. */
static void settle_getter(struct channel *ch, struct subscription *s, struct consumer_link *link)
{
    s->asked = false;
    if (s->state == SUBSCRIPTION_OPENING && link != NULL) {
        s->link = link;
        s->state = SUBSCRIPTION_OPEN;
    }
    if (s->link == NULL) {
        subscription_free(s);
        channel_on_subscription_gone(ch);
    } else if (s->abandoned) {
        subscription_release(s);
    }
}

static void on_get_answer(struct channel *ch, struct queue_command *answer)
{
    enum queue_outcome outcome = answer->outcome;

    /* First of all: sending needs it open, and a refusal ends it with the channel. */
    if (answer->subscription != NULL)
        settle_getter(ch, answer->subscription, answer->link);
    if (ch->state == CHANNEL_OPEN) {
        if (outcome == QUEUE_OK)
            send_got(ch, answer);
        else if (outcome == QUEUE_EMPTY)
            channel_send(ch, &(struct amqp_method){.id = AMQP_BASIC_GET_EMPTY});
        else
            channel_refuse_no_queue(ch, answer->queue->name);
    }
    if (answer->message != NULL)
        message_unref(answer->message);
}

void channel_on_consume_answer(struct channel *ch, struct queue_command *answer)
{
    switch (answer->operation) {
    case QUEUE_CONSUME:
        on_consume_answer(ch, answer);
        return;
    case QUEUE_CANCEL:
        on_cancel_answer(ch, answer);
        return;
    case QUEUE_GET:
        on_get_answer(ch, answer);
        return;
    case QUEUE_STATUS:
    case QUEUE_PURGE:
    case QUEUE_DELETE:
        return;
    }
}

int channel_on_consume_method(struct channel *ch, const struct amqp_method *m)
{
    switch ((int)m->id) {
    case AMQP_BASIC_QOS:
        return on_qos(ch, &m->basic_qos);
    case AMQP_BASIC_CONSUME:
        return on_consume(ch, &m->basic_consume);
    case AMQP_BASIC_CANCEL:
        return on_cancel(ch, &m->basic_cancel);
    case AMQP_BASIC_CANCEL_OK:
        return 0;
    case AMQP_BASIC_GET:
        return on_get(ch, &m->basic_get);
    default:
        return channel_on_settle_method(ch, m);
    }
}
