/* Content headers and the properties of messages (AMQP 0-9-1 §4.2.6.1, class basic). Sans I/O and
 * without state; any thread. */
#ifndef LEVERET_AMQP_PROPERTIES_H
#define LEVERET_AMQP_PROPERTIES_H

#include "amqp/constants.h"
#include "amqp/error.h"
#include "amqp/fields.h"
#include "amqp/table.h"
#include "amqp/wire.h"
#include "base/buffer.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Presence bits: AMQP_PROPERTY_CONTENT_TYPE, AMQP_PROPERTY_HEADERS, … */
enum amqp_property {
#define AMQP_PROPERTY(ENUM, type, name, bit) AMQP_PROPERTY_##ENUM = 1 << (bit),
#include "amqp/properties.def"
};

/* Every bit of enum amqp_property; the two that are left are none. */
#define AMQP_PROPERTY_ALL 0xFFFCu

/* Properties decoded. Strings and headers are borrowed. A field counts when its bit is set in
 * `present`; the others are zero and empty after decoding. */
struct amqp_properties {
    uint16_t present; /* of enum amqp_property */
#define AMQP_PROPERTY(ENUM, type, name, bit) AMQP_TYPE_##type name;
#include "amqp/properties.def"
};

/* Values of the property delivery_mode. */
enum amqp_delivery_mode {
    AMQP_TRANSIENT = 1,
    AMQP_PERSISTENT = 2,
};

static inline bool amqp_properties_has(const struct amqp_properties *p, enum amqp_property property)
{
    return (p->present & (unsigned)property) != 0;
}

/* A content header frame's payload. */
struct amqp_content_header {
    uint16_t class_id;
    uint16_t weight;
    uint64_t body_size;
    struct bytes properties; /* flags and values as on the wire, validated; borrowed */
};

/* Properties as the wire has them when there are none: two zero octets. */
extern const struct bytes AMQP_PROPERTIES_NONE;

/* Decodes the payload of a header frame and validates its properties, the headers table
 * included. The class must be basic, the only one with content, and the weight 0.
 *
 * Returns 0, or -EPROTO with `err` filled, class and method those of basic.publish: 501 when it is
 * malformed, 502 when the headers are, 505 for another class or weight (as RabbitMQ). */
int amqp_content_header_decode(struct bytes payload, struct amqp_content_header *out,
                               struct amqp_error *err);

/* As amqp_content_header_decode, giving the properties decoded in the same pass. */
int amqp_content_header_decode_properties(struct bytes payload, struct amqp_content_header *out,
                                          struct amqp_properties *properties,
                                          struct amqp_error *err);

/* Decodes raw properties (flags and values). The strings and the headers are views into `raw`.
 * Validates them, the headers table included. More flags than the first sixteen (lowest bit) are
 * refused, as no property needs them.
 *
 * Returns 0, or -EPROTO as amqp_content_header_decode. */
int amqp_properties_decode(struct bytes raw, struct amqp_properties *out, struct amqp_error *err);

/* As amqp_properties_decode for raw properties that have been validated before: looks at bounds
 * alone, not into the headers table. Returns whether the bounds held. */
bool amqp_properties_view(struct bytes raw, struct amqp_properties *out);

/* The delivery mode in raw properties; AMQP_TRANSIENT when absent. */
uint8_t amqp_properties_delivery_mode(struct bytes raw);

/* The bytes of the encoded properties, flags included. */
size_t amqp_properties_encoded_size(const struct amqp_properties *p);

/* Appends flags and values: raw properties. */
void amqp_properties_encode(const struct amqp_properties *p, struct buffer *out);

/* What a content header frame is longer than its raw properties: frame overhead, class, weight and
 * body size. */
#define AMQP_CONTENT_HEADER_OVERHEAD (AMQP_FRAME_OVERHEAD + 12)

/* Writes a whole header frame of class basic; `properties` are raw (at least the two octets of
 * the flags). `out` has room for AMQP_CONTENT_HEADER_OVERHEAD + properties.size bytes. Returns the
 * bytes written. */
static inline size_t amqp_content_header_encode(uint8_t *out, uint16_t channel, uint64_t body_size,
                                                struct bytes properties)
{
    uint8_t *p = out;

    p = amqp_store8(p, AMQP_FRAME_HEADER);
    p = amqp_store16(p, channel);
    p = amqp_store32(p, (uint32_t)(12 + properties.size));
    p = amqp_store32(p, (uint32_t)AMQP_CLASS_BASIC << 16);
    p = amqp_store64(p, body_size);
    p = amqp_store_bytes(p, properties);
    p = amqp_store8(p, AMQP_FRAME_END);
    return (size_t)(p - out);
}

#endif
