#include "base/table.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>

static struct arena arena;

static void start(void)
{
    arena_init(&arena);
}

static void finish(void)
{
    arena_free(&arena);
}

static struct value text(const char *s)
{
    return value_string(bytes_from_string(s));
}

static struct value integer(enum value_type type, int64_t n)
{
    return (struct value){.type = type, .integer = n};
}

static struct value real(enum value_type type, double d)
{
    return (struct value){.type = type, .real = d};
}

static struct value decimal(uint8_t scale, int32_t unscaled)
{
    return (struct value){.type = VALUE_DECIMAL, .decimal = {.scale = scale, .unscaled = unscaled}};
}

static struct value binary(const char *s)
{
    return (struct value){.type = VALUE_BYTES, .bytes = bytes_from_string(s)};
}

static void append(struct table *t, const char *key, struct value v)
{
    table_append(&arena, t, bytes_from_string(key), v);
}

static bool equal(struct value a, struct value b)
{
    bool result = value_equal(&a, &b);

    ck_assert_int_eq(value_equal(&b, &a), result);
    return result;
}

/* A table and an array with everything nested that there is. */
static struct table nested_table(void)
{
    struct table outer = table_empty(), inner = table_empty();
    struct value_array array = {.items = NULL, .count = 0, .capacity = 0};

    append(&inner, "reason", text("expired"));
    append(&inner, "count", value_int64(3));
    value_array_append(&arena, &array, value_table(inner));
    value_array_append(&arena, &array, binary("blob"));
    append(&outer, "x-death", value_array(array));
    append(&outer, "x-first-death-queue", text("orders"));
    append(&outer, "nothing", value_void());
    append(&outer, "price", decimal(2, 1999));
    return outer;
}

START_TEST(field_is_found_by_its_key)
{
    struct table t = table_empty();

    start();
    ck_assert_ptr_null(table_get(&t, "a"));
    append(&t, "a", value_int32(1));
    append(&t, "ab", value_int32(2));
    ck_assert_int_eq(table_get(&t, "a")->integer, 1);
    ck_assert_int_eq(table_get_bytes(&t, bytes_of("abc", 2))->integer, 2);
    ck_assert_ptr_null(table_get(&t, "abc"));
    ck_assert_ptr_null(table_get(&t, ""));
    finish();
}
END_TEST

START_TEST(first_of_equal_keys_counts)
{
    struct table t = table_empty();

    start();
    append(&t, "a", value_int32(1));
    append(&t, "a", value_int32(2));
    ck_assert_uint_eq(t.count, 2);
    ck_assert_int_eq(table_get(&t, "a")->integer, 1);
    finish();
}
END_TEST

START_TEST(set_replaces_in_place_and_owns_its_key)
{
    struct table t = table_empty();
    char key[] = "a";

    start();
    table_set(&arena, &t, key, value_int32(1));
    key[0] = 'x';
    table_set(&arena, &t, "b", value_int32(2));
    table_set(&arena, &t, "a", value_int32(3));
    ck_assert_uint_eq(t.count, 2);
    ck_assert(bytes_equal_string(t.fields[0].key, "a"));
    ck_assert_int_eq(t.fields[0].value.integer, 3);
    finish();
}
END_TEST

START_TEST(fields_keep_their_order_as_the_table_grows)
{
    struct table t = table_empty();

    start();
    for (int32_t i = 0; i < 1000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        table_set(&arena, &t, key, value_int32(i));
    }
    ck_assert_uint_eq(t.count, 1000);
    for (uint32_t i = 0; i < 1000; i++)
        ck_assert_int_eq(t.fields[i].value.integer, i);
    finish();
}
END_TEST

