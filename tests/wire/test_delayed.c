/* Exchanges of the type x-delayed-message: when what they delay comes, what it looks like then, and
 * what they do not delay. As RabbitMQ's rabbitmq_delayed_message_exchange has it. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

#define DELAYED ARGS(arg_string("x-delayed-type", "direct"))
#define LONG_MS 3600000

static void declare_delayed(struct channel *ch, const char *queue)
{
    declare_exchange(ch, "x", "x-delayed-message", 0, DELAYED);
    declare_queue(ch, queue, 0, NO_ARGS);
    bind_queue(ch, queue, "x", "k", NO_ARGS);
}

static void publish_delayed(struct channel *ch, const char *key, int delay_ms, const char *body)
{
    publish_with(ch, "x", key, 0, HEADERS(arg_int("x-delay", delay_ms)), body);
}

START_TEST(messages_come_in_the_order_of_their_times)
{
    static const int delays[] = {240, 60, 180, 120};
    struct channel *ch = connect_channel();
    int64_t begin = now_ms();

    declare_delayed(ch, "q");
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    for (size_t i = 0; i < 4; i++) {
        char body[16];

        snprintf(body, sizeof(body), "%d", delays[i]);
        publish_delayed(ch, "k", delays[i], body);
    }
    for (int due = 60; due <= 240; due += 60) {
        char body[16];

        snprintf(body, sizeof(body), "%d", due);
        expect_delivery(ch, body, 0);
        ck_assert_int_ge(now_ms() - begin, due);
    }
}
END_TEST

/* Each with a delay of 5 ms; what is delivered has the header's negative. */
static amqp_table_entry_t delay_of_type(int i)
{
    amqp_table_entry_t typed = arg_int("x-delay", 5);

    switch (i) {
    case 0:
        return arg_byte("x-delay", 5);
    case 1:
        return arg_short("x-delay", 5);
    case 2:
        return arg_int("x-delay", 5);
    case 3:
        return arg_long("x-delay", 5);
    case 4:
        return arg_string("x-delay", "5");
    case 5:
        return arg_double("x-delay", 5.9);
    case 6:
        typed.value.kind = AMQP_FIELD_KIND_U32;
        typed.value.value.u32 = 5;
        return typed;
    default:
        return arg_string("x-delay", "+05");
    }
}

START_TEST(delay_is_a_number_of_any_kind)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_delayed(ch, "q");
    confirm_select(ch);
    publish_with(ch, "x", "k", MANDATORY,
                 HEADERS(arg_string("other", "o"), delay_of_type(_i), arg_int("n", 3)), "m");
    expect_return(ch, "m");
    await_confirms(ch);
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    d = expect_delivery(ch, "m", 0);
    ck_assert_str_eq(d.exchange, "x");
    ck_assert_str_eq(d.routing_key, "k");
    ck_assert_int_eq(d.properties->headers.num_entries, 3);
    ck_assert(field_is_int(header(&d, "x-delay"), -5));
    ck_assert_int_eq(header(&d, "x-delay")->kind, AMQP_FIELD_KIND_I32);
    ck_assert(field_is_string(header(&d, "other"), "o"));
    ck_assert(field_is_int(header(&d, "n"), 3));
}
END_TEST

static amqp_table_entry_t no_delay(int i)
{
    switch (i) {
    case 0:
        return arg_int("x-delay", 0);
    case 1:
        return arg_int("x-delay", -500);
    case 2:
        return arg_long("x-delay", 4294967296);
    case 3:
        return arg_string("x-delay", "soon");
    case 4:
        return arg_string("x-delay", "99999999999999999999");
    case 5:
        return arg_bool("x-delay", true);
    case 6:
        return arg_double("x-delay", 0.9);
    default:
        return arg_int("delay", 500);
    }
}

START_TEST(what_asks_for_no_delay_in_range_is_routed_at_once)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_delayed(ch, "q");
    confirm_select(ch);
    publish_with(ch, "x", "k", MANDATORY, HEADERS(no_delay(_i)), "m");
    await_confirms(ch);
    d = expect_get(ch, "q", "m", NO_ACK);
    ck_assert_int_eq(d.properties->headers.num_entries, 1);
    if (_i == 1)
        ck_assert(field_is_int(header(&d, "x-delay"), -500));
    publish_with(ch, "x", "elsewhere", MANDATORY, HEADERS(no_delay(_i)), "unroutable");
    expect_return(ch, "unroutable");
    await_confirms(ch);
}
END_TEST

