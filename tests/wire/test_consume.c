/* Consumers: who gets which message, prefetch, priorities, exclusiveness, cancelling. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wire/raw.h"

static void publish_numbers(struct channel *ch, const char *queue, int from, int to)
{
    char body[16];

    for (int i = from; i < to; i++) {
        snprintf(body, sizeof(body), "%d", i);
        publish(ch, queue, body);
    }
}

static struct delivery expect_number(struct channel *ch, int number, int flags)
{
    char body[16];

    snprintf(body, sizeof(body), "%d", number);
    return expect_delivery(ch, body, flags);
}

START_TEST(consumer_gets_what_is_there_and_what_comes)
{
    struct channel *ch = connect_channel();
    struct channel *publisher = connect_channel();
    struct delivery d;

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(publisher, "q", "before");
    await_message_count(ch, "q", 1);
    consume(ch, "q", "tag", 0, NO_ARGS);
    d = expect_delivery_to(ch, "tag", "before", 0);
    ck_assert_uint_eq(d.tag, 1);
    ck_assert_str_eq(d.exchange, "");
    ck_assert_str_eq(d.routing_key, "q");
    publish(publisher, "q", "after");
    ck_assert_uint_eq(expect_delivery_to(ch, "tag", "after", 0).tag, 2);
}
END_TEST

START_TEST(consume_ok_comes_before_the_first_delivery)
{
    struct channel *ch = connect_channel();
    const amqp_basic_consume_ok_t *ok;

    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbers(ch, "q", 0, 10);
    await_message_count(ch, "q", 10);
    send_consume(ch, "q", "tag", NO_ACK, NO_ARGS);
    ok = expect_method(ch, AMQP_BASIC_CONSUME_OK_METHOD);
    ck_assert_uint_eq(ok->consumer_tag.len, 3);
    for (int i = 0; i < 10; i++)
        expect_number(ch, i, 0);
}
END_TEST

START_TEST(server_makes_a_tag_for_an_empty_one)
{
    struct channel *ch = connect_channel();
    const char *a;
    const char *b;

    declare_queue(ch, "q", 0, NO_ARGS);
    a = consume(ch, "q", "", 0, NO_ARGS);
    b = consume(ch, "q", "", 0, NO_ARGS);
    ck_assert_int_eq(strncmp(a, "amq.ctag-", 9), 0);
    ck_assert_str_ne(a, b);
    publish(ch, "q", "x");
    expect_delivery_to(ch, a, "x", 0);
}
END_TEST

START_TEST(tags_are_a_channels_own)
{
    struct channel *ch = connect_channel();
    struct channel *beside = open_channel(ch->client);

    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "t", 0, NO_ARGS);
    consume(beside, "q", "t", 0, NO_ARGS);
    ck_assert_uint_eq(consumer_count(ch, "q"), 2);
    cancel(ch, "t");
    consume(ch, "q", "t", 0, NO_ARGS);
    ck_assert_uint_eq(consumer_count(ch, "q"), 2);
}
END_TEST

START_TEST(reused_tag_closes_the_connection)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "t", 0, NO_ARGS);
    send_consume(ch, "q", "t", 0, NO_ARGS);
    expect_connection_error(ch->client, 530, "NOT_ALLOWED - attempt to reuse consumer tag 't'",
                            AMQP_BASIC_CONSUME_METHOD);
}
END_TEST

START_TEST(consumers_take_turns)
{
    struct channel *ch = connect_channel();
    struct channel *first = connect_channel();
    struct channel *second = connect_channel();
    struct channel *third = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    consume(first, "q", "c", NO_ACK, NO_ARGS);
    consume(second, "q", "c", NO_ACK, NO_ARGS);
    consume(third, "q", "c", NO_ACK, NO_ARGS);
    publish_numbers(ch, "q", 0, 30);
    for (int i = 0; i < 30; i += 3) {
        expect_number(first, i, 0);
        expect_number(second, i + 1, 0);
        expect_number(third, i + 2, 0);
    }
}
END_TEST

START_TEST(each_message_goes_to_exactly_one_consumer)
{
    enum { CONSUMERS = 8, MESSAGES = 2000 };
    struct channel *consumers[CONSUMERS];
    struct channel *ch = connect_channel();
    bool seen[MESSAGES] = {false};
    int count = 0;

    confirm_select(ch);
    declare_queue(ch, "q", 0, NO_ARGS);
    for (int i = 0; i < CONSUMERS; i++) {
        consumers[i] = connect_channel();
        qos(consumers[i], 10, 0);
        consume(consumers[i], "q", "c", 0, NO_ARGS);
    }
    publish_numbers(ch, "q", 0, MESSAGES);
    await_confirms(ch);
    for (int64_t deadline = now_ms() + deadline_ms(); count < MESSAGES;) {
        ck_assert_msg(now_ms() < deadline, "only %d messages of %d came", count, MESSAGES);
        for (int i = 0; i < CONSUMERS; i++) {
            while (something_comes(consumers[i], 0)) {
                struct delivery d = expect_delivery(consumers[i], NULL, 0);
                int number = atoi(d.body);

                ck_assert(!seen[number]);
                seen[number] = true;
                count++;
                ack(consumers[i], d.tag, 0);
            }
        }
    }
    for (int i = 0; i < CONSUMERS; i++)
        expect_nothing(consumers[i], "q");
    ck_assert_uint_eq(message_count(ch, "q"), 0);
}
END_TEST

START_TEST(prefetch_limits_each_consumer)
{
    struct channel *ch = connect_channel();
    struct channel *publisher = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    qos(ch, 2, 0);
    consume(ch, "q", "one", 0, NO_ARGS);
    consume(ch, "q", "two", 0, NO_ARGS);
    publish_numbers(publisher, "q", 0, 10);
    expect_delivery_to(ch, "one", "0", 0);
    expect_delivery_to(ch, "two", "1", 0);
    expect_delivery_to(ch, "one", "2", 0);
    expect_delivery_to(ch, "two", "3", 0);
    expect_nothing(ch, "q");
    ack(ch, 2, 0); /* one of the second's */
    expect_delivery_to(ch, "two", "4", 0);
    expect_nothing(ch, "q");
    ack(ch, 5, MULTIPLE);
    for (int i = 5; i < 9; i++)
        expect_number(ch, i, 0);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(new_prefetch_does_not_reach_a_running_consumer)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    qos(ch, 1, 0);
    consume(ch, "q", "one", 0, NO_ARGS);
    qos(ch, 3, 0);
    publish_numbers(ch, "q", 0, 10);
    expect_delivery_to(ch, "one", "0", 0);
    expect_nothing(ch, "q");
    consume(ch, "q", "two", 0, NO_ARGS);
    for (int i = 1; i < 4; i++)
        expect_delivery_to(ch, "two", (char[]){(char)('0' + i), '\0'}, 0);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(global_prefetch_limits_the_channel)
{
    struct channel *ch = connect_channel();
    struct channel *publisher = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    declare_queue(ch, "r", 0, NO_ARGS);
    qos(ch, 3, GLOBAL);
    consume(ch, "q", "one", 0, NO_ARGS);
    consume(ch, "r", "two", 0, NO_ARGS);
    publish_numbers(publisher, "q", 0, 5);
    for (int i = 0; i < 3; i++)
        expect_number(ch, i, 0);
    publish(publisher, "r", "r");
    expect_nothing(ch, "q");
    expect_nothing(ch, "r");
    ack(ch, 3, MULTIPLE);
    for (int i = 0; i < 3; i++)
        expect_delivery(ch, NULL, 0);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(both_prefetch_limits_hold_together)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    qos(ch, 2, 0);
    qos(ch, 3, GLOBAL);
    consume(ch, "q", "one", 0, NO_ARGS);
    consume(ch, "q", "two", 0, NO_ARGS);
    publish_numbers(ch, "q", 0, 10);
    for (int i = 0; i < 3; i++)
        expect_number(ch, i, 0);
    expect_nothing(ch, "q");
    ack(ch, 1, 0);
    expect_number(ch, 3, 0);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(global_prefetch_may_be_raised_and_lifted)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    qos(ch, 1, GLOBAL);
    consume(ch, "q", "one", 0, NO_ARGS);
    publish_numbers(ch, "q", 0, 10);
    expect_number(ch, 0, 0);
    expect_nothing(ch, "q");
    qos(ch, 3, GLOBAL);
    expect_number(ch, 1, 0);
    expect_number(ch, 2, 0);
    expect_nothing(ch, "q");
    qos(ch, 0, GLOBAL);
    for (int i = 3; i < 10; i++)
        expect_number(ch, i, 0);
}
END_TEST