START_TEST(removal_closes_the_gap)
{
    struct table t = table_empty();

    start();
    append(&t, "a", value_int32(1));
    append(&t, "b", value_int32(2));
    append(&t, "c", value_int32(3));
    ck_assert(table_remove(&t, "b"));
    ck_assert(!table_remove(&t, "b"));
    ck_assert_uint_eq(t.count, 2);
    ck_assert(bytes_equal_string(t.fields[1].key, "c"));
    ck_assert(table_remove(&t, "c"));
    ck_assert(table_remove(&t, "a"));
    ck_assert_uint_eq(t.count, 0);
    finish();
}
END_TEST

START_TEST(array_grows_at_both_ends)
{
    struct value_array array = {.items = NULL, .count = 0, .capacity = 0};

    start();
    for (int32_t i = 0; i < 50; i++) {
        value_array_append(&arena, &array, value_int32(i));
        value_array_prepend(&arena, &array, value_int32(-1 - i));
    }
    ck_assert_uint_eq(array.count, 100);
    for (int32_t i = 0; i < 100; i++)
        ck_assert_int_eq(array.items[i].integer, i - 50);
    finish();
}
END_TEST

START_TEST(copy_is_deep)
{
    struct table original, copy;
    struct arena other;
    const struct value *death;

    start();
    arena_init(&other);
    original = nested_table();
    copy = table_copy(&other, &original);
    ck_assert(table_equal(&original, &copy));
    arena_free(&arena);

    death = &table_get(&copy, "x-death")->array.items[0];
    ck_assert(bytes_equal_string(table_get(&death->table, "reason")->bytes, "expired"));
    ck_assert(bytes_equal_string(table_get(&copy, "x-first-death-queue")->bytes, "orders"));
    ck_assert_int_eq(table_get(&copy, "price")->decimal.unscaled, 1999);
    arena_free(&other);
}
END_TEST

START_TEST(numbers_are_equal_by_value_over_all_widths)
{
    static const enum value_type integers[] = {VALUE_INT8,  VALUE_UINT8,  VALUE_INT16, VALUE_UINT16,
                                               VALUE_INT32, VALUE_UINT32, VALUE_INT64};
    static const enum value_type reals[] = {VALUE_FLOAT, VALUE_DOUBLE};

    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        for (size_t k = 0; k < sizeof(integers) / sizeof(integers[0]); k++) {
            ck_assert(equal(integer(integers[i], 1), integer(integers[k], 1)));
            ck_assert(!equal(integer(integers[i], 1), integer(integers[k], 2)));
        }
        for (size_t k = 0; k < sizeof(reals) / sizeof(reals[0]); k++) {
            ck_assert(equal(integer(integers[i], 1), real(reals[k], 1.0)));
            ck_assert(!equal(integer(integers[i], 1), real(reals[k], 1.5)));
        }
    }
    ck_assert(equal(real(VALUE_FLOAT, 0.5), real(VALUE_DOUBLE, 0.5)));
}
END_TEST

START_TEST(integer_beyond_a_doubles_precision_equals_no_double)
{
    const int64_t limit = (int64_t)1 << 53;

    ck_assert(equal(value_int64(limit), real(VALUE_DOUBLE, 0x1p53)));
    ck_assert(!equal(value_int64(limit + 1), real(VALUE_DOUBLE, 0x1p53)));
    ck_assert(!equal(value_int64(INT64_MAX), real(VALUE_DOUBLE, 0x1p63)));
    ck_assert(equal(value_int64(INT64_MIN), real(VALUE_DOUBLE, -0x1p63)));
    ck_assert(!equal(value_int64(0), real(VALUE_DOUBLE, NAN)));
    ck_assert(!equal(value_int64(INT64_MAX), real(VALUE_DOUBLE, INFINITY)));
}
END_TEST

