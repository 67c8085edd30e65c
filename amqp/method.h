/* Methods: typed, and as the payload of method frames. Everything here is an expansion of
 * methods.def. Sans I/O, without state, no allocation on decoding; any thread. */
#ifndef LEVERET_AMQP_METHOD_H
#define LEVERET_AMQP_METHOD_H

#include "amqp/constants.h"
#include "amqp/error.h"
#include "amqp/fields.h"
#include "amqp/frame.h"
#include "amqp/table.h"
#include "amqp/wire.h"
#include "base/buffer.h"
#include "base/bytes.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* AMQP_QUEUE_DECLARE = 0x0032000A, …: class id and method id, as the first four octets of a
 * payload. */
enum amqp_method_id {
#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    AMQP_##ENUM = (class_id) << 16 | (method_id),
#define AMQP_BARE_METHOD AMQP_METHOD
#include "amqp/methods.def"
};

static inline uint16_t amqp_method_class(enum amqp_method_id id)
{
    return (uint16_t)((uint32_t)id >> 16);
}

static inline uint16_t amqp_method_number(enum amqp_method_id id)
{
    return (uint16_t)id;
}

/* struct amqp_queue_declare and so on. Strings and tables are borrowed: after decoding, views into
 * the payload. */
#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    struct amqp_##class##_##method \
    {
#define AMQP_FIELD(type, name) AMQP_TYPE_##type name;
#define AMQP_METHOD_END(ENUM, class, method) \
    } \
    ;
#include "amqp/methods.def"

/* Any method. Those without fields (channel.open, tx.select, …) are their id alone. */
struct amqp_method {
    enum amqp_method_id id;
    union {
#define AMQP_METHOD_END(ENUM, class, method) struct amqp_##class##_##method class##_##method;
#include "amqp/methods.def"
    };
};

enum amqp_direction {
    AMQP_TO_SERVER = 1,
    AMQP_TO_CLIENT = 2,
    AMQP_BOTH = AMQP_TO_SERVER | AMQP_TO_CLIENT,
};

enum amqp_field_type {
    AMQP_FIELD_bit,
    AMQP_FIELD_octet,
    AMQP_FIELD_short,
    AMQP_FIELD_long,
    AMQP_FIELD_longlong,
    AMQP_FIELD_shortstr,
    AMQP_FIELD_longstr,
    AMQP_FIELD_table,
    AMQP_FIELD_END, /* after the last one */
};

struct amqp_field_info {
    enum amqp_field_type type;
    const char *name; /* NULL when reserved */
};

/* What methods.def says of a method, as data. */
struct amqp_method_info {
    enum amqp_method_id id;
    const char *name; /* "queue.declare-ok" */
    enum amqp_direction direction;
    bool synchronous; /* answered by its -ok */
    bool has_content;
    const struct amqp_field_info *fields; /* up to AMQP_FIELD_END */
};

/* All methods, ascending by id. */
extern const struct amqp_method_info AMQP_METHODS[];
extern const size_t AMQP_METHOD_COUNT;

/* The entry of AMQP_METHODS, or NULL for an id that is none. */
const struct amqp_method_info *amqp_method_info(enum amqp_method_id id);

/* "queue.declare"; "unknown" for an id that is none. A static string. */
const char *amqp_method_name(enum amqp_method_id id);

/* Whether a header and a body follow. False for an id that is none. */
static inline bool amqp_method_has_content(enum amqp_method_id id)
{
    switch (id) {
#define AMQP_HAS_CONTENT true
#define AMQP_HAS_PLAIN false
#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    case AMQP_##ENUM: \
        return AMQP_HAS_##content;
#define AMQP_BARE_METHOD AMQP_METHOD
#include "amqp/methods.def"
#undef AMQP_HAS_CONTENT
#undef AMQP_HAS_PLAIN
    }
    return false;
}

/* The id at the start of a payload, not necessarily one of enum amqp_method_id; 0 when the payload
 * is too short to have one. */
static inline uint32_t amqp_method_peek(struct bytes payload)
{
    return payload.size >= 4 ? amqp_load32(payload.data) : 0;
}

/* Decodes the payload of a method frame, in whichever direction it goes. Tables are validated
 * (AMQP_TABLE_LIMITS); names must be UTF-8, except in methods with content (as RabbitMQ).
 *
 * Returns 0, or -EPROTO with `err` filled and the ids of the method in it: 501 when the fields and
 * the payload do not match or a name is no UTF-8, 502 when a table is malformed, 503 when there is
 * no such method. All of them end a connection. */