START_TEST(longest_delay_is_kept)
{
    struct channel *ch = connect_channel();

    declare_delayed(ch, "q");
    confirm_select(ch);
    publish_with(ch, "x", "k", 0, HEADERS(arg_long("x-delay", 4294967295)), "m");
    publish_delayed(ch, "k", 1, "short");
    await_confirms(ch);
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "short", NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

static const struct {
    const char *inner;
    const char *binding;
    const char *matching;
    const char *other; /* NULL: all match */
} types[] = {
    {"direct", "a.b", "a.b", "a.c"}, {"topic", "a.#", "a.b.c", "b.a"},
    {"fanout", "", "any", NULL},     {"x-modulus-hash", "", "any", NULL},
    {"x-random", "", "any", NULL},   {"x-consistent-hash", "1", "any", NULL},
};

START_TEST(delayed_message_goes_where_the_inner_type_leads)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "x-delayed-message", 0,
                     ARGS(arg_string("x-delayed-type", types[_i].inner)));
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "x", types[_i].binding, NO_ARGS);
    if (types[_i].other != NULL)
        publish_delayed(ch, types[_i].other, 5, "lost");
    publish_delayed(ch, types[_i].matching, 10, "m");
    publish_delayed(ch, types[_i].matching, 0, "at once");
    await_message_count(ch, "q", 2);
    expect_get(ch, "q", "at once", NO_ACK);
    expect_get(ch, "q", "m", NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(headers_of_a_delayed_message_route_it)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "x-delayed-message", 0,
                     ARGS(arg_string("x-delayed-type", "headers")));
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "x", "", ARGS(arg_string("x-match", "all"), arg_string("kind", "a")));
    publish_with(ch, "x", "", 0, HEADERS(arg_string("kind", "b"), arg_int("x-delay", 5)), "b");
    publish_with(ch, "x", "", 0, HEADERS(arg_string("kind", "a"), arg_int("x-delay", 10)), "a");
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "a", NO_ACK);
}
END_TEST

START_TEST(bindings_count_when_the_delay_is_over)
{
    struct channel *ch = connect_channel();

    declare_delayed(ch, "early");
    declare_queue(ch, "late", 0, NO_ARGS);
    confirm_select(ch);
    publish_delayed(ch, "k", 300, "m");
    await_confirms(ch);
    unbind_queue(ch, "early", "x", "k", NO_ARGS);
    bind_queue(ch, "late", "x", "k", NO_ARGS);
    await_message_count(ch, "late", 1);
    ck_assert_uint_eq(message_count(ch, "early"), 0);
}
END_TEST

START_TEST(what_leads_nowhere_then_goes_to_the_alternate_exchange)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "other", "fanout", 0, NO_ARGS);
    declare_exchange(
        ch, "x", "x-delayed-message", 0,
        ARGS(arg_string("x-delayed-type", "direct"), arg_string("alternate-exchange", "other")));
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "other", "", NO_ARGS);
    confirm_select(ch);
    publish_delayed(ch, "k", 300, "m");
    await_confirms(ch);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
    await_message_count(ch, "q", 1);
}
END_TEST

START_TEST(exchanges_lead_to_delayed_ones_and_on)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "fanout", 0, NO_ARGS);
    declare_exchange(ch, "y", "x-delayed-message", 0, DELAYED);
    declare_exchange(ch, "z", "x-delayed-message", 0, DELAYED);
    declare_queue(ch, "q", 0, NO_ARGS);
    declare_queue(ch, "direct", 0, NO_ARGS);
    bind_exchange(ch, "y", "x", "", NO_ARGS);
    bind_exchange(ch, "z", "y", "k", NO_ARGS);
    bind_queue(ch, "direct", "x", "", NO_ARGS);
    bind_queue(ch, "q", "z", "k", NO_ARGS);
    confirm_select(ch);
    publish_with(ch, "x", "k", MANDATORY, HEADERS(arg_int("x-delay", 100)), "m");
    await_confirms(ch);
    ck_assert_uint_eq(message_count(ch, "direct"), 1);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
    /* Once: the second one sees that it was delayed. */
    await_message_count(ch, "q", 1);
    ck_assert(field_is_int(
        table_field(&expect_get(ch, "q", "m", NO_ACK).properties->headers, "x-delay"), -100));
    ck_assert(field_is_int(
        table_field(&expect_get(ch, "direct", "m", NO_ACK).properties->headers, "x-delay"), 100));
}
END_TEST

