#include "amqp/table.h"
#include "tests/unit/amqp_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define SEEDS 3000

/* Empty when a test begins, as each is a process; gone with it. */
static struct arena arena;

/* The table in `notation`, which is expected to be valid. */
static struct table decoded(const char *notation)
{
    struct table t;
    struct amqp_error err = {.code = 0};
    int rc = amqp_table_decode(&arena, octets(notation), &t, &err);

    ck_assert_msg(rc == 0, "%s: %s", notation, err.text);
    return t;
}

/* The one value in `notation`, under the key "k". */
static struct value decoded_value(const char *notation)
{
    struct table t = decoded(notation);

    ck_assert_uint_eq(t.count, 1);
    ck_assert(bytes_equal_string(t.fields[0].key, "k"));
    return t.fields[0].value;
}

static void expect_refused(struct bytes encoded, const char *error_text)
{
    struct table t;
    struct amqp_error err = {.code = 0};

    ck_assert_msg(amqp_table_validate(encoded, &AMQP_TABLE_LIMITS, &err) == -EPROTO, "%s",
                  error_text);
    ck_assert_uint_eq(err.code, AMQP_SYNTAX_ERROR);
    ck_assert_str_eq(err.text, error_text);
    ck_assert_int_eq(amqp_table_decode(&arena, encoded, &t, NULL), -EPROTO);
    ck_assert_uint_eq(t.count, 0);
}

/* ---- Literal octets ---- */

START_TEST(integers_have_their_width_and_sign)
{
    static const struct {
        const char *notation;
        enum value_type type;
        int64_t integer;
    } cases[] = {
        {"01'k' 'b' 7f", VALUE_INT8, 127},
        {"01'k' 'b' 80", VALUE_INT8, -128},
        {"01'k' 'B' ff", VALUE_UINT8, 255},
        {"01'k' 's' 8000", VALUE_INT16, -32768},
        {"01'k' 'u' ffff", VALUE_UINT16, 65535},
        {"01'k' 'I' 80000000", VALUE_INT32, INT32_MIN},
        {"01'k' 'I' 0000ea60", VALUE_INT32, 60000},
        {"01'k' 'i' ffffffff", VALUE_UINT32, UINT32_MAX},
        {"01'k' 'l' 8000000000000000", VALUE_INT64, INT64_MIN},
        {"01'k' 'l' 7fffffffffffffff", VALUE_INT64, INT64_MAX},
        {"01'k' 'T' 0000000065a0bc00", VALUE_TIMESTAMP, 1705032704},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct value v = decoded_value(cases[i].notation);
        struct table t = table_empty();
        struct buffer b;

        ck_assert_int_eq(v.type, cases[i].type);
        ck_assert_msg(v.integer == cases[i].integer, "%s: %" PRId64, cases[i].notation, v.integer);

        buffer_init(&b);
        table_append(&arena, &t, text("k"), v);
        amqp_table_encode_fields(&t, &b);
        expect_octets(buffer_bytes(&b), octets(cases[i].notation), cases[i].notation);
        buffer_free(&b);
    }
}
END_TEST

START_TEST(other_scalars_are_read)
{
    struct value v = decoded_value("01'k' 't' 01");

    ck_assert_int_eq(v.type, VALUE_BOOLEAN);
    ck_assert(v.boolean);
    ck_assert(!decoded_value("01'k' 't' 00").boolean);
    ck_assert(decoded_value("01'k' 't' 02").boolean);

    v = decoded_value("01'k' 'f' 3fc00000");
    ck_assert_int_eq(v.type, VALUE_FLOAT);
    ck_assert_double_eq(v.real, 1.5);

    v = decoded_value("01'k' 'd' c004000000000000");
    ck_assert_int_eq(v.type, VALUE_DOUBLE);
    ck_assert_double_eq(v.real, -2.5);

    v = decoded_value("01'k' 'D' 02 0000007b");
    ck_assert_int_eq(v.type, VALUE_DECIMAL);
    ck_assert_uint_eq(v.decimal.scale, 2);
    ck_assert_int_eq(v.decimal.unscaled, 123);

    v = decoded_value("01'k' 'V'");
    ck_assert_int_eq(v.type, VALUE_VOID);
}
END_TEST

START_TEST(strings_are_views)
{
    struct bytes in = octets("01'k' 'S' 00000005 'hello' 01'x' 'x' 00000002 ff00");
    struct table t;

    ck_assert_int_eq(amqp_table_decode(&arena, in, &t, NULL), 0);
    ck_assert_uint_eq(t.count, 2);
    ck_assert_int_eq(t.fields[0].value.type, VALUE_STRING);
    ck_assert_ptr_eq(t.fields[0].key.data, in.data + 1);
    ck_assert_ptr_eq(t.fields[0].value.bytes.data, in.data + 7);
    ck_assert_uint_eq(t.fields[0].value.bytes.size, 5);
    ck_assert_int_eq(t.fields[1].value.type, VALUE_BYTES);
    expect_octets(t.fields[1].value.bytes, octets("ff00"), "binary");
}
END_TEST

