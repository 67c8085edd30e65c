/* The broker as a program: command line, configuration, topology at start, reload, shutdown. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wire/raw.h"

#define HEAD \
    "listeners:\n" \
    "  - {address: 127.0.0.1, port: @PORT@}\n" \
    "workers: @WORKERS@\n"

static const char PLAIN_CONFIG[] = HEAD;

/* Ends what a test started and holds it to a clean exit. */
static void stop(struct broker *b)
{
    ck_assert_msg(broker_stop(b), "the broker did not end well");
}

static void expect_forced_close(struct client *c)
{
    expect_connection_error(c, 320, "CONNECTION_FORCED - *", 0);
}

START_TEST(signal_closes_every_client_and_ends_in_time)
{
    struct broker *b = broker_start(PLAIN_CONFIG);
    struct client *clients[20];
    int64_t begin;

    for (int i = 0; i < 20; i++) {
        struct channel *ch;

        clients[i] = connect_client_to(b);
        ch = open_channel(clients[i]);
        consume(ch, declare_queue(ch, "", EXCLUSIVE, NO_ARGS), "", 0, NO_ARGS);
    }
    begin = now_ms();
    kill(broker_pid(b), _i == 0 ? SIGTERM : SIGINT);
    for (int i = 0; i < 20; i++)
        expect_forced_close(clients[i]);
    ck_assert_int_eq(broker_wait(b, 5000), 0);
    ck_assert_int_lt(now_ms() - begin, 5000);
    stop(b);
}
END_TEST

START_TEST(shutdown_does_not_wait_for_those_who_do_not_answer)
{
    struct broker *b = broker_start(PLAIN_CONFIG);
    struct raw *silent = raw_connect(b);
    struct raw *halfway = raw_connect(b);
    struct raw *fresh = raw_connect(b);

    raw_handshake(silent);
    raw_open_channel(silent, 1);
    raw_send_protocol_header(halfway);
    raw_expect_method(halfway, 0, AMQP_CONNECTION_START_METHOD);
    (void)fresh;
    kill(broker_pid(b), SIGTERM);
    raw_expect_method(silent, 0, AMQP_CONNECTION_CLOSE_METHOD);
    ck_assert_int_eq(broker_wait(b, 5000), 0); /* the close is never answered */
    stop(b);
}
END_TEST

START_TEST(shutdown_does_not_wait_for_those_who_do_not_read)
{
    struct broker *b = broker_start(PLAIN_CONFIG);
    struct channel *ch = open_channel(connect_client_to(b));
    struct raw *sleeper = raw_connect(b);
    struct raw_bytes consume_bytes = {.size = 0};
    static char body[100000];

    memset(body, 'x', sizeof(body) - 1);
    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake(sleeper);
    raw_open_channel(sleeper, 1);
    put_u16(&consume_bytes, 0);
    put_short_string(&consume_bytes, "q");
    put_short_string(&consume_bytes, "c");
    put_u8(&consume_bytes, 2);
    put_u32(&consume_bytes, 0);
    raw_send_method(sleeper, 1, AMQP_BASIC_CONSUME_METHOD, &consume_bytes);
    raw_expect_method(sleeper, 1, AMQP_BASIC_CONSUME_OK_METHOD);
    confirm_select(ch);
    for (int i = 0; i < 200; i++)
        publish(ch, "q", body);
    await_confirms(ch);
    kill(broker_pid(b), SIGTERM);
    expect_forced_close(ch->client);
    ck_assert_int_eq(broker_wait(b, 5000), 0);
    stop(b);
}
END_TEST

START_TEST(second_signal_does_no_harm)
{
    struct broker *b = broker_start(PLAIN_CONFIG);
    struct client *c = connect_client_to(b);

    kill(broker_pid(b), SIGTERM);
    kill(broker_pid(b), SIGTERM);
    expect_forced_close(c);
    ck_assert_int_eq(broker_wait(b, 5000), 0);
    stop(b);
}
END_TEST

START_TEST(shutdown_amid_traffic)
{
    struct broker *b = broker_start(PLAIN_CONFIG);
    struct raw *publishers[4];
    struct raw_bytes p = {.size = 0};

    put_bytes(&p, "\1\0\1\0\0\0\x0a\0\x3c\0\x28\0\0\0\1q\0\xce", 18);
    put_bytes(&p, "\2\0\1\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\5\0\0\xce", 22);
    put_bytes(&p, "\3\0\1\0\0\0\5hello\xce", 13);
    declare_queue(open_channel(connect_client_to(b)), "q", 0, NO_ARGS);
    for (int i = 0; i < 4; i++) {
        publishers[i] = raw_connect(b);
        raw_handshake(publishers[i]);
        raw_open_channel(publishers[i], 1);
    }
    for (int i = 0; i < 2000; i++) {
        raw_send_loosely(publishers[i % 4], p.data, p.size);
        if (i == 1000)
            kill(broker_pid(b), SIGTERM);
    }
    ck_assert_int_eq(broker_wait(b, 5000), 0);
    stop(b);
}
END_TEST

