#include "amqp/table.h"

#include "amqp/wire.h"

#include <assert.h>
#include <string.h>

const struct amqp_table_limits AMQP_TABLE_LIMITS = {
    .depth = AMQP_TABLE_DEPTH_MAX,
    .size_bytes = SIZE_MAX,
};

/* 'l' under the letter that some clients use for it. */
#define VALUE_INT64_ALIAS 'L'

/* How a value's octets are laid out after its type: a fixed number of them, or a length of four
 * octets and as many as it says. */
enum {
    LAYOUT_UNKNOWN = 0,
    LAYOUT_FIXED = 1, /* + the number of octets */
    LAYOUT_STRING = 0x40,
    LAYOUT_NESTED_TABLE = 0x41,
    LAYOUT_NESTED_ARRAY = 0x42,
};

static const uint8_t value_layout[256] = {
    [VALUE_BOOLEAN] = LAYOUT_FIXED + 1,     [VALUE_INT8] = LAYOUT_FIXED + 1,
    [VALUE_UINT8] = LAYOUT_FIXED + 1,       [VALUE_INT16] = LAYOUT_FIXED + 2,
    [VALUE_UINT16] = LAYOUT_FIXED + 2,      [VALUE_INT32] = LAYOUT_FIXED + 4,
    [VALUE_UINT32] = LAYOUT_FIXED + 4,      [VALUE_INT64] = LAYOUT_FIXED + 8,
    [VALUE_INT64_ALIAS] = LAYOUT_FIXED + 8, [VALUE_FLOAT] = LAYOUT_FIXED + 4,
    [VALUE_DOUBLE] = LAYOUT_FIXED + 8,      [VALUE_DECIMAL] = LAYOUT_FIXED + 5,
    [VALUE_STRING] = LAYOUT_STRING,         [VALUE_ARRAY] = LAYOUT_NESTED_ARRAY,
    [VALUE_TIMESTAMP] = LAYOUT_FIXED + 8,   [VALUE_TABLE] = LAYOUT_NESTED_TABLE,
    [VALUE_VOID] = LAYOUT_FIXED + 0,        [VALUE_BYTES] = LAYOUT_STRING,
};

/* ---- Validation ---- */

/* What is open while a table is walked: where it ends, and whether its members have keys. */
struct level {
    const uint8_t *end;
    bool keyed;
};

struct fault {
    const char *what;
    const uint8_t *at;
};

static const char TOO_MANY_LEVELS[] = "too many levels"; /* known by its address */

static bool fault_at(struct fault *fault, const uint8_t *at, const char *what)
{
    fault->what = what;
    fault->at = at;
    return false;
}

/* Walks the whole table without recursion. False with `fault` filled when it is damaged. */
static bool table_walk(struct bytes encoded, unsigned depth_max, struct fault *fault)
{
    struct level levels[AMQP_TABLE_DEPTH_MAX];
    struct level *level = levels;
    struct level *deepest = levels + depth_max - 1;
    const uint8_t *at = encoded.data;

    *level = (struct level){.end = at + encoded.size, .keyed = true};
    for (;;) {
        uint8_t layout;
        size_t size;

        if (at == level->end) {
            if (level == levels)
                return true;
            level--;
            continue;
        }

        size = level->keyed ? 1 + (size_t)*at : 0;
        if ((size_t)(level->end - at) <= size)
            return fault_at(fault, at, "a key that exceeds its table");
        at += size;
        layout = value_layout[*at];
        at++;

        if (layout < LAYOUT_STRING) {
            if (layout == LAYOUT_UNKNOWN)
                return fault_at(fault, at - 1, "an unknown type");
            size = (size_t)(layout - LAYOUT_FIXED);
            if ((size_t)(level->end - at) < size)
                return fault_at(fault, at - 1, "a value that exceeds its table");
            at += size;
            continue;
        }

        if (level->end - at < 4)
            return fault_at(fault, at - 1, "a length that exceeds its table");
        size = amqp_load32(at);
        at += 4;
        if ((size_t)(level->end - at) < size)
            return fault_at(fault, at - 4, "a length that exceeds its table");
        if (layout == LAYOUT_STRING) {
            at += size;
            continue;
        }
        if (level == deepest)
            return fault_at(fault, at - 5, TOO_MANY_LEVELS);
        level++;
        *level = (struct level){.end = at + size, .keyed = layout == LAYOUT_NESTED_TABLE};
    }
}

