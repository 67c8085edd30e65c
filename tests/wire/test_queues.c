/* Declaring, asking, emptying and deleting queues. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

START_TEST(server_makes_a_name_for_an_empty_one)
{
    struct channel *ch = connect_channel();
    const char *a = declare_queue(ch, "", EXCLUSIVE, NO_ARGS);
    const char *b = declare_queue(ch, "", EXCLUSIVE, NO_ARGS);

    ck_assert_int_eq(strncmp(a, "amq.gen-", 8), 0);
    ck_assert_uint_gt(strlen(a), 20);
    ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(declare_ok_tells_name_and_counts)
{
    struct channel *ch = connect_channel();
    const amqp_queue_declare_ok_t *ok;

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    publish(ch, "q", "b");
    await_message_count(ch, "q", 2);
    qos(ch, 1, 0);
    consume(ch, "q", "c", 0, NO_ARGS);
    expect_delivery(ch, "a", 0);

    send_queue_declare(ch, "q", 0, NO_ARGS);
    ok = expect_reply(ch, AMQP_QUEUE_DECLARE_OK_METHOD);

    ck_assert_uint_eq(ok->queue.len, 1);
    ck_assert_uint_eq(ok->message_count, 1); /* ready ones only */
    ck_assert_uint_eq(ok->consumer_count, 1);
}
END_TEST

START_TEST(redeclare_with_equal_arguments_is_fine)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", DURABLE,
                  ARGS(arg_int("x-message-ttl", 60000), arg_int("x-max-length", 10),
                       arg_string("x-dead-letter-exchange", "dlx")));
    declare_queue(ch, "q", DURABLE,
                  ARGS(arg_string("x-dead-letter-exchange", "dlx"), arg_int("x-max-length", 10),
                       arg_int("x-message-ttl", 60000)));
}
END_TEST

START_TEST(arguments_for_clusters_are_taken_as_they_are)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", EXCLUSIVE, ARGS(arg_string("x-queue-master-locator", "anywhere")));
    declare_queue(ch, "q", EXCLUSIVE, ARGS(arg_string("x-queue-master-locator", "anywhere")));
    send_queue_declare(ch, "q", EXCLUSIVE, ARGS(arg_int("x-queue-master-locator", 1)));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - inequivalent arg 'x-queue-master-locator' for "
                         "queue 'q' in vhost '/': received '1' but current is 'anywhere'");
    reopen_channel(ch);
    declare_queue(ch, "r", EXCLUSIVE, ARGS(arg_int("x-queue-master-locator", 1)));
}
END_TEST

START_TEST(integers_of_any_width_are_equal_by_value)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, ARGS(arg_int("x-max-priority", 5)));
    declare_queue(ch, "q", 0, ARGS(arg_long("x-max-priority", 5)));
    declare_queue(ch, "q", 0, ARGS(arg_byte("x-max-priority", 5)));
    declare_queue(ch, "q", 0, ARGS(arg_short("x-max-priority", 5)));
}
END_TEST

START_TEST(unknown_arguments_are_neither_refused_nor_compared)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, ARGS(arg_string("x-colour", "red"), arg_int("shoe-size", 43)));
    declare_queue(ch, "q", 0, ARGS(arg_string("x-colour", "blue")));
    declare_queue(ch, "q", 0, NO_ARGS);
}
END_TEST

START_TEST(passive_declare_compares_nothing)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, ARGS(arg_int("x-max-length", 10)));
    send_queue_declare(ch, "q", PASSIVE | DURABLE | AUTO_DELETE, ARGS(arg_int("x-message-ttl", 1)));
    expect_reply(ch, AMQP_QUEUE_DECLARE_OK_METHOD);
}
END_TEST

