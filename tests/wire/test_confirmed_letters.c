/* x-dead-letter-strategy: at-least-once. What no queue takes stays, counts, and comes in the end,
 * once to each queue. The broker sends again soon, and four letters of a queue at a time. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "workers: @WORKERS@\n"
                             "dead_letters: {window: 4, retry_min_ms: 20, retry_max_ms: 60}\n"
                             "users:\n"
                             "  - {name: guest, password: guest}\n"
                             "permissions:\n"
                             "  - {user: guest, configure: '.*', write: '.*', read: '.*'}\n";

enum { WINDOW = 4, MANY = 50 };

static const amqp_basic_properties_t PERSISTENT = {
    ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
    .delivery_mode = 2,
};

#define AT_LEAST_ONCE \
    arg_string("x-dead-letter-exchange", "dlx"), \
        arg_string("x-dead-letter-strategy", "at-least-once"), \
        arg_string("x-overflow", "reject-publish")

/* Queue q, and the exchange of its dead letters, which leads nowhere yet. Messages die in a moment.
 */
static struct channel *given_source(void)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "dlx", "fanout", 0, NO_ARGS);
    declare_queue(
        ch, "q", DURABLE,
        ARGS(arg_string("x-queue-type", "quorum"), arg_int("x-message-ttl", 1), AT_LEAST_ONCE));
    confirm_select(ch);
    return ch;
}

/* A queue that may be at home on another worker than q. */
static void given_target(const char *name, int flags, amqp_table_t arguments)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, name, flags, arguments);
    bind_queue(ch, name, "dlx", "", NO_ARGS);
    close_client(ch->client);
}

static void publish_numbers(struct channel *ch, const char *queue, int count)
{
    for (int i = 0; i < count; i++) {
        char body[16];

        snprintf(body, sizeof(body), "%d", i);
        publish_with(ch, "", queue, 0, i % 2 == 0 ? &PERSISTENT : NULL, body);
    }
    await_confirms(ch);
}

/* Each of the numbers once, whatever the order. */
static void expect_numbers(struct channel *ch, const char *queue, int count)
{
    char seen[MANY] = {0};

    ck_assert_int_le(count, MANY);
    await_message_count(ch, queue, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        int number = -1;

        ck_assert_int_eq(sscanf(expect_get(ch, queue, NULL, NO_ACK).body, "%d", &number), 1);
        ck_assert_int_ge(number, 0);
        ck_assert_int_lt(number, count);
        ck_assert_int_eq(seen[number], 0);
        seen[number] = 1;
    }
    expect_get_empty(ch, queue);
}

START_TEST(letters_arrive_where_queues_take_them)
{
    struct channel *ch = given_source();
    struct delivery d;

    given_target("durable", DURABLE, NO_ARGS);
    given_target("transient", 0, NO_ARGS);
    publish_with(ch, "", "q", 0, &PERSISTENT, "m");
    await_message_count(ch, "durable", 1);
    await_message_count(ch, "transient", 1);
    d = expect_get(ch, "durable", "m", NO_ACK);
    ck_assert(field_is_string(header(&d, "x-first-death-reason"), "expired"));
    publish_numbers(ch, "q", MANY);
    expect_numbers(ch, "durable", MANY);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
}
END_TEST

START_TEST(letters_that_lead_nowhere_wait_for_a_binding)
{
    struct channel *ch = given_source();

    publish_numbers(ch, "q", MANY);
    await_message_count(ch, "q", 0);
    given_target("dead", DURABLE, NO_ARGS);
    expect_numbers(ch, "dead", MANY);
}
END_TEST

START_TEST(letters_without_an_exchange_wait_for_it)
{
    struct channel *ch = given_source();

    delete_exchange(ch, "dlx", 0);
    publish_numbers(ch, "q", 2 * WINDOW);
    await_message_count(ch, "q", 0);
    declare_exchange(ch, "dlx", "fanout", 0, NO_ARGS);
    given_target("dead", 0, NO_ARGS);
    expect_numbers(ch, "dead", 2 * WINDOW);
}
END_TEST

/* One of two targets has room for one message at a time. */
START_TEST(letters_are_sent_again_to_those_alone_that_refused_them)
{
    struct channel *ch = given_source();
    char seen[MANY] = {0};

    given_target("open", DURABLE, NO_ARGS);
    given_target("full", DURABLE,
                 ARGS(arg_int("x-max-length", 1), arg_string("x-overflow", "reject-publish")));
    publish_numbers(ch, "q", 3 * WINDOW);
    for (int i = 0; i < 3 * WINDOW; i++) {
        int number = -1;

        await_message_count(ch, "full", 1);
        ck_assert_int_eq(sscanf(expect_get(ch, "full", NULL, NO_ACK).body, "%d", &number), 1);
        ck_assert_int_eq(seen[number], 0);
        seen[number] = 1;
    }
    expect_get_empty(ch, "full");
    expect_numbers(ch, "open", 3 * WINDOW);
}
END_TEST

