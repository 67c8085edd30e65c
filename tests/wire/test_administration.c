/* What leveretctl changes in a running broker counts at once for the clients that are there. */
#include "tests/wire/harness.h"

#include <amqp_tcp_socket.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { OUTPUT_SIZE = 1 << 16, ARGUMENTS_MAX = 12 };

static const char CONFIG[] = "listeners: [{address: 127.0.0.1, port: @PORT@}]\n"
                             "workers: @WORKERS@\n";

static char output[OUTPUT_SIZE];
static struct broker *broker;

static void start(void)
{
    broker = broker_prepare();
    broker_launch(broker, CONFIG, 3);
    ck_assert(broker_log_awaits(broker, "is ready"));
}

static void stop(void)
{
    ck_assert(broker_stop(broker));
}

/* Runs leveretctl with the words that follow, up to NULL; its output is in `output`. */
static int ctl(const char *word, ...) __attribute__((sentinel));

static int ctl(const char *word, ...)
{
    char *arguments[ARGUMENTS_MAX + 1] = {NULL};
    va_list words;

    va_start(words, word);
    for (int i = 0; i < ARGUMENTS_MAX && word != NULL; i++, word = va_arg(words, const char *))
        arguments[i] = (char *)(uintptr_t)word;
    va_end(words);
    return leveretctl_run(broker, arguments, output, sizeof(output));
}

#define done(...) ck_assert_msg(ctl(__VA_ARGS__, NULL) == 0, "%s", output)

/* The command fails, and says so. */
#define refused(text, ...) \
    do { \
        ck_assert_int_eq(ctl(__VA_ARGS__, NULL), 1); \
        ck_assert_msg(strstr(output, text) != NULL, "not '%s' but %s", text, output); \
    } while (0)

static struct client *client_of(const char *user, const char *password, const char *vhost)
{
    return connect_client_tuned(broker, user, password, vhost, 0, 131072, 0);
}

static struct channel *channel_in(const char *vhost)
{
    return open_channel(client_of("guest", "guest", vhost));
}

static void make_vhost(const char *name)
{
    done("add_vhost", name);
    done("set_permissions", "-p", name, "guest", ".*", ".*", ".*");
}

static bool may_log_in(const char *user, const char *password, const char *vhost)
{
    return try_connect(broker, user, password, vhost).reply_type == AMQP_RESPONSE_NORMAL;
}

START_TEST(user_comes_and_changes_and_goes)
{
    struct client *c;

    done("add_user", "ann", "first");
    refused("user 'ann' already exists", "add_user", "ann", "other");
    done("authenticate_user", "ann", "first");
    refused("does not have this password", "authenticate_user", "ann", "wrong");
    ck_assert(!may_log_in("ann", "first", "/"));
    done("set_permissions", "ann", "^mine", "^mine", "");
    c = client_of("ann", "first", "/");
    declare_queue(open_channel(c), "mine.a", 0, NO_ARGS);
    {
        struct channel *ch = open_channel(c);

        send_queue_declare(ch, "yours", 0, NO_ARGS);
        expect_channel_error(ch, 403, "ACCESS_REFUSED - *");
    }
    done("set_permissions", "ann", "^yours", "", "");
    declare_queue(open_channel(c), "yours", 0, NO_ARGS);
    done("change_password", "ann", "second");
    ck_assert(!may_log_in("ann", "first", "/"));
    ck_assert(may_log_in("ann", "second", "/"));
    done("clear_password", "ann");
    ck_assert(!may_log_in("ann", "second", "/"));
    done("set_user_tags", "ann", "management", "policymaker");
    done("list_users", "-s");
    ck_assert_str_eq(output, "ann\t[management, policymaker]\nguest\t[administrator]\n");
    done("delete_user", "ann");
    expect_connection_error(c, 320, "CONNECTION_FORCED - *", 0);
    refused("ann", "delete_user", "ann");
    refused("ann", "set_permissions", "ann", "", "", "");
}
END_TEST

#define logged(text) ck_assert_msg(broker_log_holds(broker, text), "not logged: %s", text)