static const char TOPOLOGY_CONFIG[] =
    HEAD "topology:\n"
         "  exchanges:\n"
         "    - {name: orders, type: topic, durable: true}\n"
         "    - {name: dead, type: fanout, durable: false, internal: true}\n"
         "    - {name: spare, type: direct, arguments: {alternate-exchange: dead}}\n"
         "  queues:\n"
         "    - {name: eu, arguments: {x-dead-letter-exchange: dead, x-max-priority: 5}}\n"
         "    - {name: dead-letters, durable: false}\n"
         "  bindings:\n"
         "    - {source: orders, destination: eu, routing_key: 'eu.#'}\n"
         "    - {source: dead, destination: dead-letters}\n"
         "    - {source: orders, destination: dead, destination_type: exchange, routing_key: "
         "'lost.*'}\n";

START_TEST(topology_of_the_file_is_there_at_start)
{
    struct broker *b = broker_start(TOPOLOGY_CONFIG);
    struct channel *ch = open_channel(connect_client_to(b));

    declare_exchange(ch, "orders", "topic", DURABLE, NO_ARGS);
    declare_exchange(ch, "dead", "fanout", INTERNAL, NO_ARGS);
    declare_exchange(ch, "spare", "direct", DURABLE,
                     ARGS(arg_string("alternate-exchange", "dead")));
    declare_queue(ch, "eu", DURABLE,
                  ARGS(arg_string("x-dead-letter-exchange", "dead"), arg_int("x-max-priority", 5)));
    declare_queue(ch, "dead-letters", 0, NO_ARGS);
    publish_to(ch, "orders", "eu.paid", "a");
    await_message_count(ch, "eu", 1);
    reject(ch, expect_get(ch, "eu", "a", 0).tag, 0);
    await_message_count(ch, "dead-letters", 1);
    publish_to(ch, "orders", "lost.one", "b");
    await_message_count(ch, "dead-letters", 2);
    publish_to(ch, "spare", "nowhere", "c");
    await_message_count(ch, "dead-letters", 3);
    close_client(ch->client);
    stop(b);
}
END_TEST

/* Tries to log in until it works as `expected` says. */
static bool login_becomes(const struct broker *b, const char *user, const char *password,
                          bool expected)
{
    int64_t deadline = now_ms() + deadline_ms();

    do {
        amqp_rpc_reply_t reply = try_connect(b, user, password, "/");

        if ((reply.reply_type == AMQP_RESPONSE_NORMAL) == expected)
            return true;
    } while (now_ms() < deadline);
    return false;
}

static const char USERS_CONFIG[] =
    HEAD "users:\n"
         "  - {name: guest, password: guest}\n"
         "  - {name: ann, password: old}\n"
         "permissions:\n"
         "  - {user: guest, configure: '.*', write: '.*', read: '.*'}\n"
         "  - {user: ann, configure: '.*', write: '.*', read: '.*'}\n";

static const char RELOADED_CONFIG[] =
    HEAD "users:\n"
         "  - {name: guest, password: guest}\n"
         "  - {name: ann, password: new}\n"
         "  - {name: bob, password: bob}\n"
         "permissions:\n"
         "  - {user: guest, configure: '.*', write: '.*', read: '.*'}\n"
         "  - {user: ann, configure: '^ann', write: '.*', read: '.*'}\n"
         "  - {user: bob, configure: '.*', write: '.*', read: '.*'}\n"
         "topology:\n"
         "  queues:\n"
         "    - {name: added, durable: false}\n";

