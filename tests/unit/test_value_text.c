#include "broker/value_text.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct value bytes_value(const char *data, size_t size)
{
    return value_string(bytes_of(data, size));
}

static struct value real(double n)
{
    return (struct value){.type = VALUE_DOUBLE, .real = n};
}

static void expect_term(struct value v, const char *expected)
{
    char text[VALUE_TEXT_SIZE];

    value_text_term(&v, text);
    ck_assert_str_eq(text, expected);
}

/* As RabbitMQ 3.10.8 shows them. */
START_TEST(terms_read_as_erlang_prints_them)
{
    struct value decimal = {.type = VALUE_DECIMAL, .decimal = {.scale = 2, .unscaled = 150}};

    expect_term(value_boolean(true), "true");
    expect_term(value_int64(-5), "-5");
    expect_term(value_timestamp(5), "5");
    expect_term(value_void(), "undefined");
    expect_term(decimal, "{2,150}");
    expect_term(real(1.5), "1.5");
    expect_term(real(1), "1.0");
    expect_term(real(0.001), "0.001");
    expect_term(real(123456789.25), "123456789.25");
    expect_term(real(1e20), "1.0e20");
    expect_term(real(1e-7), "1.0e-7");
    expect_term(real((double)0.1f), "0.10000000149011612");
    expect_term(bytes_value("", 0), "<<>>");
    expect_term(bytes_value("foo", 3), "<<\"foo\">>");
    expect_term(bytes_value("a\"b\\c", 5), "<<\"a\\\"b\\\\c\">>");
    expect_term(bytes_value("a\nb\x1b", 4), "<<\"a\\nb\\e\">>");
    expect_term(bytes_value("\xff\xfe", 2), "<<\"\xff\xfe\">>");
    expect_term(bytes_value("\1\2", 2), "<<1,2>>");
    expect_term(bytes_value("\x7f", 1), "<<127>>");
}
END_TEST

START_TEST(tables_and_arrays_show_their_types)
{
    struct table table = table_empty();
    struct value_array array = {.items = NULL};
    struct arena arena;

    arena_init(&arena);
    expect_term(value_table(table), "[]");
    expect_term(value_array(array), "[]");
    table_append(&arena, &table, bytes_from_string("y"), value_void());
    value_array_append(&arena, &array, value_int32(1));
    value_array_append(&arena, &array, bytes_value("x", 1));
    value_array_append(&arena, &array, value_table(table));
    expect_term(value_array(array),
                "[{signedint,1},{longstr,<<\"x\">>},{table,[{<<\"y\">>,void,undefined}]}]");
    arena_free(&arena);
}
END_TEST

START_TEST(long_terms_are_cut)
{
    char text[VALUE_TEXT_SIZE];
    char printable[1000];
    char binary[1000];
    struct value v;

    memset(printable, 'a', sizeof(printable));
    memset(binary, 1, sizeof(binary));
    v = bytes_value(printable, sizeof(printable));
    value_text_term(&v, text);
    ck_assert_uint_eq(strlen(text), VALUE_TEXT_SIZE - 1);
    v = bytes_value(binary, sizeof(binary));
    value_text_term(&v, text);
    ck_assert_uint_eq(strlen(text), VALUE_TEXT_SIZE - 1);
}
END_TEST

START_TEST(pairs_read_as_in_refusals)
{
    char received[VALUE_TEXT_SIZE];
    char current[VALUE_TEXT_SIZE];
    struct value a = bytes_value("ae", 2);
    struct value b = value_int32(5);

    value_text_pair(&b, &a, received, current);
    ck_assert_str_eq(received, "'5'");
    ck_assert_str_eq(current, "'ae'");
    value_text_pair(NULL, &a, received, current);
    ck_assert_str_eq(received, "none");
    ck_assert_str_eq(current, "the value 'ae' of type 'longstr'");
    value_text_pair(&b, NULL, received, current);
    ck_assert_str_eq(received, "the value '5' of type 'signedint'");
    ck_assert_str_eq(current, "none");
}
END_TEST

UNIT_MAIN("value_text", terms_read_as_erlang_prints_them, tables_and_arrays_show_their_types,
          long_terms_are_cut, pairs_read_as_in_refusals)