START_TEST(prefetch_of_consumers_lifts_the_global_one)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    publish_numbers(ch, "q", 0, 20);
    await_message_count(ch, "q", 20);
    qos(ch, 3, GLOBAL);
    qos(ch, 5, 0);
    consume(ch, "q", "one", 0, NO_ARGS);
    for (int i = 0; i < 5; i++)
        expect_number(ch, i, 0);
    expect_nothing(ch, "q");
    qos(ch, 7, GLOBAL);
    consume(ch, "q", "two", 0, NO_ARGS);
    for (int i = 5; i < 7; i++)
        expect_number(ch, i, 0);
    expect_nothing(ch, "q");
    qos(ch, 5, 0); /* reaches what the common limit held back, at once */
    for (int i = 7; i < 10; i++)
        expect_number(ch, i, 0);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(prefetch_does_not_bind_get_and_no_ack)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    qos(ch, 1, 0);
    publish_numbers(ch, "q", 0, 6);
    await_message_count(ch, "q", 6);
    expect_get(ch, "q", "0", 0);
    expect_get(ch, "q", "1", 0);
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    for (int i = 2; i < 6; i++)
        expect_number(ch, i, 0);
}
END_TEST

START_TEST(prefetch_of_zero_is_unlimited)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    qos(ch, 1, 0);
    qos(ch, 0, 0);
    consume(ch, "q", "c", 0, NO_ARGS);
    publish_numbers(ch, "q", 0, 500);
    for (int i = 0; i < 500; i++)
        expect_number(ch, i, 0);
}
END_TEST

