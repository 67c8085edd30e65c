/* Time: messages and queues that end when it is up. */
#include <stdio.h>
#include <string.h>

#include "tests/wire/harness.h"

enum { SHORT_MS = 50, LONG_MS = 3600000 };

static const amqp_basic_properties_t *expiring(const char *expiration)
{
    static amqp_basic_properties_t p;

    p = (amqp_basic_properties_t){._flags = AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_APP_ID_FLAG,
                                  .expiration = text(expiration),
                                  .app_id = text("app")};
    return &p;
}

static void publish_expiring(struct channel *ch, const char *expiration, const char *body)
{
    publish_with(ch, "", "q", 0, expiring(expiration), body);
}

/* Queue q with these arguments dead-letters to queue dead. */
static struct channel *given_queue(amqp_table_entry_t argument)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "dead", 0, NO_ARGS);
    declare_queue(ch, "q", 0,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead"), argument));
    return ch;
}

static struct channel *given_plain_queue(void)
{
    return given_queue(arg_string("x-overflow", "drop-head"));
}

/* The first table of x-death tells of an expiry in q. */
static void expect_expired(const struct delivery *d, const char *original_expiration)
{
    const amqp_field_value_t *deaths = header(d, "x-death");
    const amqp_table_t *death;

    ck_assert(deaths != NULL && deaths->kind == AMQP_FIELD_KIND_ARRAY);
    death = &deaths->value.array.entries[0].value.table;
    ck_assert(field_is_string(table_field(death, "reason"), "expired"));
    ck_assert(field_is_string(table_field(death, "queue"), "q"));
    ck_assert(field_is_int(table_field(death, "count"), 1));
    ck_assert_uint_eq(d->properties->_flags & AMQP_BASIC_EXPIRATION_FLAG, 0);
    if (original_expiration != NULL)
        ck_assert(field_is_string(table_field(death, "original-expiration"), original_expiration));
    else
        ck_assert_ptr_null(table_field(death, "original-expiration"));
}

START_TEST(messages_end_after_the_time_of_their_queue)
{
    struct channel *ch = given_queue(arg_int("x-message-ttl", SHORT_MS));
    struct delivery d;

    publish(ch, "q", "a");
    publish(ch, "q", "b");
    consume(ch, "dead", "c", NO_ACK, NO_ARGS);
    d = expect_delivery(ch, "a", 0);
    expect_expired(&d, NULL);
    expect_delivery(ch, "b", 0);
    expect_get_empty(ch, "q");
    ck_assert_uint_eq(message_count(ch, "q"), 0);
}
END_TEST

START_TEST(message_ends_after_its_own_time)
{
    struct channel *ch = given_plain_queue();
    struct delivery d;

    publish_expiring(ch, "50", "a");
    publish(ch, "q", "stays");
    consume(ch, "dead", "c", NO_ACK, NO_ARGS);
    d = expect_delivery(ch, "a", 0);
    expect_expired(&d, "50");
    ck_assert_mem_eq(d.properties->app_id.bytes, "app", 3);
    expect_get(ch, "q", "stays", 0);
}
END_TEST

START_TEST(shorter_time_counts)
{
    struct channel *ch = given_queue(arg_int("x-message-ttl", LONG_MS));

    publish_expiring(ch, "50", "short");
    consume(ch, "dead", "c", NO_ACK, NO_ARGS);
    expect_delivery(ch, "short", 0);
    delete_queue(ch, "q", 0);
    declare_queue(ch, "q", 0,
                  ARGS(arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "dead"),
                       arg_int("x-message-ttl", SHORT_MS)));
    publish_expiring(ch, "3600000", "long");
    expect_delivery(ch, "long", 0);
}
END_TEST

START_TEST(messages_end_in_time_behind_one_that_stays)
{
    struct channel *ch = given_plain_queue();

    SKIP_WITH_ORACLE("RabbitMQ ends messages at the front of their queue alone");
    publish_expiring(ch, "3600000", "first");
    publish_expiring(ch, "150", "third out");
    publish_expiring(ch, "50", "first out");
    publish(ch, "q", "last");
    publish_expiring(ch, "100", "second out");
    consume(ch, "dead", "c", NO_ACK, NO_ARGS);
    expect_delivery(ch, "first out", 0);
    expect_delivery(ch, "second out", 0);
    expect_delivery(ch, "third out", 0);
    expect_get(ch, "q", "first", 0);
    expect_get(ch, "q", "last", 0);
    expect_get_empty(ch, "q");
}
END_TEST

START_TEST(message_without_time_is_delivered_at_once)
{
    struct channel *ch = given_plain_queue();

    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    for (int i = 0; i < 100; i++) {
        char body[16];

        snprintf(body, sizeof(body), "%d", i);
        publish_expiring(ch, "0", body);
    }
    for (int i = 0; i < 100; i++) {
        char body[16];

        snprintf(body, sizeof(body), "%d", i);
        expect_delivery(ch, body, 0);
    }
    expect_nothing(ch, "q");
    ck_assert_uint_eq(message_count(ch, "dead"), 0);
}
END_TEST

