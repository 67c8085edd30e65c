/* The limits of the configuration: what goes beyond them is refused by name, and nothing else
 * suffers. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/wire/raw.h"

enum {
    MAX_CONNECTIONS = 24,
    MAX_CHANNELS = 4,
    MAX_QUEUES = 10,
    MAX_CONSUMERS = 3,
};

static const char LIMITS_CONFIG[] = "listeners:\n"
                                    "  - {address: 127.0.0.1, port: @PORT@}\n"
                                    "workers: @WORKERS@\n"
                                    "limits:\n"
                                    "  max_connections: 24\n"
                                    "  max_channels_per_connection: 4\n"
                                    "  frame_max: 8KiB\n"
                                    "  heartbeat_s: 7\n"
                                    "  max_queues: 10\n"
                                    "  max_consumers_per_channel: 3\n"
                                    "  max_message_size: 1000\n"
                                    "  max_header_table_size: 1KiB\n"
                                    "  max_table_depth: 3\n";

START_TEST(tune_offers_what_is_configured)
{
    struct raw *r = raw_connect(test_broker());
    struct raw_frame f;

    SKIP_WITH_ORACLE("its limits are others");
    raw_send_protocol_header(r);
    raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    raw_send_start_ok(r, NULL, "PLAIN", "\0guest\0guest", 12);
    f = raw_expect_method(r, 0, AMQP_CONNECTION_TUNE_METHOD);
    ck_assert_mem_eq(f.payload, "\0\4\0\0\x20\0\0\7", 8);
}
END_TEST

START_TEST(connections_beyond_the_limit_end_and_the_others_live)
{
    struct raw *connections[MAX_CONNECTIONS];
    struct raw *extra;

    SKIP_WITH_ORACLE("its limits are others");
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
        connections[i] = raw_connect(test_broker());
        raw_handshake_with(connections[i], NULL, MAX_CHANNELS, 8192, 0);
    }
    extra = raw_connect(test_broker());
    raw_expect_end(extra);
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        raw_open_channel(connections[i], 1);
    /* a place that gets free can be taken */
    raw_close(connections[0]);
    for (int64_t deadline = now_ms() + deadline_ms();;) {
        struct raw *again = raw_connect(test_broker());
        char start[7];

        raw_send_loosely(again, "AMQP\0\0\x09\x01", 8);
        ck_assert(raw_comes(again, deadline_ms()));
        if (recv(again->fd, start, sizeof(start), MSG_PEEK) > 0)
            break;
        ck_assert_msg(now_ms() < deadline, "the place of a closed connection does not get free");
        raw_close(again);
    }
}
END_TEST

START_TEST(queues_beyond_the_limit_are_refused)
{
    struct channel *ch = connect_channel();
    char name[16];

    SKIP_WITH_ORACLE("its limits are others");
    for (int i = 0; i < MAX_QUEUES; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        declare_queue(ch, name, 0, NO_ARGS);
    }
    send_queue_declare(ch, "extra", 0, NO_ARGS);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - cannot declare queue 'extra' *");
    reopen_channel(ch);
    declare_queue(ch, "q0", 0, NO_ARGS); /* is there already */
    delete_queue(ch, "q0", 0);
    declare_queue(ch, "extra", 0, NO_ARGS);
}
END_TEST

START_TEST(consumers_beyond_the_limit_are_refused)
{
    struct channel *ch = connect_channel();
    struct channel *beside = connect_channel();

    SKIP_WITH_ORACLE("its limits are others");
    declare_queue(ch, "q", 0, NO_ARGS);
    for (int i = 0; i < MAX_CONSUMERS; i++)
        consume(ch, "q", "", 0, NO_ARGS);
    consume(beside, "q", "", 0, NO_ARGS);
    send_consume(ch, "q", "", 0, NO_ARGS);
    expect_connection_error(ch->client, 530, "NOT_ALLOWED - *", AMQP_BASIC_CONSUME_METHOD);
    publish(beside, "q", "a");
    expect_delivery(beside, "a", 0);
}
END_TEST

START_TEST(messages_beyond_the_limit_are_refused)
{
    struct channel *ch = connect_channel();
    struct channel *beside = open_channel(ch->client);
    char body[1002] = {0};

    SKIP_WITH_ORACLE("its limits are others");
    declare_queue(ch, "q", 0, NO_ARGS);
    memset(body, 'x', 1000);
    publish(ch, "q", body);
    await_message_count(ch, "q", 1);
    body[1000] = 'x';
    publish(ch, "q", body);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - message size 1001 is larger than configured max "
                         "size 1000");
    ck_assert_uint_eq(message_count(beside, "q"), 1);
}
END_TEST

START_TEST(headers_beyond_the_limit_are_refused)
{
    struct channel *ch = connect_channel();
    char value[1025] = {0};

    SKIP_WITH_ORACLE("its limits are others");
    declare_queue(ch, "q", 0, NO_ARGS);
    memset(value, 'x', 1000);
    publish_with(ch, "", "q", 0, HEADERS(arg_string("h", value)), "a");
    await_message_count(ch, "q", 1);
    memset(value, 'x', 1024);
    publish_with(ch, "", "q", 0, HEADERS(arg_string("h", value)), "a");
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - headers of *");
}
END_TEST