START_TEST(other_types_are_equal_within_their_type_only)
{
    ck_assert(equal(text("a"), text("a")));
    ck_assert(!equal(text("a"), text("b")));
    ck_assert(!equal(text("a"), binary("a")));
    ck_assert(equal(binary("a"), binary("a")));
    ck_assert(!equal(text("1"), value_int32(1)));
    ck_assert(!equal(value_boolean(true), value_int32(1)));
    ck_assert(equal(value_boolean(true), value_boolean(true)));
    ck_assert(!equal(value_boolean(true), value_boolean(false)));
    ck_assert(equal(value_void(), value_void()));
    ck_assert(!equal(value_void(), value_int32(0)));
    ck_assert(equal(value_timestamp(5), value_timestamp(5)));
    ck_assert(!equal(value_timestamp(5), value_timestamp(6)));
    ck_assert(!equal(value_timestamp(5), value_int64(5)));
    ck_assert(equal(decimal(2, 100), decimal(2, 100)));
    ck_assert(!equal(decimal(2, 100), decimal(1, 100)));
    ck_assert(!equal(decimal(2, 100), decimal(2, 101)));
}
END_TEST

START_TEST(tables_are_equal_whatever_their_order)
{
    struct table a = table_empty(), b = table_empty();

    start();
    append(&a, "x", value_int32(1));
    append(&a, "y", text("2"));
    append(&b, "y", text("2"));
    append(&b, "x", value_int64(1));
    ck_assert(equal(value_table(a), value_table(b)));
    append(&b, "z", value_void());
    ck_assert(!equal(value_table(a), value_table(b)));
    append(&a, "w", value_void());
    ck_assert(!equal(value_table(a), value_table(b)));
    finish();
}
END_TEST

START_TEST(repeated_key_does_not_stand_for_a_missing_one)
{
    struct table a = table_empty(), b = table_empty();

    start();
    append(&a, "x", value_int32(1));
    append(&a, "x", value_int32(1));
    append(&b, "x", value_int32(1));
    append(&b, "y", value_int32(1));
    ck_assert(!equal(value_table(a), value_table(b)));
    finish();
}
END_TEST

START_TEST(arrays_are_equal_in_order)
{
    struct value_array a = {.items = NULL, .count = 0, .capacity = 0}, b = a;

    start();
    value_array_append(&arena, &a, value_int32(1));
    value_array_append(&arena, &a, value_int32(2));
    value_array_append(&arena, &b, value_int32(2));
    ck_assert(!equal(value_array(a), value_array(b)));
    value_array_append(&arena, &b, value_int32(1));
    ck_assert(!equal(value_array(a), value_array(b)));
    value_array_prepend(&arena, &a, value_int32(2));
    a.count = 2;
    ck_assert(equal(value_array(a), value_array(b)));
    finish();
}
END_TEST

START_TEST(types_have_the_names_clients_match_on)
{
    static const struct {
        enum value_type type;
        const char *name;
    } names[] = {
        {VALUE_BOOLEAN, "bool"},         {VALUE_INT8, "byte"},
        {VALUE_UINT8, "unsignedbyte"},   {VALUE_INT16, "short"},
        {VALUE_UINT16, "unsignedshort"}, {VALUE_INT32, "signedint"},
        {VALUE_UINT32, "unsignedint"},   {VALUE_INT64, "long"},
        {VALUE_FLOAT, "float"},          {VALUE_DOUBLE, "double"},
        {VALUE_DECIMAL, "decimal"},      {VALUE_STRING, "longstr"},
        {VALUE_ARRAY, "array"},          {VALUE_TIMESTAMP, "timestamp"},
        {VALUE_TABLE, "table"},          {VALUE_VOID, "void"},
        {VALUE_BYTES, "binary"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_str_eq(value_type_name(names[i].type), names[i].name);
}
END_TEST

UNIT_MAIN("table", field_is_found_by_its_key, first_of_equal_keys_counts,
          set_replaces_in_place_and_owns_its_key, fields_keep_their_order_as_the_table_grows,
          removal_closes_the_gap, array_grows_at_both_ends, copy_is_deep,
          numbers_are_equal_by_value_over_all_widths,
          integer_beyond_a_doubles_precision_equals_no_double,
          other_types_are_equal_within_their_type_only, tables_are_equal_whatever_their_order,
          repeated_key_does_not_stand_for_a_missing_one, arrays_are_equal_in_order,
          types_have_the_names_clients_match_on)