START_TEST(message_without_time_ends_where_nobody_waits)
{
    struct channel *ch = given_queue(arg_int("x-message-ttl", 0));
    struct channel *consumer;

    publish(ch, "q", "nobody");
    await_message_count(ch, "dead", 1);
    expect_get_empty(ch, "q");

    consumer = open_channel(ch->client);
    qos(consumer, 1, 0);
    consume(consumer, "q", "c", 0, NO_ARGS);
    publish(ch, "q", "one");
    publish(ch, "q", "no credit");
    expect_delivery(consumer, "one", 0);
    await_message_count(ch, "dead", 2);
    expect_nothing(consumer, "q");
}
END_TEST

START_TEST(unacked_message_does_not_end)
{
    struct channel *ch = given_queue(arg_int("x-message-ttl", SHORT_MS));
    struct delivery d;

    publish(ch, "q", "held");
    d = expect_get(ch, "q", "held", 0);
    publish(ch, "q", "later");
    consume(ch, "dead", "c", NO_ACK, NO_ARGS);
    expect_delivery(ch, "later", 0);
    expect_nothing(ch, "q");
    nack(ch, d.tag, REQUEUE);
    d = expect_delivery(ch, "held", 0);
    expect_expired(&d, NULL);
}
END_TEST

START_TEST(requeued_message_ends_in_its_time)
{
    struct channel *ch = given_plain_queue();
    struct delivery d;

    publish_expiring(ch, "100", "a");
    publish(ch, "q", "b");
    d = expect_get(ch, "q", "a", 0);
    nack(ch, d.tag, REQUEUE);
    consume(ch, "dead", "c", NO_ACK, NO_ARGS);
    d = expect_delivery(ch, "a", 0);
    expect_expired(&d, "100");
    expect_get(ch, "q", "b", 0);
}
END_TEST

START_TEST(ended_messages_are_dropped_without_an_exchange_for_them)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "q", 0, ARGS(arg_int("x-message-ttl", SHORT_MS)));
    for (int i = 0; i < 1000; i++)
        publish(ch, "q", "a");
    await_message_count(ch, "q", 0);
    expect_get_empty(ch, "q");
    publish(ch, "q", "b");
    expect_get(ch, "q", "b", 0);
}
END_TEST

static bool exists(struct channel *ch, const char *queue)
{
    publish_with(ch, "", queue, MANDATORY, NULL, "anybody?");
    return message_count(ch, "alive") == 0 && !something_comes(ch, 0);
}

/* Without asking for it in a way that would be a use. */
static void await_expiry(struct channel *ch, const char *queue)
{
    while (exists(ch, queue)) {
    }
    expect_return(ch, "anybody?");
}

START_TEST(unused_queue_ends)
{
    struct channel *ch = connect_channel();
    struct channel *consumer = open_channel(ch->client);

    declare_queue(ch, "alive", 0, NO_ARGS);
    declare_queue(ch, "used", 0, ARGS(arg_int("x-expires", 200)));
    declare_queue(ch, "unused", 0, ARGS(arg_int("x-expires", 200)));
    consume(consumer, "used", "c", NO_ACK, NO_ARGS);
    await_expiry(ch, "unused");
    publish(ch, "used", "a");
    expect_delivery(consumer, "a", 0);
    cancel(consumer, "c");
    await_expiry(ch, "used");
}
END_TEST

START_TEST(queue_ends_with_its_messages)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, "alive", 0, NO_ARGS);
    declare_queue(ch, "q", 0,
                  ARGS(arg_int("x-expires", 100), arg_int("x-message-ttl", LONG_MS),
                       arg_string("x-dead-letter-exchange", ""),
                       arg_string("x-dead-letter-routing-key", "alive")));
    publish(ch, "q", "goes with it");
    await_expiry(ch, "q");
    ck_assert_uint_eq(message_count(ch, "alive"), 0);
    declare_queue(ch, "q", 0, NO_ARGS);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("expiry");
    TCase *messages = wire_tcase(s, "messages");
    TCase *queues = wire_tcase(s, "queues");

    tcase_add_test(messages, messages_end_after_the_time_of_their_queue);
    tcase_add_test(messages, message_ends_after_its_own_time);
    tcase_add_test(messages, shorter_time_counts);
    tcase_add_test(messages, messages_end_in_time_behind_one_that_stays);
    tcase_add_test(messages, message_without_time_is_delivered_at_once);
    tcase_add_test(messages, message_without_time_ends_where_nobody_waits);
    tcase_add_test(messages, unacked_message_does_not_end);
    tcase_add_test(messages, requeued_message_ends_in_its_time);
    tcase_add_test(messages, ended_messages_are_dropped_without_an_exchange_for_them);
    tcase_add_test(queues, unused_queue_ends);
    tcase_add_test(queues, queue_ends_with_its_messages);
    return s;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
