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
    MAX_EXCHANGES = 4,
    MAX_BINDINGS = 5,
    MAX_CONSUMERS = 3,
};

static const char LIMITS_CONFIG[] = "listeners:\n"
                                    "  - {address: 127.0.0.1, port: @PORT@}\n"
                                    "workers: @WORKERS@\n"
                                    "limits:\n"
                                    "  max_connections: 24\n"
                                    "  max_channels_per_connection: 4\n"
                                    "  frame_max: 8KiB\n"
                                    "  handshake_frame_max: 4KiB\n"
                                    "  heartbeat_s: 7\n"
                                    "  max_queues: 10\n"
                                    "  max_exchanges: 4\n"
                                    "  max_bindings: 5\n"
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

/* A stranger cannot have more kept; who has logged in may send up to frame_max. */
START_TEST(frames_beyond_the_limit_of_the_handshake_are_refused)
{
    static const uint8_t payload[9000];
    static const size_t sizes[] = {5000, sizeof(payload)};
    struct raw *r;
    char text[256];

    SKIP_WITH_ORACLE("its limits are others");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        snprintf(text, sizeof(text),
                 "FRAME_ERROR - frame too large before the login: payload of %zu octets, at most "
                 "4096 (limits.handshake_frame_max)",
                 sizes[i]);
        r = raw_connect(test_broker());
        raw_send_protocol_header(r);
        raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
        raw_send_frame(r, AMQP_FRAME_METHOD, 0, payload, sizes[i]);
        raw_expect_connection_error(r, 501, text, 0);
    }
    r = raw_connect(test_broker());
    raw_handshake_with(r, NULL, 4, 8192, 0);
    raw_open_channel(r, 1);
    raw_send_frame(r, AMQP_FRAME_METHOD, 1, payload, 5000);
    raw_expect_connection_error(r, 503, "COMMAND_INVALID - unimplemented method",
                                (amqp_method_number_t)ANY_METHOD);
}
END_TEST

/* What the client agrees to, and what the text says of it. */
static const struct {
    unsigned channel_max;
    uint32_t frame_max;
    const char *refused;
} OFFERS[] = {
    {5, 8192,
     "negotiated channel_max = 5 is higher than the maximum allowed value (4) "
     "(limits.max_channels_per_connection)"},
    {0, 8192,
     "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (4) "
     "(limits.max_channels_per_connection)"},
    {4, 8193,
     "negotiated frame_max = 8193 is higher than the maximum allowed value (8192) "
     "(limits.frame_max)"},
    {4, 0,
     "negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (8192) "
     "(limits.frame_max)"},
    {4, 4095, "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)"},
};

START_TEST(offers_that_were_not_made_are_refused)
{
    struct raw *r = raw_connect(test_broker());
    char text[256];

    SKIP_WITH_ORACLE("its limits are others");
    snprintf(text, sizeof(text), "NOT_ALLOWED - %s", OFFERS[_i].refused);
    raw_send_protocol_header(r);
    raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    raw_send_start_ok(r, NULL, "PLAIN", "\0guest\0guest", 12);
    raw_expect_method(r, 0, AMQP_CONNECTION_TUNE_METHOD);
    raw_send_tune_ok(r, OFFERS[_i].channel_max, OFFERS[_i].frame_max, 0);
    raw_expect_connection_error(r, 530, text, AMQP_CONNECTION_TUNE_OK_METHOD);
}
END_TEST

static const struct {
    unsigned channel_max;
    const char *refused;
} CHANNELS[] = {
    {4, "NOT_ALLOWED - channel 5 is above the negotiated channel_max (4) "
        "(limits.max_channels_per_connection)"},
    {2, "NOT_ALLOWED - channel 3 is above the negotiated channel_max (2) (the client's own; "
        "limits.max_channels_per_connection is 4)"},
};

START_TEST(channels_beyond_the_limit_are_refused)
{
    struct raw *r = raw_connect(test_broker());
    const struct raw_bytes out_of_band = {.size = 1};

    SKIP_WITH_ORACLE("its limits are others");
    raw_handshake_with(r, NULL, CHANNELS[_i].channel_max, 8192, 0);
    raw_open_channel(r, CHANNELS[_i].channel_max);
    raw_send_method(r, CHANNELS[_i].channel_max + 1, AMQP_CHANNEL_OPEN_METHOD, &out_of_band);
    raw_expect_connection_error(r, 530, CHANNELS[_i].refused, AMQP_CHANNEL_OPEN_METHOD);
}
END_TEST