START_TEST(changes_are_logged_and_passwords_are_not)
{
    done("add_user", "ann", "hush-first");
    logged("info auth: user 'ann' was made with a password, through the admin socket\n");
    done("change_password", "ann", "hush-second");
    logged("info auth: user 'ann' was changed: new password, through the admin socket\n");
    done("set_user_tags", "ann", "management");
    logged("info auth: user 'ann' was changed: tags [management], through the admin socket\n");
    done("clear_password", "ann");
    logged("info auth: user 'ann' was changed: no password any more, through the admin socket\n");
    done("set_user_limits", "ann", "{\"max-connections\": 3}");
    logged(
        "info auth: limits of user 'ann' were set: max-connections 3, max-channels -1 (-1: none), "
        "through the admin socket\n");
    done("set_permissions", "ann", "^a", "^b", "^c");
    logged(
        "info auth: permissions of user 'ann' in vhost '/' were set: configure '^a', write '^b', "
        "read '^c', through the admin socket\n");
    done("clear_permissions", "ann");
    logged("info auth: permissions of user 'ann' in vhost '/' were cleared, through the admin "
           "socket\n");
    done("set_topic_permissions", "ann", "news", "^d", "^e");
    logged("info auth: topic permissions of user 'ann' for exchange 'news' in vhost '/' were set: "
           "write '^d', read '^e', through the admin socket\n");
    done("clear_topic_permissions", "ann", "news");
    logged("info auth: topic permissions of user 'ann' for exchange 'news' in vhost '/' were "
           "cleared, through the admin socket\n");
    done("clear_topic_permissions", "ann");
    logged(
        "info auth: topic permissions of user 'ann' for every exchange in vhost '/' were cleared, "
        "through the admin socket\n");
    done("delete_user", "ann");
    logged("info auth: user 'ann' was deleted, through the admin socket\n");
    done("add_vhost", "attic");
    logged("info vhost: vhost 'attic' was made, through the admin socket\n");
    done("set_vhost_limits", "-p", "attic", "{\"max-queues\": 7}");
    logged("info vhost: limits of vhost 'attic' were set: max-connections -1, max-queues 7 (-1: "
           "none), through the admin socket\n");
    done("clear_vhost_limits", "-p", "attic");
    logged("info vhost: limits of vhost 'attic' were cleared, through the admin socket\n");
    done("set_policy", "short", "^s", "{\"max-length\": 5}");
    logged("info policy: policy 'short' in vhost '/' is set, through the admin socket\n");
    done("clear_policy", "short");
    logged("info policy: policy 'short' in vhost '/' is cleared, through the admin socket\n");
    done("delete_vhost", "attic");
    logged("info vhost: vhost 'attic' was deleted, through the admin socket\n");
    ck_assert(!broker_log_holds(broker, "hush"));
    ck_assert(!broker_log_holds(broker, "scrypt"));
}
END_TEST

START_TEST(names_of_users_are_text)
{
    refused("the name of a user must be UTF-8 without control characters", "add_user", "a\nb", "c");
    refused("the name of a user must be UTF-8 without control characters", "add_user", "a\xc2\x85",
            "c");
}
END_TEST

START_TEST(topic_permissions_are_set_and_cleared)
{
    struct channel *ch = channel_in("/");

    declare_exchange(ch, "news", "topic", 0, NO_ARGS);
    done("set_topic_permissions", "guest", "news", "^eu\\.", ".*");
    done("list_topic_permissions", "-s");
    ck_assert_str_eq(output, "guest\tnews\t^eu\\.\t.*\n");
    publish_to(ch, "news", "us.a", "x");
    expect_channel_error(ch, 403, "ACCESS_REFUSED - *");
    done("clear_topic_permissions", "guest", "news");
    done("list_topic_permissions", "-s");
    ck_assert_str_eq(output, "");
    done("set_topic_permissions", "guest", "news", "a", "b");
    done("clear_topic_permissions", "guest");
    done("list_topic_permissions", "-s");
    ck_assert_str_eq(output, "");
}
END_TEST

START_TEST(policies_and_limits_are_set_and_cleared)
{
    struct channel *ch;

    make_vhost("v");
    ch = channel_in("v");
    declare_queue(ch, "q", 0, NO_ARGS);
    done("-p", "v", "set_policy", "short", "^q$", "{\"max-length\": 2}", "--priority", "4",
         "--apply-to", "queues");
    for (int i = 0; i < 5; i++)
        publish(ch, "q", "x");
    await_message_count(ch, "q", 2);
    done("list_policies", "-s", "-p", "v");
    ck_assert_str_eq(output, "v\tshort\t^q$\tqueues\t{\"max-length\":2}\t4\n");
    done("-p", "v", "clear_policy", "short");
    refused("short", "-p", "v", "clear_policy", "short");
    done("-p", "v", "set_operator_policy", "one", "^q$", "{\"max-length\": 1}", "--apply-to",
         "queues");
    await_message_count(ch, "q", 1);
    done("-p", "v", "clear_operator_policy", "one");
    refused("magic", "set_policy", "p", "x", "{\"magic\": 1}");
    ck_assert_int_eq(ctl("set_policy", "p", "x", "{", NULL), 2);

    done("-p", "v", "set_vhost_limits", "{\"max-queues\": 1}");
    send_queue_declare(ch, "another", 0, NO_ARGS);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - *");
    done("-p", "v", "clear_vhost_limits");
    declare_queue(open_channel(ch->client), "another", 0, NO_ARGS);
    refused("colour", "-p", "v", "set_vhost_limits", "{\"colour\": 1}");
}
END_TEST

