/* Exchanges: declaring and deleting them, what each type routes, bindings between them. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

/* A message published there is returned. */
static void expect_unroutable(struct channel *ch, const char *exchange, const char *key)
{
    publish_with(ch, exchange, key, MANDATORY, NULL, "unroutable");
    expect_return(ch, "unroutable");
    if (ch->confirming)
        await_confirms(ch);
}

START_TEST(predeclared_exchanges_are_there)
{
    static const char *const exchanges[][2] = {
        {"amq.direct", "direct"},   {"amq.fanout", "fanout"}, {"amq.topic", "topic"},
        {"amq.headers", "headers"}, {"amq.match", "headers"},
    };
    struct channel *ch = connect_channel();

    declare_exchange(ch, exchanges[_i][0], "whatever", PASSIVE, NO_ARGS);
    declare_exchange(ch, exchanges[_i][0], exchanges[_i][1], DURABLE, NO_ARGS);
}
END_TEST

START_TEST(redeclare_with_equal_properties_is_fine)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "topic", DURABLE | INTERNAL,
                     ARGS(arg_string("alternate-exchange", "ae")));
    declare_exchange(ch, "x", "topic", DURABLE | INTERNAL,
                     ARGS(arg_string("alternate-exchange", "ae")));
    declare_exchange(ch, "x", "fanout", PASSIVE, NO_ARGS);
}
END_TEST

START_TEST(delete_of_what_is_not_there_is_fine)
{
    struct channel *ch = connect_channel();

    delete_exchange(ch, "none", 0);
    delete_exchange(ch, "none", IF_UNUSED);
}
END_TEST

START_TEST(deleted_exchange_is_gone_with_its_bindings)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "direct", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "x", "k", NO_ARGS);
    delete_exchange(ch, "x", 0);
    declare_exchange(ch, "x", "direct", 0, NO_ARGS);
    delete_exchange(ch, "x", IF_UNUSED);
    send_exchange_declare(ch, "x", "direct", PASSIVE, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - no exchange 'x' in vhost '/'");
}
END_TEST

START_TEST(unused_means_without_bindings_from_it)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "fanout", 0, NO_ARGS);
    declare_exchange(ch, "source", "fanout", 0, NO_ARGS);
    bind_exchange(ch, "x", "source", "", NO_ARGS);
    delete_exchange(ch, "x", IF_UNUSED); /* it is only a destination */
}
END_TEST

START_TEST(default_exchange_routes_by_queue_name)
{
    struct channel *ch = connect_channel();

    confirm_select(ch);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    await_confirms(ch);
    ck_assert_str_eq(expect_get(ch, "q", "a", NO_ACK).exchange, "");
    expect_unroutable(ch, "", "none");
}
END_TEST

START_TEST(direct_routes_by_equal_key)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    confirm_select(ch);
    declare_exchange(ch, "x", "direct", 0, NO_ARGS);
    declare_queue(ch, "one", 0, NO_ARGS);
    declare_queue(ch, "two", 0, NO_ARGS);
    bind_queue(ch, "one", "x", "a", NO_ARGS);
    bind_queue(ch, "one", "x", "b", NO_ARGS);
    bind_queue(ch, "two", "x", "b", NO_ARGS);
    publish_to(ch, "x", "a", "1");
    publish_to(ch, "x", "b", "2");
    await_confirms(ch);
    d = expect_get(ch, "one", "1", NO_ACK);
    ck_assert_str_eq(d.exchange, "x");
    ck_assert_str_eq(d.routing_key, "a");
    expect_get(ch, "one", "2", NO_ACK);
    expect_get(ch, "two", "2", NO_ACK);
    expect_get_empty(ch, "one");
    expect_get_empty(ch, "two");
    expect_unroutable(ch, "x", "c");
    expect_unroutable(ch, "x", "");
}
END_TEST

