/* amq.lease: more time, or less, for a delivery under a visibility timeout. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

enum {
    SHORT_MS = 10,
    LONG_MS = 3600000,
    CONNECTIONS = 4, /* so many that some are not on the queue's worker */
};

static void send_lease(struct channel *ch, uint64_t tag, int64_t timeout_ms, int flags)
{
    publish_with(
        ch, "amq.lease", "", flags,
        HEADERS(arg_long("delivery-tag", (int64_t)tag), arg_long("visibility-timeout", timeout_ms)),
        "");
}

static void expect_held(struct channel *ch)
{
    bool multiple;

    ck_assert_uint_eq(expect_confirm(ch, &multiple), ch->published);
}

static void expect_not_held(struct channel *ch)
{
    ck_assert_uint_eq(expect_confirm_nack(ch), ch->published);
}

static void expect_returned(struct channel *ch, const char *text_)
{
    const amqp_basic_return_t *m = expect_method(ch, AMQP_BASIC_RETURN_METHOD);

    ck_assert_uint_eq(m->reply_code, 312);
    ck_assert_uint_eq(m->reply_text.len, strlen(text_));
    ck_assert_mem_eq(m->reply_text.bytes, text_, m->reply_text.len);
    ck_assert_uint_eq(m->exchange.len, strlen("amq.lease"));
}

/* A channel under confirms that holds a delivery of "a" from queue q, and of as many more. */
static struct channel *given_deliveries(struct channel *ch, int count, int32_t timeout_ms)
{
    struct channel *holder = connect_channel();

    declare_queue(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", timeout_ms)));
    for (int i = 0; i < count; i++)
        publish(ch, "q", "a");
    qos(holder, (uint16_t)count, 0);
    consume(holder, "q", "c", 0, NO_ARGS);
    for (int i = 0; i < count; i++)
        expect_delivery(holder, "a", 0);
    cancel(holder, "c");
    confirm_select(holder);
    return holder;
}

/* The time that a delivery has without an extension goes by several times. */
static void await_time(struct channel *ch)
{
    struct channel *clock = open_channel(ch->client);

    declare_queue(ch, "clock", EXCLUSIVE, ARGS(arg_int("x-visibility-timeout", SHORT_MS)));
    publish(ch, "clock", "tick");
    consume(clock, "clock", "c", 0, NO_ARGS);
    for (int i = 0; i < 4; i++)
        expect_delivery(clock, "tick", ANY_REDELIVERED);
    close_channel(clock);
    delete_queue(ch, "clock", 0);
}

/* Shortens the time of delivery 1 and extends it again before that is up. Returns whether that was
 * in time; when not, it has gone back. */
static bool extend_in_time(struct channel *holder, int64_t short_ms)
{
    send_lease(holder, 1, short_ms, 0);
    expect_held(holder);
    send_lease(holder, 1, LONG_MS, 0);
    if (next_method(holder) == AMQP_BASIC_ACK_METHOD) {
        expect_held(holder);
        return true;
    }
    expect_not_held(holder);
    return false;
}

START_TEST(extended_delivery_stays)
{
    int64_t short_ms = 20;

    for (int i = 0; i < CONNECTIONS;) {
        struct channel *ch = connect_channel();
        struct channel *holder = given_deliveries(ch, 2, LONG_MS);

        if (extend_in_time(holder, short_ms)) {
            /* The other one goes when the first would have gone. */
            send_lease(holder, 2, short_ms, 0);
            expect_held(holder);
            await_message_count(ch, "q", 1);
            ack(holder, 1, 0);
            send_lease(holder, 1, LONG_MS, 0);
            expect_not_held(holder);
            ck_assert_uint_eq(message_count(ch, "q"), 1);
            i++;
        } else {
            short_ms *= 2;
        }
        delete_queue(ch, "q", 0);
    }
}
END_TEST

START_TEST(extension_may_come_again_and_again)
{
    struct channel *ch = connect_channel();
    struct channel *holder = given_deliveries(ch, 1, LONG_MS);

    for (int i = 0; i < 1000; i++)
        send_lease(holder, 1, LONG_MS - i, 0);
    await_confirms(holder);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
    send_lease(holder, 1, 1, 0);
    expect_held(holder);
    await_message_count(ch, "q", 1);
}
END_TEST

START_TEST(released_delivery_goes_back_at_once)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        struct channel *ch = connect_channel();
        struct channel *holder = given_deliveries(ch, 2, LONG_MS);

        send_lease(holder, 1, 0, 0);
        expect_held(holder);
        ck_assert_uint_eq(message_count(ch, "q"), 1);
        send_lease(holder, 1, 0, 0);
        expect_not_held(holder);
        ack(holder, 1, 0);
        expect_nothing(holder, "q");
        expect_get(ch, "q", "a", REDELIVERED);
        ack(holder, 2, 0);
        expect_nothing(holder, "q");
        delete_queue(ch, "q", 0);
    }
}
END_TEST

