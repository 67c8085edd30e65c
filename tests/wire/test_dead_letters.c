/* Dead letters: what goes where, and what its headers tell. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/wire/harness.h"

/* What one table of x-death must say. */
struct death {
    const char *queue;
    const char *reason;
    int count;
    const char *exchange;
    const char *routing_keys[4];
    const char *original_expiration; /* NULL: none */
};

static void expect_string_field(const amqp_table_t *table, const char *key, const char *expected)
{
    const amqp_field_value_t *value = table_field(table, key);

    ck_assert_msg(field_is_string(value, expected), "%s is not '%s'", key, expected);
}

static void expect_death(const struct delivery *d, int index, struct death expected)
{
    const amqp_field_value_t *deaths = header(d, "x-death");
    const amqp_field_value_t *keys;
    const amqp_field_value_t *when;
    const amqp_table_t *t;
    int n = 0;

    ck_assert_msg(deaths != NULL && deaths->kind == AMQP_FIELD_KIND_ARRAY, "no x-death");
    ck_assert_int_gt(deaths->value.array.num_entries, index);
    ck_assert_int_eq(deaths->value.array.entries[index].kind, AMQP_FIELD_KIND_TABLE);
    t = &deaths->value.array.entries[index].value.table;
    expect_string_field(t, "queue", expected.queue);
    expect_string_field(t, "reason", expected.reason);
    expect_string_field(t, "exchange", expected.exchange);
    ck_assert(field_is_int(table_field(t, "count"), expected.count));
    ck_assert_int_eq(table_field(t, "count")->kind, AMQP_FIELD_KIND_I64);
    when = table_field(t, "time");
    ck_assert_ptr_nonnull(when);
    ck_assert_int_eq(when->kind, AMQP_FIELD_KIND_TIMESTAMP);
    ck_assert_int_le(labs((long)when->value.u64 - (long)time(NULL)), 60);
    keys = table_field(t, "routing-keys");
    ck_assert_ptr_nonnull(keys);
    ck_assert_int_eq(keys->kind, AMQP_FIELD_KIND_ARRAY);
    while (n < 4 && expected.routing_keys[n] != NULL) {
        ck_assert_int_gt(keys->value.array.num_entries, n);
        ck_assert(field_is_string(&keys->value.array.entries[n], expected.routing_keys[n]));
        n++;
    }
    ck_assert_int_eq(keys->value.array.num_entries, n);
    if (expected.original_expiration != NULL)
        expect_string_field(t, "original-expiration", expected.original_expiration);
    else
        ck_assert_ptr_null(table_field(t, "original-expiration"));
}

static void expect_death_count(const struct delivery *d, int count)
{
    const amqp_field_value_t *deaths = header(d, "x-death");

    ck_assert_ptr_nonnull(deaths);
    ck_assert_int_eq(deaths->value.array.num_entries, count);
}

static void expect_first_death(const struct delivery *d, const char *reason, const char *queue,
                               const char *exchange)
{
    ck_assert(field_is_string(header(d, "x-first-death-reason"), reason));
    ck_assert(field_is_string(header(d, "x-first-death-queue"), queue));
    ck_assert(field_is_string(header(d, "x-first-death-exchange"), exchange));
}

/* Queue q dead-letters to the fanout exchange dlx, which feeds queue dead. */
static struct channel *given_dead_letter_queue(amqp_table_t arguments)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "dlx", "fanout", 0, NO_ARGS);
    declare_queue(ch, "dead", 0, NO_ARGS);
    bind_queue(ch, "dead", "dlx", "", NO_ARGS);
    declare_queue(ch, "q", 0, arguments);
    confirm_select(ch);
    return ch;
}

static struct delivery take(struct channel *ch, const char *queue, const char *body)
{
    await_message_count(ch, queue, 1);
    return expect_get(ch, queue, body, 0);
}

START_TEST(rejected_message_is_dead_lettered_with_its_story)
{
    struct channel *ch = given_dead_letter_queue(ARGS(arg_string("x-dead-letter-exchange", "dlx")));
    struct delivery d;

    bind_queue(ch, "q", "amq.direct", "key", NO_ARGS);
    publish_with(
        ch, "amq.direct", "key", 0,
        PROPS(AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
              .headers = ARGS(arg_string("own", "kept")), .message_id = text("m"),
              .delivery_mode = 2),
        "a");
    d = take(ch, "q", "a");
    reject(ch, d.tag, 0);
    d = take(ch, "dead", "a");
    ck_assert_str_eq(d.exchange, "dlx");
    ck_assert_str_eq(d.routing_key, "key");
    expect_death_count(&d, 1);
    expect_death(&d, 0, (struct death){"q", "rejected", 1, "amq.direct", {"key"}, NULL});
    expect_first_death(&d, "rejected", "q", "amq.direct");
    ck_assert(field_is_string(header(&d, "own"), "kept"));
    ck_assert_mem_eq(d.properties->message_id.bytes, "m", 1);
    ck_assert_uint_eq(d.properties->delivery_mode, 2);
}
END_TEST

