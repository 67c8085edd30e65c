/* Channels beside each other, methods without an answer, flow, order of what a channel does. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/raw.h"

START_TEST(channels_open_in_any_order_and_again)
{
    struct client *c = connect_client();
    struct channel *high = open_channel_number(c, 2047);
    struct channel *low = open_channel_number(c, 1);

    declare_queue(high, "high", EXCLUSIVE, NO_ARGS);
    declare_queue(low, "low", EXCLUSIVE, NO_ARGS);
    for (int i = 0; i < 100; i++) {
        close_channel(low);
        reopen_channel(low);
    }
    ck_assert_uint_eq(message_count(low, "high"), 0);
    ck_assert_uint_eq(message_count(high, "low"), 0);
}
END_TEST

START_TEST(all_channels_of_a_connection_work_at_once)
{
    enum { CHANNELS = 2000 };
    struct client *c = connect_client();
    static struct channel *channels[CHANNELS];
    struct channel *first;

    for (int i = 0; i < CHANNELS; i++)
        channels[i] = open_channel_number(c, (uint16_t)(i + 1));
    first = channels[0];
    declare_queue(first, "q", 0, NO_ARGS);
    consume(first, "q", "c", NO_ACK, NO_ARGS);
    for (int i = CHANNELS - 1; i >= 0; i--) {
        char body[16];

        snprintf(body, sizeof(body), "%d", i);
        publish(channels[i], "q", body);
        expect_delivery(first, body, 0);
    }
    for (int i = 1; i < CHANNELS; i++)
        close_channel(channels[i]);
    publish(first, "q", "last");
    expect_delivery(first, "last", 0);
}
END_TEST

START_TEST(channel_starts_afresh_after_its_close)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    confirm_select(ch);
    publish(ch, "q", "a");
    expect_confirm(ch, NULL);
    consume(ch, "q", "c", 0, NO_ARGS);
    ck_assert_uint_eq(expect_delivery(ch, "a", 0).tag, 1);
    close_channel(ch);
    reopen_channel(ch);
    tx_select(ch); /* no longer a confirm channel */
    tx_commit(ch);
    await_message_count(ch, "q", 1);
    ck_assert_uint_eq(consumer_count(ch, "q"), 0);
    ck_assert_uint_eq(expect_get(ch, "q", "a", REDELIVERED).tag, 1);
}
END_TEST

START_TEST(last_declared_queue_is_a_channels_own)
{
    struct channel *ch = connect_channel();
    struct channel *beside = open_channel(ch->client);

    declare_queue(ch, "q", 0, NO_ARGS);
    send_get(beside, "", 0);
    expect_channel_error(beside, 404, "NOT_FOUND - no previously declared queue");
    close_channel(ch);
    reopen_channel(ch);
    send_get(ch, "", 0);
    expect_channel_error(ch, 404, "NOT_FOUND - no previously declared queue");
}
END_TEST

START_TEST(slow_channel_does_not_hold_up_the_others)
{
    struct channel *ch = connect_channel();
    struct channel *beside = open_channel(ch->client);
    struct channel *far = connect_channel();

    declare_queue(far, "far", 0, NO_ARGS);
    for (int i = 0; i < 100; i++)
        send_queue_declare(ch, "far", PASSIVE, NO_ARGS);
    send_flow(beside, true);
    expect_method(beside, AMQP_CHANNEL_FLOW_OK_METHOD);
    for (int i = 0; i < 100; i++)
        expect_method(ch, AMQP_QUEUE_DECLARE_OK_METHOD);
}
END_TEST

START_TEST(answers_come_in_the_order_of_the_questions)
{
    struct channel *ch = connect_channel();
    struct channel *far = connect_channel();

    declare_queue(far, "far", 0, NO_ARGS);
    for (int i = 0; i < 50; i++) {
        send_queue_declare(ch, "far", PASSIVE, NO_ARGS);
        send_exchange_declare(ch, "x", "direct", 0, NO_ARGS);
        send_queue_bind(ch, "far", "x", "k", 0, NO_ARGS);
        send_get(ch, "far", NO_ACK);
        send_queue_purge(ch, "far", 0);
        send_flow(ch, true);
        send_queue_unbind(ch, "far", "x", "k", NO_ARGS);
        send_exchange_delete(ch, "x", 0);
    }
    for (int i = 0; i < 50; i++) {
        expect_method(ch, AMQP_QUEUE_DECLARE_OK_METHOD);
        expect_method(ch, AMQP_EXCHANGE_DECLARE_OK_METHOD);
        expect_method(ch, AMQP_QUEUE_BIND_OK_METHOD);
        expect_method(ch, AMQP_BASIC_GET_EMPTY_METHOD);
        expect_method(ch, AMQP_QUEUE_PURGE_OK_METHOD);
        expect_method(ch, AMQP_CHANNEL_FLOW_OK_METHOD);
        expect_method(ch, AMQP_QUEUE_UNBIND_OK_METHOD);
        expect_method(ch, AMQP_EXCHANGE_DELETE_OK_METHOD);
    }
}
END_TEST