/* py-amqp writes large integers so. */
START_TEST(alias_of_int64_is_read_as_int64)
{
    struct value v = decoded_value("01'k' 'L' ffffffffffffffff");

    ck_assert_int_eq(v.type, VALUE_INT64);
    ck_assert_int_eq(v.integer, -1);
}
END_TEST

START_TEST(nested_values_are_decoded)
{
    struct table t = decoded("01'a' 'A' 00000011 't'01 'F' 0000000a 01'n' 'A' 00000003 'B'05 'V'"
                             "01'z' 'F' 00000000");
    const struct value *array = table_get(&t, "a");
    const struct value *inner;

    ck_assert_int_eq(array->type, VALUE_ARRAY);
    ck_assert_uint_eq(array->array.count, 2);
    ck_assert_int_eq(array->array.items[0].type, VALUE_BOOLEAN);
    ck_assert_int_eq(array->array.items[1].type, VALUE_TABLE);
    inner = table_get(&array->array.items[1].table, "n");
    ck_assert_int_eq(inner->type, VALUE_ARRAY);
    ck_assert_uint_eq(inner->array.count, 2);
    ck_assert_int_eq(inner->array.items[0].integer, 5);
    ck_assert_int_eq(table_get(&t, "z")->type, VALUE_TABLE);
    ck_assert_uint_eq(table_get(&t, "z")->table.count, 0);
}
END_TEST

START_TEST(equal_and_empty_keys_are_kept)
{
    struct table t = decoded("01'k' 'B'01 01'k' 'B'02 00 'B'03");

    ck_assert_uint_eq(t.count, 3);
    ck_assert_int_eq(table_get(&t, "k")->integer, 1);
    ck_assert_int_eq(table_get(&t, "")->integer, 3);
}
END_TEST

START_TEST(table_is_encoded_with_its_length)
{
    struct table inner = table_empty();
    struct table t = table_empty();
    struct buffer b;

    table_append(&arena, &inner, text("n"), value_int32(-2));
    table_append(&arena, &t, text("t"), value_table(inner));
    table_append(&arena, &t, text("s"), value_string(text("hi")));

    buffer_init(&b);
    amqp_table_encode(&t, &b);
    expect_octets(buffer_bytes(&b),
                  octets("00000017 01't' 'F' 00000007 01'n' 'I' fffffffe 01's' 'S' 00000002 'hi'"),
                  "table");
    ck_assert_uint_eq(amqp_table_encoded_size(&t), b.size);
    buffer_free(&b);
}
END_TEST

START_TEST(value_is_encoded_behind_its_type)
{
    struct value v = value_string(text("hi"));
    struct buffer b;

    buffer_init(&b);
    amqp_value_encode(&v, &b);
    expect_octets(buffer_bytes(&b), octets("'S' 00000002 'hi'"), "value");
    buffer_free(&b);
}
END_TEST

START_TEST(empty_table_has_no_octets)
{
    struct table t = decoded("");
    struct buffer b;

    ck_assert_uint_eq(t.count, 0);
    buffer_init(&b);
    amqp_table_encode_fields(&t, &b);
    ck_assert_uint_eq(b.size, 0);
    amqp_table_encode(&t, &b);
    expect_octets(buffer_bytes(&b), octets("00000000"), "empty table");
    buffer_free(&b);
}
END_TEST

/* ---- Hostile tables ---- */