START_TEST(reload_changes_users_permissions_and_topology)
{
    struct broker *b = broker_start(USERS_CONFIG);
    struct channel *ch = open_channel(connect_client_to(b));
    struct channel *ann;

    declare_queue(ch, "q", 0, NO_ARGS);
    publish(ch, "q", "kept");
    await_message_count(ch, "q", 1);
    broker_reload(b, RELOADED_CONFIG);
    ck_assert(login_becomes(b, "bob", "bob", true));
    ck_assert(login_becomes(b, "ann", "new", true));
    ck_assert(try_connect(b, "ann", "old", "/").reply_type != AMQP_RESPONSE_NORMAL);
    ann = open_channel(connect_client_tuned(b, "ann", "new", "/", 0, 131072, 0));
    send_queue_declare(ann, "zoe", 0, NO_ARGS);
    expect_channel_error(ann, 403,
                         "ACCESS_REFUSED - access to queue 'zoe' in vhost '/' refused for user "
                         "'ann'");
    /* who was there goes on, and the new queue comes */
    await_message_count(ch, "added", 0);
    expect_get(ch, "q", "kept", NO_ACK);
    close_client(ch->client);
    stop(b);
}
END_TEST

START_TEST(reload_of_a_bad_file_changes_nothing)
{
    struct broker *b = broker_start(USERS_CONFIG);

    broker_reload(b, HEAD "users:\n  - {name: guest, password: changed}\nnonsense: 1\n");
    ck_assert(broker_log_awaits(b, "error server: /"));
    ck_assert(broker_log_awaits(b, "unknown key 'nonsense'"));
    ck_assert(try_connect(b, "guest", "guest", "/").reply_type == AMQP_RESPONSE_NORMAL);
    broker_reload(b, RELOADED_CONFIG);
    ck_assert(login_becomes(b, "bob", "bob", true));
    stop(b);
}
END_TEST

START_TEST(passwords_are_not_logged)
{
    struct broker *b = broker_start(HEAD "log: {level: debug}\n"
                                         "users:\n"
                                         "  - {name: guest, password: guest}\n"
                                         "  - {name: ann, password: 'open sesame'}\n");

    try_connect(b, "ann", "open sesame", "/");
    try_connect(b, "ann", "wrong sesame", "/");
    try_connect(b, "nemo", "wrong sesame", "/");
    ck_assert(broker_log_awaits(b, "nemo"));
    ck_assert(!broker_log_holds(b, "sesame"));
    stop(b);
}
END_TEST

START_TEST(product_of_the_file_is_told)
{
    struct broker *b = broker_start(HEAD "server: {product: RabbitMQ, version: '3.13.7'}\n");
    struct client *c = connect_client_to(b);
    const amqp_table_t *properties = amqp_get_server_properties(client_connection(c));

    ck_assert(field_is_string(table_field(properties, "product"), "RabbitMQ"));
    ck_assert(field_is_string(table_field(properties, "version"), "3.13.7"));
    close_client(c);
    stop(b);
}
END_TEST

/* ---- Command line ---- */

static char output[65536];

static int run(const char *argument, const char *value, const char *input)
{
    char *arguments[] = {(char *)(uintptr_t)argument, (char *)(uintptr_t)value, NULL, NULL};

    return leveretd_run(arguments, input, output, sizeof(output));
}

static const char *write_file(const char *name, const char *content)
{
    static char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", scratch_directory(), name);
    f = fopen(path, "we");
    fputs(content, f);
    fclose(f);
    return path;
}

static int check_config(const char *content)
{
    char *arguments[] = {(char *)(uintptr_t) "--check-config", (char *)(uintptr_t) "--config",
                         (char *)(uintptr_t)write_file("leveret.yaml", content), NULL};

    return leveretd_run(arguments, NULL, output, sizeof(output));
}

START_TEST(help_and_version_are_told)
{
    ck_assert_int_eq(run("--help", NULL, NULL), 0);
    ck_assert_ptr_nonnull(strstr(output, "--config"));
    ck_assert_ptr_nonnull(strstr(output, "--check-config"));
    ck_assert_ptr_nonnull(strstr(output, "--data-dir"));
    ck_assert_int_eq(run("--version", NULL, NULL), 0);
    ck_assert_ptr_nonnull(strstr(output, "leveret"));
}
END_TEST

START_TEST(unknown_options_are_refused)
{
    ck_assert_int_ne(run("--no-such-option", NULL, NULL), 0);
    ck_assert_int_ne(run("--config", "/no/such/file.yaml", NULL), 0);
    ck_assert_ptr_nonnull(strstr(output, "/no/such/file.yaml"));
}
END_TEST

START_TEST(check_config_names_file_and_line_of_each_problem)
{
    ck_assert_int_eq(check_config("workers: 2\n"), 0);
    ck_assert_int_ne(check_config("workers: two\n\nlistenrs: []\n"), 0);
    ck_assert_ptr_nonnull(strstr(output, "leveret.yaml:1: "));
    ck_assert_ptr_nonnull(strstr(output, "leveret.yaml:3: "));
    ck_assert_ptr_nonnull(strstr(output, "listenrs"));
    ck_assert_int_ne(check_config("users:\n"
                                  "  - {name: a, password: x}\n"
                                  "  - {name: a, password: y}\n"),
                     0);
    ck_assert_ptr_nonnull(strstr(output, "leveret.yaml:3: "));
}
END_TEST

