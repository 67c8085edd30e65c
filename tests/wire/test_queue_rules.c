/* Length limits, a single active consumer, delivery limits. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

#define DEAD_LETTERED \
    arg_string("x-dead-letter-exchange", ""), arg_string("x-dead-letter-routing-key", "dead")

static struct channel *given_queue(amqp_table_t arguments)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "q", 0, arguments);
    return ch;
}

static void expect_dead(struct channel *ch, const char *body, const char *reason)
{
    const amqp_field_value_t *deaths;
    struct delivery d;

    await_message_count(ch, "dead", 1);
    d = expect_get(ch, "dead", body, NO_ACK);
    deaths = header(&d, "x-death");
    ck_assert(deaths != NULL && deaths->kind == AMQP_FIELD_KIND_ARRAY);
    ck_assert(field_is_string(table_field(&deaths->value.array.entries[0].value.table, "reason"),
                              reason));
}

/* Length. */

START_TEST(oldest_message_is_dropped)
{
    struct channel *ch = given_queue(ARGS(arg_int("x-max-length", 2), DEAD_LETTERED));

    confirm_select(ch);
    publish(ch, "q", "a");
    publish(ch, "q", "b");
    publish(ch, "q", "c");
    await_confirms(ch);
    expect_dead(ch, "a", "maxlen");
    expect_get(ch, "q", "b", 0);
    expect_get(ch, "q", "c", 0);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(message_that_alone_is_too_large_is_dropped)
{
    struct channel *ch = given_queue(ARGS(arg_int("x-max-length-bytes", 4), DEAD_LETTERED));

    confirm_select(ch);
    publish(ch, "q", "abcd");
    publish(ch, "q", "abcdefgh");
    await_confirms(ch);
    await_message_count(ch, "dead", 2);
    expect_get(ch, "dead", "abcd", NO_ACK);
    expect_get(ch, "dead", "abcdefgh", NO_ACK);
    expect_get_empty(ch, "q");
    publish(ch, "q", "ab");
    publish(ch, "q", "cd");
    await_message_count(ch, "q", 2);
    publish(ch, "q", "e");
    expect_dead(ch, "ab", "maxlen");
}
END_TEST

START_TEST(what_consumers_hold_takes_no_room)
{
    struct channel *ch = given_queue(ARGS(arg_int("x-max-length", 1), DEAD_LETTERED));
    struct delivery d;

    consume(ch, "q", "c", 0, NO_ARGS);
    for (int i = 0; i < 50; i++)
        publish(ch, "q", "a");
    for (int i = 0; i < 50; i++)
        d = expect_delivery(ch, "a", 0);
    ck_assert_uint_eq(message_count(ch, "dead"), 0);
    cancel(ch, "c");
    nack(ch, d.tag, MULTIPLE | REQUEUE);
    await_message_count(ch, "dead", 49);
    ck_assert_uint_eq(message_count(ch, "q"), 1);
}
END_TEST

START_TEST(publish_is_refused)
{
    struct channel *ch = given_queue(ARGS(
        arg_int("x-max-length", 1), arg_string("x-overflow", "reject-publish"), DEAD_LETTERED));

    confirm_select(ch);
    publish(ch, "q", "a");
    ck_assert_uint_eq(expect_confirm(ch, NULL), 1);
    publish(ch, "q", "b");
    ck_assert_uint_eq(expect_confirm_nack(ch), 2);
    expect_get(ch, "q", "a", NO_ACK);
    expect_get_empty(ch, "q");
    publish(ch, "q", "c");
    ck_assert_uint_eq(expect_confirm(ch, NULL), 3);
    expect_get(ch, "q", "c", 0);
    ck_assert_uint_eq(message_count(ch, "dead"), 0);
}
END_TEST

START_TEST(refused_publish_is_dropped_without_confirms)
{
    struct channel *ch = given_queue(
        ARGS(arg_int("x-max-length-bytes", 3), arg_string("x-overflow", "reject-publish")));

    publish(ch, "q", "abcd");
    publish(ch, "q", "abc");
    publish(ch, "q", "d");
    expect_nothing(ch, "q");
    ck_assert_uint_eq(message_count(ch, "q"), 1);
    expect_get(ch, "q", "abc", 0);
}
END_TEST

START_TEST(refused_publish_is_dead_lettered)
{
    struct channel *ch = given_queue(ARGS(
        arg_int("x-max-length", 1), arg_string("x-overflow", "reject-publish-dlx"), DEAD_LETTERED));

    confirm_select(ch);
    publish(ch, "q", "a");
    ck_assert_uint_eq(expect_confirm(ch, NULL), 1);
    publish(ch, "q", "b");
    ck_assert_uint_eq(expect_confirm_nack(ch), 2);
    expect_dead(ch, "b", "maxlen");
    expect_get(ch, "q", "a", 0);
}
END_TEST

START_TEST(refusal_fails_a_transaction)
{
    struct channel *ch =
        given_queue(ARGS(arg_int("x-max-length", 1), arg_string("x-overflow", "reject-publish")));

    publish(ch, "q", "a");
    await_message_count(ch, "q", 1);
    tx_select(ch);
    publish(ch, "q", "b");
    send_tx_commit(ch);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - partial tx completion");
}
END_TEST

START_TEST(one_full_queue_refuses_for_all)
{
    struct channel *ch =
        given_queue(ARGS(arg_int("x-max-length", 1), arg_string("x-overflow", "reject-publish")));

    declare_queue(ch, "other", 0, NO_ARGS);
    bind_queue(ch, "q", "amq.fanout", "", NO_ARGS);
    bind_queue(ch, "other", "amq.fanout", "", NO_ARGS);
    confirm_select(ch);
    publish_to(ch, "amq.fanout", "", "a");
    ck_assert_uint_eq(expect_confirm(ch, NULL), 1);
    publish_to(ch, "amq.fanout", "", "b");
    ck_assert_uint_eq(expect_confirm_nack(ch), 2);
    ck_assert_uint_eq(message_count(ch, "other"), 2);
}
END_TEST

/* A single active consumer. */

START_TEST(one_consumer_at_a_time_gets_messages)
{
    struct channel *ch = given_queue(ARGS(arg_bool("x-single-active-consumer", true)));
    struct channel *one = connect_channel();
    struct channel *two = connect_channel();

    consume(one, "q", "one", NO_ACK, NO_ARGS);
    consume(two, "q", "two", NO_ACK, NO_ARGS);
    for (int i = 0; i < 10; i++)
        publish(ch, "q", "a");
    for (int i = 0; i < 10; i++)
        expect_delivery_to(one, "one", "a", 0);
    expect_nothing(two, "q");
    ck_assert_uint_eq(consumer_count(ch, "q"), 2);
    cancel(one, "one");
    publish(ch, "q", "b");
    expect_delivery_to(two, "two", "b", 0);
}
END_TEST

START_TEST(next_consumer_takes_over_when_a_connection_ends)
{
    struct channel *ch = given_queue(ARGS(arg_bool("x-single-active-consumer", true)));
    struct channel *one = connect_channel();
    struct channel *two = connect_channel();

    consume(one, "q", "one", 0, NO_ARGS);
    consume(two, "q", "two", 0, NO_ARGS);
    publish(ch, "q", "a");
    expect_delivery_to(one, "one", "a", 0);
    drop_client(one->client);
    expect_delivery_to(two, "two", "a", REDELIVERED);
}
END_TEST

START_TEST(priority_then_age_decide_who_is_next)
{
    struct channel *ch = given_queue(ARGS(arg_bool("x-single-active-consumer", true)));

    consume(ch, "q", "first", NO_ACK, NO_ARGS);
    consume(ch, "q", "low", NO_ACK, ARGS(arg_int("x-priority", -1)));
    consume(ch, "q", "high", NO_ACK, ARGS(arg_int("x-priority", 5)));
    consume(ch, "q", "also high", NO_ACK, ARGS(arg_int("x-priority", 5)));
    publish(ch, "q", "1");
    expect_delivery_to(ch, "first", "1", 0);
    cancel(ch, "first");
    publish(ch, "q", "2");
    expect_delivery_to(ch, "high", "2", 0);
    cancel(ch, "high");
    publish(ch, "q", "3");
    expect_delivery_to(ch, "also high", "3", 0);
    cancel(ch, "also high");
    publish(ch, "q", "4");
    expect_delivery_to(ch, "low", "4", 0);
}
END_TEST

START_TEST(exclusive_consumer_is_refused_beside_the_rule)
{
    struct channel *ch = given_queue(ARGS(arg_bool("x-single-active-consumer", true)));

    send_consume(ch, "q", "c", EXCLUSIVE, NO_ARGS);
    expect_channel_error(ch, 403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use");
}
END_TEST

/* Delivery limits. */

static void expect_count(const struct delivery *d, int count)
{
    ck_assert(field_is_int(header(d, "x-delivery-count"), count));
}

START_TEST(message_is_delivered_once_more_than_its_limit)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(
        ch, "q", DURABLE,
        ARGS(arg_string("x-queue-type", "quorum"), arg_int("x-delivery-limit", 2), DEAD_LETTERED));
    publish_with(ch, "", "q", 0, HEADERS(arg_string("own", "kept")), "a");
    consume(ch, "q", "c", 0, NO_ARGS);
    for (int count = 0; count <= 2; count++) {
        d = expect_delivery(ch, "a", count != 0 ? REDELIVERED : 0);
        if (count != 0)
            expect_count(&d, count);
        ck_assert(field_is_string(header(&d, "own"), "kept"));
        nack(ch, d.tag, REQUEUE);
    }
    expect_dead(ch, "a", "delivery_limit");
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(count_is_told_from_the_first_delivery_on)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    SKIP_WITH_ORACLE("RabbitMQ 3.10 has no delivery limit for classic queues");
    declare_queue(ch, "q", 0, ARGS(arg_int("x-delivery-limit", 5)));
    publish(ch, "q", "a");
    d = expect_get(ch, "q", "a", 0);
    expect_count(&d, 0);
    nack(ch, d.tag, REQUEUE);
    d = expect_get(ch, "q", "a", REDELIVERED);
    expect_count(&d, 1);
}
END_TEST

START_TEST(quorum_queue_has_a_limit_of_its_own)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    SKIP_WITH_ORACLE("RabbitMQ has the limit since 4.0");
    declare_queue(ch, "q", DURABLE, ARGS(arg_string("x-queue-type", "quorum")));
    publish(ch, "q", "a");
    for (int count = 0; count <= 20; count++) {
        d = expect_get(ch, "q", "a", count != 0 ? REDELIVERED : 0);
        nack(ch, d.tag, REQUEUE);
    }
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(connection_that_ends_counts)
{
    struct channel *ch = connect_channel();
    struct channel *consumer;

    SKIP_WITH_ORACLE("RabbitMQ 3.10 has no delivery limit for classic queues");
    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "q", 0, ARGS(arg_int("x-delivery-limit", 1), DEAD_LETTERED));
    publish(ch, "q", "a");
    for (int count = 0; count <= 1; count++) {
        consumer = connect_channel();
        consume(consumer, "q", "c", 0, NO_ARGS);
        expect_delivery(consumer, "a", count != 0 ? REDELIVERED : 0);
        drop_client(consumer->client);
    }
    expect_dead(ch, "a", "delivery_limit");
}
END_TEST