START_TEST(nacked_messages_are_dead_lettered_in_order)
{
    struct channel *ch = given_dead_letter_queue(ARGS(arg_string("x-dead-letter-exchange", "dlx")));

    publish(ch, "q", "a");
    publish(ch, "q", "b");
    publish(ch, "q", "c");
    await_confirms(ch);
    expect_get(ch, "q", "a", 0);
    expect_get(ch, "q", "b", 0);
    expect_get(ch, "q", "c", 0);
    nack(ch, 3, MULTIPLE);
    await_message_count(ch, "dead", 3);
    expect_get(ch, "dead", "a", NO_ACK);
    expect_get(ch, "dead", "b", NO_ACK);
    expect_get(ch, "dead", "c", NO_ACK);
}
END_TEST

START_TEST(requeue_is_no_death)
{
    struct channel *ch = given_dead_letter_queue(ARGS(arg_string("x-dead-letter-exchange", "dlx")));
    struct delivery d;

    publish(ch, "q", "a");
    await_confirms(ch);
    d = expect_get(ch, "q", "a", 0);
    nack(ch, d.tag, REQUEUE);
    await_message_count(ch, "q", 1);
    d = expect_get(ch, "q", "a", REDELIVERED);
    ck_assert_ptr_null(header(&d, "x-death"));
    ck_assert_uint_eq(message_count(ch, "dead"), 0);
}
END_TEST

START_TEST(dead_letter_key_replaces_the_messages)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    confirm_select(ch);
    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "q", 0,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead")));
    publish(ch, "q", "a");
    await_confirms(ch);
    d = take(ch, "q", "a");
    reject(ch, d.tag, 0);
    d = take(ch, "dead", "a");
    ck_assert_str_eq(d.exchange, "");
    ck_assert_str_eq(d.routing_key, "dead");
    expect_death(&d, 0, (struct death){"q", "rejected", 1, "", {"q"}, NULL});
    expect_first_death(&d, "rejected", "q", "");
}
END_TEST

START_TEST(second_death_comes_first)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_queue(ch, "third", 0, NO_ARGS);
    declare_queue(ch, "second", 0,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "third")));
    declare_queue(ch, "first", 0,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "second")));
    publish(ch, "first", "a");
    d = take(ch, "first", "a");
    reject(ch, d.tag, 0);
    d = take(ch, "second", "a");
    reject(ch, d.tag, 0);
    d = take(ch, "third", "a");
    expect_death_count(&d, 2);
    expect_death(&d, 0, (struct death){"second", "rejected", 1, "", {"second"}, NULL});
    expect_death(&d, 1, (struct death){"first", "rejected", 1, "", {"first"}, NULL});
    expect_first_death(&d, "rejected", "first", "");
}
END_TEST

START_TEST(same_death_again_counts)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    /* two queues that reject to each other: rejections let a message go round */
    declare_queue(ch, "a", 0,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "b")));
    declare_queue(ch, "b", 0,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "a")));
    publish(ch, "a", "m");
    for (int i = 0; i < 3; i++) {
        d = take(ch, "a", "m");
        reject(ch, d.tag, 0);
        d = take(ch, "b", "m");
        reject(ch, d.tag, 0);
    }
    d = take(ch, "a", "m");
    expect_death_count(&d, 2);
    expect_death(&d, 0, (struct death){"b", "rejected", 3, "", {"b"}, NULL});
    expect_death(&d, 1, (struct death){"a", "rejected", 3, "", {"a"}, NULL});
    expect_first_death(&d, "rejected", "a", "");
}
END_TEST

START_TEST(cc_keys_are_told_and_used)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    confirm_select(ch);
    declare_exchange(ch, "dlx", "direct", 0, NO_ARGS);
    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "other", 0, NO_ARGS);
    bind_queue(ch, "dead", "dlx", "copy", NO_ARGS);
    bind_queue(ch, "other", "dlx", "q", NO_ARGS);
    declare_queue(ch, "q", 0, ARGS(arg_string("x-dead-letter-exchange", "dlx")));
    publish_with(ch, "", "q", 0,
                 HEADERS(arg_strings("CC", "copy", NULL), arg_strings("BCC", "blind", NULL)), "a");
    d = take(ch, "q", "a");
    ck_assert_ptr_null(header(&d, "BCC"));
    reject(ch, d.tag, 0);
    d = take(ch, "other", "a");
    ck_assert_str_eq(d.routing_key, "q");
    expect_death(&d, 0, (struct death){"q", "rejected", 1, "", {"q", "copy"}, NULL});
    ck_assert_ptr_nonnull(header(&d, "CC"));
    d = take(ch, "dead", "a");
    expect_death(&d, 0, (struct death){"q", "rejected", 1, "", {"q", "copy"}, NULL});
}
END_TEST

