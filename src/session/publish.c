#include "session/publish.h"

#include "amqp/properties.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/connection_place.h"
#include "session/delivery.h"
#include "session/direct_reply.h"
#include "session/lease.h"
#include "session/message_properties.h"
#include "session/queue_publish.h"
#include "session/shard.h"
#include "session/topic_access.h"
#include "session/transaction.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

void content_free(struct content *content)
{
    if (content == NULL)
        return;
    if (content->message != NULL)
        message_unref(content->message);
    free(content);
}

/* ---- Taking content in ---- */

/* A connection's first publish, to one queue: the connection may move to that queue's worker. */
static bool moves_to_queue(struct channel *ch, const struct amqp_basic_publish *m)
{
    struct connection *c = ch->connection;
    struct routed r;
    bool moves = false;

    route_names(ch->shard, c->vhost, m->exchange, m->routing_key, &r);
    if (r.count == 1)
        moves = connection_place(c, r.queues[0]->home_worker);
    c->placed = true;
    routed_release(&r);
    return moves;
}

/* The connection publishes. Returns whether it moves. */
static bool begin_publish(struct channel *ch, const struct amqp_basic_publish *m)
{
    if (!ch->connection->placed && moves_to_queue(ch, m))
        return true;
    ch->connection->publishes = true;
    if (alarms_active(&ch->shard->broker->alarms))
        alarms_block(ch->connection);
    return false;
}

int publish_on_method(struct channel *ch, const struct amqp_basic_publish *m)
{
    struct content *content = ch->content;

    if (m->immediate)
        return channel_refuse(ch, AMQP_NOT_IMPLEMENTED, "immediate=true");
    if (!lease_is_exchange(m->exchange) && begin_publish(ch, m))
        return 0;
    if (content == NULL) {
        content = memory_alloc_zeroed(1, sizeof(*content));
        ch->content = content;
    }
    content->expect = CONTENT_EXPECT_HEADER;
    content->mandatory = m->mandatory;
    content->exchange_size = (uint8_t)m->exchange.size;
    content->routing_key_size = (uint8_t)m->routing_key.size;
    if (m->exchange.size != 0)
        memcpy(content->exchange, m->exchange.data, m->exchange.size);
    if (m->routing_key.size != 0)
        memcpy(content->routing_key, m->routing_key.data, m->routing_key.size);
    return 0;
}

static int check_size(struct channel *ch, uint64_t body_size)
{
    uint32_t limit = ch->shard->broker->limits->max_message_size_bytes;

    if (body_size <= limit)
        return 0;
    return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                          "message size %" PRIu64 " is larger than configured max size %" PRIu32
                          " (limits.max_message_size)",
                          body_size, limit);
}

int publish_on_header(struct channel *ch, struct bytes payload)
{
    struct content *content = ch->content;
    struct amqp_content_header header;
    struct amqp_properties properties;
    struct amqp_error e;

    if (amqp_content_header_decode_properties(payload, &header, &properties, &e) < 0)
        return connection_fail_with(ch->connection, &e);
    if (header.class_id != AMQP_CLASS_BASIC)
        return channel_refuse(ch, AMQP_UNEXPECTED_FRAME,
                              "expected content header for class 60, got one for class %u instead",
                              (unsigned)header.class_id);
    if (check_size(ch, header.body_size) < 0 || message_properties_check(ch, &properties) < 0)
        return -EPROTO;
    content->message = message_properties_create(
        ch, bytes_of(content->exchange, content->exchange_size),
        bytes_of(content->routing_key, content->routing_key_size), &header, &properties);
    if (content->message == NULL)
        return channel_refuse(ch, AMQP_RESOURCE_ERROR,
                              "no memory for a message of %" PRIu64 " bytes", header.body_size);
    content->received = 0;
    content->expect = CONTENT_EXPECT_BODY;
    return header.body_size == 0 ? publish_on_complete(ch) : 0;
}

/* ---- Publishing ---- */

static void return_message(struct channel *ch, struct message *msg)
{
    const struct amqp_method m = {
        .id = AMQP_BASIC_RETURN,
        .basic_return =
            {
                .reply_code = AMQP_NO_ROUTE,
                .reply_text = bytes_from_string(amqp_reply_name(AMQP_NO_ROUTE)),
                .exchange = message_exchange(msg),
                .routing_key = message_routing_key(msg),
            },
    };

    delivery_write_method(ch->connection, ch->number, &m, msg);
}

static bool counts_publishes(const struct channel *ch)
{
    return ch->mode != CHANNEL_PLAIN;
}

static struct publish_origin origin_of(struct channel *ch)
{
    if (counts_publishes(ch))
        return (struct publish_origin){
            .kind = ORIGIN_CONFIRM, .channel = ch, .number = ch->confirms.last + 1};
    return (struct publish_origin){
        .kind = ORIGIN_PLAIN, .connection = ch->connection->id, .number = ch->serial};
}

static bool delays(const struct queue_handle *queue)
{
    return queue_options_delays(&queue->options);
}

/* To the publisher what a delayed exchange keeps is routed nowhere, as with RabbitMQ's plugin. */
static bool is_routed(const struct routed *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (!delays(r->queues[i]))
            return true;
    }
    return false;
}

/* `msg`, and what a delayed exchange keeps of it: there BCC is needed still. */
struct published {
    struct message *msg;
    struct message *delayed;
};

/* Queues and askers at home here answer at once, the others by mail: the publish is settled when
 * all have. Without confirms the channel closes when a queue says that it cannot keep the
 * message. */
