#include "broker/dead_letter.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct arena arena;
static struct table headers;

static void start(void)
{
    arena_init(&arena);
    headers = table_empty();
}

static void finish(void)
{
    arena_free(&arena);
}

static struct value text(const char *s)
{
    return value_string(bytes_from_string(s));
}

/* An array of strings, up to the first NULL. */
static struct value texts(const char *first, const char *second)
{
    struct value_array array = {.items = NULL};

    value_array_append(&arena, &array, text(first));
    if (second != NULL)
        value_array_append(&arena, &array, text(second));
    return value_array(array);
}

static void die(const char *queue, enum dead_letter_reason reason)
{
    const struct bytes key = bytes_from_string("key");
    const struct dead_letter_event event = {
        .reason = reason,
        .queue = bytes_from_string(queue),
        .exchange = bytes_from_string("x"),
        .routing_keys = &key,
        .routing_key_count = 1,
        .time_s = 1700000000,
    };

    dead_letter_headers(&arena, &headers, &event);
}

static const struct value_array *deaths(void)
{
    const struct value *v = table_get(&headers, "x-death");

    ck_assert_ptr_nonnull(v);
    ck_assert_int_eq(v->type, VALUE_ARRAY);
    return &v->array;
}

static const struct table *death(uint32_t i)
{
    ck_assert_uint_lt(i, deaths()->count);
    ck_assert_int_eq(deaths()->items[i].type, VALUE_TABLE);
    return &deaths()->items[i].table;
}

static void expect_text(const struct table *t, const char *key, const char *expected)
{
    const struct value *v = table_get(t, key);

    ck_assert_ptr_nonnull(v);
    ck_assert_int_eq(v->type, VALUE_STRING);
    ck_assert_msg(bytes_equal_string(v->bytes, expected), "%s is %.*s", key, BYTES_ARGS(v->bytes));
}

static void expect_death(uint32_t i, const char *queue, const char *reason, int64_t count)
{
    const struct value *v = table_get(death(i), "count");

    expect_text(death(i), "queue", queue);
    expect_text(death(i), "reason", reason);
    ck_assert_ptr_nonnull(v);
    ck_assert_int_eq(v->type, VALUE_INT64);
    ck_assert_int_eq(v->integer, count);
}

static void expect_keys(struct routing_keys keys, const char *expected)
{
    char joined[256] = "";

    for (uint32_t i = 0; i < keys.count; i++) {
        if (i != 0)
            strcat(joined, " ");
        strncat(joined, (const char *)keys.items[i].data, keys.items[i].size);
    }
    ck_assert_str_eq(joined, expected);
}

START_TEST(first_death_is_told_in_full)
{
    static const char *const fields[] = {
        "count", "reason", "queue", "time", "exchange", "routing-keys", "original-expiration"};
    const struct bytes keys[] = {bytes_from_string("k"), bytes_from_string("cc")};
    const struct dead_letter_event event = {
        .reason = DEAD_LETTER_EXPIRED,
        .queue = bytes_from_string("q"),
        .exchange = bytes_of(NULL, 0),
        .routing_keys = keys,
        .routing_key_count = 2,
        .time_s = 1700000000,
        .expiration = bytes_from_string("60000"),
    };
    const struct value *v;

    start();
    table_set(&arena, &headers, "z", value_int32(1));
    dead_letter_headers(&arena, &headers, &event);

    ck_assert_uint_eq(headers.count, 5);
    ck_assert_ptr_nonnull(table_get(&headers, "z"));
    expect_text(&headers, "x-first-death-reason", "expired");
    expect_text(&headers, "x-first-death-queue", "q");
    expect_text(&headers, "x-first-death-exchange", "");
    ck_assert_uint_eq(deaths()->count, 1);
    ck_assert_uint_eq(death(0)->count, 7);
    for (uint32_t i = 0; i < 7; i++)
        ck_assert(bytes_equal_string(death(0)->fields[i].key, fields[i]));
    expect_death(0, "q", "expired", 1);
    expect_text(death(0), "exchange", "");
    expect_text(death(0), "original-expiration", "60000");
    v = table_get(death(0), "time");
    ck_assert_int_eq(v->type, VALUE_TIMESTAMP);
    ck_assert_int_eq(v->integer, 1700000000);
    v = table_get(death(0), "routing-keys");
    ck_assert_int_eq(v->type, VALUE_ARRAY);
    ck_assert_uint_eq(v->array.count, 2);
    ck_assert(bytes_equal_string(v->array.items[0].bytes, "k"));
    ck_assert(bytes_equal_string(v->array.items[1].bytes, "cc"));
    finish();
}
END_TEST