int amqp_table_validate(struct bytes encoded, const struct amqp_table_limits *limits,
                        struct amqp_error *err)
{
    unsigned depth = limits->depth < AMQP_TABLE_DEPTH_MAX ? limits->depth : AMQP_TABLE_DEPTH_MAX;
    struct fault fault;

    if (encoded.size == 0)
        return 0;
    if (encoded.size > limits->size_bytes)
        return amqp_error_set(err, AMQP_SYNTAX_ERROR, 0, 0, "table of %zu octets, the limit is %zu",
                              encoded.size, limits->size_bytes);
    if (depth == 0)
        return amqp_error_set(err, AMQP_SYNTAX_ERROR, 0, 0, "no table is allowed here");
    if (table_walk(encoded, depth, &fault))
        return 0;
    if (fault.what == TOO_MANY_LEVELS)
        return amqp_error_set(err, AMQP_SYNTAX_ERROR, 0, 0,
                              "table with too many levels at octet %zu of %zu: %u at most",
                              (size_t)(fault.at - encoded.data), encoded.size, depth);
    return amqp_error_set(err, AMQP_SYNTAX_ERROR, 0, 0,
                          "table with %s at octet %zu of %zu (0x%02x)", fault.what,
                          (size_t)(fault.at - encoded.data), encoded.size, *fault.at);
}

/* ---- Reading ---- */

static double load_float(const uint8_t *p)
{
    uint32_t bits = amqp_load32(p);
    float f;

    memcpy(&f, &bits, sizeof(f));
    return (double)f;
}

static double load_double(const uint8_t *p)
{
    uint64_t bits = amqp_load64(p);
    double d;

    memcpy(&d, &bits, sizeof(d));
    return d;
}

/* `p` has the octets of the type's layout. */
static void fixed_value_load(uint8_t type, const uint8_t *p, struct value *out)
{
    out->type = type == VALUE_INT64_ALIAS ? VALUE_INT64 : (enum value_type)type;
    switch (out->type) {
    case VALUE_BOOLEAN:
        out->boolean = *p != 0;
        return;
    case VALUE_INT8:
        out->integer = (int8_t)*p;
        return;
    case VALUE_UINT8:
        out->integer = *p;
        return;
    case VALUE_INT16:
        out->integer = (int16_t)amqp_load16(p);
        return;
    case VALUE_UINT16:
        out->integer = amqp_load16(p);
        return;
    case VALUE_INT32:
        out->integer = (int32_t)amqp_load32(p);
        return;
    case VALUE_UINT32:
        out->integer = amqp_load32(p);
        return;
    case VALUE_INT64:
    case VALUE_TIMESTAMP:
        out->integer = (int64_t)amqp_load64(p);
        return;
    case VALUE_FLOAT:
        out->real = load_float(p);
        return;
    case VALUE_DOUBLE:
        out->real = load_double(p);
        return;
    case VALUE_DECIMAL:
        out->decimal.scale = *p;
        out->decimal.unscaled = (int32_t)amqp_load32(p + 1);
        return;
    case VALUE_VOID:
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_TABLE:
        return;
    }
}

static struct bytes bytes_from(struct bytes b, size_t n)
{
    return bytes_of(b.data + n, b.size - n);
}

/* Takes a value off the front; what is nested stays encoded, in `bytes`. */
static bool value_next(struct bytes *rest, struct value *out)
{
    uint8_t type, layout;
    size_t size;

    if (rest->size < 1)
        return false;
    type = rest->data[0];
    layout = value_layout[type];
    if (layout == LAYOUT_UNKNOWN)
        return false;
    *rest = bytes_from(*rest, 1);

    if (layout < LAYOUT_STRING) {
        size = (size_t)(layout - LAYOUT_FIXED);
        if (rest->size < size)
            return false;
        fixed_value_load(type, rest->data, out);
        *rest = bytes_from(*rest, size);
        return true;
    }

    if (rest->size < 4)
        return false;
    size = amqp_load32(rest->data);
    *rest = bytes_from(*rest, 4);
    if (rest->size < size)
        return false;
    out->type = (enum value_type)type;
    out->bytes = bytes_of(rest->data, size);
    *rest = bytes_from(*rest, size);
    return true;
}