START_TEST(exclusive_queue_goes_with_its_connection)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();
    int64_t deadline = now_ms() + deadline_ms();
    bool gone = false;

    declare_queue(ch, "mine", EXCLUSIVE, NO_ARGS);
    declare_queue(ch, "mine", EXCLUSIVE, NO_ARGS);
    close_client(ch->client);

    while (!gone && now_ms() < deadline) {
        amqp_method_number_t reply;

        send_queue_declare(other, "mine", PASSIVE, NO_ARGS);
        reply = next_method(other);
        ck_assert_msg(reply == AMQP_CHANNEL_CLOSE_METHOD, "another connection's exclusive queue");
        gone =
            ((amqp_channel_close_t *)expect_method(other, AMQP_CHANNEL_CLOSE_METHOD))->reply_code ==
            404;
        send_method(other, AMQP_CHANNEL_CLOSE_OK_METHOD, &(amqp_channel_close_ok_t){0});
        reopen_channel(other);
    }
    ck_assert(gone);
}
END_TEST

/* It goes with its connection, so it is never durable, whatever was asked for. */
START_TEST(exclusive_queue_is_the_same_durable_or_not)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "a", EXCLUSIVE | DURABLE, NO_ARGS);
    declare_queue(ch, "a", EXCLUSIVE, NO_ARGS);
    declare_queue(ch, "a", EXCLUSIVE | DURABLE, NO_ARGS);
    declare_queue(ch, "b", EXCLUSIVE, NO_ARGS);
    declare_queue(ch, "b", EXCLUSIVE | DURABLE, NO_ARGS);
}
END_TEST

START_TEST(exclusive_queue_takes_publishes_of_others)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_queue(ch, "mine", EXCLUSIVE, NO_ARGS);
    bind_queue(ch, "mine", "amq.fanout", "", NO_ARGS);
    publish(other, "mine", "a");
    await_message_count(ch, "mine", 1);
    publish_to(other, "amq.fanout", "", "b");
    await_message_count(ch, "mine", 2);
    expect_get(ch, "mine", "a", NO_ACK);
    expect_get(ch, "mine", "b", NO_ACK);
}
END_TEST

START_TEST(exclusive_queue_is_open_to_all_channels_of_its_connection)
{
    struct channel *ch = connect_channel();
    struct channel *beside = open_channel(ch->client);

    declare_queue(ch, "ours", EXCLUSIVE, NO_ARGS);
    publish(beside, "ours", "a");
    consume(beside, "ours", "c", NO_ACK, NO_ARGS);
    expect_delivery(beside, "a", 0);
    cancel(beside, "c");
    purge_queue(beside, "ours");
    delete_queue(beside, "ours", 0);
}
END_TEST

START_TEST(auto_delete_queue_goes_with_its_last_consumer)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_queue(ch, "q", AUTO_DELETE, NO_ARGS);
    consume(ch, "q", "one", 0, NO_ARGS);
    consume(other, "q", "two", 0, NO_ARGS);
    cancel(ch, "one");
    ck_assert_uint_eq(consumer_count(ch, "q"), 1);
    cancel(other, "two");
    await_queue_gone(ch, "q");
}
END_TEST

START_TEST(auto_delete_queue_goes_when_its_consumers_connection_is_lost)
{
    struct channel *ch = connect_channel();
    struct channel *consumer = connect_channel();

    declare_queue(ch, "q", AUTO_DELETE, NO_ARGS);
    consume(consumer, "q", "c", 0, NO_ARGS);
    drop_client(consumer->client);
    await_queue_gone(ch, "q");
}
END_TEST

START_TEST(auto_delete_queue_goes_when_its_consumers_channel_closes)
{
    struct channel *ch = connect_channel();
    struct channel *consumer = connect_channel();

    declare_queue(ch, "q", AUTO_DELETE, NO_ARGS);
    consume(consumer, "q", "c", 0, NO_ARGS);
    close_channel(consumer);
    await_queue_gone(ch, "q");
}
END_TEST

START_TEST(auto_delete_queue_that_had_no_consumer_stays)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_queue(ch, "q", AUTO_DELETE, NO_ARGS);
    close_client(ch->client);
    ck_assert_uint_eq(message_count(other, "q"), 0);
}
END_TEST