START_TEST(expiration_is_told_only_when_there_was_one)
{
    start();
    die("q", DEAD_LETTER_REJECTED);
    ck_assert_ptr_null(table_get(death(0), "original-expiration"));
    finish();
}
END_TEST

START_TEST(every_reason_has_its_name)
{
    start();
    die("q", DEAD_LETTER_REJECTED);
    die("q", DEAD_LETTER_EXPIRED);
    die("q", DEAD_LETTER_MAXLEN);
    die("q", DEAD_LETTER_DELIVERY_LIMIT);
    expect_death(0, "q", "delivery_limit", 1);
    expect_death(1, "q", "maxlen", 1);
    expect_death(2, "q", "expired", 1);
    expect_death(3, "q", "rejected", 1);
    finish();
}
END_TEST

START_TEST(same_death_is_counted_and_moves_to_the_front)
{
    start();
    die("a", DEAD_LETTER_EXPIRED);
    die("b", DEAD_LETTER_REJECTED);
    die("a", DEAD_LETTER_EXPIRED);
    ck_assert_uint_eq(deaths()->count, 2);
    expect_death(0, "a", "expired", 2);
    expect_death(1, "b", "rejected", 1);
    die("b", DEAD_LETTER_REJECTED);
    expect_death(0, "b", "rejected", 2);
    expect_death(1, "a", "expired", 2);
    finish();
}
END_TEST

START_TEST(counted_death_keeps_telling_of_its_first_time)
{
    struct dead_letter_event event = {
        .reason = DEAD_LETTER_REJECTED,
        .queue = bytes_from_string("q"),
        .exchange = bytes_from_string("first"),
        .time_s = 1,
    };

    start();
    dead_letter_headers(&arena, &headers, &event);
    event.exchange = bytes_from_string("second");
    event.time_s = 2;
    dead_letter_headers(&arena, &headers, &event);
    expect_death(0, "q", "rejected", 2);
    expect_text(death(0), "exchange", "first");
    ck_assert_int_eq(table_get(death(0), "time")->integer, 1);
    finish();
}
END_TEST

START_TEST(first_death_headers_are_set_once)
{
    start();
    die("a", DEAD_LETTER_EXPIRED);
    die("b", DEAD_LETTER_REJECTED);
    expect_text(&headers, "x-first-death-queue", "a");
    expect_text(&headers, "x-first-death-reason", "expired");
    expect_text(&headers, "x-first-death-exchange", "x");
    finish();
}
END_TEST

START_TEST(first_death_headers_of_a_client_do_not_survive_the_first_death)
{
    start();
    table_set(&arena, &headers, "x-first-death-queue", text("mine"));
    die("a", DEAD_LETTER_EXPIRED);
    expect_text(&headers, "x-first-death-queue", "a");
    finish();
}
END_TEST

START_TEST(x_death_of_another_type_is_replaced)
{
    start();
    table_set(&arena, &headers, "x-death", text("a string"));
    table_set(&arena, &headers, "x-first-death-queue", text("mine"));
    die("q", DEAD_LETTER_REJECTED);
    ck_assert_uint_eq(deaths()->count, 1);
    expect_death(0, "q", "rejected", 1);
    expect_text(&headers, "x-first-death-queue", "mine");
    finish();
}
END_TEST