START_TEST(rejected_and_requeued_too_often_are_kept_as_well)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_exchange(ch, "dlx", "fanout", 0, NO_ARGS);
    declare_queue(
        ch, "q", DURABLE,
        ARGS(arg_string("x-queue-type", "quorum"), arg_int("x-delivery-limit", 0), AT_LEAST_ONCE));
    confirm_select(ch);
    publish_with(ch, "", "q", 0, &PERSISTENT, "rejected");
    publish(ch, "q", "requeued");
    await_confirms(ch);
    d = expect_get(ch, "q", "rejected", 0);
    reject(ch, d.tag, 0);
    d = expect_get(ch, "q", "requeued", 0);
    reject(ch, d.tag, REQUEUE);
    expect_get_empty(ch, "q");
    given_target("dead", 0, NO_ARGS);
    await_message_count(ch, "dead", 2);
    d = expect_get(ch, "dead", NULL, NO_ACK);
    ck_assert(field_is_string(header(&d, "x-first-death-reason"),
                              strcmp(d.body, "rejected") == 0 ? "rejected" : "delivery_limit"));
    d = expect_get(ch, "dead", NULL, NO_ACK);
    ck_assert(field_is_string(header(&d, "x-first-death-reason"),
                              strcmp(d.body, "rejected") == 0 ? "rejected" : "delivery_limit"));
}
END_TEST

/* The letters take room in their queue until they are taken. */
START_TEST(letters_count_towards_the_limits)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "dlx", "fanout", 0, NO_ARGS);
    declare_queue(ch, "q", DURABLE,
                  ARGS(arg_int("x-message-ttl", 1),
                       _i == 0 ? arg_int("x-max-length", 2 * WINDOW)
                               : arg_int("x-max-length-bytes", 2 * WINDOW),
                       AT_LEAST_ONCE));
    confirm_select(ch);
    publish_numbers(ch, "q", 2 * WINDOW);
    await_message_count(ch, "q", 0);
    publish(ch, "q", "x");
    expect_confirm_nack(ch);
    given_target("dead", 0, NO_ARGS);
    expect_numbers(ch, "dead", 2 * WINDOW);
    confirm_select(ch);
    publish(ch, "q", "0");
    expect_confirm(ch, NULL);
    expect_numbers(ch, "dead", 1);
}
END_TEST

START_TEST(purge_leaves_letters_and_delete_takes_them)
{
    struct channel *ch = given_source();

    publish_numbers(ch, "q", 2 * WINDOW);
    await_message_count(ch, "q", 0);
    ck_assert_uint_eq(purge_queue(ch, "q"), 0);
    declare_queue(ch, "other", DURABLE, ARGS(arg_int("x-message-ttl", 1), AT_LEAST_ONCE));
    publish_with(ch, "", "other", 0, &PERSISTENT, "gone");
    publish(ch, "other", "gone");
    await_confirms(ch);
    await_message_count(ch, "other", 0);
    ck_assert_uint_eq(delete_queue(ch, "other", 0), 0);
    given_target("dead", DURABLE, NO_ARGS);
    expect_numbers(ch, "dead", 2 * WINDOW);
}
END_TEST

/* While letters are on their way, and answers to come. */
START_TEST(queue_may_go_amid_its_letters)
{
    struct channel *ch = given_source();

    given_target("dead", DURABLE, NO_ARGS);
    for (int round = 0; round < 10; round++) {
        publish_numbers(ch, "q", MANY);
        delete_queue(ch, "q", 0);
        declare_queue(
            ch, "q", DURABLE,
            ARGS(arg_string("x-queue-type", "quorum"), arg_int("x-message-ttl", 1), AT_LEAST_ONCE));
    }
    publish_with(ch, "", "q", 0, &PERSISTENT, "last");
    await_confirms(ch);
    consume(ch, "dead", "c", NO_ACK, NO_ARGS);
    while (strcmp(expect_delivery(ch, NULL, 0).body, "last") != 0)
        ;
    cancel(ch, "c");
}
END_TEST

