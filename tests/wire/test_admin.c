/* leveretctl and the admin side of a running broker: what they list is what clients made. */
#include "tests/wire/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { OUTPUT_SIZE = 1 << 20, ARGUMENTS_MAX = 16 };

static char output[OUTPUT_SIZE];

/* Runs leveretctl with the words of `command`; its output is in `output`. Returns its status. */
static int ctl(const char *command)
{
    char words[1024];
    char *arguments[ARGUMENTS_MAX + 1] = {NULL};
    char *rest = words;
    char *word;

    ck_assert(broker_log_awaits(test_broker(), "is ready"));
    snprintf(words, sizeof(words), "%s", command);
    for (int i = 0; i < ARGUMENTS_MAX && (word = strtok_r(rest, " ", &rest)) != NULL; i++)
        arguments[i] = word;
    return leveretctl_run(test_broker(), arguments, output, sizeof(output));
}

static void expect_output(const char *command, const char *expected)
{
    int status = ctl(command);

    ck_assert_msg(status == 0, "%s: status %d: %s", command, status, output);
    ck_assert_str_eq(output, expected);
}

static void expect_failure(const char *command, int status, const char *expected)
{
    ck_assert_int_eq(ctl(command), status);
    ck_assert_msg(strstr(output, expected) != NULL, "%s: not '%s' but '%s'", command, expected,
                  output);
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

START_TEST(queues_are_listed_with_what_is_in_them)
{
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    declare_queue(ch, "orders", DURABLE, NO_ARGS);
    declare_queue(ch, "a\tb", AUTO_DELETE, NO_ARGS);
    confirm_select(ch);
    publish(ch, "orders", "one");
    publish(ch, "orders", "two");
    publish(ch, "orders", "three");
    await_confirms(ch);
    expect_get(ch, "orders", "one", 0);
    expect_output("list_queues", "Listing queues for vhost / ...\n"
                                 "name\tmessages\n"
                                 "a\\011b\t0\n"
                                 "orders\t3\n");
    expect_output("list_queues -s name messages_ready messages_unacknowledged message_bytes_ready",
                  "a\\011b\t0\t0\t0\n"
                  "orders\t2\t1\t8\n");
    expect_output("-q list_queues durable,auto_delete exclusive type",
                  "durable\tauto_delete\texclusive\ttype\n"
                  "false\ttrue\tfalse\tclassic\n"
                  "true\tfalse\tfalse\tclassic\n");
}
END_TEST

START_TEST(arguments_are_json_of_their_types)
{
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    declare_queue(ch, "q", 0,
                  ARGS(arg_int("x-max-length", 10), arg_string("x-overflow", "reject-publish"),
                       arg_bool("x-single-active-consumer", true), arg_void("x-nothing"),
                       arg_strings("x-list", "a", "b\xff", NULL)));
    expect_output("list_queues --formatter json name arguments",
                  "[{\"name\":\"q\",\"arguments\":{\"x-max-length\":10,"
                  "\"x-overflow\":\"reject-publish\",\"x-single-active-consumer\":true,"
                  "\"x-nothing\":null,\"x-list\":[\"a\",\"b\xef\xbf\xbd\"]}}]\n");
}
END_TEST

START_TEST(virtual_hosts_are_listed_apart)
{
    struct channel *ch = open_channel(connect_client_as("visitor", "visitor-pw", "other"));

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    declare_queue(ch, "theirs", 0, NO_ARGS);
    expect_output("list_vhosts -s", "/\nother\n");
    expect_output("list_queues -s name", "");
    expect_output("list_queues -s -p other name", "theirs\n");
    expect_failure("list_queues -p nowhere", 1, "virtual host 'nowhere' does not exist");
    delete_queue(ch, "theirs", 0);
}
END_TEST

START_TEST(expired_deliveries_are_counted)
{
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    declare_queue(ch, "q", 0, ARGS(arg_int("x-visibility-timeout", 3600000)));
    publish(ch, "q", "a");
    expect_get(ch, "q", "a", 0);
    publish_with(ch, "amq.lease", "", 0,
                 HEADERS(arg_int("delivery-tag", 1), arg_int("visibility-timeout", 1)), "");
    await_message_count(ch, "q", 1);
    ack(ch, 1, 0);
    ck_assert_uint_eq(message_count(ch, "q"), 1);
    expect_output("list_queues -s name deliveries_expired deliveries_extended settlements_late",
                  "q\t1\t1\t1\n");
}
END_TEST

START_TEST(exchanges_and_bindings_are_listed)
{
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    declare_exchange(ch, "in", "topic", DURABLE, NO_ARGS);
    declare_exchange(ch, "out", "fanout", INTERNAL, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_exchange(ch, "out", "in", "a.#", NO_ARGS);
    bind_queue(ch, "q", "out", "", ARGS(arg_string("note", "x")));
    expect_output("list_exchanges -s name type durable internal",
                  "\tdirect\ttrue\tfalse\n"
                  "amq.direct\tdirect\ttrue\tfalse\n"
                  "amq.fanout\tfanout\ttrue\tfalse\n"
                  "amq.headers\theaders\ttrue\tfalse\n"
                  "amq.lease\tdirect\ttrue\tfalse\n"
                  "amq.match\theaders\ttrue\tfalse\n"
                  "amq.topic\ttopic\ttrue\tfalse\n"
                  "in\ttopic\ttrue\tfalse\n"
                  "out\tfanout\tfalse\ttrue\n");
    expect_output("list_bindings -s", "\texchange\tq\tqueue\tq\t{}\n"
                                      "in\texchange\tout\texchange\ta.#\t{}\n"
                                      "out\texchange\tq\tqueue\t\t{\"note\":\"x\"}\n");
}
END_TEST

/* More than one look at the names takes, at home on whatever worker. */
START_TEST(each_of_many_queues_is_listed_once)
{
    enum { QUEUES = 700 };
    char expected[32 * QUEUES] = "";
    size_t size = 0;

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    for (int i = 0; i < QUEUES; i++) {
        static struct channel *ch;
        char name[16];

        if (i % (QUEUES / 4) == 0)
            ch = connect_channel();
        snprintf(name, sizeof(name), "q%03d", i);
        send_queue_declare(ch, name, NO_WAIT, NO_ARGS);
        if (i % (QUEUES / 4) == QUEUES / 4 - 1)
            declare_queue(ch, name, 0, NO_ARGS);
        size += (size_t)snprintf(expected + size, sizeof(expected) - size, "%s\t0\n", name);
    }
    expect_output("list_queues -s", expected);
}
END_TEST

START_TEST(connections_channels_and_consumers_are_listed)
{
    enum { CONNECTIONS = 8 };
    struct channel *ch = connect_channel();
    struct client *reader;

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    declare_queue(ch, "q", 0, NO_ARGS);
    close_client(ch->client);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct channel *other = connect_channel();
        char tag[16];

        snprintf(tag, sizeof(tag), "c%d", i);
        qos(other, (uint16_t)(i + 1), 0);
        consume(other, "q", tag, i % 2 == 0 ? NO_ACK : 0, NO_ARGS);
    }
    reader = connect_client_as("reader", "reader-pw", "/");
    open_channel_number(reader, 7);

    ck_assert_int_eq(ctl("list_connections -s user vhost state channels peer_host"), 0);
    ck_assert_uint_eq(count_lines(output), CONNECTIONS + 1);
    ck_assert_ptr_nonnull(strstr(output, "reader\t/\trunning\t1\t127.0.0.1\n"));
    ck_assert_ptr_nonnull(strstr(output, "guest\t/\trunning\t1\t127.0.0.1\n"));
    ck_assert_int_eq(ctl("list_channels -s number user consumer_count prefetch_count"), 0);
    ck_assert_uint_eq(count_lines(output), CONNECTIONS + 1);
    ck_assert_ptr_nonnull(strstr(output, "7\treader\t0\t0\n"));
    ck_assert_ptr_nonnull(strstr(output, "1\tguest\t1\t8\n"));
    ck_assert_int_eq(ctl("list_consumers -s queue_name consumer_tag ack_required prefetch_count"),
                     0);
    ck_assert_uint_eq(count_lines(output), CONNECTIONS);
    ck_assert_ptr_nonnull(strstr(output, "q\tc0\tfalse\t1\n"));
    ck_assert_ptr_nonnull(strstr(output, "q\tc7\ttrue\t8\n"));
    expect_output("list_consumers -s -p other", "");
}
END_TEST

/* As rabbitmqctl has them. */
START_TEST(consumers_are_listed_with_activity_and_arguments)
{
    struct channel *first = connect_channel();
    struct channel *second = connect_channel();

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    declare_queue(first, "plain", 0, NO_ARGS);
    declare_queue(first, "single", 0, ARGS(arg_bool("x-single-active-consumer", 1)));
    consume(first, "plain", "p", NO_ACK, ARGS(arg_int("x-priority", 3), arg_string("of", "me")));
    consume(first, "single", "a", 0, NO_ARGS);
    consume(second, "single", "b", 0, NO_ARGS);
    expect_output("list_consumers -s queue_name consumer_tag active activity_status arguments",
                  "plain\tp\ttrue\tup\t{\"x-priority\":3,\"of\":\"me\"}\n"
                  "single\ta\ttrue\tsingle_active\t{}\n"
                  "single\tb\tfalse\twaiting\t{}\n");
    cancel(first, "a");
    expect_output("list_consumers -s queue_name consumer_tag active activity_status",
                  "plain\tp\ttrue\tup\n"
                  "single\tb\ttrue\tsingle_active\n");
}
END_TEST

START_TEST(delayed_messages_of_exchanges_are_counted)
{
    struct channel *ch = connect_channel();

    SKIP_WITH_ORACLE("it has no such exchanges without a plugin");
    declare_exchange(ch, "later", "x-delayed-message", 0,
                     ARGS(arg_string("x-delayed-type", "fanout")));
    declare_exchange(ch, "none", "x-delayed-message", 0,
                     ARGS(arg_string("x-delayed-type", "fanout")));
    declare_exchange(ch, "now", "fanout", 0, NO_ARGS);
    declare_queue(ch, "q", 0, NO_ARGS);
    bind_queue(ch, "q", "later", "", NO_ARGS);
    confirm_select(ch);
    for (int i = 0; i < 3; i++)
        publish_with(ch, "later", "", 0, HEADERS(arg_int("x-delay", 3600000)), "x");
    await_confirms(ch);
    ck_assert_int_eq(ctl("list_exchanges -s name messages_delayed"), 0);
    ck_assert_ptr_nonnull(strstr(output, "\nlater\t3\n"));
    ck_assert_ptr_nonnull(strstr(output, "\nnone\t0\n"));
    ck_assert_ptr_nonnull(strstr(output, "\nnow\t\n"));
}
END_TEST

START_TEST(status_tells_what_runs)
{
    struct channel *ch = connect_channel();
    char line[64];

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    ck_assert_int_eq(ctl("status"), 0);
    snprintf(line, sizeof(line), "OS process: %d\n", (int)broker_pid(test_broker()));
    ck_assert_ptr_nonnull(strstr(output, line));
    snprintf(line, sizeof(line), "Listeners: 127.0.0.1:%u\n", broker_port(test_broker()));
    ck_assert_ptr_nonnull(strstr(output, line));
    ck_assert_ptr_nonnull(strstr(output, "Alarms: none\n"));

    declare_queue(ch, "q", 0, NO_ARGS);
    declare_exchange(ch, "x", "direct", 0, NO_ARGS);
    bind_queue(ch, "q", "x", "k", NO_ARGS);
    bind_exchange(ch, "x", "amq.fanout", "", NO_ARGS);
    ck_assert_int_eq(ctl("status"), 0);
    ck_assert_ptr_nonnull(strstr(output, "\nExchanges beside the predeclared: 1\n"
                                         "Bindings: 2\n"));
}
END_TEST

START_TEST(what_is_not_there_is_refused_by_name)
{
    SKIP_WITH_ORACLE("leveretctl is leveret's");
    expect_failure("list_queues name colour", 2, "there is no column colour");
    expect_failure("list_quews", 2, "unknown command list_quews");
    expect_failure("list_queues --formatter xml", 2, "there is no formatter xml");
    expect_failure("--socket /nowhere/admin.sock status", 1,
                   "no broker is running at /nowhere/admin.sock: No such file");
}
END_TEST

/* Lists without a pause while another thread changes what is listed. */
static atomic_bool changing;

static void *list_all(void *argument)
{
    static char text[OUTPUT_SIZE];
    static const char *const COMMANDS[] = {"list_queues",   "list_bindings",  "list_connections",
                                           "list_channels", "list_consumers", "list_exchanges"};
    unsigned *done = argument;

    for (unsigned i = 0; atomic_load(&changing); i++) {
        char *arguments[] = {(char *)(uintptr_t)COMMANDS[i % 6], NULL};

        if (leveretctl_run(test_broker(), arguments, text, sizeof(text)) != 0)
            return text;
        ++*done;
    }
    return NULL;
}

START_TEST(lists_go_on_while_everything_changes)
{
    unsigned done = 0;
    void *failure;
    pthread_t lister;

    SKIP_WITH_ORACLE("leveretctl is leveret's");
    ck_assert(broker_log_awaits(test_broker(), "is ready"));
    atomic_store(&changing, true);
    ck_assert_int_eq(pthread_create(&lister, NULL, list_all, &done), 0);
    for (int i = 0; i < 60; i++) {
        struct channel *ch = connect_channel();
        char name[16];

        snprintf(name, sizeof(name), "q%d", i % 7);
        declare_queue(ch, name, 0, NO_ARGS);
        declare_exchange(ch, "x", "direct", 0, NO_ARGS);
        bind_queue(ch, name, "x", "k", NO_ARGS);
        consume(ch, name, "c", 0, NO_ARGS);
        publish(ch, name, "a");
        expect_delivery(ch, "a", ANY_REDELIVERED);
        delete_queue(ch, name, 0);
        close_client(ch->client);
    }
    atomic_store(&changing, false);
    pthread_join(lister, &failure);
    ck_assert_msg(failure == NULL, "%s", (const char *)failure);
    ck_assert_uint_gt(done, 0);
}
END_TEST

/* ---- The socket ---- */

static void socket_path(const struct broker *b, char *out, size_t size)
{
    char data[512];

    broker_data_directory(b, data, sizeof(data));
    snprintf(out, size, "%s/admin.sock", data);
}

static bool socket_is_there(const struct broker *b, struct stat *st)
{
    char path[600];

    socket_path(b, path, sizeof(path));
    return stat(path, st) == 0;
}

/* A connection that was answered, and goes on. */
static int hold_connection(const struct broker *b)
{
    static const char REQUEST[] = "GET /api/overview HTTP/1.1\r\nHost: x\r\n\r\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[600];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    socket_path(b, path, sizeof(path));
    ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path));
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(send(fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL), (int)strlen(REQUEST));
    ck_assert_int_gt((int)recv(fd, path, sizeof(path), 0), 0);
    return fd;
}