START_TEST(purge_takes_ready_messages_only)
{
    struct channel *ch = connect_channel();
    struct delivery d;

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    publish(ch, "q", "b");
    publish(ch, "q", "c");
    await_message_count(ch, "q", 3);
    d = expect_get(ch, "q", "a", 0);
    ck_assert_uint_eq(purge_queue(ch, "q"), 2);
    ck_assert_uint_eq(purge_queue(ch, "q"), 0);
    nack(ch, d.tag, REQUEUE);
    expect_get(ch, "q", "a", REDELIVERED);
}
END_TEST

START_TEST(delete_tells_the_number_of_messages)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "a");
    publish(ch, "q", "b");
    await_message_count(ch, "q", 2);
    ck_assert_uint_eq(delete_queue(ch, "q", 0), 2);
    ck_assert_uint_eq(delete_queue(ch, "q", 0), 0);
}
END_TEST

START_TEST(delete_of_what_is_not_there_is_fine)
{
    struct channel *ch = connect_channel();

    ck_assert_uint_eq(delete_queue(ch, "none", 0), 0);
    ck_assert_uint_eq(delete_queue(ch, "none", IF_UNUSED | IF_EMPTY), 0);
}
END_TEST

START_TEST(conditional_delete_takes_an_idle_empty_queue)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    ck_assert_uint_eq(delete_queue(ch, "q", IF_UNUSED | IF_EMPTY), 0);
    await_queue_gone(ch, "q");
}
END_TEST

START_TEST(deleted_queue_takes_its_bindings)
{
    struct channel *ch = connect_channel();

    confirm_select(ch);
    declare_queue(ch, "q", 0, NO_ARGS);
    declare_exchange(ch, "x", "direct", 0, NO_ARGS);
    bind_queue(ch, "q", "x", "k", NO_ARGS);
    delete_queue(ch, "q", 0);
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_with(ch, "x", "k", MANDATORY, NULL, "a");
    expect_return(ch, "a");
    delete_exchange(ch, "x", IF_UNUSED);
}
END_TEST

START_TEST(empty_name_means_the_last_declared)
{
    struct channel *ch = connect_channel();
    struct channel *beside = open_channel(ch->client);

    declare_queue(ch, "first", 0, NO_ARGS);
    declare_queue(ch, "second", 0, NO_ARGS);
    bind_queue(ch, "", "amq.direct", "key", NO_ARGS);
    publish_to(ch, "amq.direct", "key", "a");
    await_message_count(beside, "second", 1);
    expect_get(ch, "", "a", NO_ACK);
    consume(ch, "", "c", NO_ACK, NO_ARGS);
    publish(ch, "second", "b");
    expect_delivery(ch, "b", 0);
    ck_assert_uint_eq(purge_queue(ch, ""), 0);
    delete_queue(ch, "", 0);
    expect_cancel(ch, "c");
    send_queue_declare(beside, "second", PASSIVE, NO_ARGS);
    expect_channel_error(beside, 404, "NOT_FOUND - no queue 'second' in vhost '/'");
}
END_TEST

START_TEST(empty_name_and_key_bind_with_the_name_as_key)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "last", 0, NO_ARGS);
    bind_queue(ch, "", "amq.direct", "", NO_ARGS);
    publish_to(ch, "amq.direct", "last", "a");
    await_message_count(ch, "last", 1);
    unbind_queue(ch, "", "amq.direct", "", NO_ARGS);
    confirm_select(ch);
    publish_with(ch, "amq.direct", "last", MANDATORY, NULL, "b");
    expect_return(ch, "b");
}
END_TEST

START_TEST(named_queue_and_empty_key_bind_with_the_empty_key)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "amq.direct", "", NO_ARGS);
    publish_to(ch, "amq.direct", "", "a");
    await_message_count(ch, "q", 1);
}
END_TEST

START_TEST(passive_declare_sets_the_last_declared)
{
    struct channel *ch = connect_channel();
    struct channel *other = connect_channel();

    declare_queue(other, "q", 0, NO_ARGS);
    publish(other, "q", "a");
    await_message_count(ch, "q", 1);
    expect_get(ch, "", "a", NO_ACK);
}
END_TEST

START_TEST(unbind_of_what_is_not_bound_is_fine)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    unbind_queue(ch, "q", "amq.direct", "k", NO_ARGS);
    unbind_queue(ch, "none", "amq.direct", "k", NO_ARGS);
    unbind_queue(ch, "q", "none", "k", NO_ARGS);
}
END_TEST

