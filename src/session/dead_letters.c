#include "session/dead_letters.h"

#include "amqp/properties.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "broker/dead_letter.h"
#include "broker/delay.h"
#include "broker/effects.h"
#include "broker/queue.h"
#include "server/vhost.h"
#include "session/held_settles.h"
#include "session/message_properties.h"
#include "session/queue_publish.h"
#include "session/shard.h"

/* A dead letter, or what was delayed, while it is being made. */
struct dead_letter {
    struct arena arena;
    struct amqp_properties properties;
    struct table headers;
    struct routing_keys keys; /* it is routed by */
    char text[ROUTE_PROPERTY_TEXT_SIZE];
};

static void read_headers(struct dead_letter *d, const struct message *msg)
{
    struct amqp_error e;

    d->headers = table_empty();
    if (!amqp_properties_view(message_properties(msg), &d->properties))
        d->properties = (struct amqp_properties){.present = 0};
    if (amqp_properties_has(&d->properties, AMQP_PROPERTY_HEADERS) &&
        amqp_table_decode(&d->arena, d->properties.headers.encoded, &d->headers, &e) < 0)
        d->headers = table_empty();
}

/* Tells the story of the death in the headers and finds the keys to route by. */
static void tell(struct dead_letter *d, const struct message *msg, const struct queue_handle *queue,
                 enum dead_letter_reason reason)
{
    struct routing_keys visible = routing_keys_collect(&d->arena, message_routing_key(msg),
                                                       &d->headers, ROUTING_KEYS_VISIBLE);
    struct routing_keys all =
        routing_keys_collect(&d->arena, message_routing_key(msg), &d->headers, ROUTING_KEYS_ALL);
    struct dead_letter_event event = {
        .reason = reason,
        .queue = queue->name,
        .exchange = message_exchange(msg),
        .routing_keys = visible.items,
        .routing_key_count = visible.count,
        .time_s = clock_realtime_ms() / 1000,
    };

    if (amqp_properties_has(&d->properties, AMQP_PROPERTY_EXPIRATION))
        event.expiration = d->properties.expiration;
    dead_letter_headers(&d->arena, &d->headers, &event);
    d->keys = dead_letter_keys(&d->arena, &d->headers, queue_handle_options(queue), all);
}

static struct message *encode(struct dead_letter *d, const struct message *msg,
                              struct bytes exchange)
{
    struct buffer table;
    struct buffer properties;
    struct message *letter;

    buffer_init(&table);
    buffer_init(&properties);
    amqp_table_encode_fields(&d->headers, &table);
    d->properties.headers.encoded = buffer_bytes(&table);
    d->properties.present |= AMQP_PROPERTY_HEADERS;
    amqp_properties_encode(&d->properties, &properties);
    letter = message_create(exchange, d->keys.items[0], buffer_bytes(&properties), msg->body_size);
    if (letter != NULL) {
        letter->priority = msg->priority;
        letter->flags = (uint8_t)((msg->flags & (MESSAGE_PERSISTENT | MESSAGE_HAS_EXTRA_KEYS)) |
                                  MESSAGE_HAS_HEADERS);
        if (amqp_properties_has(&d->properties, AMQP_PROPERTY_EXPIRATION))
            letter->flags |= MESSAGE_HAS_EXPIRATION;
        if (msg->body_size != 0)
            memcpy(message_body(letter), message_body_bytes(msg).data, msg->body_size);
    }
    buffer_free(&table);
    buffer_free(&properties);
    return letter;
}

static const struct table *headers_of(void *context)
{
    return &((struct dead_letter *)context)->headers;
}

static bool property_of(void *context, enum route_property which, struct bytes *value)
{
    struct dead_letter *d = context;

    return message_route_property(&d->properties, which, d->text, value);
}

/* Fills the shard's route, with references. Returns whether there is such an exchange, and it is
 * the one that delays in `delays` when that is not NULL. */
static bool find_route(struct shard *s, struct vhost *vhost, struct bytes exchange,
                       const struct queue_handle *delays, struct dead_letter *d)
{
    const struct route_request request = {
        .routing_keys = d->keys.items,
        .routing_key_count = d->keys.count,
        .headers = headers_of,
        .property = property_of,
        .context = d,
    };
    const struct exchange *e;
    bool found;

    vhost_lock_read(vhost);
    e = topology_find_exchange(vhost->topology, exchange);
    found = e != NULL && (delays == NULL || exchange_delays(e) == delays);
    if (found) {
        topology_route(vhost->topology, e, &request, &s->route);
        for (uint32_t i = 0; i < s->route.count; i++)
            queue_handle_ref(s->route.queues[i]);
    }
    vhost_unlock(vhost);
    return found;
}

/* To one that does not have it yet. */
static void publish_to_confirm(struct shard *s, struct queue_handle *queue, struct message *letter,
                               struct held_settle *held)
{
    uint32_t target = held_settle_target(held, queue);
    struct publish_origin origin = {.kind = ORIGIN_DEAD_LETTER, .held = held, .number = target};
    enum publish_outcome outcome;

    if (target == 0)
        return;
    held_settle_expect(held);
    outcome = queue_publish(s, queue, letter, &origin);
    if (outcome != PUBLISH_PENDING)
        held_settle_answer(held, target, outcome == PUBLISH_ACCEPTED);
}