START_TEST(tables_too_deep_are_refused)
{
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("its limits are others");
    declare_queue(ch, "q", 0, NO_ARGS);
    publish_with(ch, "", "q", 0,
                 HEADERS(arg_table("1", ARGS(arg_table("2", ARGS(arg_int("3", 3)))))), "a");
    await_message_count(ch, "q", 1);
    publish_with(
        ch, "", "q", 0,
        HEADERS(arg_table("1", ARGS(arg_table("2", ARGS(arg_table("3", ARGS(arg_int("4", 4)))))))),
        "a");
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - headers are nested deeper *");
    reopen_channel(ch);
    send_queue_declare(
        ch, "deep", 0,
        ARGS(arg_table("1", ARGS(arg_table("2", ARGS(arg_table("3", ARGS(arg_int("4", 4)))))))));
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - arguments are nested deeper *");
}
END_TEST

/* Every method with arguments. */
struct argument_method {
    const char *name;
    void (*send)(struct channel *ch, amqp_table_t args);
    amqp_method_number_t ok;
};

static void send_declare_with(struct channel *ch, amqp_table_t args)
{
    send_queue_declare(ch, "new", 0, args);
}

static void send_exchange_declare_with(struct channel *ch, amqp_table_t args)
{
    send_exchange_declare(ch, "new", "fanout", 0, args);
}

static void send_bind_with(struct channel *ch, amqp_table_t args)
{
    send_queue_bind(ch, "q", "amq.direct", "k", 0, args);
}

static void send_unbind_with(struct channel *ch, amqp_table_t args)
{
    send_queue_unbind(ch, "q", "amq.direct", "k", args);
}

static void send_exchange_bind_with(struct channel *ch, amqp_table_t args)
{
    send_exchange_bind(ch, "x", "amq.direct", "k", 0, args);
}

static void send_exchange_unbind_with(struct channel *ch, amqp_table_t args)
{
    send_exchange_unbind(ch, "x", "amq.direct", "k", 0, args);
}

static void send_consume_with(struct channel *ch, amqp_table_t args)
{
    send_consume(ch, "q", "c", 0, args);
}

static void send_reply_consume_with(struct channel *ch, amqp_table_t args)
{
    send_consume(ch, "amq.rabbitmq.reply-to", "c", NO_ACK, args);
}

static const struct argument_method argument_methods[] = {
    {"queue.declare", send_declare_with, AMQP_QUEUE_DECLARE_OK_METHOD},
    {"exchange.declare", send_exchange_declare_with, AMQP_EXCHANGE_DECLARE_OK_METHOD},
    {"queue.bind", send_bind_with, AMQP_QUEUE_BIND_OK_METHOD},
    {"queue.unbind", send_unbind_with, AMQP_QUEUE_UNBIND_OK_METHOD},
    {"exchange.bind", send_exchange_bind_with, AMQP_EXCHANGE_BIND_OK_METHOD},
    {"exchange.unbind", send_exchange_unbind_with, AMQP_EXCHANGE_UNBIND_OK_METHOD},
    {"basic.consume", send_consume_with, AMQP_BASIC_CONSUME_OK_METHOD},
    {"basic.consume of replies", send_reply_consume_with, AMQP_BASIC_CONSUME_OK_METHOD},
};

enum { ARGUMENT_METHODS = sizeof(argument_methods) / sizeof(argument_methods[0]) };

START_TEST(arguments_beyond_the_limits_are_refused)
{
    const struct argument_method *m = &argument_methods[_i];
    struct channel *ch = connect_channel();
    char value[1025] = {0};

    SKIP_WITH_ORACLE("its limits are others");
    harness_case(m->name);
    declare_queue(ch, "q", 0, NO_ARGS);
    declare_exchange(ch, "x", "fanout", 0, NO_ARGS);
    memset(value, 'x', 1024);
    m->send(ch, ARGS(arg_string("a", value)));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - arguments of 1031 bytes are larger than the limit "
                         "of 1024 (limits.max_header_table_size)");
    reopen_channel(ch);
    m->send(ch, ARGS(arg_table("1", ARGS(arg_table("2", ARGS(arg_table("3", NO_ARGS)))))));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - arguments are nested deeper than the limit of 3 "
                         "(limits.max_table_depth)");
    reopen_channel(ch);
    value[1017] = '\0';
    m->send(ch, ARGS(arg_string("a", value)));
    expect_method(ch, m->ok); /* 1024 are taken */
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("limits");
    TCase *tcase = wire_tcase(suite, "limits");

    tcase_add_test(tcase, tune_offers_what_is_configured);
    tcase_add_test(tcase, connections_beyond_the_limit_end_and_the_others_live);
    tcase_add_test(tcase, queues_beyond_the_limit_are_refused);
    tcase_add_test(tcase, consumers_beyond_the_limit_are_refused);
    tcase_add_test(tcase, messages_beyond_the_limit_are_refused);
    tcase_add_test(tcase, headers_beyond_the_limit_are_refused);
    tcase_add_test(tcase, tables_too_deep_are_refused);
    tcase_add_loop_test(tcase, arguments_beyond_the_limits_are_refused, 0, ARGUMENT_METHODS);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, LIMITS_CONFIG);
}
