#include "session/message_properties.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/direct_reply.h"
#include "session/expiration.h"
#include "session/reply_registry.h"
#include "session/shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- Checks ---- */

static int check_user_id(struct channel *ch, const struct amqp_properties *p)
{
    const struct auth_user *user = ch->connection->user;
    struct bytes name = auth_user_name(user);

    if (!amqp_properties_has(p, AMQP_PROPERTY_USER_ID) || bytes_equal(p->user_id, name) ||
        (auth_user_tags(user) & USER_TAG_IMPERSONATOR) != 0)
        return 0;
    return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                          "user_id property set to '%.*s' but authenticated user was '%.*s'",
                          BYTES_ARGS(p->user_id), BYTES_ARGS(name));
}

static int check_expiration(struct channel *ch, const struct amqp_properties *p)
{
    if (!amqp_properties_has(p, AMQP_PROPERTY_EXPIRATION))
        return 0;
    return expiration_check(ch, p->expiration);
}

/* Of its items those that are strings are keys. */
static int check_keys(struct channel *ch, struct bytes headers, const char *name)
{
    struct value v;

    if (!amqp_table_find(headers, name, &v) || v.type == VALUE_ARRAY)
        return 0;
    return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                          "invalid message: {unacceptable_type_in_header,\"%s\",%s}", name,
                          value_type_name(v.type));
}

static int check_headers(struct channel *ch, const struct amqp_properties *p)
{
    const struct config_limits *limits = ch->shard->broker->limits;
    const struct amqp_table_limits shape = {
        .depth = limits->max_table_depth,
        .size_bytes = limits->max_header_table_size_bytes,
    };
    struct bytes headers = p->headers.encoded;
    struct amqp_error e;

    if (!amqp_properties_has(p, AMQP_PROPERTY_HEADERS))
        return 0;
    if (headers.size > limits->max_header_table_size_bytes)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                              "headers of %zu bytes are larger than the limit of %" PRIu32
                              " (limits.max_header_table_size)",
                              headers.size, limits->max_header_table_size_bytes);
    if (amqp_table_validate(headers, &shape, &e) < 0)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                              "headers are nested deeper than the limit of %" PRIu32
                              " (limits.max_table_depth)",
                              limits->max_table_depth);
    if (check_keys(ch, headers, "CC") < 0)
        return -EPROTO;
    return check_keys(ch, headers, "BCC");
}

static bool asks_for_direct_reply(const struct amqp_properties *p)
{
    return amqp_properties_has(p, AMQP_PROPERTY_REPLY_TO) &&
           bytes_equal_string(p->reply_to, REPLY_QUEUE_NAME);
}

static int check_reply_to(struct channel *ch, const struct amqp_properties *p)
{
    if (ch->reply_consumer != NULL || !asks_for_direct_reply(p))
        return 0;
    return channel_refuse(ch, AMQP_PRECONDITION_FAILED, "fast reply consumer does not exist");
}

int message_properties_check(struct channel *ch, const struct amqp_properties *p)
{
    const unsigned checked = AMQP_PROPERTY_USER_ID | AMQP_PROPERTY_EXPIRATION |
                             AMQP_PROPERTY_HEADERS | AMQP_PROPERTY_REPLY_TO;

    if ((p->present & checked) == 0)
        return 0;
    if (check_user_id(ch, p) < 0 || check_expiration(ch, p) < 0 || check_headers(ch, p) < 0)
        return -EPROTO;
    return check_reply_to(ch, p);
}

/* ---- Making ---- */

static uint8_t flags_of(const struct amqp_properties *p)
{
    unsigned flags = 0;
    struct value ignored;

    if (amqp_properties_has(p, AMQP_PROPERTY_DELIVERY_MODE) && p->delivery_mode == 2)
        flags |= MESSAGE_PERSISTENT;
    if (amqp_properties_has(p, AMQP_PROPERTY_EXPIRATION))
        flags |= MESSAGE_HAS_EXPIRATION;
    if (!amqp_properties_has(p, AMQP_PROPERTY_HEADERS))
        return (uint8_t)flags;
    flags |= MESSAGE_HAS_HEADERS;
    if (amqp_table_find(p->headers.encoded, "CC", &ignored) ||
        amqp_table_find(p->headers.encoded, "BCC", &ignored))
        flags |= MESSAGE_HAS_EXTRA_KEYS;
    return (uint8_t)flags;
}