START_TEST(damaged_tables_are_refused_where_the_damage_is)
{
    static const struct {
        const char *notation;
        const char *error_text;
    } cases[] = {
        {"01'k' 'Z' 00", "SYNTAX_ERROR - table with an unknown type at octet 2 of 4 (0x5a)"},
        {"01'k' 00", "SYNTAX_ERROR - table with an unknown type at octet 2 of 3 (0x00)"},
        {"01'k'", "SYNTAX_ERROR - table with a key that exceeds its table at octet 0 of 2 (0x01)"},
        {"10'k'", "SYNTAX_ERROR - table with a key that exceeds its table at octet 0 of 2 (0x10)"},
        {"ff", "SYNTAX_ERROR - table with a key that exceeds its table at octet 0 of 1 (0xff)"},
        {"00", "SYNTAX_ERROR - table with a key that exceeds its table at octet 0 of 1 (0x00)"},
        {"01'k' 'l' 00000000000000",
         "SYNTAX_ERROR - table with a value that exceeds its table at octet 2 of 10 (0x6c)"},
        {"01'k' 'S' 000000",
         "SYNTAX_ERROR - table with a length that exceeds its table at octet 2 of 6 (0x53)"},
        {"01'k' 'S' 00000002 'x'",
         "SYNTAX_ERROR - table with a length that exceeds its table at octet 3 of 8 (0x00)"},
        {"01'k' 'S' ffffffff 'x'",
         "SYNTAX_ERROR - table with a length that exceeds its table at octet 3 of 8 (0xff)"},
        {"01'k' 'F' 00000004 03'abc'",
         "SYNTAX_ERROR - table with a key that exceeds its table at octet 7 of 11 (0x03)"},
        {"01'k' 'F' 00000002 01'a' 't'01",
         "SYNTAX_ERROR - table with a key that exceeds its table at octet 7 of 11 (0x01)"},
        {"01'k' 'A' 00000001 't' 01",
         "SYNTAX_ERROR - table with a value that exceeds its table at octet 7 of 9 (0x74)"},
        {"01'k' 'A' 00000005 'F' 00000001 01'k'",
         "SYNTAX_ERROR - table with a length that exceeds its table at octet 8 of 14 (0x00)"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_refused(octets(cases[i].notation), cases[i].error_text);
}
END_TEST

START_TEST(every_other_type_is_refused)
{
    static const char known[] = "tbBsuIilLfdDSATFVx";

    for (unsigned type = 1; type < 256; type++) {
        uint8_t field[] = {0, (uint8_t)type, 0, 0, 0, 0, 0, 0, 0, 0};
        struct amqp_error err;

        if (strchr(known, (int)type) != NULL)
            continue;
        ck_assert_int_eq(
            amqp_table_validate(bytes_of(field, sizeof(field)), &AMQP_TABLE_LIMITS, &err), -EPROTO);
    }
}
END_TEST

/* `depth` tables, or arrays in one table, inside one another. */
static struct bytes nested(unsigned depth, bool arrays)
{
    struct buffer b;
    uint8_t *out;
    size_t size = 0;

    buffer_init(&b);
    for (unsigned i = 1; i < depth; i++) {
        bool keyed = !arrays || i + 1 == depth;
        size_t header = keyed ? 6 : 5;

        buffer_reserve(&b, header);
        memmove(b.data + header, b.data, size);
        out = b.data;
        if (keyed)
            *out++ = 0;
        *out++ = arrays ? 'A' : 'F';
        amqp_store32(out, (uint32_t)size);
        size += header;
        b.size = size;
    }
    return buffer_bytes(&b);
}

START_TEST(depth_is_limited)
{
    struct amqp_error err = {.code = 0};
    struct table t;

    for (int arrays = 0; arrays <= 1; arrays++) {
        struct bytes deep = nested(AMQP_TABLE_DEPTH_MAX, arrays);
        struct bytes deeper = nested(AMQP_TABLE_DEPTH_MAX + 1, arrays);
        struct bytes abyss = nested(20000, arrays);

        ck_assert_int_eq(amqp_table_decode(&arena, deep, &t, &err), 0);
        ck_assert_int_eq(amqp_table_decode(&arena, deeper, &t, &err), -EPROTO);
        ck_assert_uint_eq(err.code, AMQP_SYNTAX_ERROR);
        ck_assert_ptr_nonnull(strstr(err.text, "too many levels"));
        ck_assert_ptr_nonnull(strstr(err.text, ": 32 at most"));
        ck_assert_int_eq(amqp_table_decode(&arena, abyss, &t, &err), -EPROTO);
        free((void *)deep.data);
        free((void *)deeper.data);
        free((void *)abyss.data);
    }
}
END_TEST

START_TEST(limits_may_be_lower)
{
    static const struct amqp_table_limits two_levels = {.depth = 2, .size_bytes = 100};
    static const struct amqp_table_limits ten_octets = {.depth = 100, .size_bytes = 10};
    static const struct amqp_table_limits no_table = {.depth = 0, .size_bytes = 100};
    struct bytes two = octets("01'k' 'F' 00000000");
    struct bytes three = octets("01'k' 'F' 00000006 00 'A' 00000000");
    struct amqp_error err = {.code = 0};

    ck_assert_int_eq(amqp_table_validate(two, &two_levels, NULL), 0);
    ck_assert_int_eq(amqp_table_validate(three, &two_levels, NULL), -EPROTO);
    ck_assert_int_eq(amqp_table_validate(two, &ten_octets, NULL), 0);
    ck_assert_int_eq(amqp_table_validate(three, &ten_octets, &err), -EPROTO);
    ck_assert_str_eq(err.text, "SYNTAX_ERROR - table of 13 octets, the limit is 10");
    ck_assert_int_eq(amqp_table_validate(two, &no_table, NULL), -EPROTO);
    ck_assert_int_eq(amqp_table_validate(octets(""), &no_table, NULL), 0);
}
END_TEST

/* ---- Walking without decoding ---- */

START_TEST(field_is_found_without_decoding)
{
    struct bytes in = octets("01'a' 'F' 00000004 01'k' 't' 01"
                             "01'k' 'S' 00000002 'hi' 01'k' 'B' 07 01'z' 'A' 00000002 'B' 09");
    struct value v;
    struct value item;

    ck_assert(amqp_table_find(in, "k", &v));
    ck_assert_int_eq(v.type, VALUE_STRING);
    ck_assert(bytes_equal_string(v.bytes, "hi"));
    ck_assert(!amqp_table_find(in, "x", &v));
    ck_assert(!amqp_table_find(in, "", &v));

    ck_assert(amqp_table_find(in, "a", &v));
    ck_assert_int_eq(v.type, VALUE_TABLE);
    ck_assert(amqp_table_find(v.bytes, "k", &item));
    ck_assert(item.boolean);

    ck_assert(amqp_table_find(in, "z", &v));
    ck_assert_int_eq(v.type, VALUE_ARRAY);
    ck_assert(amqp_array_next(&v.bytes, &item));
    ck_assert_int_eq(item.integer, 9);
    ck_assert(!amqp_array_next(&v.bytes, &item));
}
END_TEST

START_TEST(walk_ends_at_damage)
{
    struct bytes in = octets("01'k' 'B' 01 01'x' 'S' 00001000 'abc'");
    struct value v;

    ck_assert(amqp_table_find(in, "k", &v));
    ck_assert(!amqp_table_find(in, "x", &v));
    ck_assert(!amqp_table_find(octets("01'k' 'Z' 01'x' 'V'"), "x", &v));
}
END_TEST

/* ---- Properties ---- */

START_TEST(encoded_tables_decode_to_themselves)
{
    uint64_t seed = first_seed();

    for (uint64_t end = seed + SEEDS; seed < end; seed++) {
        struct invention in;
        struct table t, again;
        struct buffer first, second;
        int rc;

        invention_begin(&in, seed);
        buffer_init(&first);
        buffer_init(&second);
        t = invent_table(&in, 5);
        amqp_table_encode_fields(&t, &first);
        rc = amqp_table_decode(&in.arena, buffer_bytes(&first), &again, NULL);
        amqp_table_encode_fields(&again, &second);

        ck_assert_msg(rc == 0, "seed %" PRIu64, seed);
        ck_assert_msg(table_equal(&t, &again), "seed %" PRIu64, seed);
        ck_assert_msg(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)), "seed %" PRIu64,
                      seed);
        buffer_free(&first);
        buffer_free(&second);
        invention_end(&in);
    }
}
END_TEST

