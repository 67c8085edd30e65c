#include "amqp/method.h"

#include "amqp/utf8.h"

/* ---- The table as data ---- */

#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    static const struct amqp_field_info class##_##method##_fields[] = {
#define AMQP_FIELD(type, name) {AMQP_FIELD_##type, #name},
#define AMQP_RESERVED(type) {AMQP_FIELD_##type, NULL},
#define AMQP_METHOD_END(ENUM, class, method) \
    {AMQP_FIELD_END, NULL}, \
    } \
    ;
#define AMQP_BARE_METHOD AMQP_METHOD
#define AMQP_BARE_METHOD_END AMQP_METHOD_END
#include "amqp/methods.def"

#define WAIT_SYNCHRONOUS true
#define WAIT_ASYNCHRONOUS false
#define CONTENT_CONTENT true
#define CONTENT_PLAIN false

const struct amqp_method_info AMQP_METHODS[] = {
#define AMQP_METHOD(ENUM, class, method, text, class_id, method_id, way, wait, content) \
    { \
        .id = AMQP_##ENUM, \
        .name = text, \
        .direction = AMQP_##way, \
        .synchronous = WAIT_##wait, \
        .has_content = CONTENT_##content, \
        .fields = class##_##method##_fields, \
    },
#define AMQP_BARE_METHOD AMQP_METHOD
#include "amqp/methods.def"
};

const size_t AMQP_METHOD_COUNT = sizeof(AMQP_METHODS) / sizeof(AMQP_METHODS[0]);