/* The queue has the name of the exchange: that is no cycle. */
START_TEST(dead_letters_are_delayed)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_delayed(ch, "q");
    declare_queue(ch, "x", 0,
                  ARGS(arg_string("x-dead-letter-exchange", "x"),
                       arg_string("x-dead-letter-routing-key", "k"), arg_int("x-message-ttl", 1)));
    publish_with(ch, "", "x", 0, HEADERS(arg_int("x-delay", 50)), "m");
    await_message_count(ch, "q", 1);
    d = expect_get(ch, "q", "m", NO_ACK);
    ck_assert(field_is_int(header(&d, "x-delay"), -50));
    ck_assert(field_is_string(header(&d, "x-first-death-reason"), "expired"));
    ck_assert_int_eq(header(&d, "x-death")->value.array.num_entries, 1);
}
END_TEST

START_TEST(time_to_live_begins_behind_the_delay)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_delayed(ch, "q");
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    publish_with(ch, "x", "k", 0,
                 PROPS(AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_EXPIRATION_FLAG,
                       .headers = ARGS(arg_int("x-delay", 60)), .expiration = text("10")),
                 "m");
    d = expect_delivery(ch, "m", 0);
    ck_assert_int_eq((int)d.properties->expiration.len, 2);
    cancel(ch, "c");
    /* And it ends there. */
    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "mortal", 0,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead")));
    bind_queue(ch, "mortal", "x", "m", NO_ARGS);
    publish_with(ch, "x", "m", 0,
                 PROPS(AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_EXPIRATION_FLAG,
                       .headers = ARGS(arg_int("x-delay", 20)), .expiration = text("10")),
                 "ends");
    await_message_count(ch, "dead", 1);
    d = expect_get(ch, "dead", "ends", NO_ACK);
    ck_assert(field_is_string(header(&d, "x-first-death-queue"), "mortal"));
}
END_TEST

START_TEST(further_keys_count_and_bcc_stays_hidden)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_delayed(ch, "q");
    declare_queue(ch, "cc", 0, NO_ARGS);
    declare_queue(ch, "bcc", 0, NO_ARGS);
    bind_queue(ch, "cc", "x", "copy", NO_ARGS);
    bind_queue(ch, "bcc", "x", "blind", NO_ARGS);
    publish_with(ch, "x", "k", 0,
                 HEADERS(arg_int("x-delay", 20), arg_strings("CC", "copy", NULL),
                         arg_strings("BCC", "blind", NULL)),
                 "m");
    await_message_count(ch, "q", 1);
    await_message_count(ch, "cc", 1);
    await_message_count(ch, "bcc", 1);
    d = expect_get(ch, "bcc", "m", NO_ACK);
    ck_assert_str_eq(d.routing_key, "k");
    ck_assert_ptr_null(header(&d, "BCC"));
    ck_assert_ptr_nonnull(header(&d, "CC"));
}
END_TEST

START_TEST(delay_begins_when_its_transaction_commits)
{
    struct channel *ch = connect_channel();
    struct channel *other = open_channel(ch->client);

    declare_delayed(ch, "q");
    tx_select(other);
    publish_delayed(other, "k", 1, "rolled back");
    tx_rollback(other);
    publish_delayed(other, "k", 1, "m");
    expect_nothing(other, "q");
    ck_assert_uint_eq(message_count(ch, "q"), 0);
    tx_commit(other);
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "m", NO_ACK);
}
END_TEST

START_TEST(deleting_the_exchange_drops_what_it_delays)
{
    struct channel *ch = connect_channel();

    declare_delayed(ch, "q");
    confirm_select(ch);
    publish_delayed(ch, "k", 50, "gone");
    await_confirms(ch);
    delete_exchange(ch, "x", 0);
    declare_exchange(ch, "x", "x-delayed-message", 0, DELAYED);
    bind_queue(ch, "q", "x", "k", NO_ARGS);
    publish_delayed(ch, "k", 100, "new");
    await_message_count(ch, "q", 1);
    expect_get(ch, "q", "new", NO_ACK);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(auto_delete_takes_what_is_delayed)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "x-delayed-message", AUTO_DELETE, DELAYED);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "x", "k", NO_ARGS);
    confirm_select(ch);
    publish_delayed(ch, "k", LONG_MS, "m");
    await_confirms(ch);
    unbind_queue(ch, "q", "x", "k", NO_ARGS);
    send_exchange_declare(ch, "x", "x-delayed-message", PASSIVE, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - no exchange 'x' in vhost '/'");
}
END_TEST