/* Together. */

START_TEST(rules_work_together)
{
    struct channel *ch;
    struct delivery d;

    SKIP_WITH_ORACLE("RabbitMQ 3.10 has no delivery limit for classic queues");
    ch = given_queue(ARGS(arg_int("x-max-length", 3), arg_int("x-message-ttl", 3600000),
                          arg_int("x-delivery-limit", 1),
                          arg_bool("x-single-active-consumer", true), DEAD_LETTERED));
    publish(ch, "q", "a");
    publish(ch, "q", "b");
    publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("50")), "c");
    expect_dead(ch, "c", "expired");
    publish(ch, "q", "d");
    publish(ch, "q", "e");
    expect_dead(ch, "a", "maxlen");
    d = expect_get(ch, "q", "b", 0);
    expect_count(&d, 0);
    nack(ch, d.tag, REQUEUE);
    consume(ch, "q", "one", 0, NO_ARGS);
    consume(ch, "q", "two", 0, NO_ARGS);
    d = expect_delivery_to(ch, "one", "b", REDELIVERED);
    nack(ch, d.tag, REQUEUE);
    expect_delivery_to(ch, "one", "d", 0);
    expect_delivery_to(ch, "one", "e", 0);
    expect_dead(ch, "b", "delivery_limit");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("queue_rules");
    TCase *length = wire_tcase(s, "length");
    TCase *single = wire_tcase(s, "single_active_consumer");
    TCase *limit = wire_tcase(s, "delivery_limit");

    tcase_add_test(length, oldest_message_is_dropped);
    tcase_add_test(length, message_that_alone_is_too_large_is_dropped);
    tcase_add_test(length, what_consumers_hold_takes_no_room);
    tcase_add_test(length, publish_is_refused);
    tcase_add_test(length, refused_publish_is_dropped_without_confirms);
    tcase_add_test(length, refused_publish_is_dead_lettered);
    tcase_add_test(length, refusal_fails_a_transaction);
    tcase_add_test(length, one_full_queue_refuses_for_all);
    tcase_add_test(single, one_consumer_at_a_time_gets_messages);
    tcase_add_test(single, next_consumer_takes_over_when_a_connection_ends);
    tcase_add_test(single, priority_then_age_decide_who_is_next);
    tcase_add_test(single, exclusive_consumer_is_refused_beside_the_rule);
    tcase_add_test(limit, message_is_delivered_once_more_than_its_limit);
    tcase_add_test(limit, count_is_told_from_the_first_delivery_on);
    tcase_add_test(limit, quorum_queue_has_a_limit_of_its_own);
    tcase_add_test(limit, connection_that_ends_counts);
    tcase_add_test(limit, rules_work_together);
    return s;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
