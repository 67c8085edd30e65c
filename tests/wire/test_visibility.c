/* How long a delivery may stay unacknowledged: the visibility timeout, after which its message goes
 * back, and the consumer timeout, after which its channel is closed. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

enum {
    SHORT_MS = 30,
    LONG_MS = 3600000,
    CONNECTIONS = 4, /* so many that some are not on the queue's worker */
};

static struct channel *given_queue(int32_t timeout_ms)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", timeout_ms)));
    return ch;
}

START_TEST(delivery_goes_back_when_its_time_is_up)
{
    struct channel *ch = given_queue(SHORT_MS);
    struct channel *other = connect_channel();

    consume(ch, "q", "c", 0, NO_ARGS);
    publish(ch, "q", "a");
    expect_delivery(ch, "a", 0);
    cancel(ch, "c");
    await_message_count(ch, "q", 1);
    consume(other, "q", "c", 0, ARGS(arg_int("x-visibility-timeout", LONG_MS)));
    expect_delivery(other, "a", REDELIVERED);
    ack(ch, 1, 0);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
    cancel(other, "c");
    close_channel(other);
    expect_get(ch, "q", "a", REDELIVERED | NO_ACK);
}
END_TEST

START_TEST(credit_comes_back_with_the_message)
{
    struct channel *ch = given_queue(SHORT_MS);
    struct delivery d;

    publish(ch, "q", "a");
    publish(ch, "q", "b");
    publish(ch, "q", "c");
    qos(ch, 2, 0);
    consume(ch, "q", "c", 0, NO_ARGS);
    for (uint64_t round = 0; round < 3; round++) {
        d = expect_delivery(ch, "a", round != 0 ? REDELIVERED : 0);
        ck_assert_uint_eq(d.tag, 2 * round + 1);
        expect_delivery(ch, "b", round != 0 ? REDELIVERED : 0);
    }
    cancel(ch, "c");
    await_message_count(ch, "q", 3);
}
END_TEST

/* The limit of the channel, with a consumer of another queue that waits for credit. */
START_TEST(credit_of_the_channel_comes_back)
{
    struct channel *ch = given_queue(SHORT_MS);
    struct channel *other = open_channel(ch->client);

    declare_queue(ch, "r", 0, NO_ARGS);
    qos(ch, 1, GLOBAL);
    consume(ch, "q", "q", 0, NO_ARGS);
    consume(ch, "r", "r", 0, NO_ARGS);
    publish(ch, "q", "a");
    expect_delivery_to(ch, "q", "a", 0);
    cancel(ch, "q");
    publish(other, "r", "b");
    /* It may have come once more before the cancel. */
    while (strcmp(expect_delivery(ch, NULL, ANY_REDELIVERED).consumer_tag, "r") != 0) {
    }
    await_message_count(other, "q", 1);
}
END_TEST

START_TEST(settling_late_is_no_error)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        struct channel *ch = connect_channel();

        declare_queue(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", SHORT_MS)));
        publish(ch, "q", "a");
        publish(ch, "q", "b");
        publish(ch, "q", "c");
        consume(ch, "q", "c", 0, NO_ARGS);
        expect_delivery(ch, "a", 0);
        expect_delivery(ch, "b", 0);
        expect_delivery(ch, "c", 0);
        expect_delivery(ch, "a", REDELIVERED);
        cancel(ch, "c");
        await_message_count(ch, "q", 3);
        ack(ch, 1, 0);
        nack(ch, 2, 0);
        reject(ch, 3, 0);
        ack(ch, 4, MULTIPLE);
        ck_assert_uint_eq(message_count(ch, "q"), 3);
        ack(ch, 4, 0);
        while (next_method(ch) == AMQP_BASIC_DELIVER_METHOD)
            expect_delivery(ch, NULL, REDELIVERED);
        expect_channel_error(ch, 406, "PRECONDITION_FAILED - unknown delivery tag 4");
        reopen_channel(ch);
        ck_assert_uint_eq(delete_queue(ch, "q", 0), 3);
    }
}
END_TEST

START_TEST(tag_that_never_was_is_an_error)
{
    struct channel *ch = given_queue(SHORT_MS);

    publish(ch, "q", "a");
    expect_get(ch, "q", "a", 0);
    await_message_count(ch, "q", 1);
    ack(ch, 1, 0);
    ack(ch, 2, 0);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - unknown delivery tag 2");
}
END_TEST