START_TEST(fanout_routes_to_all_whatever_the_key)
{
    struct channel *ch = connect_channel();
    char name[16];

    confirm_select(ch);
    declare_exchange(ch, "x", "fanout", 0, NO_ARGS);
    expect_unroutable(ch, "x", "k");
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        declare_queue(ch, name, 0, NO_ARGS);
        bind_queue(ch, name, "x", i % 2 == 0 ? "even" : "odd", NO_ARGS);
    }
    publish_to(ch, "x", "whatever", "a");
    await_confirms(ch);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        expect_get(ch, name, "a", NO_ACK);
        expect_get_empty(ch, name);
    }
}
END_TEST

START_TEST(queue_gets_one_copy_however_many_bindings_match)
{
    struct channel *ch = connect_channel();

    confirm_select(ch);
    declare_exchange(ch, "x", "topic", 0, NO_ARGS);
    declare_exchange(ch, "y", "topic", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "x", "#", NO_ARGS);
    bind_queue(ch, "q", "x", "a.*", NO_ARGS);
    bind_queue(ch, "q", "x", "a.b", NO_ARGS);
    bind_queue(ch, "q", "x", "a.b", ARGS(arg_int("n", 1)));
    bind_exchange(ch, "y", "x", "#", NO_ARGS);
    bind_queue(ch, "q", "y", "a.#", NO_ARGS);
    publish_to(ch, "x", "a.b", "1");
    await_confirms(ch);
    expect_get(ch, "q", "1", NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(exchange_bindings_chain)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    confirm_select(ch);
    declare_exchange(ch, "first", "topic", 0, NO_ARGS);
    declare_exchange(ch, "second", "direct", 0, NO_ARGS);
    declare_exchange(ch, "third", "fanout", INTERNAL, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_exchange(ch, "second", "first", "log.#", NO_ARGS);
    bind_exchange(ch, "third", "second", "log.error", NO_ARGS);
    bind_queue(ch, "q", "third", "", NO_ARGS);
    publish_to(ch, "first", "log.error", "a");
    await_confirms(ch);
    d = expect_get(ch, "q", "a", NO_ACK);
    ck_assert_str_eq(d.exchange, "first");
    ck_assert_str_eq(d.routing_key, "log.error");
    expect_unroutable(ch, "first", "log.info");
    unbind_exchange(ch, "third", "second", "log.error", NO_ARGS);
    expect_unroutable(ch, "first", "log.error");
}
END_TEST

START_TEST(cycles_of_exchanges_are_safe)
{
    struct channel *ch = connect_channel();

    confirm_select(ch);
    declare_exchange(ch, "x", "fanout", 0, NO_ARGS);
    declare_exchange(ch, "y", "fanout", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_exchange(ch, "y", "x", "", NO_ARGS);
    bind_exchange(ch, "x", "y", "", NO_ARGS);
    bind_exchange(ch, "x", "x", "", NO_ARGS);
    bind_queue(ch, "q", "y", "", NO_ARGS);
    publish_to(ch, "x", "", "a");
    publish_to(ch, "y", "", "b");
    await_confirms(ch);
    expect_get(ch, "q", "a", NO_ACK);
    expect_get(ch, "q", "b", NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(unbind_of_exchanges_that_are_not_bound_is_fine)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "fanout", 0, NO_ARGS);
    unbind_exchange(ch, "x", "amq.direct", "k", NO_ARGS);
    unbind_exchange(ch, "none", "x", "k", NO_ARGS);
    unbind_exchange(ch, "x", "none", "k", NO_ARGS);
}
END_TEST

/* Asks until the exchange is not there. */
static void await_exchange_gone(struct channel *ch, const char *name)
{
    int64_t deadline = now_ms() + deadline_ms();

    do {
        send_exchange_declare(ch, name, "direct", PASSIVE, NO_ARGS);
        if (next_method(ch) == AMQP_CHANNEL_CLOSE_METHOD) {
            expect_channel_error(ch, 404, "NOT_FOUND - no exchange *");
            reopen_channel(ch);
            return;
        }
        expect_method(ch, AMQP_EXCHANGE_DECLARE_OK_METHOD);
    } while (now_ms() < deadline);
    ck_abort_msg("exchange %s does not go", name);
}

START_TEST(auto_delete_exchange_goes_with_its_last_binding)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "direct", AUTO_DELETE, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "x", "a", NO_ARGS);
    bind_queue(ch, "q", "x", "b", NO_ARGS);
    unbind_queue(ch, "q", "x", "a", NO_ARGS);
    declare_exchange(ch, "x", "direct", PASSIVE, NO_ARGS);
    unbind_queue(ch, "q", "x", "b", NO_ARGS);
    await_exchange_gone(ch, "x");
}
END_TEST

START_TEST(auto_delete_exchange_goes_with_its_last_queue)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_exchange(ch, "x", "direct", AUTO_DELETE, NO_ARGS);
    declare_queue(ch, "one", 0, NO_ARGS);
    declare_queue(other, "two", EXCLUSIVE, NO_ARGS);
    bind_queue(ch, "one", "x", "a", NO_ARGS);
    bind_queue(other, "two", "x", "a", NO_ARGS);
    delete_queue(ch, "one", 0);
    declare_exchange(ch, "x", "direct", PASSIVE, NO_ARGS);
    drop_client(other->client);
    await_exchange_gone(ch, "x");
}
END_TEST