START_TEST(check_config_finds_problems_of_every_kind_at_once)
{
    ck_assert_int_ne(check_config("users:\n"
                                  "  - {name: a, password_hash: nonsense}\n"
                                  "permissions:\n"
                                  "  - {user: a, configure: '(', write: '', read: ''}\n"
                                  "topology:\n"
                                  "  exchanges:\n"
                                  "    - {name: x, type: round}\n"
                                  "    - {name: x, vhost: none}\n"
                                  "  queues:\n"
                                  "    - {name: q, vhost: none}\n"
                                  "    - {name: r, arguments: {x-message-ttl: -1}}\n"
                                  "    - {name: r}\n"
                                  "  bindings:\n"
                                  "    - {source: x, destination: r}\n"
                                  "    - {source: x, destination: s}\n"),
                     0);
    for (int line = 2; line <= 15; line++) {
        static const int good[] = {3, 5, 6, 9, 13, 14};
        char where[32];
        bool expected = true;

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
            expected = expected && line != good[i];
        snprintf(where, sizeof(where), "leveret.yaml:%d: ", line);
        ck_assert_msg((strstr(output, where) != NULL) == expected, "line %d in:\n%s", line, output);
    }
}
END_TEST

START_TEST(hashed_password_of_the_program_logs_in)
{
    char config[4096];
    struct broker *b;

    ck_assert_int_ne(run("--hash-password", NULL, "secret\nand more\n"), 0);
    ck_assert_ptr_nonnull(strstr(output, "one line"));
    ck_assert_int_eq(run("--hash-password", NULL, "secret\n"), 0);
    output[strcspn(output, "\n")] = '\0';
    ck_assert_ptr_null(strstr(output, "secret"));
    snprintf(config, sizeof(config),
             HEAD "users:\n"
                  "  - {name: guest, password: guest}\n"
                  "  - {name: ann, password_hash: '%.1000s'}\n"
                  "permissions:\n"
                  "  - {user: ann, configure: '.*', write: '.*', read: '.*'}\n",
             output);
    b = broker_start(config);
    ck_assert(try_connect(b, "ann", "secret", "/").reply_type == AMQP_RESPONSE_NORMAL);
    ck_assert(try_connect(b, "ann", "Secret", "/").reply_type != AMQP_RESPONSE_NORMAL);
    stop(b);
}
END_TEST

START_TEST(shipped_configuration_is_valid)
{
    const char *source = getenv("top_srcdir");
    char path[512];
    char *arguments[] = {(char *)(uintptr_t) "--check-config", (char *)(uintptr_t) "--config", path,
                         NULL};

    snprintf(path, sizeof(path), "%s/etc/leveret.yaml", source != NULL ? source : ".");
    ck_assert_msg(leveretd_run(arguments, NULL, output, sizeof(output)) == 0, "%s", output);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("lifecycle");
    TCase *tcase = tcase_create("shutdown");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, signal_closes_every_client_and_ends_in_time, 0, 2);
    tcase_add_test(tcase, shutdown_does_not_wait_for_those_who_do_not_answer);
    tcase_add_test(tcase, shutdown_does_not_wait_for_those_who_do_not_read);
    tcase_add_test(tcase, second_signal_does_no_harm);
    tcase_add_test(tcase, shutdown_amid_traffic);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("configuration");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, topology_of_the_file_is_there_at_start);
    tcase_add_test(tcase, reload_changes_users_permissions_and_topology);
    tcase_add_test(tcase, reload_of_a_bad_file_changes_nothing);
    tcase_add_test(tcase, passwords_are_not_logged);
    tcase_add_test(tcase, product_of_the_file_is_told);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("command line");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, help_and_version_are_told);
    tcase_add_test(tcase, unknown_options_are_refused);
    tcase_add_test(tcase, check_config_names_file_and_line_of_each_problem);
    tcase_add_test(tcase, check_config_finds_problems_of_every_kind_at_once);
    tcase_add_test(tcase, hashed_password_of_the_program_logs_in);
    tcase_add_test(tcase, shipped_configuration_is_valid);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    if (against_oracle())
        return 77; /* automake's code for a skipped test */
    return wire_main(make_suite, NULL);
}
