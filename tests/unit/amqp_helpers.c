#include "tests/unit/amqp_helpers.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define INVENTED_TABLE_DEPTH 4

/* ---- Octets ---- */

static uint8_t nibble(char c)
{
    ck_assert_msg(isxdigit((unsigned char)c), "'%c' is no hexadecimal digit", c);
    return (uint8_t)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

/* What octets() made: reachable from here, so that no leak is seen in it. */
struct kept {
    struct kept *next;
    uint8_t octets[];
};

static struct kept *all_kept;

static struct bytes keep(struct bytes b)
{
    struct kept *k = malloc(sizeof(*k) + b.size);

    ck_assert_ptr_nonnull(k);
    if (b.size != 0)
        memcpy(k->octets, b.data, b.size);
    k->next = all_kept;
    all_kept = k;
    return bytes_of(k->octets, b.size);
}

struct bytes octets(const char *notation)
{
    struct buffer b;
    struct bytes kept;

    buffer_init(&b);
    for (const char *p = notation; *p != '\0'; p++) {
        if (*p == '\'') {
            const char *end = strchr(p + 1, '\'');

            ck_assert_ptr_nonnull(end);
            buffer_append(&b, bytes_of(p + 1, (size_t)(end - p - 1)));
            p = end;
        } else if (*p != ' ') {
            uint8_t octet = (uint8_t)(nibble(p[0]) << 4 | nibble(p[1]));

            buffer_append(&b, bytes_of(&octet, 1));
            p++;
        }
    }
    kept = keep(buffer_bytes(&b));
    buffer_free(&b);
    return kept;
}

struct bytes exact_copy(struct bytes b)
{
    uint8_t *copy = malloc(b.size != 0 ? b.size : 1);

    ck_assert_ptr_nonnull(copy);
    if (b.size != 0)
        memcpy(copy, b.data, b.size);
    return bytes_of(copy, b.size);
}

static void print_octets(const char *label, struct bytes b)
{
    fprintf(stderr, "%s (%zu):", label, b.size);
    for (size_t i = 0; i < b.size; i++)
        fprintf(stderr, " %02x", b.data[i]);
    fputc('\n', stderr);
}

void expect_octets(struct bytes got, struct bytes wanted, const char *what)
{
    if (bytes_equal(got, wanted))
        return;
    print_octets("got", got);
    print_octets("wanted", wanted);
    ck_abort_msg("%s: other octets", what);
}

/* ---- Inventions ---- */

void invention_begin(struct invention *in, uint64_t seed)
{
    in->seed = seed;
    random_sequence_seed(&in->random, seed);
    arena_init(&in->arena);
}

void invention_end(struct invention *in)
{
    arena_free(&in->arena);
}

uint64_t first_seed(void)
{
    const char *given = getenv("AMQP_TEST_SEED");
    uint32_t drawn;

    if (given != NULL)
        return strtoull(given, NULL, 10);
    random_bytes(&drawn, sizeof(drawn));
    return drawn;
}

static uint64_t below(struct invention *in, uint64_t bound)
{
    return random_sequence_below(&in->random, bound);
}

static uint64_t any64(struct invention *in)
{
    return random_sequence_next(&in->random);
}

static size_t invent_length(struct invention *in, size_t max)
{
    switch (below(in, 8)) {
    case 0:
        return 0;
    case 1:
        return max;
    case 2:
        return below(in, max + 1);
    default:
        return below(in, 12);
    }
}

struct bytes invent_text(struct invention *in)
{
    static const char *const pieces[] = {"a", "q", ".", "#", "é", "ß", "€", "兎", "🐇"};
    size_t length = invent_length(in, AMQP_SHORTSTR_MAX);
    uint8_t *out = arena_alloc(&in->arena, length + 1);
    size_t n = 0;

    while (n < length) {
        struct bytes piece = text(pieces[below(in, sizeof(pieces) / sizeof(pieces[0]))]);

        if (n + piece.size > length)
            piece = text("x");
        memcpy(out + n, piece.data, piece.size);
        n += piece.size;
    }
    return bytes_of(out, n);
}

static struct bytes invent_octets(struct invention *in)
{
    size_t length = invent_length(in, 600);
    uint8_t *out = arena_alloc(&in->arena, length + 1);

    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)any64(in);
    return bytes_of(out, length);
}

static struct value invent_value(struct invention *in, unsigned depth);

static struct value_array invent_array(struct invention *in, unsigned depth)
{
    struct value_array array = {.items = NULL};
    size_t count = below(in, 5);

    for (size_t i = 0; i < count; i++)
        value_array_append(&in->arena, &array, invent_value(in, depth));
    return array;
}

static struct value invent_value(struct invention *in, unsigned depth)
{
    static const enum value_type types[] = {
        VALUE_BOOLEAN, VALUE_INT8,   VALUE_UINT8,     VALUE_INT16,  VALUE_UINT16, VALUE_INT32,
        VALUE_UINT32,  VALUE_INT64,  VALUE_FLOAT,     VALUE_DOUBLE, VALUE_VOID,   VALUE_BYTES,
        VALUE_DECIMAL, VALUE_STRING, VALUE_TIMESTAMP, VALUE_ARRAY,  VALUE_TABLE,
    };
    size_t nested = 2;
    size_t count = sizeof(types) / sizeof(types[0]);
    uint64_t bits = any64(in);
    struct value v = {.type = types[below(in, depth > 0 ? count : count - nested)]};

