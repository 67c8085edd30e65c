/* Acknowledging and giving back: what happens to a message after its delivery. */
#include "tests/wire/harness.h"

/* A queue with these one-letter messages, in order. */
static void given_messages(struct channel *ch, const char *queue, const char *letters)
{
    declare_queue(ch, queue, 0, NO_ARGS);
    confirm_select(ch);
    for (const char *p = letters; *p != '\0'; p++) {
        const char body[2] = {*p, '\0'};

        publish(ch, queue, body);
    }
    await_confirms(ch);
}

START_TEST(acked_message_is_gone)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    given_messages(connect_channel(), "q", "a");
    d = expect_get(ch, "q", "a", 0);
    ack(ch, d.tag, 0);
    recover(ch, REQUEUE);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(delivery_tags_count_from_one_per_channel)
{
    struct channel *ch = connect_channel();
    struct channel *beside = open_channel(ch->client);

    given_messages(connect_channel(), "q", "abc");
    ck_assert_uint_eq(expect_get(ch, "q", "a", 0).tag, 1);
    ck_assert_uint_eq(expect_get(beside, "q", "b", 0).tag, 1);
    ck_assert_uint_eq(expect_get(ch, "q", "c", NO_ACK).tag, 2);
}
END_TEST

START_TEST(multiple_ack_takes_all_up_to_its_tag)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "abcde");
    consume(ch, "q", "c", 0, NO_ARGS);
    for (const char *p = "abcde"; *p != '\0'; p++)
        expect_delivery(ch, (char[]){*p, '\0'}, 0);
    cancel(ch, "c");
    ack(ch, 3, MULTIPLE);
    recover(ch, REQUEUE);
    expect_get(ch, "q", "d", REDELIVERED);
    expect_get(ch, "q", "e", REDELIVERED);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(multiple_ack_of_zero_takes_all)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "abc");
    for (const char *p = "abc"; *p != '\0'; p++)
        expect_get(ch, "q", (char[]){*p, '\0'}, 0);
    ack(ch, 0, MULTIPLE);
    ack(ch, 0, MULTIPLE); /* fine with nothing open */
    recover(ch, REQUEUE);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(acks_out_of_order_take_their_own)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "abcd");
    for (const char *p = "abcd"; *p != '\0'; p++)
        expect_get(ch, "q", (char[]){*p, '\0'}, 0);
    ack(ch, 3, 0);
    ack(ch, 1, 0);
    recover(ch, REQUEUE);
    expect_get(ch, "q", "b", REDELIVERED);
    expect_get(ch, "q", "d", REDELIVERED);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(multiple_ack_passes_over_what_was_acked)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "abcd");
    for (const char *p = "abcd"; *p != '\0'; p++)
        expect_get(ch, "q", (char[]){*p, '\0'}, 0);
    ack(ch, 2, 0);
    ack(ch, 3, MULTIPLE);
    recover(ch, REQUEUE);
    expect_get(ch, "q", "d", REDELIVERED);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(rejected_message_without_requeue_is_gone)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "abc");
    reject(ch, expect_get(ch, "q", "a", 0).tag, 0);
    nack(ch, expect_get(ch, "q", "b", 0).tag, 0);
    recover(ch, REQUEUE);
    expect_get(ch, "q", "c", 0);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(requeued_message_returns_to_its_place)
{
    struct channel *ch = connect_channel();
    struct delivery b;

    given_messages(connect_channel(), "q", "abcd");
    expect_get(ch, "q", "a", 0);
    b = expect_get(ch, "q", "b", 0);
    expect_get(ch, "q", "c", 0);
    nack(ch, b.tag, REQUEUE);
    expect_get(ch, "q", "b", REDELIVERED);
    expect_get(ch, "q", "d", 0);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(messages_requeued_one_by_one_return_in_order)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "abcd");
    for (const char *p = "abc"; *p != '\0'; p++)
        expect_get(ch, "q", (char[]){*p, '\0'}, 0);
    reject(ch, 2, REQUEUE);
    reject(ch, 3, REQUEUE);
    reject(ch, 1, REQUEUE);
    await_message_count(ch, "q", 4);
    expect_get(ch, "q", "a", REDELIVERED);
    expect_get(ch, "q", "b", REDELIVERED);
    expect_get(ch, "q", "c", REDELIVERED);
    expect_get(ch, "q", "d", 0);
}
END_TEST