START_TEST(higher_priority_comes_first_while_it_has_credit)
{
    struct channel *ch = connect_channel();
    struct channel *low = connect_channel();
    struct channel *high = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    qos(low, 2, 0);
    qos(high, 2, 0);
    consume(low, "q", "low", 0, NO_ARGS);
    consume(high, "q", "high", 0, ARGS(arg_int("x-priority", 10)));
    publish_numbers(ch, "q", 0, 3);
    expect_number(high, 0, 0);
    expect_number(high, 1, 0);
    expect_number(low, 2, 0);
    ack(high, 1, 0);
    message_count(high, "q");
    expect_nothing(high, "q");
    publish(ch, "q", "3");
    expect_number(high, 3, 0);
    expect_nothing(low, "q");
}
END_TEST

START_TEST(unknown_arguments_mean_nothing)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "c", NO_ACK,
            ARGS(arg_bool("x-cancel-on-ha-failover", true), arg_int("x-anything", 1)));
    publish(ch, "q", "a");
    expect_delivery_to(ch, "c", "a", 0);
}
END_TEST

START_TEST(negative_priority_comes_last)
{
    struct channel *ch = connect_channel();
    struct channel *low = connect_channel();
    struct channel *plain = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    consume(low, "q", "low", 0, ARGS(arg_int("x-priority", -1)));
    consume(plain, "q", "plain", 0, NO_ARGS);
    publish_numbers(ch, "q", 0, 5);
    for (int i = 0; i < 5; i++)
        expect_number(plain, i, 0);
    expect_nothing(low, "q");
}
END_TEST