/* More than the channel keeps apart until they are settled: they are no error either. */
START_TEST(expired_tags_are_known_for_long)
{
    enum { ROUNDS = 30, MESSAGES = 20 };
    struct channel *ch = given_queue(5);

    for (int i = 0; i < MESSAGES; i++)
        publish(ch, "q", "a");
    consume(ch, "q", "c", 0, NO_ARGS);
    for (int i = 0; i < ROUNDS * MESSAGES; i++)
        expect_delivery(ch, "a", i < MESSAGES ? 0 : REDELIVERED);
    cancel(ch, "c");
    while (message_count(ch, "q") != MESSAGES) {
    }
    for (uint64_t tag = 1; tag <= (uint64_t)ROUNDS * MESSAGES; tag++)
        ack(ch, tag, 0);
    ack(ch, 1, MULTIPLE);
    ck_assert_uint_eq(message_count(ch, "q"), MESSAGES);
}
END_TEST

START_TEST(message_from_a_get_goes_back)
{
    struct channel *ch = given_queue(SHORT_MS);
    struct delivery d;

    publish(ch, "q", "a");
    d = expect_get(ch, "q", "a", 0);
    await_message_count(ch, "q", 1);
    ack(ch, d.tag, 0);
    expect_get(ch, "q", "a", REDELIVERED | NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(delivery_that_needs_no_ack_does_not_go_back)
{
    struct channel *ch = given_queue(5);
    struct channel *other = open_channel(ch->client);

    publish(ch, "q", "a");
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    expect_delivery(ch, "a", 0);
    /* Longer than the timeout, as another message's tells. */
    publish(ch, "q", "b");
    expect_delivery(ch, "b", 0);
    cancel(ch, "c");
    publish(ch, "q", "c");
    expect_get(other, "q", "c", 0);
    await_message_count(other, "q", 1);
    expect_get(other, "q", "c", REDELIVERED | NO_ACK);
    expect_get_empty(other, "q");
}
END_TEST

START_TEST(time_of_the_consumer_counts)
{
    struct channel *ch = connect_channel();
    struct channel *quick = open_channel(ch->client);
    struct channel *plain = open_channel(ch->client);

    declare_queue(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", LONG_MS)));
    publish(ch, "q", "a");
    consume(quick, "q", "c", 0, ARGS(arg_int("x-visibility-timeout", SHORT_MS)));
    expect_delivery(quick, "a", 0);
    expect_delivery(quick, "a", REDELIVERED);

    declare_queue(ch, "plain", 0, NO_ARGS);
    publish(ch, "plain", "b");
    consume(plain, "plain", "c", 0, ARGS(arg_long("x-visibility-timeout", SHORT_MS)));
    expect_delivery(plain, "b", 0);
    expect_delivery(plain, "b", REDELIVERED);
}
END_TEST

START_TEST(expired_deliveries_are_counted_and_limited)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "q", 0,
                  ARGS(arg_int("x-visibility-timeout", 20), arg_int("x-delivery-limit", 2),
                       arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead")));
    publish(ch, "q", "a");
    consume(ch, "q", "c", 0, NO_ARGS);
    for (int i = 0; i < 3; i++) {
        d = expect_delivery(ch, "a", i != 0 ? REDELIVERED : 0);
        if (i != 0)
            ck_assert(field_is_int(header(&d, "x-delivery-count"), i));
    }
    await_message_count(ch, "dead", 1);
    expect_nothing(ch, "q");
}
END_TEST

START_TEST(priorities_keep_their_order)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0,
                  ARGS(arg_int("x-visibility-timeout", SHORT_MS), arg_int("x-max-priority", 5)));
    publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_PRIORITY_FLAG, .priority = 1), "low");
    publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_PRIORITY_FLAG, .priority = 5), "high");
    consume(ch, "q", "c", 0, NO_ARGS);
    expect_delivery(ch, "high", 0);
    expect_delivery(ch, "low", 0);
    expect_delivery(ch, "high", REDELIVERED);
    expect_delivery(ch, "low", REDELIVERED);
}
END_TEST

START_TEST(single_active_consumer_stays_the_one)
{
    struct channel *ch = connect_channel();
    struct channel *standby = connect_channel();

    declare_queue(ch, "q", 0,
                  ARGS(arg_int("x-visibility-timeout", SHORT_MS),
                       arg_bool("x-single-active-consumer", true)));
    consume(ch, "q", "c", 0, NO_ARGS);
    consume(standby, "q", "c", 0, NO_ARGS);
    publish(ch, "q", "a");
    expect_delivery(ch, "a", 0);
    expect_delivery(ch, "a", REDELIVERED);
    expect_nothing(standby, "q");
    /* What it held then goes to the next one when its time is up. */
    cancel(ch, "c");
    expect_delivery(standby, "a", REDELIVERED);
}
END_TEST