START_TEST(as_many_connections_as_there_may_be_keep_nobody_out_afterwards)
{
    enum { CONNECTIONS_MAX = 64 };
    char *status[] = {(char *)(uintptr_t) "status", NULL};
    int held[CONNECTIONS_MAX];
    struct broker *b = broker_prepare();

    broker_launch(b, TEST_CONFIG, 1);
    ck_assert(broker_log_awaits(b, "is ready"));
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        held[i] = hold_connection(b);
    ck_assert(broker_log_awaits(
        b, "the limit of 64 connections (admin.max_connections) is reached: others wait"));
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        close(held[i]);
    ck_assert_int_eq(leveretctl_run(b, status, output, sizeof(output)), 0);
    ck_assert(broker_stop(b));
}
END_TEST

/* leveretctl_run() puts --data-dir in front. */
START_TEST(options_may_come_before_tls)
{
    char directory[512];
    char *generate[] = {(char *)(uintptr_t) "--quiet",
                        (char *)(uintptr_t) "tls",
                        (char *)(uintptr_t) "generate",
                        (char *)(uintptr_t) "--host",
                        (char *)(uintptr_t) "a.example",
                        directory,
                        (char *)(uintptr_t) "--days",
                        (char *)(uintptr_t) "3",
                        NULL};
    char *unknown[] = {(char *)(uintptr_t) "--host", (char *)(uintptr_t) "a.example",
                       (char *)(uintptr_t) "tls", NULL};

    snprintf(directory, sizeof(directory), "%s/certificates", scratch_directory());
    ck_assert_int_eq(leveretctl_run(test_broker(), generate, output, sizeof(output)), 0);
    ck_assert_ptr_nonnull(strstr(output, "certificate (guest) for 3 days"));
    ck_assert_int_eq(leveretctl_run(test_broker(), unknown, output, sizeof(output)), 2);
    ck_assert_ptr_nonnull(strstr(output, "unrecognized option '--host'"));
}
END_TEST

