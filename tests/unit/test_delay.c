#include "broker/delay.h"

#include "tests/unit/unit.h"

static struct value integer(enum value_type type, int64_t n)
{
    return (struct value){.type = type, .integer = n};
}

static struct value text(const char *s)
{
    return value_string(bytes_from_string(s));
}

static struct value real(double d)
{
    return (struct value){.type = VALUE_DOUBLE, .real = d};
}

static void expect_delay(struct value v, int64_t expected)
{
    ck_assert_int_eq(delay_of(&v), expected);
}

START_TEST(integers_of_every_width_are_delays)
{
    static const enum value_type widths[] = {VALUE_INT8,  VALUE_UINT8,  VALUE_INT16, VALUE_UINT16,
                                             VALUE_INT32, VALUE_UINT32, VALUE_INT64};

    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        expect_delay(integer(widths[i], 1), 1);
        expect_delay(integer(widths[i], 127), 127);
        expect_delay(integer(widths[i], 0), 0);
    }
    expect_delay(integer(VALUE_INT8, -1), 0);
    expect_delay(integer(VALUE_INT64, INT64_MIN), 0);
}
END_TEST

START_TEST(delay_has_a_limit)
{
    expect_delay(integer(VALUE_INT64, 4294967295), 4294967295);
    expect_delay(integer(VALUE_INT64, 4294967296), 0);
    expect_delay(integer(VALUE_INT64, INT64_MAX), 0);
    expect_delay(text("4294967295"), 4294967295);
    expect_delay(text("4294967296"), 0);
    expect_delay(text("18446744073709551617"), 0); /* 1 in 64 bits */
    expect_delay(real(4294967295.5), 4294967295);
    expect_delay(real(4294967296.0), 0);
    expect_delay(real(1e300), 0);
}
END_TEST

START_TEST(strings_and_fractions_are_read)
{
    expect_delay(text("500"), 500);
    expect_delay(text("+007"), 7);
    expect_delay(text("-5"), 0);
    expect_delay(text(""), 0);
    expect_delay(text("+"), 0);
    expect_delay(text("5s"), 0);
    expect_delay(text(" 5"), 0);
    expect_delay(text("00000000000000000000000000000000000000001"), 0); /* nobody writes so */
    expect_delay(real(2.9), 2);
    expect_delay(real(0.9), 0);
    expect_delay(real(-3), 0);
    expect_delay((struct value){.type = VALUE_FLOAT, .real = 8.0}, 8);
}
END_TEST

START_TEST(other_types_are_none)
{
    expect_delay(value_boolean(true), 0);
    expect_delay(value_void(), 0);
    expect_delay(value_timestamp(5), 0);
    expect_delay(value_table(table_empty()), 0);
    ck_assert_int_eq(delay_of(NULL), 0);
}
END_TEST

START_TEST(done_is_the_negative_in_its_place)
{
    struct table headers = table_empty();
    struct arena arena;

    arena_init(&arena);
    table_set(&arena, &headers, "a", value_int32(1));
    table_set(&arena, &headers, "x-delay", text("500"));
    table_set(&arena, &headers, "b", value_int32(2));
    delay_mark_done(&arena, &headers);
    ck_assert_uint_eq(headers.count, 3);
    ck_assert(bytes_equal_string(headers.fields[1].key, "x-delay"));
    ck_assert_int_eq(headers.fields[1].value.type, VALUE_INT32);
    ck_assert_int_eq(headers.fields[1].value.integer, -500);
    ck_assert_int_eq(delay_of(&headers.fields[1].value), 0);
    arena_free(&arena);
}
END_TEST

START_TEST(done_of_a_long_delay_keeps_its_value)
{
    struct table headers = table_empty();
    struct arena arena;

    arena_init(&arena);
    table_set(&arena, &headers, "x-delay", value_int64(INT64_C(2147483648)));
    delay_mark_done(&arena, &headers);
    ck_assert_int_eq(headers.fields[0].value.type, VALUE_INT32);
    ck_assert_int_eq(headers.fields[0].value.integer, INT32_MIN);
    table_set(&arena, &headers, "x-delay", value_int64(4294967295));
    delay_mark_done(&arena, &headers);
    ck_assert_int_eq(headers.fields[0].value.type, VALUE_INT64);
    ck_assert_int_eq(headers.fields[0].value.integer, -4294967295);
    arena_free(&arena);
}
END_TEST

UNIT_MAIN("delay", integers_of_every_width_are_delays, delay_has_a_limit,
          strings_and_fractions_are_read, other_types_are_none, done_is_the_negative_in_its_place,
          done_of_a_long_delay_keeps_its_value)
