#include "amqp/properties.h"

#include "amqp/method.h"

#define CONTENT_HEADER_MIN_SIZE 12

/* The lowest flag bit says that sixteen more flags follow. */
#define FLAGS_CONTINUED 1u

static const uint8_t no_properties[2] = {0, 0};

const struct bytes AMQP_PROPERTIES_NONE = {.data = no_properties, .size = sizeof(no_properties)};

static int properties_fail(struct amqp_error *err, int code, const char *what)
{
    return amqp_error_set(err, code, AMQP_CLASS_BASIC, amqp_method_number(AMQP_BASIC_PUBLISH), "%s",
                          what);
}

/* Field by field: for the struct as a whole compilers choose a string instruction, which costs ten
 * times the rest of the decoding. */
AMQP_INLINE void properties_clear(struct amqp_properties *p)
{
    p->present = 0;
#define AMQP_PROPERTY(ENUM, type, name, bit) p->name = AMQP_ZERO_##type;
#include "amqp/properties.def"
}

AMQP_INLINE bool properties_read(struct bytes raw, struct amqp_properties *out)
{
    struct amqp_reader r = {.at = raw.data, .end = raw.data + raw.size};
    uint16_t flags;

    properties_clear(out);
    if (!amqp_read_short(&r, &flags) || (flags & FLAGS_CONTINUED) != 0)
        return false;
    out->present = (uint16_t)(flags & AMQP_PROPERTY_ALL);
#define AMQP_PROPERTY(ENUM, type, name, bit) \
    if ((flags & AMQP_PROPERTY_##ENUM) != 0 && !amqp_read_##type(&r, &out->name)) \
        return false;
#include "amqp/properties.def"
    return r.at == r.end;
}

bool amqp_properties_view(struct bytes raw, struct amqp_properties *out)
{
    return properties_read(raw, out);
}

static int headers_validate(struct bytes encoded, struct amqp_error *err)
{
    int rc = amqp_table_validate(encoded, &AMQP_TABLE_LIMITS, err);

    if (rc < 0 && err != NULL) {
        err->class_id = AMQP_CLASS_BASIC;
        err->method_id = amqp_method_number(AMQP_BASIC_PUBLISH);
    }
    return rc;
}

/* What in raw properties does not fit, found by reading them again. */
__attribute__((cold)) static int properties_malformed(struct bytes raw, struct amqp_error *err)
{
    struct amqp_reader r = {.at = raw.data, .end = raw.data + raw.size};
    struct amqp_properties p;
    uint16_t flags;

    if (!amqp_read_short(&r, &flags))
        return properties_fail(err, AMQP_FRAME_ERROR, "content header without property flags");
    if ((flags & FLAGS_CONTINUED) != 0)
        return properties_fail(err, AMQP_FRAME_ERROR,
                               "content header with property flags beyond the first sixteen");
#define AMQP_PROPERTY(ENUM, type, name, bit) \
    if ((flags & AMQP_PROPERTY_##ENUM) != 0 && !amqp_read_##type(&r, &p.name)) \
        return properties_fail(err, AMQP_FRAME_ERROR, "content header ends inside property " #name);
#include "amqp/properties.def"
    return properties_fail(err, AMQP_FRAME_ERROR,
                           "content header with octets after its properties");
}

int amqp_properties_decode(struct bytes raw, struct amqp_properties *out, struct amqp_error *err)
{
    if (!properties_read(raw, out))
        return properties_malformed(raw, err);
    if (out->headers.encoded.size != 0)
        return headers_validate(out->headers.encoded, err);
    return 0;
}

int amqp_content_header_decode_properties(struct bytes payload, struct amqp_content_header *out,
                                          struct amqp_properties *properties,
                                          struct amqp_error *err)
{
    if (payload.size < CONTENT_HEADER_MIN_SIZE)
        return properties_fail(err, AMQP_FRAME_ERROR, "content header is cut short");

    out->class_id = amqp_load16(payload.data);
    out->weight = amqp_load16(payload.data + 2);
    out->body_size = amqp_load64(payload.data + 4);
    out->properties =
        bytes_of(payload.data + CONTENT_HEADER_MIN_SIZE, payload.size - CONTENT_HEADER_MIN_SIZE);

    if (out->class_id != AMQP_CLASS_BASIC)
        return amqp_error_set(err, AMQP_UNEXPECTED_FRAME, AMQP_CLASS_BASIC,
                              amqp_method_number(AMQP_BASIC_PUBLISH),
                              "expected content header for class %d, got one for class %u instead",
                              AMQP_CLASS_BASIC, out->class_id);
    if (out->weight != 0)
        return properties_fail(err, AMQP_UNEXPECTED_FRAME, "content header with a weight");
    return amqp_properties_decode(out->properties, properties, err);
}

int amqp_content_header_decode(struct bytes payload, struct amqp_content_header *out,
                               struct amqp_error *err)
{
    struct amqp_properties properties;

    return amqp_content_header_decode_properties(payload, out, &properties, err);
}

uint8_t amqp_properties_delivery_mode(struct bytes raw)
{
    struct amqp_reader r = {.at = raw.data, .end = raw.data + raw.size};
    struct bytes skipped;
    struct amqp_table headers;
    uint16_t flags;
    uint8_t mode;

    if (!amqp_read_short(&r, &flags) || (flags & AMQP_PROPERTY_DELIVERY_MODE) == 0)
        return AMQP_TRANSIENT;
    if ((flags & AMQP_PROPERTY_CONTENT_TYPE) != 0 && !amqp_read_shortstr(&r, &skipped))
        return AMQP_TRANSIENT;
    if ((flags & AMQP_PROPERTY_CONTENT_ENCODING) != 0 && !amqp_read_shortstr(&r, &skipped))
        return AMQP_TRANSIENT;
    if ((flags & AMQP_PROPERTY_HEADERS) != 0 && !amqp_read_table(&r, &headers))
        return AMQP_TRANSIENT;
    return amqp_read_octet(&r, &mode) ? mode : AMQP_TRANSIENT;
}

size_t amqp_properties_encoded_size(const struct amqp_properties *p)
{
    size_t size = 2;
    unsigned bits = 0;

#define AMQP_PROPERTY(ENUM, type, name, bit) \
    if (amqp_properties_has(p, AMQP_PROPERTY_##ENUM)) \
        size += amqp_size_##type(p->name, &bits);
#include "amqp/properties.def"
    return size;
}

void amqp_properties_encode(const struct amqp_properties *p, struct buffer *out)
{
    struct amqp_writer w = {.at = buffer_reserve(out, amqp_properties_encoded_size(p))};

    amqp_write_short(&w, (uint16_t)(p->present & AMQP_PROPERTY_ALL));
#define AMQP_PROPERTY(ENUM, type, name, bit) \
    if (amqp_properties_has(p, AMQP_PROPERTY_##ENUM)) \
        amqp_write_##type(&w, p->name);
#include "amqp/properties.def"
    out->size = (size_t)(w.at - out->data);
}