START_TEST(exclusive_consumer_leaves_its_place)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "one", EXCLUSIVE, NO_ARGS);
    send_consume(other, "q", "two", 0, NO_ARGS);
    expect_channel_error(other, 403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use");
    reopen_channel(other);
    cancel(ch, "one");
    consume(other, "q", "two", EXCLUSIVE, NO_ARGS);
    publish(ch, "q", "a");
    expect_delivery(other, "a", 0);
}
END_TEST

START_TEST(no_local_is_taken_and_does_nothing)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "c", NO_LOCAL, NO_ARGS);
    publish(ch, "q", "a");
    expect_delivery(ch, "a", 0);
}
END_TEST

START_TEST(cancel_ends_deliveries_and_keeps_unacked_ones)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "c", 0, NO_ARGS);
    publish(ch, "q", "a");
    expect_delivery(ch, "a", 0);
    cancel(ch, "c");
    publish(ch, "q", "b");
    expect_nothing(ch, "q");
    ck_assert_uint_eq(consumer_count(ch, "q"), 0);
    ck_assert_uint_eq(message_count(ch, "q"), 1); /* a is still out */
    ack(ch, 1, 0);
    expect_get(ch, "q", "b", 0);
}
END_TEST

START_TEST(cancel_of_an_unknown_tag_is_answered)
{
    struct channel *ch = connect_channel();

    cancel(ch, "unheard");
}
END_TEST

START_TEST(deleted_queue_cancels_its_consumers)
{
    struct channel *ch = connect_channel();
    struct channel *one = connect_channel();
    struct channel *two = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    consume(one, "q", "one", 0, NO_ARGS);
    consume(two, "q", "two", 0, NO_ARGS);
    delete_queue(ch, "q", 0);
    expect_cancel(one, "one");
    expect_cancel(two, "two");
    /* the tags are free again */
    declare_queue(ch, "q", 0, NO_ARGS);
    consume(one, "q", "one", 0, NO_ARGS);
    publish(ch, "q", "a");
    expect_delivery_to(one, "one", "a", 0);
}
END_TEST

START_TEST(cancel_is_not_told_to_those_who_do_not_ask)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();
    struct raw_bytes b = {.size = 0};
    struct raw_bytes flow = {.size = 0};

    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake(r);
    raw_open_channel(r, 1);
    put_u16(&b, 0);
    put_short_string(&b, "q");
    put_short_string(&b, "c");
    put_u8(&b, 0);
    put_u32(&b, 0);
    raw_send_method(r, 1, AMQP_BASIC_CONSUME_METHOD, &b);
    raw_expect_method(r, 1, AMQP_BASIC_CONSUME_OK_METHOD);
    delete_queue(ch, "q", 0);
    put_u8(&flow, 1);
    for (int i = 0; i < 3; i++) {
        raw_send_method(r, 1, AMQP_CHANNEL_FLOW_METHOD, &flow);
        raw_expect_method(r, 1, AMQP_CHANNEL_FLOW_OK_METHOD);
    }
}
END_TEST

START_TEST(cancel_is_told_to_those_who_ask)
{
    struct raw *r = raw_connect(test_broker());
    struct channel *ch = connect_channel();
    struct raw_bytes b = {.size = 0};
    struct raw_frame f;

    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake_with(r, "consumer_cancel_notify", 2047, 131072, 0);
    raw_open_channel(r, 1);
    put_u16(&b, 0);
    put_short_string(&b, "q");
    put_short_string(&b, "c");
    put_u8(&b, 0);
    put_u32(&b, 0);
    raw_send_method(r, 1, AMQP_BASIC_CONSUME_METHOD, &b);
    raw_expect_method(r, 1, AMQP_BASIC_CONSUME_OK_METHOD);
    delete_queue(ch, "q", 0);
    f = raw_expect_method(r, 1, AMQP_BASIC_CANCEL_METHOD);
    ck_assert_uint_eq(f.size, 3);
    ck_assert_mem_eq(f.payload, "\1c\1", 3); /* tag c, no-wait */
}
END_TEST

