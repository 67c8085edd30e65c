/* Direct reply-to: answers that need no queue. */
#include <string.h>

#include "tests/wire/harness.h"

#define REPLY_TO "amq.rabbitmq.reply-to"

static const amqp_basic_properties_t *asking(void)
{
    static const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
        .reply_to = {sizeof(REPLY_TO) - 1, (void *)(uintptr_t)REPLY_TO},
        .correlation_id = {1, (void *)(uintptr_t) "7"},
    };

    return &properties;
}

/* The reply_to of a request, as the server made it. */
static const char *reply_address(const struct delivery *d)
{
    static char name[256];

    ck_assert_uint_ne(d->properties->_flags & AMQP_BASIC_REPLY_TO_FLAG, 0);
    ck_assert_uint_lt(d->properties->reply_to.len, sizeof(name));
    memcpy(name, d->properties->reply_to.bytes, d->properties->reply_to.len);
    name[d->properties->reply_to.len] = '\0';
    return name;
}

static const char *ask(struct channel *asker, struct channel *server, const char *body)
{
    struct delivery d;

    publish_with(asker, "", "requests", 0, asking(), body);
    d = expect_delivery(server, body, 0);
    ck_assert_mem_eq(d.properties->correlation_id.bytes, "7", 1);
    return reply_address(&d);
}

static struct channel *given_server(void)
{
    struct channel *server = connect_channel();

    declare_queue(server, "requests", 0, NO_ARGS);
    consume(server, "requests", "server", NO_ACK, NO_ARGS);
    return server;
}

START_TEST(answer_reaches_the_asker)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    const char *address;
    struct delivery d;

    consume(asker, REPLY_TO, "replies", NO_ACK, NO_ARGS);
    address = ask(asker, server, "question");
    ck_assert_int_eq(strncmp(address, REPLY_TO ".", strlen(REPLY_TO) + 1), 0);
    publish_with(server, "", address, 0,
                 PROPS(AMQP_BASIC_CORRELATION_ID_FLAG, .correlation_id = text("7")), "answer");
    d = expect_delivery_to(asker, "replies", "answer", 0);
    ck_assert_str_eq(d.exchange, "");
    ck_assert_str_eq(d.routing_key, address);
    ck_assert_mem_eq(d.properties->correlation_id.bytes, "7", 1);
}
END_TEST

START_TEST(every_asker_gets_its_own_answers)
{
    enum { ASKERS = 8 };
    struct channel *server = given_server();
    struct channel *askers[ASKERS];

    for (int i = 0; i < ASKERS; i++) {
        askers[i] = connect_channel();
        consume(askers[i], REPLY_TO, "", NO_ACK, NO_ARGS);
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < ASKERS; i++) {
            const char body[] = {(char)('a' + i), (char)('a' + round), '\0'};

            publish(server, ask(askers[i], server, body), body);
            expect_delivery(askers[i], body, 0);
        }
    }
}
END_TEST

/* A reply address is no queue: RabbitMQ, "Direct Reply-to", caveats. */
START_TEST(mandatory_answer_returns_also_when_it_is_delivered)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    char address[256];

    consume(asker, REPLY_TO, "", NO_ACK, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));
    publish_with(server, "", address, MANDATORY, NULL, "one");
    expect_delivery(asker, "one", 0);
    expect_return(server, "one");
    close_client(asker->client);
    confirm_select(server);
    publish_with(server, "", address, MANDATORY, NULL, "late");
    expect_return(server, "late");
    expect_confirm(server, NULL);
}
END_TEST

START_TEST(passive_declare_tells_whether_an_asker_lives)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    char address[256];

    consume(asker, REPLY_TO, "", NO_ACK, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));
    ck_assert_uint_eq(consumer_count(server, address), 1);
    close_client(asker->client);
    send_queue_declare(server, address, PASSIVE, NO_ARGS);
    expect_channel_error(server, 404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to.*");
}
END_TEST

START_TEST(passive_declare_of_the_name_itself_is_fine)
{
    struct channel *ch = connect_channel();

    declare_queue(ch, REPLY_TO, PASSIVE, NO_ARGS);
}
END_TEST

START_TEST(second_reply_consumer_is_refused)
{
    struct channel *ch = connect_channel();

    consume(ch, REPLY_TO, "one", NO_ACK, NO_ARGS);
    send_consume(ch, REPLY_TO, "two", NO_ACK, NO_ARGS);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - reply consumer already set");
}
END_TEST

START_TEST(cancelled_reply_consumer_gets_nothing)
{
    struct channel *server = given_server();
    struct channel *asker = connect_channel();
    char address[256];

    consume(asker, REPLY_TO, "r", NO_ACK, NO_ARGS);
    strcpy(address, ask(asker, server, "question"));
    cancel(asker, "r");
    publish(server, address, "late");
    expect_nothing(asker, "requests");
    publish_with(asker, "", "requests", 0, asking(), "again");
    expect_channel_error(asker, 406, "PRECONDITION_FAILED - fast reply consumer does not exist");
}
END_TEST

START_TEST(forged_addresses_reach_nobody)
{
    struct channel *asker = connect_channel();
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("it fails with 541 over a name that it did not make");
    consume(asker, REPLY_TO, "", NO_ACK, NO_ARGS);
    publish_with(ch, "", REPLY_TO ".forged", MANDATORY, NULL, "a");
    expect_return(ch, "a");
    publish_with(ch, "", REPLY_TO ".g2dkAA9yZXBseUAxMjcuMC4wLjEAAAAAAAAAAAAAAAA=.AAAA", MANDATORY,
                 NULL, "b");
    expect_return(ch, "b");
    expect_nothing(asker, NULL);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("reply-to");
    TCase *tcase = wire_tcase(suite, "direct");

    tcase_add_test(tcase, answer_reaches_the_asker);
    tcase_add_test(tcase, every_asker_gets_its_own_answers);
    tcase_add_test(tcase, mandatory_answer_returns_also_when_it_is_delivered);
    tcase_add_test(tcase, passive_declare_tells_whether_an_asker_lives);
    tcase_add_test(tcase, passive_declare_of_the_name_itself_is_fine);
    tcase_add_test(tcase, second_reply_consumer_is_refused);
    tcase_add_test(tcase, cancelled_reply_consumer_gets_nothing);
    tcase_add_test(tcase, forged_addresses_reach_nobody);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
