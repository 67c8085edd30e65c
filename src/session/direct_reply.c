#include "session/direct_reply.h"

#include "amqp/properties.h"
#include "base/log.h"
#include "base/memory.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/delivery.h"
#include "session/reply_registry.h"
#include "session/shard.h"

#include <inttypes.h>
#include <stdlib.h>

/* Who published a reply. The channel is held until it hears what became of the reply. */
struct reply_origin {
    struct channel *channel;
    uint64_t connection;
    uint64_t number; /* of the confirm that waits; 0: none does */
    uint32_t worker;
};

struct reply {
    struct message *message;
    struct reply_address address;
    uint64_t key;
    struct reply_origin origin;
};

/* A reply that waits for the asker to read. */
struct held_reply {
    struct list_node in_consumer;
    struct message *message; /* a reference */
    struct reply_origin origin;
};

/* What a reply takes of its publisher's window. */
static uint64_t cost_of(const struct message *msg)
{
    return message_footprint(msg) + sizeof(struct held_reply);
}

/* ---- What became of replies, told to who published them ---- */

/* Of one channel: `count` replies, which waited for the confirms first to last if those are not
 * 0. */
struct outcome_record {
    struct mail_record head;
    struct channel *channel;
    uint64_t connection;
    uint64_t first;
    uint64_t last;
    uint64_t cost;
    uint32_t count;
    bool accepted;
};

static void return_window(struct connection *c, uint64_t cost)
{
    c->replies_bytes -= cost;
    if ((c->read_paused & READ_PAUSED_BY_REPLIES) != 0 &&
        c->replies_bytes <= DIRECT_REPLY_WINDOW_BYTES / 2)
        connection_resume_reading(c, READ_PAUSED_BY_REPLIES);
}

static void handle_outcome(struct worker *w, struct mail_record *record)
{
    struct outcome_record *r = (struct outcome_record *)(void *)record;
    struct connection *c = connection_find(shard_of(w), r->connection);

    if (c != NULL)
        return_window(c, r->cost);
    for (uint64_t number = r->first; number != 0 && number <= r->last; number++)
        channel_on_confirm(r->channel, number, r->accepted);
    for (uint32_t i = 0; i < r->count; i++)
        channel_drop(r->channel);
}

/* Whether `number` carries on what the record says. */
static bool continues(const struct outcome_record *r, const struct reply_origin *origin,
                      bool accepted)
{
    return r->channel == origin->channel && r->accepted == accepted &&
           (origin->number == 0 ? r->last == 0 : r->last + 1 == origin->number);
}

static void tell_outcome(struct shard *s, const struct reply_origin *origin, uint64_t cost,
                         bool accepted)
{
    struct outcome_record r = {
        .head = {.handle = handle_outcome, .size = sizeof(r)},
        .channel = origin->channel,
        .connection = origin->connection,
        .first = origin->number,
        .last = origin->number,
        .cost = cost,
        .count = 1,
        .accepted = accepted,
    };
    struct outcome_record *last = NULL;

    if (origin->worker != shard_id(s))
        last = (struct outcome_record *)(void *)worker_mail_last(s->worker, origin->worker,
                                                                 handle_outcome);
    if (last == NULL || !continues(last, origin, accepted)) {
        shard_send(s, origin->worker, &r.head);
        return;
    }
    last->last = origin->number;
    last->cost += cost;
    last->count++;
}

/* ---- Who asked ---- */

static void on_patience_end(struct timer *t);

struct reply_consumer *reply_consumer_create(struct channel *ch, struct bytes tag)
{
    struct reply_consumer *c = memory_alloc_zeroed(1, sizeof(*c));
    const struct reply_address address = {
        .worker = shard_id(ch->shard),
        .connection = ch->connection->id,
        .channel = ch->number,
        .vhost = ch->connection->vhost,
    };

    c->channel = ch;
    c->tag = bytes_of(bytes_to_string(tag), tag.size);
    list_init(&c->held);
    list_node_init(&c->waits);
    timer_init(&c->patience, on_patience_end);
    c->key = reply_registry_add(&ch->shard->broker->replies, &address);
    return c;
}