START_TEST(auto_delete_exchanges_go_as_a_chain)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "first", "fanout", AUTO_DELETE, NO_ARGS);
    declare_exchange(ch, "second", "fanout", AUTO_DELETE, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_exchange(ch, "second", "first", "", NO_ARGS);
    bind_queue(ch, "q", "second", "", NO_ARGS);
    delete_queue(ch, "q", 0);
    await_exchange_gone(ch, "second");
    await_exchange_gone(ch, "first");
}
END_TEST

START_TEST(auto_delete_exchange_that_had_no_binding_stays)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_exchange(ch, "x", "direct", AUTO_DELETE, NO_ARGS);
    close_client(ch->client);
    declare_exchange(other, "x", "direct", PASSIVE, NO_ARGS);
}
END_TEST

START_TEST(alternate_exchange_takes_what_nothing_matches)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    confirm_select(ch);
    declare_exchange(ch, "x", "direct", 0, ARGS(arg_string("alternate-exchange", "ae")));
    declare_exchange(ch, "ae", "fanout", INTERNAL, NO_ARGS);
    declare_queue(ch, "matched", 0, NO_ARGS);
    declare_queue(ch, "rest", 0, NO_ARGS);
    bind_queue(ch, "matched", "x", "k", NO_ARGS);
    bind_queue(ch, "rest", "ae", "", NO_ARGS);
    publish_with(ch, "x", "k", MANDATORY, NULL, "a");
    publish_with(ch, "x", "other", MANDATORY, NULL, "b");
    await_confirms(ch);
    expect_get(ch, "matched", "a", NO_ACK);
    expect_get_empty(ch, "matched");
    d = expect_get(ch, "rest", "b", NO_ACK);
    ck_assert_str_eq(d.exchange, "x");
    ck_assert_str_eq(d.routing_key, "other");
    expect_get_empty(ch, "rest");
}
END_TEST

START_TEST(missing_alternate_exchange_returns)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "direct", 0, ARGS(arg_string("alternate-exchange", "none")));
    expect_unroutable(ch, "x", "k");
}
END_TEST

START_TEST(alternate_exchanges_may_be_a_cycle)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "direct", 0, ARGS(arg_string("alternate-exchange", "y")));
    declare_exchange(ch, "y", "direct", 0, ARGS(arg_string("alternate-exchange", "x")));
    expect_unroutable(ch, "x", "k");
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "y", "k", NO_ARGS);
    publish_to(ch, "x", "k", "a");
    await_message_count(ch, "q", 1);
}
END_TEST