static const struct {
    uint32_t frame_max;
    bool body;
    const char *refused;
} FRAMES[] = {
    {8192, false,
     "FRAME_ERROR - frame too large: type 1, payload of 8193 octets, frame_max 8192 "
     "(limits.frame_max)"},
    {8192, true,
     "FRAME_ERROR - frame too large: type 3, payload of 8193 octets, frame_max 8192 "
     "(limits.frame_max)"},
    {4096, false,
     "FRAME_ERROR - frame too large: type 1, payload of 4097 octets, frame_max 4096 (the client's "
     "own; limits.frame_max is 8192)"},
    {4096, true,
     "FRAME_ERROR - frame too large: type 3, payload of 4097 octets, frame_max 4096 (the client's "
     "own; limits.frame_max is 8192)"},
};

START_TEST(frames_beyond_the_limit_are_refused)
{
    static const uint8_t payload[8193];
    struct raw *r = raw_connect(test_broker());
    struct raw_bytes publish = {.size = 0};

    SKIP_WITH_ORACLE("its limits are others");
    put_u16(&publish, 0);
    put_short_string(&publish, "");
    put_short_string(&publish, "nowhere");
    put_u8(&publish, 0);
    raw_handshake_with(r, NULL, 4, FRAMES[_i].frame_max, 0);
    raw_open_channel(r, 1);
    if (FRAMES[_i].body) {
        raw_send_method(r, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
        raw_send_header(r, 1, 1000);
    }
    raw_send_frame(r, FRAMES[_i].body ? 3 : AMQP_FRAME_METHOD, 1, payload,
                   FRAMES[_i].frame_max + 1);
    raw_expect_connection_error(r, 501, FRAMES[_i].refused, 0);
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
    ck_assert(broker_log_awaits(test_broker(), "refused a connection: the limit of 24 "
                                               "(limits.max_connections) is reached"));
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
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - cannot declare queue 'extra' in vhost '/': the "
                         "limit of 10 queues is reached (limits.max_queues)");
    reopen_channel(ch);
    declare_queue(ch, "q0", 0, NO_ARGS); /* is there already */
    delete_queue(ch, "q0", 0);
    declare_queue(ch, "extra", 0, NO_ARGS);
}
END_TEST

/* A reply text has 255 bytes, as a name does. */
START_TEST(a_long_name_leaves_room_for_the_limits_key)
{
    static const char BEGIN[] = "PRECONDITION_FAILED - cannot declare queue 'n";
    static const char END[] =
        "n' in vhost '/': the limit of 10 queues is reached (limits.max_queues)";
    struct channel *ch = connect_channel();
    char text[256];
    char name[256];

    SKIP_WITH_ORACLE("its limits are others");
    for (int i = 0; i < MAX_QUEUES; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        declare_queue(ch, name, 0, NO_ARGS);
    }
    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    send_queue_declare(ch, name, 0, NO_ARGS);
    memset(text, 'n', sizeof(text));
    memcpy(text, BEGIN, strlen(BEGIN));
    memcpy(text + 255 - 128 - strlen("…"), "…", strlen("…"));
    memcpy(text + 256 - sizeof(END), END, sizeof(END));
    expect_channel_error(ch, 406, text);
}
END_TEST

/* ---- Exchanges and bindings ---- */

static void declare_exchanges(struct channel *ch, int flags)
{
    char name[16];

    for (int i = 0; i < MAX_EXCHANGES; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        declare_exchange(ch, name, "direct", flags, NO_ARGS);
    }
}

static void expect_no_exchange_more(struct channel *ch)
{
    send_exchange_declare(ch, "extra", "direct", 0, NO_ARGS);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - cannot declare exchange 'extra' in vhost '/': the "
                         "limit of 4 exchanges is reached (limits.max_exchanges)");
    reopen_channel(ch);
}