int amqp_method_decode(struct bytes payload, struct amqp_method *out, struct amqp_error *err);

/* Says why a payload did not decode, for those who decode by the inline functions below. Returns
 * -EPROTO. */
int amqp_method_fail(struct bytes payload, struct amqp_error *err) __attribute__((cold));

/* The bytes of the payload. Strings that go as shortstr are at most 255 bytes long. */
size_t amqp_method_encoded_size(const struct amqp_method *m);

/* Writes the payload, amqp_method_encoded_size bytes. Returns their number. */
size_t amqp_method_encode(const struct amqp_method *m, uint8_t *out);

/* Appends a whole method frame. */
void amqp_method_frame_encode(uint16_t channel, const struct amqp_method *m, struct buffer *out);

/* ---- What follows decodes and encodes inline the methods that travel with messages. ---- */

/* amqp_fields_decode_queue_declare(payload, out) and so on: the fields of a method whose id the
 * caller has peeked. The whole payload must be used up. Tables are not looked into. False when the
 * payload is malformed. */
#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    AMQP_INLINE bool amqp_fields_decode_##class##_##method(struct bytes payload, \
                                                           struct amqp_##class##_##method *out) \
    { \
        struct amqp_reader r = {.at = payload.data + 4, .end = payload.data + payload.size};
#define AMQP_BARE_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    AMQP_INLINE bool amqp_fields_decode_##class##_##method(struct bytes payload) \
    { \
        struct amqp_reader r = {.at = payload.data + 4, .end = payload.data + payload.size};
#define AMQP_FIELD(type, name) \
    if (!amqp_read_##type(&r, &out->name)) \
        return false;
#define AMQP_RESERVED(type) \
    { \
        AMQP_TYPE_##type ignored; \
\
        if (!amqp_read_##type(&r, &ignored)) \
            return false; \
    }
#define AMQP_METHOD_END(ENUM, class, method) \
    return r.at == r.end; \
    }
#define AMQP_BARE_METHOD_END AMQP_METHOD_END
#include "amqp/methods.def"

/* `payload` begins with the id, which the caller has peeked. Return 0, or -EPROTO as
 * amqp_method_decode. */
static inline int amqp_basic_publish_decode(struct bytes payload, struct amqp_basic_publish *out,
                                            struct amqp_error *err)
{
    if (amqp_fields_decode_basic_publish(payload, out))
        return 0;
    amqp_method_fail(payload, err);
    return -EPROTO;
}

static inline int amqp_basic_deliver_decode(struct bytes payload, struct amqp_basic_deliver *out,
                                            struct amqp_error *err)
{
    if (amqp_fields_decode_basic_deliver(payload, out))
        return 0;
    amqp_method_fail(payload, err);
    return -EPROTO;
}

static inline int amqp_basic_ack_decode(struct bytes payload, struct amqp_basic_ack *out,
                                        struct amqp_error *err)
{
    if (amqp_fields_decode_basic_ack(payload, out))
        return 0;
    amqp_method_fail(payload, err);
    return -EPROTO;
}

static inline int amqp_basic_nack_decode(struct bytes payload, struct amqp_basic_nack *out,
                                         struct amqp_error *err)
{
    if (amqp_fields_decode_basic_nack(payload, out))
        return 0;
    amqp_method_fail(payload, err);
    return -EPROTO;
}

static inline int amqp_basic_reject_decode(struct bytes payload, struct amqp_basic_reject *out,
                                           struct amqp_error *err)
{
    if (amqp_fields_decode_basic_reject(payload, out))
        return 0;
    amqp_method_fail(payload, err);
    return -EPROTO;
}

/* amqp_fields_size_queue_declare(in) and so on: the octets of the payload, the id included. */
#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    AMQP_INLINE size_t amqp_fields_size_##class##_##method( \
        const struct amqp_##class##_##method *in) \
    { \
        size_t size = 4; \
        unsigned bits = 0;
#define AMQP_BARE_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    AMQP_INLINE size_t amqp_fields_size_##class##_##method(void) \
    { \
        size_t size = 4; \
        unsigned bits = 0;
#define AMQP_FIELD(type, name) size += amqp_size_##type(in->name, &bits);
#define AMQP_RESERVED(type) size += amqp_size_##type(AMQP_ZERO_##type, &bits);
#define AMQP_METHOD_END(ENUM, class, method) \
    (void)bits; \
    return size; \
    }
#define AMQP_BARE_METHOD_END AMQP_METHOD_END
#include "amqp/methods.def"

/* amqp_fields_encode_queue_declare(out, in) and so on: writes the payload, the id included.
 * Returns where the next octet goes. */
#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    AMQP_INLINE uint8_t *amqp_fields_encode_##class##_##method( \
        uint8_t *out, const struct amqp_##class##_##method *in) \
    { \
        struct amqp_writer w = {.at = amqp_store32(out, AMQP_##ENUM)};
#define AMQP_BARE_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    AMQP_INLINE uint8_t *amqp_fields_encode_##class##_##method(uint8_t *out) \
    { \
        struct amqp_writer w = {.at = amqp_store32(out, AMQP_##ENUM)};
#define AMQP_FIELD(type, name) amqp_write_##type(&w, in->name);
#define AMQP_RESERVED(type) amqp_write_##type(&w, AMQP_ZERO_##type);
#define AMQP_METHOD_END(ENUM, class, method) \
    amqp_writer_flush_bits(&w); \
    return w.at; \
    }
#define AMQP_BARE_METHOD_END AMQP_METHOD_END
#include "amqp/methods.def"

/* The bytes of a deliver frame. */
static inline size_t amqp_basic_deliver_frame_size(struct bytes consumer_tag, struct bytes exchange,
                                                   struct bytes routing_key)
{
    return AMQP_FRAME_OVERHEAD + 4 + 8 + 1 + 3 + consumer_tag.size + exchange.size +
           routing_key.size;
}

/* The longest a deliver frame, a publish frame and an ack frame can be. */
#define AMQP_BASIC_DELIVER_FRAME_MAX (AMQP_FRAME_OVERHEAD + 4 + 8 + 1 + 3 * (1 + AMQP_SHORTSTR_MAX))
#define AMQP_BASIC_PUBLISH_FRAME_MAX (AMQP_FRAME_OVERHEAD + 4 + 2 + 2 * (1 + AMQP_SHORTSTR_MAX) + 1)
#define AMQP_BASIC_ACK_FRAME_SIZE (AMQP_FRAME_OVERHEAD + 4 + 8 + 1)

/* Closes the method frame that begins at `out` and whose payload, from the eighth octet on, ends
 * before `end`: writes its header and its end octet. Returns the bytes of the frame. */
static inline size_t amqp_method_frame_close(uint8_t *out, uint16_t channel, uint8_t *end)
{
    size_t size = (size_t)(end - out) - AMQP_FRAME_HEADER_SIZE;

    amqp_frame_encode_header(out, AMQP_FRAME_METHOD, channel, (uint32_t)size);
    *end = AMQP_FRAME_END;
    return size + AMQP_FRAME_OVERHEAD;
}

/* The next three write a whole frame and return its bytes; `out` has room for
 * amqp_basic_deliver_frame_size or for the FRAME_MAX. */
static inline size_t amqp_basic_deliver_encode(uint8_t *out, uint16_t channel,
                                               struct bytes consumer_tag, uint64_t delivery_tag,
                                               bool redelivered, struct bytes exchange,
                                               struct bytes routing_key)
{
    struct amqp_basic_deliver m = {
        .consumer_tag = consumer_tag,
        .delivery_tag = delivery_tag,
        .redelivered = redelivered,
        .exchange = exchange,
        .routing_key = routing_key,
    };

    return amqp_method_frame_close(
        out, channel, amqp_fields_encode_basic_deliver(out + AMQP_FRAME_HEADER_SIZE, &m));
}

static inline size_t amqp_basic_publish_encode(uint8_t *out, uint16_t channel,
                                               struct bytes exchange, struct bytes routing_key,
                                               bool mandatory, bool immediate)
{
    struct amqp_basic_publish m = {
        .exchange = exchange,
        .routing_key = routing_key,
        .mandatory = mandatory,
        .immediate = immediate,
    };

    return amqp_method_frame_close(
        out, channel, amqp_fields_encode_basic_publish(out + AMQP_FRAME_HEADER_SIZE, &m));
}

static inline size_t amqp_basic_ack_encode(uint8_t *out, uint16_t channel, uint64_t delivery_tag,
                                           bool multiple)
{
    struct amqp_basic_ack m = {.delivery_tag = delivery_tag, .multiple = multiple};

    return amqp_method_frame_close(out, channel,
                                   amqp_fields_encode_basic_ack(out + AMQP_FRAME_HEADER_SIZE, &m));
}

#endif