START_TEST(ack_of_a_transaction_may_come_too_late)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        struct channel *ch = connect_channel();
        struct channel *late = connect_channel();
        struct channel *in_time = open_channel(late->client);

        declare_queue(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", SHORT_MS)));
        tx_select(late);
        tx_select(in_time);
        consume(late, "q", "c", 0, NO_ARGS);
        publish(ch, "q", "a");
        ack(late, expect_delivery(late, "a", 0).tag, 0);
        cancel(late, "c");
        await_message_count(ch, "q", 1);
        tx_commit(late);
        ck_assert_uint_eq(message_count(ch, "q"), 1);
        consume(in_time, "q", "c", 0, ARGS(arg_int("x-visibility-timeout", LONG_MS)));
        ack(in_time, expect_delivery(in_time, "a", REDELIVERED).tag, 0);
        tx_commit(in_time);
        close_channel(in_time);
        ck_assert_uint_eq(delete_queue(ch, "q", 0), 0);
    }
}
END_TEST

START_TEST(bad_timeouts_are_refused_by_name)
{
    static const struct {
        const char *argument;
        int64_t value;
        const char *why;
    } cases[] = {
        {"x-visibility-timeout", 0, "{value_zero,0}"},
        {"x-visibility-timeout", -5, "{value_negative,-5}"},
        {"x-visibility-timeout", 315360000001, "{value_too_large,315360000001}"},
        {"x-consumer-timeout", 0, "{value_zero,0}"},
        {"x-consumer-timeout", -5, "{value_negative,-5}"},
        {"x-consumer-timeout", 315360000001, "{value_too_large,315360000001}"},
    };
    struct channel *ch = connect_channel();
    char expected[256];

    declare_queue(ch, "q", 0, NO_ARGS);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        harness_case(cases[i].why);
        snprintf(expected, sizeof(expected),
                 "PRECONDITION_FAILED - invalid arg '%s' for queue 'bad' in vhost '/': %s",
                 cases[i].argument, cases[i].why);
        send_queue_declare(ch, "bad", 0, ARGS(arg_long(cases[i].argument, cases[i].value)));
        expect_channel_error(ch, 406, expected);
        reopen_channel(ch);
        snprintf(expected, sizeof(expected),
                 "PRECONDITION_FAILED - invalid arg '%s' for queue 'q' in vhost '/': %s",
                 cases[i].argument, cases[i].why);
        send_consume(ch, "q", "c", 0, ARGS(arg_long(cases[i].argument, cases[i].value)));
        expect_channel_error(ch, 406, expected);
        reopen_channel(ch);
    }
    send_consume(ch, "q", "c", 0, ARGS(arg_string("x-visibility-timeout", "soon")));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - invalid arg 'x-visibility-timeout' for queue 'q' "
                         "in vhost '/': \"expected integer, got longstr\"");
    reopen_channel(ch);
    send_queue_declare(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", 1)));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - inequivalent arg 'x-visibility-timeout' for queue "
                         "'q' in vhost '/': *");
}
END_TEST

/* Takes what has come, waits for up to `patience_ms` whether more does, as it does when the time of
 * these is up, and acks all. Returns whether there was anything. */
static bool work_slowly(struct channel *ch, int patience_ms)
{
    uint64_t last = 0;

    while (something_comes(ch, 0))
        last = expect_delivery(ch, "a", ANY_REDELIVERED).tag;
    if (last == 0)
        return false;
    something_comes(ch, patience_ms);
    ack(ch, last, MULTIPLE);
    return true;
}

/* Acks that come about when the time is up: each message is either acked, and gone, or comes again;
 * none is lost, and none comes again after an ack that was in time. */
START_TEST(ack_and_deadline_have_one_winner)
{
    enum { MESSAGES = 300, TIMEOUT_MS = 10 };
    struct channel *ch = given_queue(TIMEOUT_MS);
    struct channel *consumers[CONNECTIONS];
    int quiet = 0;

    confirm_select(ch);
    for (int i = 0; i < MESSAGES; i++)
        publish(ch, "q", "a");
    await_confirms(ch);
    for (int i = 0; i < CONNECTIONS; i++) {
        consumers[i] = connect_channel();
        qos(consumers[i], 10, 0);
        consume(consumers[i], "q", "c", 0, NO_ARGS);
    }
    for (int round = 0; quiet < 3; round++) {
        bool worked = false;

        for (int i = 0; i < CONNECTIONS; i++)
            worked |= work_slowly(consumers[i], round % (TIMEOUT_MS + 2));
        quiet = worked || message_count(ch, "q") != 0 ||
                        something_comes(consumers[round % CONNECTIONS], 2 * TIMEOUT_MS)
                    ? 0
                    : quiet + 1;
    }
    for (int i = 0; i < CONNECTIONS; i++)
        close_channel(consumers[i]);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
}
END_TEST