START_TEST(multiple_nack_gives_back_all_up_to_its_tag)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "abcd");
    for (const char *p = "abc"; *p != '\0'; p++)
        expect_get(ch, "q", (char[]){*p, '\0'}, 0);
    nack(ch, 2, MULTIPLE | REQUEUE);
    await_message_count(ch, "q", 3);
    expect_get(ch, "q", "a", REDELIVERED);
    expect_get(ch, "q", "b", REDELIVERED);
    expect_get(ch, "q", "d", 0);
}
END_TEST

START_TEST(multiple_nack_of_zero_gives_back_all)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "abc");
    for (const char *p = "abc"; *p != '\0'; p++)
        expect_get(ch, "q", (char[]){*p, '\0'}, 0);
    nack(ch, 0, MULTIPLE | REQUEUE);
    await_message_count(ch, "q", 3);
    nack(ch, 0, MULTIPLE); /* fine with nothing open */
    expect_get(ch, "q", "a", REDELIVERED);
}
END_TEST

START_TEST(requeued_message_goes_to_a_waiting_consumer)
{
    struct channel *ch = connect_channel();
    struct channel *waiting = connect_channel();
    struct delivery d;

    given_messages(connect_channel(), "q", "a");
    d = expect_get(ch, "q", "a", 0);
    consume(waiting, "q", "c", 0, NO_ARGS);
    nack(ch, d.tag, REQUEUE);
    expect_delivery(waiting, "a", REDELIVERED);
}
END_TEST

START_TEST(recover_redelivers_with_new_tags)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "ab");
    consume(ch, "q", "c", 0, NO_ARGS);
    ck_assert_uint_eq(expect_delivery(ch, "a", 0).tag, 1);
    ck_assert_uint_eq(expect_delivery(ch, "b", 0).tag, 2);
    recover(ch, REQUEUE);
    ck_assert_uint_eq(expect_delivery(ch, "a", REDELIVERED).tag, 3);
    ck_assert_uint_eq(expect_delivery(ch, "b", REDELIVERED).tag, 4);
    ack(ch, 1, 0);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - unknown delivery tag 1");
}
END_TEST

START_TEST(recover_async_redelivers_without_an_answer)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "a");
    consume(ch, "q", "c", 0, NO_ARGS);
    expect_delivery(ch, "a", 0);
    send_method(ch, AMQP_BASIC_RECOVER_ASYNC_METHOD,
                &(amqp_basic_recover_async_t){.requeue = true});
    expect_delivery(ch, "a", REDELIVERED);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(unacked_messages_return_when_the_channel_closes)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    given_messages(connect_channel(), "q", "abcd");
    consume(ch, "q", "c", 0, NO_ARGS);
    for (const char *p = "abcd"; *p != '\0'; p++)
        expect_delivery(ch, (char[]){*p, '\0'}, 0);
    ack(ch, 2, 0);
    close_channel(ch);
    await_message_count(other, "q", 3);
    expect_get(other, "q", "a", REDELIVERED);
    expect_get(other, "q", "c", REDELIVERED);
    expect_get(other, "q", "d", REDELIVERED);
}
END_TEST

START_TEST(unacked_messages_return_when_a_channel_fails)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    given_messages(connect_channel(), "q", "ab");
    consume(ch, "q", "c", 0, NO_ARGS);
    expect_delivery(ch, "a", 0);
    expect_delivery(ch, "b", 0);
    ack(ch, 7, 0);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - unknown delivery tag 7");
    await_message_count(other, "q", 2);
    expect_get(other, "q", "a", REDELIVERED);
    expect_get(other, "q", "b", REDELIVERED);
}
END_TEST