START_TEST(exchanges_beyond_the_limit_are_refused)
{
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("its limits are others");
    declare_exchanges(ch, 0);
    expect_no_exchange_more(ch);
    declare_exchange(ch, "x0", "direct", 0, NO_ARGS); /* is there already */
    declare_exchange(ch, "amq.direct", "direct", DURABLE, NO_ARGS);
    send_exchange_declare(ch, "x0", "fanout", 0, NO_ARGS);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - inequivalent arg 'type' *");
    reopen_channel(ch);
    delete_exchange(ch, "x0", 0);
    declare_exchange(ch, "extra", "direct", 0, NO_ARGS);
    delete_exchange(ch, "extra", 0);

    /* One that deletes itself goes with the queue that it led to. */
    declare_exchange(ch, "x0", "fanout", AUTO_DELETE, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "x0", "", NO_ARGS);
    expect_no_exchange_more(ch);
    delete_queue(ch, "q", 0);
    declare_exchange(ch, "x0", "direct", 0, NO_ARGS);
    expect_no_exchange_more(ch);
}
END_TEST

static void bind_all(struct channel *ch, const char *queue, const char *exchange)
{
    char key[16];

    for (int i = 0; i < MAX_BINDINGS; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        bind_queue(ch, queue, exchange, key, NO_ARGS);
    }
}

static void expect_no_binding_more(struct channel *ch)
{
    send_queue_bind(ch, "q", "amq.direct", "extra", 0, NO_ARGS);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - cannot bind queue 'q' to exchange 'amq.direct' in "
                         "vhost '/': the limit of 5 bindings is reached (limits.max_bindings)");
    reopen_channel(ch);
    send_exchange_bind(ch, "amq.fanout", "amq.direct", "extra", 0, NO_ARGS);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - cannot bind exchange 'amq.fanout' to exchange "
                         "'amq.direct' in vhost '/': the limit of 5 bindings is reached "
                         "(limits.max_bindings)");
    reopen_channel(ch);
}

START_TEST(bindings_beyond_the_limit_are_refused)
{
    struct channel *ch = connect_channel();
    struct client *owner = connect_client();
    struct channel *owned = open_channel(owner);

    SKIP_WITH_ORACLE("its limits are others");
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_all(ch, "q", "amq.direct");
    expect_no_binding_more(ch);
    bind_queue(ch, "q", "amq.direct", "k0", NO_ARGS); /* is there already */
    unbind_queue(ch, "q", "amq.direct", "k0", NO_ARGS);
    unbind_queue(ch, "q", "amq.direct", "k0", NO_ARGS);
    bind_exchange(ch, "amq.fanout", "amq.direct", "k", NO_ARGS);
    expect_no_binding_more(ch);
    unbind_exchange(ch, "amq.fanout", "amq.direct", "k", NO_ARGS);

    /* They go with the queue, with the exchange at either end, and with a queue's connection. */
    delete_queue(ch, "q", 0);
    declare_queue(ch, "q", 0, NO_ARGS);
    declare_exchange(ch, "x", "direct", 0, NO_ARGS);
    bind_all(ch, "q", "x");
    expect_no_binding_more(ch);
    delete_exchange(ch, "x", 0);
    declare_exchange(ch, "x", "direct", 0, NO_ARGS);
    for (int i = 0; i < MAX_BINDINGS; i++)
        bind_exchange(ch, "x", "amq.topic", (const char *[]){"a", "b", "c", "d", "e"}[i], NO_ARGS);
    expect_no_binding_more(ch);
    delete_exchange(ch, "x", 0);
    declare_queue(owned, "owned", EXCLUSIVE, NO_ARGS);
    bind_all(owned, "owned", "amq.direct");
    expect_no_binding_more(ch);
    close_client(owner);
    await_queue_gone(ch, "owned");
    bind_all(ch, "q", "amq.direct");
    expect_no_binding_more(ch);
}
END_TEST

/* Runs `leveretctl WORDS` on the shared broker. */
static void ctl(const struct broker *b, char *const words[])
{
    char output[4096];

    ck_assert_msg(leveretctl_run(b, words, output, sizeof(output)) == 0, "%s", output);
}

#define CTL(...) ctl(test_broker(), (char *const[]){__VA_ARGS__, NULL})