/* ---- The consumer timeout ---- */

static void expect_timed_out(struct channel *ch, int timeout_ms)
{
    char expected[256];

    snprintf(
        expected, sizeof(expected),
        "PRECONDITION_FAILED - delivery acknowledgement on channel %u timed out. Timeout value "
        "used: %d ms. This timeout value can be configured, see consumers doc guide to learn "
        "more (limits.consumer_timeout_ms, x-consumer-timeout)",
        (unsigned)ch->number, timeout_ms);
    ch->last_sent = 0;
    expect_channel_error(ch, 406, expected);
}

START_TEST(channel_is_closed_after_the_consumer_timeout)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        struct channel *ch = connect_channel();
        struct channel *slow = connect_channel();

        declare_queue(ch, "q", 0, ARGS(arg_int("x-consumer-timeout", SHORT_MS)));
        publish(ch, "q", "a");
        publish(ch, "q", "b");
        consume(slow, "q", "c", 0, NO_ARGS);
        expect_delivery(slow, "a", 0);
        expect_delivery(slow, "b", 0);
        expect_timed_out(slow, SHORT_MS);
        ck_assert_uint_eq(message_count(ch, "q"), 2);
        reopen_channel(slow);
        expect_get(slow, "q", "a", REDELIVERED);
        expect_timed_out(slow, SHORT_MS);
        delete_queue(ch, "q", 0);
    }
}
END_TEST

START_TEST(consumer_has_its_own_timeout)
{
    struct channel *ch = connect_channel();
    struct channel *slow = open_channel(ch->client);

    declare_queue(ch, "q", 0, ARGS(arg_int("x-consumer-timeout", LONG_MS)));
    publish(ch, "q", "a");
    consume(slow, "q", "c", 0, ARGS(arg_int("x-consumer-timeout", SHORT_MS)));
    expect_delivery(slow, "a", 0);
    expect_timed_out(slow, SHORT_MS);
    expect_get(ch, "q", "a", REDELIVERED);
}
END_TEST

/* What a transaction settles is no longer waited for. */
START_TEST(ack_in_a_transaction_is_in_time)
{
    enum { TIMEOUT_MS = 500 };
    struct channel *ch = connect_channel();
    struct channel *tx = open_channel(ch->client);

    declare_queue(ch, "q", 0, ARGS(arg_int("x-consumer-timeout", TIMEOUT_MS)));
    declare_queue(ch, "clock", 0, ARGS(arg_int("x-visibility-timeout", TIMEOUT_MS + 100)));
    tx_select(tx);
    consume(tx, "q", "c", 0, NO_ARGS);
    publish(ch, "q", "a");
    ack(tx, expect_delivery(tx, "a", 0).tag, 0);
    publish(ch, "clock", "tick");
    expect_get(ch, "clock", "tick", 0);
    await_message_count(ch, "clock", 1);
    tx_commit(tx);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("visibility");
    TCase *visibility = wire_tcase(s, "visibility timeout");
    TCase *consumer = wire_tcase(s, "consumer timeout");

    tcase_add_test(visibility, delivery_goes_back_when_its_time_is_up);
    tcase_add_test(visibility, credit_comes_back_with_the_message);
    tcase_add_test(visibility, credit_of_the_channel_comes_back);
    tcase_add_test(visibility, settling_late_is_no_error);
    tcase_add_test(visibility, tag_that_never_was_is_an_error);
    tcase_add_test(visibility, expired_tags_are_known_for_long);
    tcase_add_test(visibility, message_from_a_get_goes_back);
    tcase_add_test(visibility, delivery_that_needs_no_ack_does_not_go_back);
    tcase_add_test(visibility, time_of_the_consumer_counts);
    tcase_add_test(visibility, expired_deliveries_are_counted_and_limited);
    tcase_add_test(visibility, priorities_keep_their_order);
    tcase_add_test(visibility, single_active_consumer_stays_the_one);
    tcase_add_test(visibility, ack_of_a_transaction_may_come_too_late);
    tcase_add_test(visibility, bad_timeouts_are_refused_by_name);
    tcase_add_test(visibility, ack_and_deadline_have_one_winner);
    tcase_add_test(consumer, channel_is_closed_after_the_consumer_timeout);
    tcase_add_test(consumer, consumer_has_its_own_timeout);
    tcase_add_test(consumer, ack_in_a_transaction_is_in_time);
    return s;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