START_TEST(unacked_messages_return_in_order_when_connections_are_lost)
{
    struct channel *first = connect_channel();
    struct channel *second = connect_channel();
    struct channel *other = connect_channel();

    given_messages(connect_channel(), "q", "abcdef");
    qos(first, 1, 0);
    for (const char *p = "abcde"; *p != '\0'; p++)
        expect_get((*p - 'a') % 2 == 0 ? first : second, "q", (char[]){*p, '\0'}, 0);
    drop_client(second->client);
    await_message_count(other, "q", 3);
    drop_client(first->client);
    await_message_count(other, "q", 6);
    for (const char *p = "abcde"; *p != '\0'; p++)
        expect_get(other, "q", (char[]){*p, '\0'}, REDELIVERED);
    expect_get(other, "q", "f", 0);
}
END_TEST

START_TEST(lost_consumers_messages_go_to_the_next)
{
    struct channel *first = connect_channel();
    struct channel *second = connect_channel();

    given_messages(connect_channel(), "q", "abc");
    consume(first, "q", "c", 0, NO_ARGS);
    expect_delivery(first, "a", 0);
    expect_delivery(first, "b", 0);
    expect_delivery(first, "c", 0);
    consume(second, "q", "c", 0, NO_ARGS);
    drop_client(first->client);
    expect_delivery(second, "a", REDELIVERED);
    expect_delivery(second, "b", REDELIVERED);
    expect_delivery(second, "c", REDELIVERED);
}
END_TEST

START_TEST(settling_spans_queues)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "one", "ab");
    given_messages(connect_channel(), "two", "cd");
    expect_get(ch, "one", "a", 0);
    expect_get(ch, "two", "c", 0);
    expect_get(ch, "one", "b", 0);
    expect_get(ch, "two", "d", 0);
    ack(ch, 2, MULTIPLE);
    nack(ch, 4, MULTIPLE | REQUEUE);
    await_message_count(ch, "one", 1);
    await_message_count(ch, "two", 1);
    expect_get(ch, "one", "b", REDELIVERED);
    expect_get(ch, "two", "d", REDELIVERED);
}
END_TEST

START_TEST(ack_after_the_queue_is_gone_is_fine)
{
    struct channel *ch = connect_channel();

    given_messages(connect_channel(), "q", "ab");
    expect_get(ch, "q", "a", 0);
    expect_get(ch, "q", "b", 0);
    delete_queue(ch, "q", 0);
    ack(ch, 1, 0);
    nack(ch, 2, REQUEUE);
    recover(ch, REQUEUE);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("settle");
    TCase *tcase = wire_tcase(suite, "ack");

    tcase_add_test(tcase, acked_message_is_gone);
    tcase_add_test(tcase, delivery_tags_count_from_one_per_channel);
    tcase_add_test(tcase, multiple_ack_takes_all_up_to_its_tag);
    tcase_add_test(tcase, multiple_ack_of_zero_takes_all);
    tcase_add_test(tcase, acks_out_of_order_take_their_own);
    tcase_add_test(tcase, multiple_ack_passes_over_what_was_acked);
    tcase_add_test(tcase, settling_spans_queues);
    tcase_add_test(tcase, ack_after_the_queue_is_gone_is_fine);
    tcase = wire_tcase(suite, "give back");
    tcase_add_test(tcase, rejected_message_without_requeue_is_gone);
    tcase_add_test(tcase, requeued_message_returns_to_its_place);
    tcase_add_test(tcase, messages_requeued_one_by_one_return_in_order);
    tcase_add_test(tcase, multiple_nack_gives_back_all_up_to_its_tag);
    tcase_add_test(tcase, multiple_nack_of_zero_gives_back_all);
    tcase_add_test(tcase, requeued_message_goes_to_a_waiting_consumer);
    tcase = wire_tcase(suite, "recover");
    tcase_add_test(tcase, recover_redelivers_with_new_tags);
    tcase_add_test(tcase, recover_async_redelivers_without_an_answer);
    tcase = wire_tcase(suite, "loss");
    tcase_add_test(tcase, unacked_messages_return_when_the_channel_closes);
    tcase_add_test(tcase, unacked_messages_return_when_a_channel_fails);
    tcase_add_test(tcase, unacked_messages_return_in_order_when_connections_are_lost);
    tcase_add_test(tcase, lost_consumers_messages_go_to_the_next);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