START_TEST(what_was_in_a_deleted_virtual_host_counts_no_more)
{
    struct channel *ch = connect_channel();
    struct channel *attic;

    SKIP_WITH_ORACLE("its limits are others");
    CTL("add_vhost", "attic");
    CTL("-p", "attic", "set_permissions", "guest", ".*", ".*", ".*");
    attic = open_channel(connect_client_as("guest", "guest", "attic"));
    declare_exchanges(attic, 0);
    declare_queue(attic, "q", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(attic, "q", "x0", "k", NO_ARGS);
    bind_queue(attic, "q", "amq.direct", "k", NO_ARGS);
    bind_exchange(attic, "x0", "x1", "k", NO_ARGS);
    bind_exchange(attic, "x0", "amq.direct", "k", NO_ARGS);
    bind_exchange(attic, "amq.fanout", "amq.direct", "k", NO_ARGS);
    expect_no_exchange_more(ch);
    expect_no_binding_more(ch);

    CTL("delete_vhost", "attic");
    declare_exchanges(ch, 0);
    bind_all(ch, "q", "x0");
    expect_no_exchange_more(ch);
    expect_no_binding_more(ch);
}
END_TEST

/* One that is full, and then may have less. */
static const char FULL_CONFIG[] = "listeners: [{address: 127.0.0.1, port: @PORT@}]\n"
                                  "workers: @WORKERS@\n"
                                  "limits: {max_exchanges: 3, max_bindings: 3}\n";
static const char LOWERED_CONFIG[] = "listeners: [{address: 127.0.0.1, port: @PORT@}]\n"
                                     "workers: @WORKERS@\n"
                                     "limits: {max_exchanges: 1, max_bindings: 1}\n"
                                     "topology:\n"
                                     "  exchanges: [{name: a}, {name: configured}]\n"
                                     "  queues: [{name: q}]\n"
                                     "  bindings:\n"
                                     "    - {source: amq.direct, destination: q, routing_key: a}\n"
                                     "    - {source: configured, destination: q}\n";
static const char DEFINITIONS[] =
    "{\"exchanges\": [{\"vhost\": \"/\", \"name\": \"a\", \"type\": \"direct\", \"durable\": true},"
    " {\"vhost\": \"/\", \"name\": \"b\", \"type\": \"direct\", \"durable\": true},"
    " {\"vhost\": \"/\", \"name\": \"c\", \"type\": \"direct\", \"durable\": true},"
    " {\"vhost\": \"/\", \"name\": \"d\", \"type\": \"direct\", \"durable\": true}],"
    " \"queues\": [{\"vhost\": \"/\", \"name\": \"q\", \"durable\": true}],"
    " \"bindings\": ["
    "  {\"vhost\": \"/\", \"source\": \"a\", \"destination\": \"q\","
    "   \"destination_type\": \"queue\", \"routing_key\": \"1\"},"
    "  {\"vhost\": \"/\", \"source\": \"a\", \"destination\": \"q\","
    "   \"destination_type\": \"queue\", \"routing_key\": \"2\"},"
    "  {\"vhost\": \"/\", \"source\": \"a\", \"destination\": \"b\","
    "   \"destination_type\": \"exchange\", \"routing_key\": \"3\"},"
    "  {\"vhost\": \"/\", \"source\": \"a\", \"destination\": \"b\","
    "   \"destination_type\": \"exchange\", \"routing_key\": \"4\"}]}";

static const char *const IMPORTED[] = {
    "$.exchanges[3]: not imported: cannot declare exchange 'd' in vhost '/': the limit of 3 "
    "exchanges is reached (limits.max_exchanges)\n",
    "$.bindings[3]: not imported: cannot bind exchange 'b' to exchange 'a' in vhost '/': the limit "
    "of 3 bindings is reached (limits.max_bindings)\n",
    "exchanges: 3 created, 0 updated, 0 unchanged, 1 failed\n",
    "bindings: 3 created, 0 updated, 0 unchanged, 1 failed\n",
};

static void import_beyond_the_limits(const struct broker *b)
{
    char path[600];
    char output[4096];
    char *const words[] = {"import_definitions", path, NULL};
    FILE *f;

    snprintf(path, sizeof(path), "%s/beyond.json", scratch_directory());
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    fputs(DEFINITIONS, f);
    fclose(f);
    ck_assert_int_eq(leveretctl_run(b, words, output, sizeof(output)), 1);
    for (size_t i = 0; i < sizeof(IMPORTED) / sizeof(IMPORTED[0]); i++)
        ck_assert_msg(strstr(output, IMPORTED[i]) != NULL, "not told: %s in %s", IMPORTED[i],
                      output);
}

START_TEST(what_is_there_or_configured_stays_beyond_the_limits)
{
    struct broker *b;
    struct channel *ch;

    SKIP_WITH_ORACLE("its limits are others");
    b = broker_prepare();
    broker_launch(b, FULL_CONFIG, 2);
    ck_assert(broker_log_awaits(b, "is ready"));
    import_beyond_the_limits(b);
    ck_assert(broker_end(b));

    broker_launch(b, LOWERED_CONFIG, 2);
    ck_assert(broker_log_awaits(b, "is ready"));
    ck_assert(!broker_log_holds(b, "not restored"));
    ch = open_channel(connect_client_to(b));
    declare_exchange(ch, "c", "direct", DURABLE | PASSIVE, NO_ARGS);
    publish_to(ch, "a", "1", "one");
    publish_to(ch, "a", "2", "two");
    publish_to(ch, "amq.direct", "a", "three");
    publish_to(ch, "configured", "", "four");
    await_message_count(ch, "q", 4);
    send_exchange_declare(ch, "d", "direct", 0, NO_ARGS);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - cannot declare exchange 'd' in vhost '/': the "
                         "limit of 1 exchanges is reached (limits.max_exchanges)");
    reopen_channel(ch);
    send_queue_bind(ch, "q", "a", "5", 0, NO_ARGS);
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - cannot bind queue 'q' to exchange 'a' in vhost "
                         "'/': the limit of 1 bindings is reached (limits.max_bindings)");
    reopen_channel(ch);
    /* Until it is less again. */
    delete_exchange(ch, "a", 0);
    delete_exchange(ch, "b", 0);
    delete_exchange(ch, "c", 0);
    delete_exchange(ch, "configured", 0);
    unbind_queue(ch, "q", "amq.direct", "a", NO_ARGS);
    declare_exchange(ch, "d", "direct", 0, NO_ARGS);
    bind_queue(ch, "q", "d", "5", NO_ARGS);
    ck_assert(broker_stop(b));
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
    expect_connection_error(ch->client, 530,
                            "NOT_ALLOWED - reached maximum (3) of consumers per channel "
                            "(limits.max_consumers_per_channel)",
                            AMQP_BASIC_CONSUME_METHOD);
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
                         "size 1000 (limits.max_message_size)");
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
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - headers of 1031 bytes are larger than the limit of "
                         "1024 (limits.max_header_table_size)");
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
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - headers are nested deeper than the limit of 3 "
                         "(limits.max_table_depth)");
    reopen_channel(ch);
    send_queue_declare(
        ch, "deep", 0,
        ARGS(arg_table("1", ARGS(arg_table("2", ARGS(arg_table("3", ARGS(arg_int("4", 4)))))))));
    expect_channel_error(ch, 406,
                         "PRECONDITION_FAILED - arguments are nested deeper than the limit of 3 "
                         "(limits.max_table_depth)");
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
    tcase_add_test(tcase, frames_beyond_the_limit_of_the_handshake_are_refused);
    tcase_add_loop_test(tcase, offers_that_were_not_made_are_refused, 0,
                        sizeof(OFFERS) / sizeof(OFFERS[0]));
    tcase_add_loop_test(tcase, channels_beyond_the_limit_are_refused, 0,
                        sizeof(CHANNELS) / sizeof(CHANNELS[0]));
    tcase_add_loop_test(tcase, frames_beyond_the_limit_are_refused, 0,
                        sizeof(FRAMES) / sizeof(FRAMES[0]));
    tcase_add_test(tcase, connections_beyond_the_limit_end_and_the_others_live);
    tcase_add_test(tcase, queues_beyond_the_limit_are_refused);
    tcase_add_test(tcase, a_long_name_leaves_room_for_the_limits_key);
    tcase_add_test(tcase, exchanges_beyond_the_limit_are_refused);
    tcase_add_test(tcase, bindings_beyond_the_limit_are_refused);
    tcase_add_test(tcase, what_was_in_a_deleted_virtual_host_counts_no_more);
    tcase_add_test(tcase, what_is_there_or_configured_stays_beyond_the_limits);
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