/* Has it none held any more. Returns how many it had. */
static uint32_t end_held(struct reply_consumer *c, bool accepted)
{
    struct shard *s = c->channel->shard;
    struct list_node *node;
    uint32_t count = 0;

    while ((node = list_take_first(&c->held)) != NULL) {
        struct held_reply *held = container_of(node, struct held_reply, in_consumer);
        uint64_t cost = cost_of(held->message);
        struct reply_origin origin = held->origin;

        message_unref(held->message);
        free(held);
        tell_outcome(s, &origin, cost, accepted);
        count++;
    }
    list_remove(&c->waits);
    timer_cancel(&s->worker->timers, &c->patience);
    return count;
}

void reply_consumer_free(struct reply_consumer *c)
{
    if (c == NULL)
        return;
    reply_registry_remove(&c->channel->shard->broker->replies, c->key);
    end_held(c, true);
    free((void *)(uintptr_t)c->tag.data);
    free(c);
}

/* Until when the asker must have taken something. */
static int64_t patience_end_ms(const struct reply_consumer *c)
{
    const struct connection *connection = c->channel->connection;
    int64_t since_ms = c->waiting_since_ms > connection->last_write_ms ? c->waiting_since_ms
                                                                       : connection->last_write_ms;

    return since_ms + c->channel->shard->broker->limits->direct_reply_timeout_ms;
}

static void on_patience_end(struct timer *t)
{
    struct reply_consumer *c = container_of(t, struct reply_consumer, patience);
    struct shard *s = c->channel->shard;
    int64_t end_ms = patience_end_ms(c);
    uint32_t dropped;

    if (shard_now_ms(s) < end_ms) {
        timer_set(&s->worker->timers, t, end_ms);
        return;
    }
    c->given_up = true;
    dropped = end_held(c, false);
    log_warning("connection",
                "%s: has read nothing for %" PRIu32 " ms (limits.direct_reply_timeout_ms): %" PRIu32
                " direct replies to it are dropped, and more until it reads",
                c->channel->connection->peer, s->broker->limits->direct_reply_timeout_ms, dropped);
}

/* A direct reply carries the tag that the channel's next delivery will have, and is not counted, as
 * with RabbitMQ: there is nothing to acknowledge. */
static void write_reply(struct reply_consumer *c, struct message *msg)
{
    struct channel *ch = c->channel;

    delivery_write(ch->connection, ch->number, c->tag, ch->last_delivery_tag + 1, false, msg);
}

static void hold(struct reply_consumer *c, const struct reply *r)
{
    struct held_reply *held = memory_alloc(sizeof(*held));
    struct shard *s = c->channel->shard;

    *held = (struct held_reply){.message = message_ref(r->message), .origin = r->origin};
    if (list_empty(&c->held)) {
        c->waiting_since_ms = shard_now_ms(s);
        list_append(&c->channel->connection->reply_consumers, &c->waits);
        timer_set(&s->worker->timers, &c->patience, patience_end_ms(c));
    }
    list_append(&c->held, &held->in_consumer);
}

void reply_consumer_resume(struct reply_consumer *c)
{
    struct connection *connection = c->channel->connection;
    struct shard *s = c->channel->shard;
    struct list_node *node;

    while (!connection_congested(connection) && (node = list_take_first(&c->held)) != NULL) {
        struct held_reply *held = container_of(node, struct held_reply, in_consumer);

        write_reply(c, held->message);
        tell_outcome(s, &held->origin, cost_of(held->message), true);
        message_unref(held->message);
        free(held);
    }
    if (list_empty(&c->held))
        timer_cancel(&s->worker->timers, &c->patience);
    else
        list_append(&connection->reply_consumers, &c->waits);
}

static struct reply_consumer *find_consumer(const struct shard *s, const struct reply *r)
{
    const struct connection *c = connection_find(s, r->address.connection);
    const struct channel *ch = NULL;

    if (c != NULL && r->address.channel < c->channel_slots)
        ch = c->channels[r->address.channel];
    if (ch == NULL || ch->state != CHANNEL_OPEN || ch->reply_consumer == NULL ||
        ch->reply_consumer->key != r->key)
        return NULL;
    return ch->reply_consumer;
}

/* Writes the reply to who asked, or holds it (a reference is taken). */
static enum publish_outcome offer(struct shard *s, const struct reply *r)
{
    struct reply_consumer *c = find_consumer(s, r);

    if (c == NULL)
        return PUBLISH_ACCEPTED;
    if (connection_congested(c->channel->connection) || !list_empty(&c->held)) {
        if (c->given_up && patience_end_ms(c) <= shard_now_ms(s))
            return PUBLISH_REFUSED;
        c->given_up = false;
        hold(c, r);
        return PUBLISH_PENDING;
    }
    c->given_up = false;
    write_reply(c, r->message);
    return PUBLISH_ACCEPTED;
}