/* Takes a key off the front. */
static bool key_next(struct bytes *rest, struct bytes *key)
{
    size_t n;

    if (rest->size < 1)
        return false;
    n = rest->data[0];
    if (rest->size - 1 < n)
        return false;
    *key = bytes_of(rest->data + 1, n);
    *rest = bytes_from(*rest, 1 + n);
    return true;
}

bool amqp_table_next(struct bytes *rest, struct bytes *key, struct value *out)
{
    return key_next(rest, key) && value_next(rest, out);
}

bool amqp_array_next(struct bytes *rest, struct value *out)
{
    return value_next(rest, out);
}

/* Takes a value off the front unread. */
static bool value_skip(struct bytes *rest)
{
    uint8_t layout;
    size_t size;

    if (rest->size < 1)
        return false;
    layout = value_layout[rest->data[0]];
    if (layout == LAYOUT_UNKNOWN)
        return false;

    size = 1 + (size_t)(layout - LAYOUT_FIXED);
    if (layout >= LAYOUT_STRING) {
        if (rest->size < 5)
            return false;
        size = 5 + (size_t)amqp_load32(rest->data + 1);
    }
    if (rest->size < size)
        return false;
    *rest = bytes_from(*rest, size);
    return true;
}

bool amqp_table_find(struct bytes encoded, const char *key, struct value *out)
{
    struct bytes wanted = bytes_from_string(key);
    struct bytes name;

    while (key_next(&encoded, &name)) {
        if (bytes_equal(name, wanted))
            return value_next(&encoded, out);
        if (!value_skip(&encoded))
            return false;
    }
    return false;
}

static void table_build(struct arena *arena, struct bytes encoded, struct table *out);

static void array_build(struct arena *arena, struct bytes encoded, struct value_array *out);

/* Replaces the encoded content of a nested value by the decoded one. The depth has been checked. */
static void nested_build(struct arena *arena, struct value *v)
{
    struct bytes encoded;

    if (v->type == VALUE_TABLE) {
        encoded = v->bytes;
        table_build(arena, encoded, &v->table);
    } else if (v->type == VALUE_ARRAY) {
        encoded = v->bytes;
        array_build(arena, encoded, &v->array);
    }
}

static void array_build(struct arena *arena, struct bytes encoded, struct value_array *out)
{
    struct value v;

    *out = (struct value_array){.items = NULL};
    while (value_next(&encoded, &v)) {
        nested_build(arena, &v);
        value_array_append(arena, out, v);
    }
}

static void table_build(struct arena *arena, struct bytes encoded, struct table *out)
{
    struct bytes key;
    struct value v;

    *out = table_empty();
    while (amqp_table_next(&encoded, &key, &v)) {
        nested_build(arena, &v);
        table_append(arena, out, key, v);
    }
}

int amqp_table_decode(struct arena *arena, struct bytes encoded, struct table *out,
                      struct amqp_error *err)
{
    int rc;

    *out = table_empty();
    rc = amqp_table_validate(encoded, &AMQP_TABLE_LIMITS, err);
    if (rc < 0)
        return rc;
    table_build(arena, encoded, out);
    return 0;
}

/* ---- Writing ---- */

static size_t value_encoded_size(const struct value *v)
{
    size_t size = 1;

    switch (v->type) {
    case VALUE_BOOLEAN:
    case VALUE_INT8:
    case VALUE_UINT8:
    case VALUE_INT16:
    case VALUE_UINT16:
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
    case VALUE_DECIMAL:
    case VALUE_TIMESTAMP:
    case VALUE_VOID:
        return size + (size_t)(value_layout[v->type] - LAYOUT_FIXED);
    case VALUE_STRING:
    case VALUE_BYTES:
        return size + 4 + v->bytes.size;
    case VALUE_ARRAY:
        size += 4;
        for (uint32_t i = 0; i < v->array.count; i++)
            size += value_encoded_size(&v->array.items[i]);
        return size;
    case VALUE_TABLE:
        return size + amqp_table_encoded_size(&v->table);
    }
    assert(false && "a value of no known type");
    return size;
}