START_TEST(users_get_limits)
{
    done("add_user", "few", "pw");
    done("set_user_limits", "few", "{\"max-connections\": 7}");
    done("set_user_limits", "few", "{\"max-channels\": 9}");
    done("list_users", "-s", "user", "limits");
    ck_assert_ptr_nonnull(strstr(output, "few\t{\"max-connections\":7,\"max-channels\":9}\n"));
    done("clear_user_limits", "few", "max-connections");
    done("list_users", "-s", "user", "limits");
    ck_assert_ptr_nonnull(strstr(output, "few\t{\"max-channels\":9}\n"));
    done("clear_user_limits", "few", "all");
    done("list_users", "-s", "user", "limits");
    ck_assert_ptr_nonnull(strstr(output, "few\t{}\n"));
    refused("colour", "set_user_limits", "few", "{\"colour\": 1}");
    refused("whole number", "set_user_limits", "few", "{\"max-channels\": \"1\"}");
    refused("max-queues", "clear_user_limits", "few", "max-queues");
    refused("nobody", "set_user_limits", "nobody", "{}");
    done("delete_user", "few");
}
END_TEST

START_TEST(reload_reads_the_configuration_again)
{
    done("reload");
    ck_assert(broker_log_awaits(broker, "reading the configuration again"));
    ck_assert(broker_log_awaits(broker, "the configuration is in force"));
}
END_TEST

START_TEST(reload_tells_what_is_wrong)
{
    broker_reload(broker, "listeners: [{address: 127.0.0.1, port: @PORT@}]\n"
                          "workers: @WORKERS@\n"
                          "colour: red\n"
                          "shape: round\n");
    refused("leveret.yaml:4: unknown key 'colour'\n", "reload");
    ck_assert_ptr_nonnull(strstr(output, "leveret.yaml:5: unknown key 'shape'\n"));
    ck_assert(broker_log_holds(broker, "the former one stays in force"));
    broker_reload(broker, CONFIG);
    done("reload");
    ck_assert_str_eq(output, "");
}
END_TEST

START_TEST(queue_is_purged_and_deleted)
{
    struct channel *ch = channel_in("/");

    declare_queue(ch, "q", DURABLE, NO_ARGS);
    confirm_select(ch);
    for (int i = 0; i < 3; i++)
        publish_with(ch, "", "q", 0, PROPS(AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2), "x");
    await_confirms(ch);
    refused("is not empty", "delete_queue", "q", "--if-empty");
    done("purge_queue", "q");
    ck_assert_str_eq(output, "{\"message_count\":3}\n");
    ck_assert_uint_eq(message_count(ch, "q"), 0);
    consume(ch, "q", "c", 0, NO_ARGS);
    refused("is in use", "delete_queue", "q", "--if-unused");
    done("delete_queue", "q");
    expect_cancel(ch, "c");
    refused("no queue 'q' in vhost '/'", "delete_queue", "q");
    refused("no queue 'q' in vhost '/'", "purge_queue", "q");
    refused("virtual host 'none' does not exist", "-p", "none", "purge_queue", "q");
}
END_TEST

START_TEST(connection_is_closed_with_a_reason)
{
    struct client *c = client_of("guest", "guest", "/");
    char pid[32];

    done("list_connections", "-s", "pid");
    ck_assert_int_eq(sscanf(output, "%31s", pid), 1);
    done("close_connection", pid, "time to go");
    expect_connection_error(c, 320, "CONNECTION_FORCED - time to go", 0);
    refused("there is no connection 'x1'", "close_connection", "x1", "why");
}
END_TEST

/* ---- Virtual hosts ---- */