START_TEST(alternate_exchange_of_a_bound_exchange_counts)
{
    struct channel *ch = connect_channel();

    confirm_select(ch);
    declare_exchange(ch, "outer", "fanout", 0, NO_ARGS);
    declare_exchange(ch, "x", "direct", 0, ARGS(arg_string("alternate-exchange", "ae")));
    declare_exchange(ch, "ae", "fanout", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_exchange(ch, "x", "outer", "", NO_ARGS);
    bind_queue(ch, "q", "ae", "", NO_ARGS);
    publish_with(ch, "outer", "k", MANDATORY, NULL, "a");
    await_confirms(ch);
    expect_get(ch, "q", "a", NO_ACK);
}
END_TEST

START_TEST(binding_made_anywhere_is_seen_at_once)
{
    struct channel *publisher = connect_channel();

    confirm_select(publisher);
    declare_exchange(publisher, "x", "direct", 0, NO_ARGS);
    for (int i = 0; i < 20; i++) {
        struct channel *ch = connect_channel();
        const char *q = declare_queue(ch, "", EXCLUSIVE, NO_ARGS);

        expect_unroutable(publisher, "x", "k");
        bind_queue(ch, q, "x", "k", NO_ARGS);
        publish_with(publisher, "x", "k", MANDATORY, NULL, "a");
        await_confirms(publisher);
        expect_get(ch, q, "a", NO_ACK);
        unbind_queue(ch, q, "x", "k", NO_ARGS);
        close_client(ch->client);
    }
}
END_TEST

/* RabbitMQ takes line ends out of names. */
START_TEST(names_lose_their_line_ends)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x\r\ny", "direct", 0, NO_ARGS);
    declare_exchange(ch, "xy", "direct", PASSIVE, NO_ARGS);
    send_queue_declare(ch, "q\n1", 0, NO_ARGS);
    expect_reply(ch, AMQP_QUEUE_DECLARE_OK_METHOD);
    bind_queue(ch, "q1", "\nx\ny\r", "k", NO_ARGS);
    bind_queue(ch, "q1", "amq.\nfanout", "", NO_ARGS);
    publish_to(ch, "xy", "k", "a");
    expect_get(ch, "q1", "a", 0);
    unbind_queue(ch, "q1", "x\r\ny", "k", NO_ARGS);
    confirm_select(ch);
    expect_unroutable(ch, "xy", "k");
    delete_exchange(ch, "x\ny", 0);
    send_exchange_declare(ch, "xy", "direct", PASSIVE, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - no exchange 'xy' in vhost '/'");
    ch = connect_channel();
    send_queue_declare(ch, "\r\namq.x", 0, NO_ARGS);
    expect_channel_error(ch, 403,
                         "ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("exchanges");
    TCase *tcase = wire_tcase(suite, "declare");

    tcase_add_loop_test(tcase, predeclared_exchanges_are_there, 0, 5);
    tcase_add_test(tcase, redeclare_with_equal_properties_is_fine);
    tcase_add_test(tcase, delete_of_what_is_not_there_is_fine);
    tcase_add_test(tcase, deleted_exchange_is_gone_with_its_bindings);
    tcase_add_test(tcase, unused_means_without_bindings_from_it);
    tcase = wire_tcase(suite, "route");
    tcase_add_test(tcase, default_exchange_routes_by_queue_name);
    tcase_add_test(tcase, direct_routes_by_equal_key);
    tcase_add_test(tcase, fanout_routes_to_all_whatever_the_key);
    tcase_add_test(tcase, queue_gets_one_copy_however_many_bindings_match);
    tcase_add_test(tcase, binding_made_anywhere_is_seen_at_once);
    tcase = wire_tcase(suite, "exchange to exchange");
    tcase_add_test(tcase, exchange_bindings_chain);
    tcase_add_test(tcase, cycles_of_exchanges_are_safe);
    tcase_add_test(tcase, unbind_of_exchanges_that_are_not_bound_is_fine);
    tcase = wire_tcase(suite, "auto-delete");
    tcase_add_test(tcase, auto_delete_exchange_goes_with_its_last_binding);
    tcase_add_test(tcase, auto_delete_exchange_goes_with_its_last_queue);
    tcase_add_test(tcase, auto_delete_exchanges_go_as_a_chain);
    tcase_add_test(tcase, auto_delete_exchange_that_had_no_binding_stays);
    tcase = wire_tcase(suite, "alternate");
    tcase_add_test(tcase, names_lose_their_line_ends);
    tcase_add_test(tcase, alternate_exchange_takes_what_nothing_matches);
    tcase_add_test(tcase, missing_alternate_exchange_returns);
    tcase_add_test(tcase, alternate_exchanges_may_be_a_cycle);
    tcase_add_test(tcase, alternate_exchange_of_a_bound_exchange_counts);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
