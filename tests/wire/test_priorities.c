/* Messages with priorities. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

static struct channel *given_queue(int max_priority)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, ARGS(arg_int("x-max-priority", max_priority)));
    confirm_select(ch);
    return ch;
}

static void publish_at(struct channel *ch, uint8_t priority, const char *body)
{
    publish_with(ch, "", "q", 0,
                 PROPS(AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_APP_ID_FLAG, .priority = priority,
                       .app_id = text("app")),
                 body);
}

START_TEST(higher_priority_goes_first)
{
    struct channel *ch = given_queue(10);
    struct delivery d;

    publish(ch, "q", "none");
    publish_at(ch, 5, "5");
    publish_at(ch, 1, "1");
    publish_at(ch, 10, "10");
    publish_at(ch, 5, "5 too");
    publish_at(ch, 0, "0");
    await_confirms(ch);
    ck_assert_uint_eq(message_count(ch, "q"), 6);
    d = expect_get(ch, "q", "10", 0);
    ck_assert_uint_eq(d.message_count, 5);
    ck_assert_uint_eq(d.properties->priority, 10);
    expect_get(ch, "q", "5", 0);
    expect_get(ch, "q", "5 too", 0);
    expect_get(ch, "q", "1", 0);
    expect_get(ch, "q", "none", 0);
    expect_get(ch, "q", "0", 0);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(priority_above_the_maximum_counts_as_the_maximum)
{
    struct channel *ch = given_queue(3);

    publish_at(ch, 2, "2");
    publish_at(ch, 3, "3");
    publish_at(ch, 255, "255");
    publish_at(ch, 3, "3 too");
    await_confirms(ch);
    expect_get(ch, "q", "3", 0);
    expect_get(ch, "q", "255", 0);
    expect_get(ch, "q", "3 too", 0);
    expect_get(ch, "q", "2", 0);
}
END_TEST

START_TEST(all_priorities_there_are_work)
{
    struct channel *ch = given_queue(255);
    char body[16];

    for (int i = 0; i < 256; i++) {
        snprintf(body, sizeof(body), "%d", i);
        publish_at(ch, (uint8_t)i, body);
    }
    await_confirms(ch);
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    for (int i = 256; i-- != 0;) {
        snprintf(body, sizeof(body), "%d", i);
        expect_delivery(ch, body, 0);
    }
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(requeued_message_returns_to_its_place)
{
    struct channel *ch = given_queue(10);
    struct delivery one;
    struct delivery two;

    publish_at(ch, 5, "a");
    publish_at(ch, 5, "b");
    publish_at(ch, 5, "c");
    publish_at(ch, 1, "low");
    await_confirms(ch);
    one = expect_get(ch, "q", "a", 0);
    two = expect_get(ch, "q", "b", 0);
    publish_at(ch, 9, "high");
    await_confirms(ch);
    nack(ch, two.tag, REQUEUE);
    nack(ch, one.tag, REQUEUE);
    expect_get(ch, "q", "high", 0);
    expect_get(ch, "q", "a", REDELIVERED);
    expect_get(ch, "q", "b", REDELIVERED);
    expect_get(ch, "q", "c", 0);
    expect_get(ch, "q", "low", 0);
}
END_TEST

START_TEST(consumer_gets_what_is_most_urgent_next)
{
    struct channel *ch = given_queue(10);
    struct delivery d;

    qos(ch, 1, 0);
    consume(ch, "q", "c", 0, NO_ARGS);
    publish_at(ch, 1, "first");
    d = expect_delivery(ch, "first", 0);
    publish_at(ch, 1, "low");
    publish_at(ch, 7, "high");
    await_confirms(ch);
    ack(ch, d.tag, 0);
    d = expect_delivery(ch, "high", 0);
    ack(ch, d.tag, 0);
    expect_delivery(ch, "low", 0);
}
END_TEST

START_TEST(full_queue_drops_from_the_front)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, ARGS(arg_int("x-max-priority", 5), arg_int("x-max-length", 2)));
    confirm_select(ch);
    publish_at(ch, 1, "low");
    publish_at(ch, 5, "high");
    publish_at(ch, 1, "low too");
    await_confirms(ch);
    await_message_count(ch, "q", 2);
    expect_get(ch, "q", "low", 0);
    expect_get(ch, "q", "low too", 0);
}
END_TEST

START_TEST(messages_of_all_priorities_end_in_time)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "q", 0,
                  ARGS(arg_int("x-max-priority", 5), arg_int("x-message-ttl", 50),
                       arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead")));
    publish_at(ch, 1, "low");
    publish_at(ch, 5, "high");
    await_message_count(ch, "dead", 2);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(priorities_mean_nothing_to_other_queues)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    publish_at(ch, 1, "a");
    publish_at(ch, 9, "b");
    await_message_count(ch, "q", 2);
    expect_get(ch, "q", "a", 0);
    expect_get(ch, "q", "b", 0);
}
END_TEST

START_TEST(maximum_is_checked)
{
    struct channel *ch = connect_channel();

    send_queue_declare(ch, "q", 0, ARGS(arg_int("x-max-priority", 256)));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'q' in "
                         "vhost '/': *");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("priorities");
    TCase *tcase = wire_tcase(s, "priorities");

    tcase_add_test(tcase, higher_priority_goes_first);
    tcase_add_test(tcase, priority_above_the_maximum_counts_as_the_maximum);
    tcase_add_test(tcase, all_priorities_there_are_work);
    tcase_add_test(tcase, requeued_message_returns_to_its_place);
    tcase_add_test(tcase, consumer_gets_what_is_most_urgent_next);
    tcase_add_test(tcase, full_queue_drops_from_the_front);
    tcase_add_test(tcase, messages_of_all_priorities_end_in_time);
    tcase_add_test(tcase, priorities_mean_nothing_to_other_queues);
    tcase_add_test(tcase, maximum_is_checked);
    return s;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