START_TEST(virtual_host_goes_with_all_that_is_in_it)
{
    struct client *clients[6];
    struct channel *ch;

    make_vhost("v");
    for (int i = 0; i < 6; i++) {
        char name[16];

        clients[i] = client_of("guest", "guest", "v");
        ch = open_channel(clients[i]);
        snprintf(name, sizeof(name), "q%d", i);
        declare_queue(ch, name, DURABLE, NO_ARGS);
        snprintf(name, sizeof(name), "e%d", i);
        declare_queue(ch, name, EXCLUSIVE, NO_ARGS);
        declare_exchange(ch, "later", "x-delayed-message", DURABLE,
                         ARGS(arg_string("x-delayed-type", "fanout")));
        bind_queue(ch, name, "later", "", NO_ARGS);
        publish_with(ch, "later", "", 0,
                     PROPS(AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
                           .headers = ARGS(arg_int("x-delay", 600000)), .delivery_mode = 2),
                     "x");
        consume(ch, name, "c", 0, NO_ARGS);
    }
    done("-p", "v", "set_policy", "p", ".*", "{\"max-length\": 100}");
    done("delete_vhost", "v");
    for (int i = 0; i < 6; i++)
        expect_connection_error(clients[i], 320, "CONNECTION_FORCED - vhost 'v' is deleted", 0);
    ck_assert(!may_log_in("guest", "guest", "v"));
    done("list_vhosts", "-s");
    ck_assert_str_eq(output, "/\n");
    refused("virtual host 'v' does not exist", "delete_vhost", "v");
    refused("virtual host 'v' does not exist", "list_queues", "-p", "v");
    done("status", "--formatter", "json");
    ck_assert_ptr_nonnull(strstr(output, "\"queues\":0,"));

    /* One of the same name is another one, here and after a restart. */
    make_vhost("v");
    done("list_queues", "-s", "-p", "v");
    ck_assert_str_eq(output, "");
    done("list_policies", "-s", "-p", "v");
    ck_assert_str_eq(output, "");
    declare_queue(channel_in("v"), "new", DURABLE, NO_ARGS);
    ck_assert(broker_end(broker));
    broker_launch(broker, CONFIG, 3);
    ck_assert(broker_log_awaits(broker, "is ready"));
    done("list_queues", "-s", "-p", "v", "name");
    ck_assert_str_eq(output, "new\n");
    done("list_exchanges", "-s", "-p", "v", "name");
    ck_assert_ptr_null(strstr(output, "later"));
}
END_TEST

START_TEST(virtual_host_of_the_configuration_stays)
{
    refused("virtual host '/' is in the configuration file", "delete_vhost", "/");
    ck_assert(may_log_in("guest", "guest", "/"));
}
END_TEST

/* Connects, declares, publishes and consumes, until its virtual host is gone for good. */
static atomic_bool churning;

static void *churn(void *argument)
{
    (void)argument;
    while (atomic_load(&churning)) {
        amqp_connection_state_t c = amqp_new_connection();
        amqp_socket_t *socket = amqp_tcp_socket_new(c);

        if (amqp_socket_open(socket, broker_host(broker), broker_port(broker)) == 0 &&
            amqp_login(c, "v", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type ==
                AMQP_RESPONSE_NORMAL &&
            amqp_channel_open(c, 1) != NULL &&
            amqp_queue_declare(c, 1, amqp_cstring_bytes("q"), 0, 1, 0, 0, amqp_empty_table) !=
                NULL &&
            amqp_basic_consume(c, 1, amqp_cstring_bytes("q"), amqp_empty_bytes, 0, 1, 0,
                               amqp_empty_table) != NULL)
            amqp_basic_publish(c, 1, amqp_empty_bytes, amqp_cstring_bytes("q"), 0, 0, NULL,
                               amqp_cstring_bytes("x"));
        amqp_destroy_connection(c);
    }
    return NULL;
}

START_TEST(virtual_host_comes_and_goes_under_its_clients)
{
    enum { THREADS = 3, ROUNDS = 8 };
    pthread_t threads[THREADS];

    atomic_store(&churning, true);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, NULL), 0);
    for (int i = 0; i < ROUNDS; i++) {
        make_vhost("v");
        done("list_queues", "-p", "v");
        done("list_consumers", "-p", "v");
        done("delete_vhost", "v");
    }
    atomic_store(&churning, false);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    done("list_vhosts", "-s");
    ck_assert_str_eq(output, "/\n");
}
END_TEST

START_TEST(wrong_usage_is_told)
{
    ck_assert_int_eq(ctl("add_user", NULL), 2);
    ck_assert_int_eq(ctl("delete_user", "a", "b", NULL), 2);
    ck_assert_int_eq(ctl("set_policy", "p", "x", "{}", "--priority", "high", NULL), 2);
    ck_assert_ptr_nonnull(strstr(output, "a priority is a whole number, not high"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("administration");
    TCase *tcase = tcase_create("administration");

    tcase_add_checked_fixture(tcase, start, stop);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, user_comes_and_changes_and_goes);
    tcase_add_test(tcase, changes_are_logged_and_passwords_are_not);
    tcase_add_test(tcase, names_of_users_are_text);
    tcase_add_test(tcase, topic_permissions_are_set_and_cleared);
    tcase_add_test(tcase, policies_and_limits_are_set_and_cleared);
    tcase_add_test(tcase, queue_is_purged_and_deleted);
    tcase_add_test(tcase, connection_is_closed_with_a_reason);
    tcase_add_test(tcase, virtual_host_goes_with_all_that_is_in_it);
    tcase_add_test(tcase, virtual_host_of_the_configuration_stays);
    tcase_add_test(tcase, virtual_host_comes_and_goes_under_its_clients);
    tcase_add_test(tcase, users_get_limits);
    tcase_add_test(tcase, reload_reads_the_configuration_again);
    tcase_add_test(tcase, reload_tells_what_is_wrong);
    tcase_add_test(tcase, wrong_usage_is_told);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