START_TEST(tag_0_means_all)
{
    struct channel *ch = connect_channel();
    struct channel *holder = given_deliveries(ch, 10, LONG_MS);

    declare_queue(ch, "r", 0, ARGS(arg_int("x-visibility-timeout", LONG_MS)));
    for (int i = 0; i < 10; i++)
        publish(ch, "r", "b");
    await_message_count(ch, "r", 10);
    for (int i = 0; i < 10; i++)
        expect_get(holder, "r", "b", 0);
    ack(holder, 1, 0);
    ack(holder, 12, 0);
    send_lease(holder, 0, 1, 0);
    expect_held(holder);
    await_message_count(ch, "q", 9);
    await_message_count(ch, "r", 9);

    expect_get(holder, "q", "a", REDELIVERED);
    expect_get(holder, "r", "b", REDELIVERED);
    send_lease(holder, 0, 0, 0);
    expect_held(holder);
    ck_assert_uint_eq(message_count(ch, "q"), 9);
    ck_assert_uint_eq(message_count(ch, "r"), 9);
    send_lease(holder, 0, LONG_MS, MANDATORY);
    expect_returned(holder, "NO_ROUTE - the channel holds no delivery");
    expect_not_held(holder);
}
END_TEST

START_TEST(what_is_not_held_is_told)
{
    struct channel *ch = connect_channel();
    struct channel *holder = given_deliveries(ch, 1, LONG_MS);

    send_lease(holder, 99, LONG_MS, MANDATORY);
    expect_returned(holder, "NO_ROUTE - delivery 99 is not held by the channel");
    expect_not_held(holder);
    send_lease(holder, 1, 1, MANDATORY);
    expect_held(holder);
    await_message_count(ch, "q", 1);
    send_lease(holder, 1, LONG_MS, MANDATORY);
    expect_returned(holder, "NO_ROUTE - delivery 1 is not held by the channel");
    expect_not_held(holder);
    ck_assert_uint_eq(message_count(ch, "q"), 1);
}
END_TEST

/* Another channel's deliveries are not this one's. */
START_TEST(tags_are_of_the_channel)
{
    struct channel *ch = connect_channel();
    struct channel *holder = given_deliveries(ch, 1, LONG_MS);
    struct channel *other = open_channel(holder->client);

    confirm_select(other);
    send_lease(other, 1, 0, 0);
    expect_not_held(other);
    send_lease(other, 0, 0, 0);
    expect_not_held(other);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
}
END_TEST