START_TEST(unbind_takes_key_and_arguments_literally)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "amq.direct", "k", NO_ARGS);
    bind_queue(ch, "q", "amq.direct", "k", NO_ARGS);
    bind_queue(ch, "q", "amq.direct", "k", ARGS(arg_int("n", 1)));

    unbind_queue(ch, "q", "amq.direct", "other", NO_ARGS);
    unbind_queue(ch, "q", "amq.direct", "k", ARGS(arg_int("n", 2)));
    unbind_queue(ch, "q", "amq.direct", "k", NO_ARGS);
    publish_to(ch, "amq.direct", "k", "a");
    await_message_count(ch, "q", 1); /* the one with n = 1 is left */

    unbind_queue(ch, "q", "amq.direct", "k", ARGS(arg_int("n", 1)));
    confirm_select(ch);
    publish_with(ch, "amq.direct", "k", MANDATORY, NULL, "b");
    expect_return(ch, "b");
}
END_TEST

START_TEST(queue_of_another_worker_answers_every_method)
{
    struct channel *home = connect_channel();

    declare_queue(home, "q", 0, NO_ARGS);
    for (int i = 0; i < 8; i++) {
        struct channel *ch = connect_channel();
        struct delivery d;

        declare_queue(ch, "q", 0, NO_ARGS);
        publish(ch, "q", "a");
        await_message_count(ch, "q", 1);
        d = expect_get(ch, "q", "a", 0);
        reject(ch, d.tag, REQUEUE);
        await_message_count(ch, "q", 1);
        ck_assert_uint_eq(purge_queue(ch, "q"), 1);
        consume(ch, "q", "c", 0, NO_ARGS);
        ck_assert_uint_eq(consumer_count(home, "q"), 1);
        publish(home, "q", "b");
        d = expect_delivery(ch, "b", 0);
        ack(ch, d.tag, 0);
        cancel(ch, "c");
        close_client(ch->client);
    }
    delete_queue(connect_channel(), "q", 0);
    await_queue_gone(home, "q");
}
END_TEST

START_TEST(many_queues_come_and_go)
{
    struct channel *ch = connect_channel();
    char name[32];

    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "many-%d", i);
        send_queue_declare(ch, name, NO_WAIT, NO_ARGS);
    }
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "many-%d", i);
        ck_assert_uint_eq(message_count(ch, name), 0);
        send_queue_delete(ch, name, NO_WAIT);
    }
    await_queue_gone(ch, "many-0");
    await_queue_gone(ch, "many-499");
}
END_TEST

/* What RabbitMQ refuses a quorum queue closes the connection there. */
static void expect_refusal_by_oracle(struct channel *ch, const char *reason,
                                     amqp_method_number_t method)
{
    expect_connection_error(ch->client, 540, reason, method);
}

START_TEST(channels_of_a_global_prefetch_consume_from_quorum_queues)
{
    struct channel *ch = connect_channel();
    struct delivery first;

    declare_queue(ch, "q", DURABLE, ARGS(arg_string("x-queue-type", "quorum")));
    qos(ch, 1, GLOBAL);
    if (against_oracle()) {
        send_consume(ch, "q", "c", 0, NO_ARGS);
        expect_refusal_by_oracle(
            ch, "NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos",
            AMQP_BASIC_CONSUME_METHOD);
        return;
    }
    consume(ch, "q", "c", 0, NO_ARGS);
    publish(ch, "q", "a");
    publish(ch, "q", "b");
    first = expect_delivery(ch, "a", 0);
    expect_nothing(ch, "q");
    ack(ch, first.tag, 0);
    expect_delivery(ch, "b", 0);
}
END_TEST

static void delete_quorum_queue(int flags, const char *oracle_says)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", DURABLE, ARGS(arg_string("x-queue-type", "quorum")));
    if (against_oracle()) {
        send_queue_delete(ch, "q", flags);
        expect_refusal_by_oracle(ch, oracle_says, AMQP_QUEUE_DELETE_METHOD);
        return;
    }
    delete_queue(ch, "q", flags);
    await_queue_gone(ch, "q");
}