/* Each of these has no answer; what they did is seen afterwards. */
START_TEST(no_wait_methods_have_no_answer)
{
    struct channel *ch = connect_channel();

    send_exchange_declare(ch, "x", "direct", NO_WAIT, NO_ARGS);
    send_exchange_declare(ch, "y", "fanout", NO_WAIT, NO_ARGS);
    send_queue_declare(ch, "q", NO_WAIT, NO_ARGS);
    send_queue_declare(ch, "q", PASSIVE | NO_WAIT, NO_ARGS);
    send_queue_bind(ch, "q", "x", "k", NO_WAIT, NO_ARGS);
    send_exchange_bind(ch, "x", "y", "k", NO_WAIT, NO_ARGS);
    send_confirm_select(ch, NO_WAIT);
    publish_with(ch, "x", "k", MANDATORY, NULL, "a");
    expect_confirm(ch, NULL);
    send_consume(ch, "q", "c", NO_WAIT | NO_ACK, NO_ARGS);
    expect_delivery_to(ch, "c", "a", 0);
    send_cancel(ch, "c", NO_WAIT);
    publish_with(ch, "x", "k", MANDATORY, NULL, "b");
    expect_confirm(ch, NULL);
    await_message_count(ch, "q", 1);
    send_queue_purge(ch, "q", NO_WAIT);
    await_message_count(ch, "q", 0);
    send_exchange_unbind(ch, "x", "y", "k", NO_WAIT, NO_ARGS);
    publish_with(ch, "y", "k", MANDATORY, NULL, "c");
    expect_return(ch, "c");
    expect_confirm(ch, NULL);
    send_queue_delete(ch, "q", NO_WAIT);
    send_exchange_delete(ch, "x", NO_WAIT);
    send_exchange_delete(ch, "y", NO_WAIT);
    await_queue_gone(ch, "q");
    send_exchange_declare(ch, "x", "direct", PASSIVE, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - no exchange 'x' in vhost '/'");
}
END_TEST

START_TEST(errors_of_no_wait_methods_close_the_channel)
{
    struct channel *ch = connect_channel();

    send_queue_delete(ch, "none", NO_WAIT); /* is none */
    send_queue_purge(ch, "none", NO_WAIT);
    expect_channel_error(ch, 404, "NOT_FOUND - no queue 'none' in vhost '/'");
    reopen_channel(ch);
    send_queue_bind(ch, "none", "amq.direct", "k", NO_WAIT, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - no queue 'none' in vhost '/'");
    reopen_channel(ch);
    send_consume(ch, "none", "c", NO_WAIT, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - no queue 'none' in vhost '/'");
}
END_TEST

START_TEST(methods_of_a_channel_take_effect_in_order)
{
    struct channel *far = connect_channel();
    char body[16];

    declare_queue(far, "far", 0, NO_ARGS);
    for (int round = 0; round < 8; round++) {
        struct channel *ch = connect_channel();

        confirm_select(ch);
        for (int i = 0; i < 20; i++) {
            snprintf(body, sizeof(body), "%d", i);
            publish(ch, "far", body);
        }
        await_confirms(ch);
        send_consume(ch, "far", "c", NO_ACK, NO_ARGS);
        expect_method(ch, AMQP_BASIC_CONSUME_OK_METHOD);
        for (int i = 0; i < 20; i++) {
            snprintf(body, sizeof(body), "%d", i);
            expect_delivery(ch, body, 0);
        }
        cancel(ch, "c");
        expect_get_empty(ch, "far");
        close_client(ch->client);
    }
}
END_TEST

START_TEST(connections_come_and_go)
{
    struct channel *watcher = connect_channel();

    declare_queue(watcher, "q", 0, NO_ARGS);
    for (int i = 0; i < 200; i++) {
        struct channel *ch = connect_channel();

        declare_queue(ch, "", EXCLUSIVE, NO_ARGS);
        publish(ch, "q", "x");
        if (i % 3 == 0)
            drop_client(ch->client);
        else
            close_client(ch->client);
    }
    ck_assert_uint_ge(message_count(watcher, "q"), 133);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channels");
    TCase *tcase = wire_tcase(suite, "channels");

    tcase_add_test(tcase, channels_open_in_any_order_and_again);
    tcase_add_test(tcase, all_channels_of_a_connection_work_at_once);
    tcase_add_test(tcase, channel_starts_afresh_after_its_close);
    tcase_add_test(tcase, last_declared_queue_is_a_channels_own);
    tcase_add_test(tcase, slow_channel_does_not_hold_up_the_others);
    tcase_add_test(tcase, connections_come_and_go);
    tcase = wire_tcase(suite, "order");
    tcase_add_test(tcase, answers_come_in_the_order_of_the_questions);
    tcase_add_test(tcase, methods_of_a_channel_take_effect_in_order);
    tcase = wire_tcase(suite, "no-wait");
    tcase_add_test(tcase, no_wait_methods_have_no_answer);
    tcase_add_test(tcase, errors_of_no_wait_methods_close_the_channel);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