START_TEST(many_consumers_on_a_channel)
{
    struct channel *ch = connect_channel();
    char name[16];

    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        declare_queue(ch, name, 0, NO_ARGS);
        consume(ch, name, name, 0, NO_ARGS);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        publish(ch, name, name);
        expect_delivery_to(ch, name, name, 0);
    }
    ack(ch, 0, MULTIPLE);
}
END_TEST

START_TEST(work_queue_shares_out_by_speed)
{
    struct channel *ch = connect_channel();
    struct channel *slow = connect_channel();
    struct channel *fast = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    qos(slow, 1, 0);
    qos(fast, 1, 0);
    consume(slow, "q", "slow", 0, NO_ARGS);
    consume(fast, "q", "fast", 0, NO_ARGS);
    publish_numbers(ch, "q", 0, 20);
    expect_number(slow, 0, 0); /* and never acks */
    for (int i = 1; i < 20; i++)
        ack(fast, expect_number(fast, i, 0).tag, 0);
    expect_nothing(slow, "q");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("consume");
    TCase *tcase = wire_tcase(suite, "deliver");

    tcase_add_test(tcase, consumer_gets_what_is_there_and_what_comes);
    tcase_add_test(tcase, consume_ok_comes_before_the_first_delivery);
    tcase_add_test(tcase, consumers_take_turns);
    tcase_add_test(tcase, each_message_goes_to_exactly_one_consumer);
    tcase_add_test(tcase, no_local_is_taken_and_does_nothing);
    tcase_add_test(tcase, many_consumers_on_a_channel);
    tcase = wire_tcase(suite, "tags");
    tcase_add_test(tcase, server_makes_a_tag_for_an_empty_one);
    tcase_add_test(tcase, tags_are_a_channels_own);
    tcase_add_test(tcase, reused_tag_closes_the_connection);
    tcase = wire_tcase(suite, "prefetch");
    tcase_add_test(tcase, prefetch_limits_each_consumer);
    tcase_add_test(tcase, new_prefetch_does_not_reach_a_running_consumer);
    tcase_add_test(tcase, global_prefetch_limits_the_channel);
    tcase_add_test(tcase, both_prefetch_limits_hold_together);
    tcase_add_test(tcase, global_prefetch_may_be_raised_and_lifted);
    tcase_add_test(tcase, prefetch_of_consumers_lifts_the_global_one);
    tcase_add_test(tcase, prefetch_does_not_bind_get_and_no_ack);
    tcase_add_test(tcase, prefetch_of_zero_is_unlimited);
    tcase_add_test(tcase, work_queue_shares_out_by_speed);
    tcase = wire_tcase(suite, "choice");
    tcase_add_test(tcase, higher_priority_comes_first_while_it_has_credit);
    tcase_add_test(tcase, unknown_arguments_mean_nothing);
    tcase_add_test(tcase, negative_priority_comes_last);
    tcase_add_test(tcase, exclusive_consumer_leaves_its_place);
    tcase = wire_tcase(suite, "cancel");
    tcase_add_test(tcase, cancel_ends_deliveries_and_keeps_unacked_ones);
    tcase_add_test(tcase, cancel_of_an_unknown_tag_is_answered);
    tcase_add_test(tcase, deleted_queue_cancels_its_consumers);
    tcase_add_test(tcase, cancel_is_not_told_to_those_who_do_not_ask);
    tcase_add_test(tcase, cancel_is_told_to_those_who_ask);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