/* A table of x-death as a client may have left it; `count` may be NULL. */
static struct value tampered(const char *queue, const char *reason, const struct value *count)
{
    struct table t = table_empty();

    table_set(&arena, &t, "queue", text(queue));
    table_set(&arena, &t, "reason", text(reason));
    if (count != NULL)
        table_set(&arena, &t, "count", *count);
    return value_table(t);
}

START_TEST(tampered_deaths_are_counted_as_far_as_they_can_be)
{
    const struct value word = text("many");
    const struct value five = value_int32(5);
    const struct value most = value_int64(INT64_MAX);
    struct value_array array = {.items = NULL};

    start();
    value_array_append(&arena, &array, value_int32(1));
    value_array_append(&arena, &array, tampered("q", "rejected", NULL));
    value_array_append(&arena, &array, tampered("q", "rejected", NULL));
    value_array_append(&arena, &array, tampered("r", "rejected", &five));
    value_array_append(&arena, &array, tampered("s", "rejected", &word));
    value_array_append(&arena, &array, tampered("t", "rejected", &most));
    table_set(&arena, &headers, "x-death", value_array(array));

    die("q", DEAD_LETTER_REJECTED);
    expect_death(0, "q", "rejected", 3);
    ck_assert_uint_eq(deaths()->count, 5);
    ck_assert_int_eq(deaths()->items[1].type, VALUE_INT32);
    die("r", DEAD_LETTER_REJECTED);
    expect_death(0, "r", "rejected", 6);
    die("s", DEAD_LETTER_REJECTED);
    expect_death(0, "s", "rejected", 2);
    die("t", DEAD_LETTER_REJECTED);
    expect_death(0, "t", "rejected", INT64_MAX);
    ck_assert_ptr_null(table_get(&headers, "x-first-death-queue"));
    finish();
}
END_TEST

START_TEST(keys_are_the_published_one_and_those_of_cc_and_bcc)
{
    start();
    table_set(&arena, &headers, "BCC", texts("b1", NULL));
    table_set(&arena, &headers, "CC", texts("c1", "c2"));
    expect_keys(routing_keys_collect(&arena, bytes_from_string("k"), &headers, ROUTING_KEYS_ALL),
                "k c1 c2 b1");
    expect_keys(
        routing_keys_collect(&arena, bytes_from_string("k"), &headers, ROUTING_KEYS_VISIBLE),
        "k c1 c2");
    expect_keys(routing_keys_collect(&arena, bytes_from_string("k"), NULL, ROUTING_KEYS_ALL), "k");
    finish();
}
END_TEST

START_TEST(headers_of_another_shape_add_no_keys)
{
    struct value_array mixed = {.items = NULL};

    start();
    value_array_append(&arena, &mixed, value_int32(1));
    value_array_append(&arena, &mixed, text("c"));
    table_set(&arena, &headers, "CC", value_array(mixed));
    table_set(&arena, &headers, "BCC", text("b"));
    expect_keys(routing_keys_collect(&arena, bytes_from_string("k"), &headers, ROUTING_KEYS_ALL),
                "k c");
    finish();
}
END_TEST

START_TEST(dead_letter_key_takes_the_place_of_all_keys)
{
    const struct queue_options options = {
        .has_dead_letter_routing_key = true,
        .dead_letters = &(struct dead_letter_address){.routing_key = bytes_from_string("dead")},
    };
    struct routing_keys previous;

    start();
    table_set(&arena, &headers, "CC", texts("c", NULL));
    previous = routing_keys_collect(&arena, bytes_from_string("k"), &headers, ROUTING_KEYS_ALL);
    expect_keys(dead_letter_keys(&arena, &headers, &options, previous), "dead");
    ck_assert_ptr_null(table_get(&headers, "CC"));
    finish();
}
END_TEST