START_TEST(idle_empty_quorum_queue_can_be_deleted_on_condition)
{
    delete_quorum_queue(IF_UNUSED,
                        "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete "
                        "operations with if-unused flag set are not supported by quorum queues");
    delete_quorum_queue(IF_EMPTY,
                        "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete "
                        "operations with if-empty flag set are not supported by quorum queues");
}
END_TEST

START_TEST(quorum_queue_that_is_in_use_or_holds_messages_stays)
{
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("it has no such conditions for quorum queues");
    declare_queue(ch, "q", DURABLE, ARGS(arg_string("x-queue-type", "quorum")));
    publish(ch, "q", "a");
    send_queue_delete(ch, "q", IF_EMPTY);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty");
    reopen_channel(ch);
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    expect_delivery(ch, "a", 0);
    send_queue_delete(ch, "q", IF_UNUSED);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("queues");
    TCase *tcase = wire_tcase(suite, "declare");

    tcase_add_test(tcase, server_makes_a_name_for_an_empty_one);
    tcase_add_test(tcase, declare_ok_tells_name_and_counts);
    tcase_add_test(tcase, redeclare_with_equal_arguments_is_fine);
    tcase_add_test(tcase, arguments_for_clusters_are_taken_as_they_are);
    tcase_add_test(tcase, integers_of_any_width_are_equal_by_value);
    tcase_add_test(tcase, unknown_arguments_are_neither_refused_nor_compared);
    tcase_add_test(tcase, passive_declare_compares_nothing);
    tcase_add_test(tcase, many_queues_come_and_go);
    tcase = wire_tcase(suite, "exclusive");
    tcase_add_test(tcase, exclusive_queue_goes_with_its_connection);
    tcase_add_test(tcase, exclusive_queue_is_the_same_durable_or_not);
    tcase_add_test(tcase, exclusive_queue_takes_publishes_of_others);
    tcase_add_test(tcase, exclusive_queue_is_open_to_all_channels_of_its_connection);
    tcase = wire_tcase(suite, "auto-delete");
    tcase_add_test(tcase, auto_delete_queue_goes_with_its_last_consumer);
    tcase_add_test(tcase, auto_delete_queue_goes_when_its_consumers_connection_is_lost);
    tcase_add_test(tcase, auto_delete_queue_goes_when_its_consumers_channel_closes);
    tcase_add_test(tcase, auto_delete_queue_that_had_no_consumer_stays);
    tcase = wire_tcase(suite, "purge and delete");
    tcase_add_test(tcase, purge_takes_ready_messages_only);
    tcase_add_test(tcase, delete_tells_the_number_of_messages);
    tcase_add_test(tcase, delete_of_what_is_not_there_is_fine);
    tcase_add_test(tcase, conditional_delete_takes_an_idle_empty_queue);
    tcase_add_test(tcase, deleted_queue_takes_its_bindings);
    tcase = wire_tcase(suite, "names");
    tcase_add_test(tcase, empty_name_means_the_last_declared);
    tcase_add_test(tcase, empty_name_and_key_bind_with_the_name_as_key);
    tcase_add_test(tcase, named_queue_and_empty_key_bind_with_the_empty_key);
    tcase_add_test(tcase, passive_declare_sets_the_last_declared);
    tcase = wire_tcase(suite, "unbind");
    tcase_add_test(tcase, unbind_of_what_is_not_bound_is_fine);
    tcase_add_test(tcase, unbind_takes_key_and_arguments_literally);
    tcase = wire_tcase(suite, "quorum");
    tcase_add_test(tcase, channels_of_a_global_prefetch_consume_from_quorum_queues);
    tcase_add_test(tcase, idle_empty_quorum_queue_can_be_deleted_on_condition);
    tcase_add_test(tcase, quorum_queue_that_is_in_use_or_holds_messages_stays);
    tcase = wire_tcase(suite, "workers");
    tcase_add_test(tcase, queue_of_another_worker_answers_every_method);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