/* ---- Who answers ---- */

bool reply_keys_possible(const struct message *msg)
{
    return msg->exchange_size == 0 &&
           ((msg->flags & MESSAGE_HAS_EXTRA_KEYS) != 0 ||
            bytes_starts_with(message_routing_key(msg), REPLY_QUEUE_PREFIX));
}

static void add_key(struct reply_keys *keys, struct bytes name)
{
    uint64_t key = reply_queue_key(name);

    if (key == 0)
        return;
    if (keys->count == 0) {
        keys->items = &keys->one;
    } else if (keys->count == 1) {
        keys->items = memory_alloc(2 * sizeof(*keys->items));
        keys->items[0] = keys->one;
    } else {
        keys->items = memory_resize(keys->items, keys->count + 1, sizeof(*keys->items));
    }
    keys->items[keys->count++] = key;
}

static void add_keys_of(struct reply_keys *keys, struct bytes headers, const char *header)
{
    struct value v;
    struct value item;

    if (!amqp_table_find(headers, header, &v) || v.type != VALUE_ARRAY)
        return;
    while (amqp_array_next(&v.bytes, &item)) {
        if (item.type == VALUE_STRING)
            add_key(keys, item.bytes);
    }
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void drop_repeated(struct reply_keys *keys)
{
    uint32_t count = 1;

    if (keys->count < 2)
        return;
    qsort(keys->items, keys->count, sizeof(*keys->items), compare_keys);
    for (uint32_t i = 1; i < keys->count; i++) {
        if (keys->items[i] != keys->items[count - 1])
            keys->items[count++] = keys->items[i];
    }
    keys->count = count;
}

void reply_keys_collect(const struct message *msg, struct reply_keys *out)
{
    struct amqp_properties properties;

    *out = (struct reply_keys){.count = 0};
    add_key(out, message_routing_key(msg));
    if ((msg->flags & MESSAGE_HAS_EXTRA_KEYS) == 0 ||
        !amqp_properties_view(message_properties(msg), &properties))
        return;
    add_keys_of(out, properties.headers.encoded, "CC");
    add_keys_of(out, properties.headers.encoded, "BCC");
    drop_repeated(out);
}

void reply_keys_free(struct reply_keys *keys)
{
    if (keys->items != &keys->one)
        free(keys->items);
}

struct reply_record {
    struct mail_record head;
    struct reply reply; /* its message is a reference */
};

static void handle_reply(struct worker *w, struct mail_record *record)
{
    struct shard *s = shard_of(w);
    struct reply_record *r = (struct reply_record *)(void *)record;
    enum publish_outcome outcome = offer(s, &r->reply);

    if (outcome != PUBLISH_PENDING)
        tell_outcome(s, &r->reply.origin, cost_of(r->reply.message), outcome == PUBLISH_ACCEPTED);
    message_unref(r->reply.message);
}

/* A reply is on its way. */
static void take_window(struct channel *ch, const struct message *msg)
{
    struct connection *c = ch->connection;

    channel_hold(ch);
    c->replies_bytes += cost_of(msg);
    if (c->replies_bytes > DIRECT_REPLY_WINDOW_BYTES)
        connection_pause_reading(c, READ_PAUSED_BY_REPLIES);
}

enum publish_outcome direct_reply_publish(struct channel *ch, struct message *msg, uint64_t key,
                                          uint64_t number)
{
    struct shard *s = ch->shard;
    struct reply_record r = {
        .head = {.handle = handle_reply, .size = sizeof(r)},
        .reply = {.message = msg,
                  .key = key,
                  .origin = {.channel = ch,
                             .connection = ch->connection->id,
                             .number = number,
                             .worker = shard_id(s)}},
    };
    enum publish_outcome outcome = PUBLISH_PENDING;

    if (!reply_registry_find(&s->broker->replies, key, &r.reply.address) ||
        r.reply.address.vhost != ch->connection->vhost)
        return PUBLISH_ACCEPTED;
    if (r.reply.address.worker == shard_id(s)) {
        outcome = offer(s, &r.reply);
    } else {
        message_ref(msg);
        shard_send(s, r.reply.address.worker, &r.head);
    }
    if (outcome == PUBLISH_PENDING)
        take_window(ch, msg);
    return outcome;
}