START_TEST(without_a_dead_letter_key_the_keys_stay)
{
    const struct queue_options options = {.has_dead_letter_exchange = true};
    struct routing_keys previous;

    start();
    table_set(&arena, &headers, "CC", texts("c", NULL));
    previous = routing_keys_collect(&arena, bytes_from_string("k"), &headers, ROUTING_KEYS_ALL);
    expect_keys(dead_letter_keys(&arena, &headers, &options, previous), "k c");
    ck_assert_ptr_nonnull(table_get(&headers, "CC"));
    finish();
}
END_TEST

static bool is_cycle(const char *destination, enum dead_letter_reason reason)
{
    return dead_letter_is_cycle(&headers, bytes_from_string(destination), reason);
}

START_TEST(queue_where_it_died_before_closes_a_cycle)
{
    start();
    ck_assert(!is_cycle("a", DEAD_LETTER_EXPIRED));
    die("a", DEAD_LETTER_EXPIRED);
    ck_assert(is_cycle("a", DEAD_LETTER_EXPIRED));
    ck_assert(!is_cycle("b", DEAD_LETTER_EXPIRED));
    die("b", DEAD_LETTER_MAXLEN);
    ck_assert(is_cycle("a", DEAD_LETTER_MAXLEN));
    ck_assert(is_cycle("b", DEAD_LETTER_MAXLEN));
    ck_assert(!is_cycle("c", DEAD_LETTER_MAXLEN));
    finish();
}
END_TEST

START_TEST(rejection_within_it_makes_it_no_cycle)
{
    start();
    die("a", DEAD_LETTER_EXPIRED);
    die("b", DEAD_LETTER_REJECTED);
    ck_assert(!is_cycle("a", DEAD_LETTER_REJECTED));
    die("c", DEAD_LETTER_EXPIRED);
    ck_assert(!is_cycle("a", DEAD_LETTER_EXPIRED));
    ck_assert(!is_cycle("b", DEAD_LETTER_EXPIRED));
    ck_assert(is_cycle("c", DEAD_LETTER_EXPIRED));
    finish();
}
END_TEST

START_TEST(rejected_message_never_closes_a_cycle)
{
    start();
    die("a", DEAD_LETTER_EXPIRED);
    ck_assert(!is_cycle("a", DEAD_LETTER_REJECTED));
    finish();
}
END_TEST

START_TEST(what_a_client_put_among_the_deaths_breaks_the_cycle)
{
    struct value_array array = {.items = NULL};

    start();
    value_array_append(&arena, &array, text("odd"));
    value_array_append(&arena, &array, tampered("a", "expired", NULL));
    table_set(&arena, &headers, "x-death", value_array(array));
    ck_assert(!is_cycle("a", DEAD_LETTER_EXPIRED));
    table_set(&arena, &headers, "x-death", text("odd"));
    ck_assert(!is_cycle("a", DEAD_LETTER_EXPIRED));
    finish();
}
END_TEST

UNIT_MAIN("dead_letter", first_death_is_told_in_full, expiration_is_told_only_when_there_was_one,
          every_reason_has_its_name, same_death_is_counted_and_moves_to_the_front,
          counted_death_keeps_telling_of_its_first_time, first_death_headers_are_set_once,
          first_death_headers_of_a_client_do_not_survive_the_first_death,
          x_death_of_another_type_is_replaced, tampered_deaths_are_counted_as_far_as_they_can_be,
          keys_are_the_published_one_and_those_of_cc_and_bcc, headers_of_another_shape_add_no_keys,
          dead_letter_key_takes_the_place_of_all_keys, without_a_dead_letter_key_the_keys_stay,
          queue_where_it_died_before_closes_a_cycle, rejection_within_it_makes_it_no_cycle,
          rejected_message_never_closes_a_cycle,
          what_a_client_put_among_the_deaths_breaks_the_cycle)