START_TEST(without_confirms_a_return_tells)
{
    struct channel *ch = connect_channel();
    struct channel *plain = open_channel(ch->client);

    declare_queue(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", LONG_MS)));
    publish(ch, "q", "a");
    expect_get(plain, "q", "a", 0);
    send_lease(plain, 1, LONG_MS, MANDATORY);
    send_lease(plain, 5, LONG_MS, 0);
    expect_nothing(plain, "q");
    send_lease(plain, 5, LONG_MS, MANDATORY);
    expect_returned(plain, "NO_ROUTE - delivery 5 is not held by the channel");
    send_lease(plain, 1, 0, 0);
    await_message_count(ch, "q", 1);
}
END_TEST

START_TEST(takes_effect_within_a_transaction)
{
    struct channel *ch = connect_channel();
    struct channel *tx = open_channel(ch->client);

    declare_queue(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", LONG_MS)));
    publish(ch, "q", "a");
    tx_select(tx);
    expect_get(tx, "q", "a", 0);
    send_lease(tx, 7, LONG_MS, MANDATORY);
    expect_returned(tx, "NO_ROUTE - delivery 7 is not held by the channel");
    send_lease(tx, 1, 0, 0);
    await_message_count(ch, "q", 1);
    tx_rollback(tx);
    tx_commit(tx);
    ck_assert_uint_eq(message_count(ch, "q"), 1);
}
END_TEST

/* It is held until it is settled, as before; but it may be released. */
START_TEST(delivery_without_a_timeout_is_held_for_ever)
{
    struct channel *ch = connect_channel();
    struct channel *holder = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    await_message_count(ch, "q", 1);
    confirm_select(holder);
    expect_get(holder, "q", "a", 0);
    send_lease(holder, 1, 1, 0);
    expect_held(holder);
    await_time(ch);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
    send_lease(holder, 1, 0, 0);
    expect_held(holder);
    ck_assert_uint_eq(message_count(ch, "q"), 1);
}
END_TEST

START_TEST(bad_headers_are_refused_by_name)
{
    const struct {
        const amqp_basic_properties_t *properties;
        const char *why;
    } cases[] = {
        {NULL, "'delivery-tag' * missing"},
        {HEADERS(arg_int("visibility-timeout", 1)), "'delivery-tag' * missing"},
        {HEADERS(arg_int("delivery-tag", 1)), "'visibility-timeout' * missing"},
        {HEADERS(arg_string("delivery-tag", "1"), arg_int("visibility-timeout", 1)),
         "'delivery-tag' * expected integer, got longstr"},
        {HEADERS(arg_int("delivery-tag", -1), arg_int("visibility-timeout", 1)),
         "'delivery-tag' * {value_negative,-1}"},
        {HEADERS(arg_int("delivery-tag", 1), arg_int("visibility-timeout", -1)),
         "'visibility-timeout' * {value_negative,-1}"},
        {HEADERS(arg_int("delivery-tag", 1), arg_long("visibility-timeout", 315360000001)),
         "'visibility-timeout' * {value_too_large,315360000001}"},
    };
    struct channel *ch = connect_channel();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *gap = strchr(cases[i].why, '*');
        char expected[256];

        harness_case(cases[i].why);
        snprintf(
            expected, sizeof(expected),
            "PRECONDITION_FAILED - invalid header %.*sfor exchange 'amq.lease' in vhost '/':%s",
            (int)(gap - cases[i].why), cases[i].why, gap + 1);
        publish_with(ch, "amq.lease", "", 0, cases[i].properties, "");
        expect_channel_error(ch, 406, expected);
        reopen_channel(ch);
    }
}
END_TEST

/* The user may do nothing with any exchange of this name. */
START_TEST(needs_no_permission)
{
    struct channel *ch = connect_channel_as("limited", "limited-pw");

    confirm_select(ch);
    send_lease(ch, 1, LONG_MS, 0);
    expect_not_held(ch);
}
END_TEST

START_TEST(exchange_is_the_systems)
{
#define NOT_PERMITTED \
    "ACCESS_REFUSED - operation not permitted on exchange 'amq.lease' in vhost '/'"
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    declare_exchange(ch, "amq.lease", "whatever", PASSIVE, NO_ARGS);
    declare_exchange(ch, "amq.lease", "direct", DURABLE, NO_ARGS);
    send_exchange_declare(ch, "amq.lease", "fanout", DURABLE, NO_ARGS);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange *");
    reopen_channel(ch);
    send_exchange_delete(ch, "amq.lease", 0);
    expect_channel_error(
        ch, 403,
        "ACCESS_REFUSED - deletion of system exchange 'amq.lease' in vhost '/' not allowed");
    reopen_channel(ch);
    send_queue_bind(ch, "q", "amq.lease", "k", 0, NO_ARGS);
    expect_channel_error(ch, 403, NOT_PERMITTED);
    reopen_channel(ch);
    send_exchange_bind(ch, "amq.lease", "amq.topic", "k", 0, NO_ARGS);
    expect_channel_error(ch, 403, NOT_PERMITTED);
    reopen_channel(ch);
    send_exchange_bind(ch, "amq.topic", "amq.lease", "k", 0, NO_ARGS);
    expect_channel_error(ch, 403, NOT_PERMITTED);
    reopen_channel(ch);
    send_queue_unbind(ch, "q", "amq.lease", "k", NO_ARGS);
    expect_channel_error(ch, 403, NOT_PERMITTED);
}
END_TEST

/* An extension that comes about when the time is up: it is held, and stays, or it is not, and has
 * gone back. */
START_TEST(extension_and_deadline_have_one_winner)
{
    enum { ROUNDS = 8, TIMEOUT_MS = 5 };
    struct channel *ch = connect_channel();
    uint32_t lost = 0;

    declare_queue(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", TIMEOUT_MS)));
    for (int i = 0; i < CONNECTIONS; i++) {
        struct channel *holder = connect_channel();

        confirm_select(holder);
        for (int round = 0; round < ROUNDS; round++) {
            struct delivery d;

            publish(ch, "q", "a");
            await_message_count(ch, "q", 1);
            d = expect_get(holder, "q", "a", ANY_REDELIVERED);
            something_comes(holder, round);
            send_lease(holder, d.tag, LONG_MS, 0);
            if (next_method(holder) == AMQP_BASIC_ACK_METHOD) {
                expect_held(holder);
                ck_assert_uint_eq(message_count(ch, "q"), 0);
                ack(holder, d.tag, 0);
                expect_nothing(holder, "q");
            } else {
                expect_not_held(holder);
                await_message_count(ch, "q", 1);
                expect_get(holder, "q", "a", REDELIVERED | NO_ACK);
                lost++;
            }
        }
    }
    ck_assert_uint_eq(message_count(ch, "q"), 0);
    ck_assert_uint_ne(lost, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("lease");
    TCase *t = wire_tcase(s, "lease");

    tcase_add_test(t, extended_delivery_stays);
    tcase_add_test(t, extension_may_come_again_and_again);
    tcase_add_test(t, released_delivery_goes_back_at_once);
    tcase_add_test(t, tag_0_means_all);
    tcase_add_test(t, what_is_not_held_is_told);
    tcase_add_test(t, tags_are_of_the_channel);
    tcase_add_test(t, without_confirms_a_return_tells);
    tcase_add_test(t, takes_effect_within_a_transaction);
    tcase_add_test(t, delivery_without_a_timeout_is_held_for_ever);
    tcase_add_test(t, bad_headers_are_refused_by_name);
    tcase_add_test(t, needs_no_permission);
    tcase_add_test(t, exchange_is_the_systems);
    tcase_add_test(t, extension_and_deadline_have_one_winner);
    return s;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
