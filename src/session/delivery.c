#include "session/delivery.h"

#include "amqp/method.h"
#include "amqp/properties.h"
#include "amqp/table.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "session/connection.h"
#include "session/output.h"

/* Body bytes of one frame. */
static uint32_t frame_payload_max(const struct connection *c)
{
    return c->frame_max - AMQP_FRAME_OVERHEAD;
}

static size_t body_frames_size(const struct connection *c, uint32_t body_size)
{
    uint32_t frames = (body_size + frame_payload_max(c) - 1) / frame_payload_max(c);

    return body_size + (size_t)frames * AMQP_FRAME_OVERHEAD;
}

/* The bytes that are reserved together with the method: the header, and a small body. */
static size_t copied_size(const struct connection *c, const struct message *msg,
                          struct bytes properties)
{
    size_t size = AMQP_CONTENT_HEADER_OVERHEAD + properties.size;

    if (msg->body_size <= DELIVERY_COPY_MAX)
        size += body_frames_size(c, msg->body_size);
    return size;
}

static size_t copy_body(const struct connection *c, uint16_t channel, struct bytes body,
                        uint8_t *out)
{
    uint8_t *p = out;

    while (body.size != 0) {
        uint32_t size = frame_payload_max(c);

        if (body.size < size)
            size = (uint32_t)body.size;
        p += amqp_frame_encode_header(p, AMQP_FRAME_BODY, channel, size);
        memcpy(p, body.data, size);
        p += size;
        *p++ = AMQP_FRAME_END;
        body = bytes_of(body.data + size, body.size - size);
    }
    return (size_t)(p - out);
}

static void refer_to_body(struct connection *c, uint16_t channel, struct message *msg)
{
    struct bytes body = message_body_bytes(msg);

    while (body.size != 0) {
        uint32_t size = frame_payload_max(c);

        if (body.size < size)
            size = (uint32_t)body.size;
        output_commit(&c->output,
                      amqp_frame_encode_header(output_reserve(&c->output, AMQP_FRAME_HEADER_SIZE),
                                               AMQP_FRAME_BODY, channel, size));
        output_add_reference(&c->output, msg, bytes_of(body.data, size));
        *output_reserve(&c->output, 1) = AMQP_FRAME_END;
        output_commit(&c->output, 1);
        body = bytes_of(body.data + size, body.size - size);
    }
}

/* Header and body behind a method frame of `method_size` bytes at `out`, which were reserved
 * together. */
static void write_content(struct connection *c, uint16_t channel, struct message *msg,
                          struct bytes properties, uint8_t *out, size_t method_size)
{
    bool copy = msg->body_size <= DELIVERY_COPY_MAX;
    size_t size = method_size;

    size += amqp_content_header_encode(out + size, channel, msg->body_size, properties);
    if (copy)
        size += copy_body(c, channel, message_body_bytes(msg), out + size);
    output_commit(&c->output, size);
    if (!copy)
        refer_to_body(c, channel, msg);
    connection_touch(c);
}

static void write_delivery(struct connection *c, uint16_t channel, struct bytes consumer_tag,
                           uint64_t delivery_tag, bool redelivered, struct message *msg,
                           struct bytes properties)
{
    struct bytes exchange = message_exchange(msg);
    struct bytes routing_key = message_routing_key(msg);
    size_t method_size = amqp_basic_deliver_frame_size(consumer_tag, exchange, routing_key);
    uint8_t *out = output_reserve(&c->output, method_size + copied_size(c, msg, properties));

    amqp_basic_deliver_encode(out, channel, consumer_tag, delivery_tag, redelivered, exchange,
                              routing_key);
    write_content(c, channel, msg, properties, out, method_size);
}

static void write_method(struct connection *c, uint16_t channel, const struct amqp_method *m,
                         struct message *msg, struct bytes properties)
{
    size_t payload_size = amqp_method_encoded_size(m);
    uint8_t *out = output_reserve(&c->output, payload_size + AMQP_FRAME_OVERHEAD +
                                                  copied_size(c, msg, properties));

    amqp_method_encode(m, out + AMQP_FRAME_HEADER_SIZE);
    amqp_method_frame_close(out, channel, out + AMQP_FRAME_HEADER_SIZE + payload_size);
    write_content(c, channel, msg, properties, out, payload_size + AMQP_FRAME_OVERHEAD);
}

void delivery_write(struct connection *c, uint16_t channel, struct bytes consumer_tag,
                    uint64_t delivery_tag, bool redelivered, struct message *msg)
{
    write_delivery(c, channel, consumer_tag, delivery_tag, redelivered, msg,
                   message_properties(msg));
}

void delivery_write_method(struct connection *c, uint16_t channel, const struct amqp_method *m,
                           struct message *msg)
{
    write_method(c, channel, m, msg, message_properties(msg));
}

/* ---- x-delivery-count ---- */

#define DELIVERY_COUNT "x-delivery-count"

/* The encoded headers of the message with the count in them. */
static void count_in_headers(struct bytes headers, uint32_t delivery_count, struct buffer *out)
{
    struct amqp_error e;
    struct arena arena;
    struct table table;

    arena_init(&arena);
    if (amqp_table_decode(&arena, headers, &table, &e) < 0)
        table = table_empty();
    table_set(&arena, &table, DELIVERY_COUNT, value_int64(delivery_count));
    amqp_table_encode_fields(&table, out);
    arena_free(&arena);
}

/* The properties with the count in their headers; those of the message where a frame has no room
 * for more. `out` holds them. */
static struct bytes counted_properties(const struct connection *c, const struct message *msg,
                                       uint32_t delivery_count, struct buffer *out)
{
    struct amqp_properties p;
    struct buffer headers;

    if (!amqp_properties_view(message_properties(msg), &p))
        return message_properties(msg);
    buffer_init(&headers);
    count_in_headers(amqp_properties_has(&p, AMQP_PROPERTY_HEADERS) ? p.headers.encoded
                                                                    : bytes_of(NULL, 0),
                     delivery_count, &headers);
    p.headers.encoded = buffer_bytes(&headers);
    p.present |= AMQP_PROPERTY_HEADERS;
    amqp_properties_encode(&p, out);
    buffer_free(&headers);
    if (AMQP_CONTENT_HEADER_OVERHEAD + out->size > c->frame_max)
        return message_properties(msg);
    return buffer_bytes(out);
}

void delivery_write_counted(struct connection *c, uint16_t channel, struct bytes consumer_tag,
                            uint64_t delivery_tag, uint32_t delivery_count, struct message *msg)
{
    struct buffer properties;

    buffer_init(&properties);
    write_delivery(c, channel, consumer_tag, delivery_tag, delivery_count != 0, msg,
                   counted_properties(c, msg, delivery_count, &properties));
    buffer_free(&properties);
}

void delivery_write_method_counted(struct connection *c, uint16_t channel,
                                   const struct amqp_method *m, uint32_t delivery_count,
                                   struct message *msg)
{
    struct buffer properties;

    buffer_init(&properties);
    write_method(c, channel, m, msg, counted_properties(c, msg, delivery_count, &properties));
    buffer_free(&properties);
}