const struct amqp_method_info *amqp_method_info(enum amqp_method_id id)
{
    size_t low = 0;
    size_t high = AMQP_METHOD_COUNT;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (AMQP_METHODS[middle].id == id)
            return &AMQP_METHODS[middle];
        if (AMQP_METHODS[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *amqp_method_name(enum amqp_method_id id)
{
    const struct amqp_method_info *info = amqp_method_info(id);

    return info != NULL ? info->name : "unknown";
}

/* ---- Decoding ---- */

/* Skips a field by its type. False when the payload ends before it does. */
static bool field_skip(struct amqp_reader *r, enum amqp_field_type type)
{
    union {
#define SCRATCH(type) AMQP_TYPE_##type type##_value;
        SCRATCH(bit)
        SCRATCH(octet)
        SCRATCH(short)
        SCRATCH(long)
        SCRATCH(longlong)
        SCRATCH(shortstr)
        SCRATCH(longstr)
        SCRATCH(table)
#undef SCRATCH
    } scratch;

    switch (type) {
#define SKIP(type) \
    case AMQP_FIELD_##type: \
        return amqp_read_##type(r, &scratch.type##_value);
        SKIP(bit)
        SKIP(octet)
        SKIP(short)
        SKIP(long)
        SKIP(longlong)
        SKIP(shortstr)
        SKIP(longstr)
        SKIP(table)
#undef SKIP
    case AMQP_FIELD_END:
        break;
    }
    return true;
}

int amqp_method_fail(struct bytes payload, struct amqp_error *err)
{
    struct amqp_reader r = {.at = payload.data, .end = payload.data + payload.size};
    const struct amqp_method_info *info;
    const struct amqp_field_info *field;
    uint32_t id;
    uint16_t class_id, method_id;

    if (!amqp_read_long(&r, &id))
        return amqp_error_set(err, AMQP_FRAME_ERROR, 0, 0, "method frame of %zu octets",
                              payload.size);

    class_id = (uint16_t)(id >> 16);
    method_id = (uint16_t)id;
    info = amqp_method_info((enum amqp_method_id)id);
    if (info == NULL)
        return amqp_error_set(err, AMQP_COMMAND_INVALID, class_id, method_id,
                              "unimplemented method");

    field = info->fields;
    while (field->type != AMQP_FIELD_END && field_skip(&r, field->type))
        field++;
    if (field->type != AMQP_FIELD_END)
        return amqp_error_set(err, AMQP_FRAME_ERROR, class_id, method_id,
                              "cannot decode %s: it ends inside field '%s'", info->name,
                              field->name != NULL ? field->name : "reserved");
    return amqp_error_set(err, AMQP_FRAME_ERROR, class_id, method_id,
                          "cannot decode %s: %zu octets too many", info->name,
                          (size_t)(r.end - r.at));
}

/* What a field's octets have to be beyond being there. `id` is the method's, `name` the field's. */
static int check_text(struct bytes b, enum amqp_method_id id, const char *name,
                      struct amqp_error *err)
{
    if (amqp_method_has_content(id) || amqp_utf8_valid(b))
        return 0;
    return amqp_error_set(err, AMQP_FRAME_ERROR, amqp_method_class(id), amqp_method_number(id),
                          "Malformed UTF-8 in shortstr: %s, field '%s'", amqp_method_name(id),
                          name);
}

static int check_table(struct amqp_table t, enum amqp_method_id id, struct amqp_error *err)
{
    int rc = amqp_table_validate(t.encoded, &AMQP_TABLE_LIMITS, err);

    if (rc < 0 && err != NULL) {
        err->class_id = amqp_method_class(id);
        err->method_id = amqp_method_number(id);
    }
    return rc;
}

#define CHECK_bit(value, name) 0
#define CHECK_octet(value, name) 0
#define CHECK_short(value, name) 0
#define CHECK_long(value, name) 0
#define CHECK_longlong(value, name) 0
#define CHECK_longstr(value, name) 0
#define CHECK_shortstr(value, name) check_text(value, id, name, err)
#define CHECK_table(value, name) check_table(value, id, err)

/* check_queue_declare(in, err) and so on. */
#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    static int check_##class##_##method(const struct amqp_##class##_##method *in, \
                                        struct amqp_error *err) \
    { \
        const enum amqp_method_id id = AMQP_##ENUM; \
        int rc = 0; \
\
        (void)id; \
        (void)in; \
        (void)err;
#define AMQP_FIELD(type, name) \
    rc = CHECK_##type(in->name, #name); \
    if (rc < 0) \
        return rc;
#define AMQP_METHOD_END(ENUM, class, method) \
    return rc; \
    }
#include "amqp/methods.def"

int amqp_method_decode(struct bytes payload, struct amqp_method *out, struct amqp_error *err)
{
    if (payload.size < 4)
        return amqp_method_fail(payload, err);

    out->id = (enum amqp_method_id)amqp_load32(payload.data);
    switch (out->id) {
#define AMQP_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        if (!amqp_fields_decode_##class##_##method(payload, &out->class##_##method)) \
            return amqp_method_fail(payload, err); \
        return check_##class##_##method(&out->class##_##method, err);
#define AMQP_BARE_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        return amqp_fields_decode_##class##_##method(payload) ? 0 : amqp_method_fail(payload, err);
#include "amqp/methods.def"
    }
    return amqp_method_fail(payload, err);
}

/* ---- Encoding ---- */

size_t amqp_method_encoded_size(const struct amqp_method *m)
{
    switch (m->id) {
#define AMQP_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        return amqp_fields_size_##class##_##method(&m->class##_##method);
#define AMQP_BARE_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        return amqp_fields_size_##class##_##method();
#include "amqp/methods.def"
    }
    assert(false && "a method of no known id");
    return 0;
}

static uint8_t *method_store(uint8_t *out, const struct amqp_method *m)
{
    switch (m->id) {
#define AMQP_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        return amqp_fields_encode_##class##_##method(out, &m->class##_##method);
#define AMQP_BARE_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        return amqp_fields_encode_##class##_##method(out);
#include "amqp/methods.def"
    }
    assert(false && "a method of no known id");
    return out;
}

size_t amqp_method_encode(const struct amqp_method *m, uint8_t *out)
{
    return (size_t)(method_store(out, m) - out);
}

void amqp_method_frame_encode(uint16_t channel, const struct amqp_method *m, struct buffer *out)
{
    uint8_t *frame = buffer_reserve(out, amqp_method_encoded_size(m) + AMQP_FRAME_OVERHEAD);
    uint8_t *end = method_store(frame + AMQP_FRAME_HEADER_SIZE, m);

    out->size += amqp_method_frame_close(frame, channel, end);
}