static int publish_to_all(struct channel *ch, const struct published *p, const struct routed *r,
                          const struct reply_keys *replies)
{
    struct shard *s = ch->shard;
    const struct publish_origin origin = origin_of(ch);
    const struct queue_handle *unkept = NULL;
    uint32_t pending = 0;
    bool refused = false;

    for (uint32_t i = 0; i < replies->count; i++) {
        enum publish_outcome outcome = direct_reply_publish(
            ch, p->msg, replies->items[i], origin.kind == ORIGIN_CONFIRM ? origin.number : 0);

        if (outcome == PUBLISH_PENDING)
            pending++;
        else if (outcome != PUBLISH_ACCEPTED)
            refused = true;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        bool keeps_bcc = p->delayed != p->msg && delays(r->queues[i]);
        enum publish_outcome outcome =
            queue_publish(s, r->queues[i], keeps_bcc ? p->delayed : p->msg, &origin);

        if (outcome == PUBLISH_PENDING)
            pending++;
        else if (outcome != PUBLISH_ACCEPTED)
            refused = true;
        if (outcome == PUBLISH_UNKEPT)
            unkept = r->queues[i];
    }
    if (origin.kind == ORIGIN_CONFIRM) {
        confirms_add(&ch->confirms, pending, refused);
        channel_touch(ch);
    } else if (unkept != NULL) {
        return channel_refuse_unkept(ch, unkept);
    }
    return 0;
}

/* Takes over the reference. No queue takes a direct reply, so a mandatory one comes back even when
 * it was delivered, as with RabbitMQ. */
static int publish(struct channel *ch, struct message *msg, const struct routed *r, bool mandatory)
{
    struct reply_keys replies = {.count = 0};
    struct published p = {.msg = msg, .delayed = msg};
    bool has_extra_keys = (msg->flags & MESSAGE_HAS_EXTRA_KEYS) != 0;
    int rc;

    if (reply_keys_possible(msg))
        reply_keys_collect(msg, &replies);
    if (has_extra_keys)
        p.msg = message_without_bcc(message_ref(msg));
    if (p.msg == NULL) {
        reply_keys_free(&replies);
        message_unref(msg);
        return channel_refuse(ch, AMQP_RESOURCE_ERROR, "no memory for a message");
    }
    if (mandatory && !is_routed(r))
        return_message(ch, p.msg);
    rc = publish_to_all(ch, &p, r, &replies);
    reply_keys_free(&replies);
    if (has_extra_keys)
        message_unref(p.msg);
    message_unref(msg);
    return rc;
}

/* Permission and existence of the exchange. What a user may was cached with the route. */
static int check_exchange(struct channel *ch, struct bytes exchange, const struct message *msg,
                          const struct routed *r)
{
    struct connection *c = ch->connection;
    struct cached_route *slot = r->slot;
    bool known = slot != NULL && slot->permitted == c->permissions &&
                 slot->permitted_version == c->auth_version;

    if (!known && channel_check_permission(ch, PERMISSION_WRITE, "exchange", exchange) < 0)
        return -EPROTO;
    if (r->status == ROUTE_NO_EXCHANGE)
        return channel_refuse(ch, AMQP_NOT_FOUND, "no exchange '%.*s' in vhost '%.*s'",
                              BYTES_ARGS(exchange), BYTES_ARGS(c->vhost->name));
    if (r->status == ROUTE_INTERNAL)
        return channel_refuse(ch, AMQP_ACCESS_REFUSED,
                              "cannot publish to internal exchange '%.*s' in vhost '%.*s'",
                              BYTES_ARGS(exchange), BYTES_ARGS(c->vhost->name));
    if (c->topics != NULL && (!known || (msg->flags & MESSAGE_HAS_EXTRA_KEYS) != 0) &&
        channel_check_message_topics(ch, exchange, msg) < 0)
        return -EPROTO;
    if (!known && slot != NULL) {
        slot->permitted = c->permissions;
        slot->permitted_version = c->auth_version;
    }
    return 0;
}

/* The route is given back before effects are run: they may route in their turn. */
static void finish_publish(struct shard *s, struct routed *r)
{
    routed_release(r);
    if (s->effects.count != 0)
        shard_run_effects(s);
}

int publish_on_complete(struct channel *ch)
{
    struct content *content = ch->content;
    struct shard *s = ch->shard;
    struct message *msg = content->message;
    struct bytes exchange = message_exchange(msg);
    struct routed r;
    int rc;

    content->message = NULL;
    content->expect = CONTENT_NONE;
    if (lease_is_exchange(exchange)) {
        rc = lease_publish(ch, msg, content->mandatory);
        message_unref(msg);
        return rc;
    }
    route_message(ch->shard, ch->connection->vhost, exchange, msg, &r);
    rc = check_exchange(ch, exchange, msg, &r);
    if (rc < 0)
        message_unref(msg);
    else if (ch->mode == CHANNEL_TRANSACTION)
        transaction_add_publish(ch->transaction, msg, content->mandatory);
    else
        rc = publish(ch, msg, &r, content->mandatory);
    finish_publish(s, &r);
    return rc;
}

int publish_committed(struct channel *ch, struct message *msg, bool mandatory)
{
    struct shard *s = ch->shard;
    struct routed r;
    int rc;

    route_message(s, ch->connection->vhost, message_exchange(msg), msg, &r);
    rc = publish(ch, msg, &r, mandatory);
    finish_publish(s, &r);
    return rc;
}