START_TEST(dead_letter_key_drops_cc)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "copy", 0, NO_ARGS);
    declare_queue(ch, "q", 0,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead")));
    publish_with(ch, "", "q", 0, HEADERS(arg_strings("CC", "elsewhere", NULL)), "a");
    d = take(ch, "q", "a");
    reject(ch, d.tag, 0);
    d = take(ch, "dead", "a");
    ck_assert_ptr_null(header(&d, "CC"));
    expect_death(&d, 0, (struct death){"q", "rejected", 1, "", {"q", "elsewhere"}, NULL});
}
END_TEST

START_TEST(original_expiration_is_told_and_removed)
{
    struct channel *ch = given_dead_letter_queue(ARGS(arg_string("x-dead-letter-exchange", "dlx")));
    struct delivery d;

    publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("60000")),
                 "a");
    d = take(ch, "q", "a");
    reject(ch, d.tag, 0);
    d = take(ch, "dead", "a");
    ck_assert_uint_eq(d.properties->_flags & AMQP_BASIC_EXPIRATION_FLAG, 0);
    expect_death(&d, 0, (struct death){"q", "rejected", 1, "", {"q"}, "60000"});
}
END_TEST

START_TEST(missing_dead_letter_exchange_drops)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_queue(ch, "q", 0, ARGS(arg_string("x-dead-letter-exchange", "none")));
    publish(ch, "q", "a");
    d = take(ch, "q", "a");
    reject(ch, d.tag, 0);
    expect_nothing(ch, "q");
    ck_assert_uint_eq(message_count(ch, "q"), 0);
}
END_TEST

START_TEST(dead_letter_exchange_may_come_later)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_queue(ch, "q", 0, ARGS(arg_string("x-dead-letter-exchange", "late")));
    declare_exchange(ch, "late", "fanout", 0, NO_ARGS);
    declare_queue(ch, "dead", 0, NO_ARGS);
    bind_queue(ch, "dead", "late", "", NO_ARGS);
    publish(ch, "q", "a");
    d = take(ch, "q", "a");
    reject(ch, d.tag, 0);
    take(ch, "dead", "a");
}
END_TEST

START_TEST(dead_letters_cross_connections)
{
    struct channel *dead = connect_channel();

    declare_exchange(dead, "dlx", "fanout", 0, NO_ARGS);
    declare_queue(dead, "dead", 0, NO_ARGS);
    bind_queue(dead, "dead", "dlx", "", NO_ARGS);
    consume(dead, "dead", "c", NO_ACK, NO_ARGS);
    for (int i = 0; i < 8; i++) {
        struct channel *ch = connect_channel();
        const char *q =
            declare_queue(ch, "", EXCLUSIVE, ARGS(arg_string("x-dead-letter-exchange", "dlx")));
        struct delivery d;

        publish(ch, q, "a");
        d = take(ch, q, "a");
        nack(ch, d.tag, 0);
        d = expect_delivery(dead, "a", 0);
        expect_death(&d, 0, (struct death){q, "rejected", 1, "", {q}, NULL});
        close_client(ch->client);
    }
}
END_TEST

START_TEST(large_dead_letter_keeps_its_body)
{
    struct channel *ch = given_dead_letter_queue(ARGS(arg_string("x-dead-letter-exchange", "dlx")));
    static char body[300001];
    struct delivery d;

    memset(body, 'x', sizeof(body) - 1);
    publish(ch, "q", body);
    d = take(ch, "q", body);
    reject(ch, d.tag, 0);
    d = take(ch, "dead", body);
    expect_death_count(&d, 1);
}
END_TEST

START_TEST(headers_that_a_client_made_up_are_survived)
{
    struct channel *ch = given_dead_letter_queue(ARGS(arg_string("x-dead-letter-exchange", "dlx")));
    struct delivery d;

    SKIP_WITH_ORACLE("it fails over a forged x-death");
    publish_with(ch, "", "q", 0, HEADERS(arg_string("x-death", "forged")), "a");
    d = take(ch, "q", "a");
    reject(ch, d.tag, 0);
    d = take(ch, "dead", "a");
    expect_death(&d, 0, (struct death){"q", "rejected", 1, "", {"q"}, NULL});
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("dead letters");
    TCase *tcase = wire_tcase(suite, "story");

    tcase_add_test(tcase, rejected_message_is_dead_lettered_with_its_story);
    tcase_add_test(tcase, second_death_comes_first);
    tcase_add_test(tcase, same_death_again_counts);
    tcase_add_test(tcase, original_expiration_is_told_and_removed);
    tcase_add_test(tcase, headers_that_a_client_made_up_are_survived);
    tcase = wire_tcase(suite, "way");
    tcase_add_test(tcase, nacked_messages_are_dead_lettered_in_order);
    tcase_add_test(tcase, requeue_is_no_death);
    tcase_add_test(tcase, dead_letter_key_replaces_the_messages);
    tcase_add_test(tcase, cc_keys_are_told_and_used);
    tcase_add_test(tcase, dead_letter_key_drops_cc);
    tcase_add_test(tcase, missing_dead_letter_exchange_drops);
    tcase_add_test(tcase, dead_letter_exchange_may_come_later);
    tcase_add_test(tcase, dead_letters_cross_connections);
    tcase_add_test(tcase, large_dead_letter_keeps_its_body);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