/* It goes at any moment between two tries. */
START_TEST(target_may_go_amid_letters)
{
    enum { ROUNDS = 40 };
    struct channel *ch = given_source();

    for (int i = 0; i < ROUNDS; i++) {
        given_target("full", 0,
                     ARGS(arg_int("x-max-length", 1), arg_string("x-overflow", "reject-publish")));
        publish_numbers(ch, "q", 3);
        await_message_count(ch, "full", 1);
        delete_queue(ch, "full", 0);
        given_target("dead", 0, NO_ARGS);
        await_message_count(ch, "dead", 2);
        delete_queue(ch, "dead", 0);
    }
}
END_TEST

/* Each lacks something of what RabbitMQ asks for: what leads nowhere is dropped, and nothing waits.
 */
START_TEST(other_queues_dead_letter_at_most_once)
{
    struct channel *ch = connect_channel();
    const amqp_table_t arguments[] = {
        ARGS(arg_int("x-message-ttl", 1), arg_int("x-max-length", 1),
             arg_string("x-dead-letter-exchange", "dlx"),
             arg_string("x-dead-letter-strategy", "at-least-once")),
        ARGS(arg_int("x-message-ttl", 1), arg_int("x-max-length", 1),
             arg_string("x-dead-letter-exchange", "dlx"),
             arg_string("x-dead-letter-strategy", "at-most-once"),
             arg_string("x-overflow", "reject-publish")),
        ARGS(arg_int("x-message-ttl", 1), arg_int("x-max-length", 1),
             arg_string("x-dead-letter-strategy", "at-least-once"),
             arg_string("x-overflow", "reject-publish")),
    };

    declare_exchange(ch, "dlx", "fanout", 0, NO_ARGS);
    declare_queue(ch, "q", DURABLE, arguments[_i]);
    confirm_select(ch);
    publish_with(ch, "", "q", 0, &PERSISTENT, "dropped");
    await_confirms(ch);
    await_message_count(ch, "q", 0);
    /* There is room again, for nothing waits. */
    given_target("dead", 0, NO_ARGS);
    publish_with(ch, "", "q", 0, &PERSISTENT, "next");
    await_confirms(ch);
    if (_i == 2)
        return;
    await_message_count(ch, "dead", 1);
    expect_get(ch, "dead", "next", NO_ACK);
}
END_TEST

START_TEST(strategy_is_one_of_two)
{
    struct channel *ch = connect_channel();

    send_queue_declare(ch, "q", DURABLE,
                       ARGS(arg_string("x-queue-type", "quorum"),
                            arg_string("x-dead-letter-strategy", "exactly-once")));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - invalid arg 'x-dead-letter-strategy' for queue 'q' "
                         "in vhost '/': *");
}
END_TEST

/* A cycle without a rejection leads nowhere: the letter is kept. */
START_TEST(cycle_keeps_its_letter)
{
    struct channel *ch = connect_channel();

    declare_exchange(ch, "dlx", "fanout", 0, NO_ARGS);
    declare_queue(ch, "q", DURABLE, ARGS(arg_int("x-message-ttl", 1), AT_LEAST_ONCE));
    bind_queue(ch, "q", "dlx", "", NO_ARGS);
    confirm_select(ch);
    publish_with(ch, "", "q", 0, &PERSISTENT, "m");
    await_confirms(ch);
    await_message_count(ch, "q", 0);
    given_target("dead", 0, NO_ARGS);
    await_message_count(ch, "dead", 1);
    expect_get(ch, "dead", "m", NO_ACK);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("confirmed_letters");
    TCase *tcase = wire_tcase(suite, "confirmed_letters");

    tcase_add_test(tcase, letters_arrive_where_queues_take_them);
    tcase_add_test(tcase, letters_that_lead_nowhere_wait_for_a_binding);
    tcase_add_test(tcase, letters_without_an_exchange_wait_for_it);
    tcase_add_test(tcase, letters_are_sent_again_to_those_alone_that_refused_them);
    tcase_add_test(tcase, rejected_and_requeued_too_often_are_kept_as_well);
    tcase_add_loop_test(tcase, letters_count_towards_the_limits, 0, 2);
    tcase_add_test(tcase, purge_leaves_letters_and_delete_takes_them);
    tcase_add_test(tcase, queue_may_go_amid_its_letters);
    tcase_add_test(tcase, target_may_go_amid_letters);
    tcase_add_loop_test(tcase, other_queues_dead_letter_at_most_once, 0, 3);
    tcase_add_test(tcase, strategy_is_one_of_two);
    tcase_add_test(tcase, cycle_keeps_its_letter);
    return suite;
}

int main(void)
{
    /* RabbitMQ sends again after three minutes. */
    if (against_oracle())
        return 77;
    return wire_main(make_suite, CONFIG);
}