/* A cut is either between two fields of the outermost table or refused. */
START_TEST(cut_tables_are_refused_unless_cut_between_fields)
{
    uint64_t seed = first_seed();

    for (uint64_t end = seed + 200; seed < end; seed++) {
        struct invention in;
        struct bytes whole, rest, key;
        struct value v;
        bool *boundary;

        invention_begin(&in, seed);
        whole = invent_encoded_table(&in).encoded;
        boundary = arena_alloc(&in.arena, whole.size + 1);
        boundary[0] = true;
        for (rest = whole; amqp_table_next(&rest, &key, &v);)
            boundary[whole.size - rest.size] = true;

        for (size_t n = 0; n <= whole.size; n++) {
            struct bytes cut = exact_copy(bytes_of(whole.data, n));
            int rc = amqp_table_validate(cut, &AMQP_TABLE_LIMITS, NULL);

            ck_assert_msg((rc == 0) == boundary[n], "seed %" PRIu64 ", %zu of %zu", seed, n,
                          whole.size);
            free((void *)cut.data);
        }
        invention_end(&in);
    }
}
END_TEST

UNIT_MAIN("amqp_table", integers_have_their_width_and_sign, other_scalars_are_read,
          strings_are_views, alias_of_int64_is_read_as_int64, nested_values_are_decoded,
          equal_and_empty_keys_are_kept, table_is_encoded_with_its_length,
          value_is_encoded_behind_its_type, empty_table_has_no_octets,
          damaged_tables_are_refused_where_the_damage_is, every_other_type_is_refused,
          depth_is_limited, limits_may_be_lower, field_is_found_without_decoding,
          walk_ends_at_damage, encoded_tables_decode_to_themselves,
          cut_tables_are_refused_unless_cut_between_fields)