    switch (v.type) {
    case VALUE_BOOLEAN:
        v.boolean = bits & 1;
        break;
    case VALUE_INT8:
        v.integer = (int8_t)bits;
        break;
    case VALUE_UINT8:
        v.integer = (uint8_t)bits;
        break;
    case VALUE_INT16:
        v.integer = (int16_t)bits;
        break;
    case VALUE_UINT16:
        v.integer = (uint16_t)bits;
        break;
    case VALUE_INT32:
        v.integer = (int32_t)bits;
        break;
    case VALUE_UINT32:
        v.integer = (uint32_t)bits;
        break;
    case VALUE_INT64:
    case VALUE_TIMESTAMP:
        v.integer = (int64_t)bits;
        break;
    case VALUE_FLOAT:
        v.real = (double)(float)((double)(int64_t)bits / 1e6);
        break;
    case VALUE_DOUBLE:
        v.real = (double)(int64_t)bits / 1e6;
        break;
    case VALUE_DECIMAL:
        v.decimal.scale = (uint8_t)(bits >> 32);
        v.decimal.unscaled = (int32_t)bits;
        break;
    case VALUE_STRING:
        v.bytes = invent_text(in);
        break;
    case VALUE_BYTES:
        v.bytes = invent_octets(in);
        break;
    case VALUE_ARRAY:
        v.array = invent_array(in, depth - 1);
        break;
    case VALUE_TABLE:
        v.table = invent_table(in, depth - 1);
        break;
    case VALUE_VOID:
        break;
    }
    return v;
}

struct table invent_table(struct invention *in, unsigned depth)
{
    struct table t = table_empty();
    size_t count = below(in, 7);

    for (size_t i = 0; i < count; i++) {
        struct bytes key = invent_text(in);

        if (table_get_bytes(&t, key) == NULL)
            table_append(&in->arena, &t, key, invent_value(in, depth));
    }
    return t;
}

struct amqp_table invent_encoded_table(struct invention *in)
{
    struct table t = invent_table(in, INVENTED_TABLE_DEPTH);
    struct amqp_table encoded;
    struct buffer b;

    buffer_init(&b);
    amqp_table_encode_fields(&t, &b);
    encoded.encoded = arena_copy(&in->arena, buffer_bytes(&b));
    buffer_free(&b);
    return encoded;
}

#define INVENT_bit(in) (any64(in) & 1)
#define INVENT_octet(in) (uint8_t) any64(in)
#define INVENT_short(in) (uint16_t) any64(in)
#define INVENT_long(in) (uint32_t) any64(in)
#define INVENT_longlong(in) any64(in)
#define INVENT_shortstr(in) invent_text(in)
#define INVENT_longstr(in) invent_octets(in)
#define INVENT_table(in) invent_encoded_table(in)

struct amqp_properties invent_properties(struct invention *in)
{
    struct amqp_properties p = {.present = (uint16_t)(any64(in) & AMQP_PROPERTY_ALL)};

#define AMQP_PROPERTY(ENUM, type, name, bit) \
    if (amqp_properties_has(&p, AMQP_PROPERTY_##ENUM)) \
        p.name = INVENT_##type(in);
#include "amqp/properties.def"
    return p;
}

#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    static void invent_##class##_##method(struct invention *in, \
                                          struct amqp_##class##_##method *out) \
    {
#define AMQP_FIELD(type, name) out->name = INVENT_##type(in);
#define AMQP_METHOD_END(ENUM, class, method) }
#include "amqp/methods.def"

struct amqp_method invent_method(struct invention *in, enum amqp_method_id id)
{
    struct amqp_method m = {.id = id};

    switch (id) {
#define AMQP_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        invent_##class##_##method(in, &m.class##_##method); \
        break;
#define AMQP_BARE_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        break;
#include "amqp/methods.def"
    }
    return m;
}

/* ---- Equality ---- */

#define EQUAL_bit(a, b) ((a) == (b))
#define EQUAL_octet(a, b) ((a) == (b))
#define EQUAL_short(a, b) ((a) == (b))
#define EQUAL_long(a, b) ((a) == (b))
#define EQUAL_longlong(a, b) ((a) == (b))
#define EQUAL_shortstr(a, b) bytes_equal(a, b)
#define EQUAL_longstr(a, b) bytes_equal(a, b)
#define EQUAL_table(a, b) bytes_equal((a).encoded, (b).encoded)

#define AMQP_METHOD(ENUM, class, method, name, class_id, method_id, direction, wait, content) \
    static bool equal_##class##_##method(const struct amqp_##class##_##method *a, \
                                         const struct amqp_##class##_##method *b) \
    { \
        return true
#define AMQP_FIELD(type, name) &&EQUAL_##type(a->name, b->name)
#define AMQP_METHOD_END(ENUM, class, method) \
    ; \
    }
#include "amqp/methods.def"

bool methods_equal(const struct amqp_method *a, const struct amqp_method *b)
{
    if (a->id != b->id)
        return false;
    switch (a->id) {
#define AMQP_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        return equal_##class##_##method(&a->class##_##method, &b->class##_##method);
#define AMQP_BARE_METHOD_END(ENUM, class, method) \
    case AMQP_##ENUM: \
        return true;
#include "amqp/methods.def"
    }
    return false;
}

bool properties_equal(const struct amqp_properties *a, const struct amqp_properties *b)
{
    if (a->present != b->present)
        return false;
#define AMQP_PROPERTY(ENUM, type, name, bit) \
    if (!EQUAL_##type(a->name, b->name)) \
        return false;
#include "amqp/properties.def"
    return true;
}

struct bytes encoded_method(struct invention *in, const struct amqp_method *m)
{
    size_t size = amqp_method_encoded_size(m);
    uint8_t *out = arena_alloc(&in->arena, size);

    ck_assert_uint_eq(amqp_method_encode(m, out), size);
    return bytes_of(out, size);
}