static void publish_to(struct shard *s, struct queue_handle *queue, struct message *letter,
                       struct held_settle *held)
{
    struct publish_origin origin = {.kind = ORIGIN_NONE};
    enum publish_outcome outcome;

    if (held != NULL && held->to_confirm) {
        publish_to_confirm(s, queue, letter, held);
        return;
    }
    if (held != NULL && queue->options.durable && (letter->flags & MESSAGE_PERSISTENT) != 0) {
        held_settle_expect(held);
        origin = (struct publish_origin){.kind = ORIGIN_DEAD_LETTER, .held = held};
    }
    outcome = queue_publish(s, queue, letter, &origin);
    if (origin.kind == ORIGIN_DEAD_LETTER && outcome != PUBLISH_PENDING)
        held_settle_answer(held, 0, outcome != PUBLISH_UNKEPT);
}

/* The way through a delayed exchange begins anew behind it. */
static bool is_cycle(const struct dead_letter *d, const struct queue_handle *to,
                     enum dead_letter_reason reason)
{
    return !queue_options_delays(&to->options) &&
           dead_letter_is_cycle(&d->headers, to->name, reason);
}

static void report_cycle(const struct queue_handle *from, const struct queue_handle *to)
{
    log_warning("dead-letter",
                "a message of queue '%.*s' in vhost '%.*s' would come back to queue '%.*s' without "
                "ever having been rejected: it does not go there",
                BYTES_ARGS(from->name), BYTES_ARGS(((struct vhost *)from->vhost)->name),
                BYTES_ARGS(to->name));
}

/* Gives the route back. Returns how many queues the letter goes to. */
static uint32_t publish_letter(struct shard *s, struct dead_letter *d, struct message *letter,
                               const struct queue_handle *from, enum dead_letter_reason reason,
                               struct held_settle *held)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < s->route.count; i++) {
        struct queue_handle *to = s->route.queues[i];

        if (is_cycle(d, to, reason)) {
            if (held == NULL || !held->was_sent)
                report_cycle(from, to);
        } else if (letter != NULL) {
            publish_to(s, to, letter, held);
            count++;
        }
        queue_handle_unref(to);
    }
    return count;
}

static void report_no_memory(const struct queue_handle *queue, const struct message *msg,
                             struct held_settle *held)
{
    log_error("dead-letter", "no memory for a message of %u bytes of queue '%.*s'",
              (unsigned)msg->body_size, BYTES_ARGS(queue->name));
    if (held == NULL)
        return;
    held_settle_expect(held);
    held_settle_answer(held, 0, false);
}

static void send_dead(struct shard *s, struct queue_handle *queue, const struct message *msg,
                      enum dead_letter_reason reason, struct held_settle *held)
{
    const struct dead_letter_address *address = queue_handle_options(queue)->dead_letters;
    struct message *letter;
    struct bytes exchange;
    struct dead_letter d;
    uint32_t count = 0;

    /* A policy may have lost its dead-letter exchange since the message died. */
    if (address == NULL)
        return;
    exchange = address->exchange;
    arena_init(&d.arena);
    read_headers(&d, msg);
    tell(&d, msg, queue, reason);
    if (find_route(s, queue->vhost, exchange, NULL, &d)) {
        d.properties.present &= (uint16_t) ~(unsigned)AMQP_PROPERTY_EXPIRATION;
        letter = encode(&d, msg, exchange);
        if (letter == NULL)
            report_no_memory(queue, msg, held);
        count = publish_letter(s, &d, letter, queue, reason, held);
        if (letter != NULL)
            message_unref(letter);
    }
    if (count == 0 && held != NULL && held->to_confirm)
        held->was_refused = true;
    arena_free(&d.arena);
}

/* What was delayed goes on as it was published, but for the header that tells of the delay. */
static void send_delayed(struct shard *s, struct queue_handle *queue, const struct message *msg,
                         struct held_settle *held)
{
    struct message *letter;
    struct dead_letter d;

    arena_init(&d.arena);
    read_headers(&d, msg);
    d.keys = routing_keys_collect(&d.arena, message_routing_key(msg), &d.headers, ROUTING_KEYS_ALL);
    table_remove(&d.headers, "BCC");
    delay_mark_done(&d.arena, &d.headers);
    if (find_route(s, queue->vhost, queue->name, queue, &d)) {
        letter = encode(&d, msg, message_exchange(msg));
        if (letter == NULL)
            report_no_memory(queue, msg, held);
        for (uint32_t i = 0; i < s->route.count; i++) {
            if (letter != NULL)
                publish_to(s, s->route.queues[i], letter, held);
            queue_handle_unref(s->route.queues[i]);
        }
        if (letter != NULL)
            message_unref(letter);
    }
    arena_free(&d.arena);
}

void dead_letter_send(struct shard *s, struct queue_handle *queue, const struct message *msg,
                      enum dead_letter_reason reason, struct held_settle *held)
{
    if (queue_options_delays(&queue->options))
        send_delayed(s, queue, msg, held);
    else
        send_dead(s, queue, msg, reason, held);
}

void dead_letter_publish(struct shard *s, const struct effect *e)
{
    struct held_settle *held = held_settle_begin(s, e);

    dead_letter_send(s, queue_owner(e->queue), e->message, e->reason, held);
    if (held != NULL)
        held_settle_sent(held);
    message_unref(e->message);
}