START_TEST(socket_is_its_owners_and_goes_with_the_broker)
{
    char *status[] = {(char *)(uintptr_t) "status", NULL};
    struct broker *b = broker_prepare();
    struct stat st;

    broker_launch(b, TEST_CONFIG, 1);
    ck_assert(broker_log_awaits(b, "is ready"));
    ck_assert(socket_is_there(b, &st));
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert(broker_end(b));
    ck_assert(!socket_is_there(b, &st));
    ck_assert_int_eq(leveretctl_run(b, status, output, sizeof(output)), 1);
    ck_assert_ptr_nonnull(strstr(output, "no broker is running at"));
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(socket_that_a_killed_broker_left_is_replaced)
{
    char *status[] = {(char *)(uintptr_t) "status", NULL};
    struct broker *b = broker_prepare();
    struct stat st;

    broker_launch(b, TEST_CONFIG, 1);
    ck_assert(broker_log_awaits(b, "is ready"));
    ck_assert(broker_kill(b));
    ck_assert(socket_is_there(b, &st));
    ck_assert_int_eq(leveretctl_run(b, status, output, sizeof(output)), 1);
    broker_launch(b, TEST_CONFIG, 1);
    ck_assert(broker_log_awaits(b, "is ready"));
    ck_assert_int_eq(leveretctl_run(b, status, output, sizeof(output)), 0);
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("admin");
    TCase *tcase = wire_tcase(suite, "admin");

    tcase_add_test(tcase, queues_are_listed_with_what_is_in_them);
    tcase_add_test(tcase, arguments_are_json_of_their_types);
    tcase_add_test(tcase, virtual_hosts_are_listed_apart);
    tcase_add_test(tcase, expired_deliveries_are_counted);
    tcase_add_test(tcase, exchanges_and_bindings_are_listed);
    tcase_add_test(tcase, each_of_many_queues_is_listed_once);
    tcase_add_test(tcase, connections_channels_and_consumers_are_listed);
    tcase_add_test(tcase, consumers_are_listed_with_activity_and_arguments);
    tcase_add_test(tcase, delayed_messages_of_exchanges_are_counted);
    tcase_add_test(tcase, status_tells_what_runs);
    tcase_add_test(tcase, what_is_not_there_is_refused_by_name);
    tcase_add_test(tcase, lists_go_on_while_everything_changes);
    if (!against_oracle()) {
        tcase_add_test(tcase, socket_is_its_owners_and_goes_with_the_broker);
        tcase_add_test(tcase, socket_that_a_killed_broker_left_is_replaced);
        tcase_add_test(tcase, options_may_come_before_tls);
        tcase_add_test(tcase, as_many_connections_as_there_may_be_keep_nobody_out_afterwards);
    }
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