static struct message *create(struct bytes exchange, struct bytes routing_key,
                              struct bytes properties, const struct amqp_properties *p,
                              uint32_t body_size)
{
    struct message *msg = message_create(exchange, routing_key, properties, body_size);

    if (msg == NULL)
        return NULL;
    msg->flags = flags_of(p);
    msg->priority = amqp_properties_has(p, AMQP_PROPERTY_PRIORITY) ? p->priority : 0;
    return msg;
}

struct message *message_properties_create(struct channel *ch, struct bytes exchange,
                                          struct bytes routing_key,
                                          const struct amqp_content_header *header,
                                          const struct amqp_properties *p)
{
    char reply_name[REPLY_QUEUE_NAME_SIZE];
    struct amqp_properties rewritten;
    struct buffer encoded;
    struct message *msg;

    if (!asks_for_direct_reply(p))
        return create(exchange, routing_key, header->properties, p, (uint32_t)header->body_size);

    reply_queue_name(ch->reply_consumer->key, reply_name);
    rewritten = *p;
    rewritten.reply_to = bytes_from_string(reply_name);
    buffer_init(&encoded);
    amqp_properties_encode(&rewritten, &encoded);
    msg = create(exchange, routing_key, buffer_bytes(&encoded), p, (uint32_t)header->body_size);
    buffer_free(&encoded);
    return msg;
}

int64_t message_expiration_ms(const struct message *msg)
{
    struct amqp_properties p;
    int64_t ms = 0;

    if ((msg->flags & MESSAGE_HAS_EXPIRATION) == 0 ||
        !amqp_properties_view(message_properties(msg), &p) ||
        !amqp_properties_has(&p, AMQP_PROPERTY_EXPIRATION))
        return EXPIRY_NEVER;
    for (size_t i = 0; i < p.expiration.size && ms <= EXPIRATION_MAX_MS; i++) {
        uint8_t c = p.expiration.data[i];

        if (c >= '0' && c <= '9')
            ms = 10 * ms + (c - '0');
    }
    return ms <= EXPIRATION_MAX_MS ? ms : EXPIRATION_MAX_MS;
}

bool message_route_property(const struct amqp_properties *p, enum route_property which,
                            char text[ROUTE_PROPERTY_TEXT_SIZE], struct bytes *value)
{
    switch (which) {
    case ROUTE_CORRELATION_ID:
        *value = p->correlation_id;
        return amqp_properties_has(p, AMQP_PROPERTY_CORRELATION_ID);
    case ROUTE_MESSAGE_ID:
        *value = p->message_id;
        return amqp_properties_has(p, AMQP_PROPERTY_MESSAGE_ID);
    case ROUTE_TIMESTAMP:
        if (!amqp_properties_has(p, AMQP_PROPERTY_TIMESTAMP))
            return false;
        snprintf(text, ROUTE_PROPERTY_TEXT_SIZE, "%" PRIu64, (uint64_t)p->timestamp);
        *value = bytes_from_string(text);
        return true;
    }
    return false;
}

static struct message *with_headers(const struct message *msg, struct amqp_properties *p,
                                    const struct table *headers)
{
    struct buffer table;
    struct buffer encoded;
    struct message *copy;

    buffer_init(&table);
    buffer_init(&encoded);
    amqp_table_encode_fields(headers, &table);
    p->headers.encoded = buffer_bytes(&table);
    amqp_properties_encode(p, &encoded);
    copy = create(message_exchange(msg), message_routing_key(msg), buffer_bytes(&encoded), p,
                  msg->body_size);
    if (copy != NULL && msg->body_size != 0)
        memcpy(message_body(copy), message_body_bytes(msg).data, msg->body_size);
    buffer_free(&table);
    buffer_free(&encoded);
    return copy;
}

struct message *message_without_bcc(struct message *msg)
{
    struct amqp_properties p;
    struct amqp_error e;
    struct arena arena;
    struct table headers;
    struct message *copy = msg;

    arena_init(&arena);
    if (amqp_properties_view(message_properties(msg), &p) &&
        amqp_table_decode(&arena, p.headers.encoded, &headers, &e) == 0 &&
        table_remove(&headers, "BCC")) {
        copy = with_headers(msg, &p, &headers);
        message_unref(msg);
    }
    arena_free(&arena);
    return copy;
}