size_t amqp_table_encoded_size(const struct table *t)
{
    size_t size = 4;

    for (uint32_t i = 0; i < t->count; i++)
        size += 1 + t->fields[i].key.size + value_encoded_size(&t->fields[i].value);
    return size;
}

static uint8_t *table_store_fields(uint8_t *p, const struct table *t);

static uint8_t *store_float(uint8_t *p, double real)
{
    float f = (float)real;
    uint32_t bits;

    memcpy(&bits, &f, sizeof(bits));
    return amqp_store32(p, bits);
}

static uint8_t *store_double(uint8_t *p, double real)
{
    uint64_t bits;

    memcpy(&bits, &real, sizeof(bits));
    return amqp_store64(p, bits);
}

/* Writes a length in front of what has been written from `p` + 4 to `end`. */
static uint8_t *store_length(uint8_t *p, uint8_t *end)
{
    amqp_store32(p, (uint32_t)(end - p - 4));
    return end;
}

static uint8_t *value_store(uint8_t *p, const struct value *v)
{
    uint8_t *end;

    p = amqp_store8(p, (uint8_t)v->type);
    switch (v->type) {
    case VALUE_BOOLEAN:
        return amqp_store8(p, v->boolean);
    case VALUE_INT8:
    case VALUE_UINT8:
        return amqp_store8(p, (uint8_t)v->integer);
    case VALUE_INT16:
    case VALUE_UINT16:
        return amqp_store16(p, (uint16_t)v->integer);
    case VALUE_INT32:
    case VALUE_UINT32:
        return amqp_store32(p, (uint32_t)v->integer);
    case VALUE_INT64:
    case VALUE_TIMESTAMP:
        return amqp_store64(p, (uint64_t)v->integer);
    case VALUE_FLOAT:
        return store_float(p, v->real);
    case VALUE_DOUBLE:
        return store_double(p, v->real);
    case VALUE_DECIMAL:
        p = amqp_store8(p, v->decimal.scale);
        return amqp_store32(p, (uint32_t)v->decimal.unscaled);
    case VALUE_STRING:
    case VALUE_BYTES:
        return amqp_store_longstr(p, v->bytes);
    case VALUE_ARRAY:
        end = p + 4;
        for (uint32_t i = 0; i < v->array.count; i++)
            end = value_store(end, &v->array.items[i]);
        return store_length(p, end);
    case VALUE_TABLE:
        return store_length(p, table_store_fields(p + 4, &v->table));
    case VALUE_VOID:
        return p;
    }
    assert(false && "a value of no known type");
    return p;
}

static uint8_t *table_store_fields(uint8_t *p, const struct table *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        assert(t->fields[i].key.size <= AMQP_SHORTSTR_MAX);
        p = amqp_store_shortstr(p, t->fields[i].key);
        p = value_store(p, &t->fields[i].value);
    }
    return p;
}

/* Takes over what has been written behind the content. */
static void buffer_extend_to(struct buffer *b, const uint8_t *end)
{
    b->size = (size_t)(end - b->data);
}

void amqp_table_encode(const struct table *t, struct buffer *out)
{
    uint8_t *p = buffer_reserve(out, amqp_table_encoded_size(t));

    buffer_extend_to(out, store_length(p, table_store_fields(p + 4, t)));
}

void amqp_table_encode_fields(const struct table *t, struct buffer *out)
{
    size_t size = amqp_table_encoded_size(t) - 4;

    if (size != 0)
        buffer_extend_to(out, table_store_fields(buffer_reserve(out, size), t));
}

void amqp_value_encode(const struct value *v, struct buffer *out)
{
    uint8_t *p = buffer_reserve(out, value_encoded_size(v));

    buffer_extend_to(out, value_store(p, v));
}