START_TEST(no_client_finds_the_queue_of_an_exchange)
{
    struct channel *ch = connect_channel();

    declare_delayed(ch, "q");
    confirm_select(ch);
    publish_delayed(ch, "k", LONG_MS, "m");
    await_confirms(ch);
    send_queue_declare(ch, "x", PASSIVE, NO_ARGS);
    expect_channel_error(ch, 404, "NOT_FOUND - no queue 'x' in vhost '/'");
    reopen_channel(ch);
    publish_with(ch, "", "x", MANDATORY, NULL, "unroutable");
    expect_return(ch, "unroutable");
}
END_TEST

START_TEST(inner_type_must_be_there)
{
    struct channel *ch = connect_channel();

    send_exchange_declare(ch, "x", "x-delayed-message", 0, NO_ARGS);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an "
                         "existing exchange type");
    reopen_channel(ch);
    send_exchange_declare(ch, "x", "x-delayed-message", 0, ARGS(arg_int("x-delayed-type", 1)));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an "
                         "existing exchange type");
    reopen_channel(ch);
    send_exchange_declare(ch, "x", "x-delayed-message", 0,
                          ARGS(arg_string("x-delayed-type", "x-delayed-message")));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be "
                         "used for 'x-delayed-type'");
    reopen_channel(ch);
    send_exchange_declare(
        ch, "x", "x-delayed-message", 0,
        ARGS(arg_string("x-delayed-type", "x-consistent-hash"), arg_string("hash-property", "no")));
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - Unsupported property: no*");
    send_exchange_declare(open_channel(ch->client), "x", "x-delayed-message", 0,
                          ARGS(arg_string("x-delayed-type", "strange")));
    expect_connection_error(ch->client, 503, "COMMAND_INVALID - unknown exchange type 'strange'",
                            AMQP_EXCHANGE_DECLARE_METHOD);
}
END_TEST

START_TEST(type_is_compared_and_the_inner_one_is_not)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "x", "x-delayed-message", 0, DELAYED);
    declare_exchange(ch, "x", "x-delayed-message", 0, ARGS(arg_string("x-delayed-type", "fanout")));
    send_exchange_declare(ch, "x", "direct", 0, NO_ARGS);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost "
                         "'/': received 'direct' but current is ''x-delayed-message''");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("delayed");
    TCase *tcase = wire_tcase(suite, "delayed");

    tcase_add_test(tcase, messages_come_in_the_order_of_their_times);
    tcase_add_loop_test(tcase, delay_is_a_number_of_any_kind, 0, 8);
    tcase_add_loop_test(tcase, what_asks_for_no_delay_in_range_is_routed_at_once, 0, 8);
    tcase_add_test(tcase, longest_delay_is_kept);
    tcase_add_loop_test(tcase, delayed_message_goes_where_the_inner_type_leads, 0,
                        (int)(sizeof(types) / sizeof(types[0])));
    tcase_add_test(tcase, headers_of_a_delayed_message_route_it);
    tcase_add_test(tcase, bindings_count_when_the_delay_is_over);
    tcase_add_test(tcase, what_leads_nowhere_then_goes_to_the_alternate_exchange);
    tcase_add_test(tcase, exchanges_lead_to_delayed_ones_and_on);
    tcase_add_test(tcase, dead_letters_are_delayed);
    tcase_add_test(tcase, time_to_live_begins_behind_the_delay);
    tcase_add_test(tcase, further_keys_count_and_bcc_stays_hidden);
    tcase_add_test(tcase, delay_begins_when_its_transaction_commits);
    tcase_add_test(tcase, deleting_the_exchange_drops_what_it_delays);
    tcase_add_test(tcase, auto_delete_takes_what_is_delayed);
    tcase_add_test(tcase, no_client_finds_the_queue_of_an_exchange);
    tcase_add_test(tcase, inner_type_must_be_there);
    tcase_add_test(tcase, type_is_compared_and_the_inner_one_is_not);
    return suite;
}

int main(void)
{
    /* Debian's RabbitMQ does not come with the plugin. */
    if (against_oracle())
        return 77;
    return wire_main(make_suite, NULL);
}
