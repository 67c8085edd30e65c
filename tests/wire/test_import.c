/* Definitions in RabbitMQ's JSON format, into leveret and out of it. */
#include "tests/wire/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OUTPUT_SIZE = 1 << 18 };

static const char CONFIG[] = "listeners: [{address: 127.0.0.1, port: @PORT@}]\n"
                             "workers: @WORKERS@\n";

/* What rabbitmqctl export_definitions of RabbitMQ 3.10.8 wrote. */
static const char FIXTURE[] = "tests/fuzz/corpus/definitions/rabbitmq-3.10.8.json";

static char output[OUTPUT_SIZE];

static const char *fixture(void)
{
    static char path[1024];
    const char *top = getenv("top_srcdir");

    snprintf(path, sizeof(path), "%s/%s", top != NULL ? top : ".", FIXTURE);
    return path;
}

static struct broker *start(int workers)
{
    struct broker *b = broker_prepare();

    broker_launch(b, CONFIG, workers);
    ck_assert(broker_log_awaits(b, "is ready"));
    return b;
}

/* Runs `leveretctl COMMAND ARGUMENT`; its output is in `output`. Returns its status. */
static int ctl(const struct broker *b, const char *command, const char *argument)
{
    char *arguments[] = {(char *)(uintptr_t)command, (char *)(uintptr_t)argument, NULL};

    return leveretctl_run(b, arguments, output, sizeof(output));
}

static const char *scratch_path(const char *name)
{
    static char path[600];

    snprintf(path, sizeof(path), "%s/%s", scratch_directory(), name);
    return path;
}

static const char *write_scratch(const char *name, const char *text)
{
    const char *path = scratch_path(name);
    FILE *f = fopen(path, "we");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static void expect_told(const char *text)
{
    ck_assert_msg(strstr(output, text) != NULL, "not told: %s\nin\n%s", text, output);
}

/* The definitions that the broker has, on the heap. */
static char *export(const struct broker *b)
{
    ck_assert_msg(ctl(b, "export_definitions", "-") == 0, "%s", output);
    return strdup(output);
}

static struct channel *channel_of(const struct broker *b, const char *user, const char *password)
{
    return open_channel(connect_client_tuned(b, user, password, "shop", 0, 131072, 0));
}

START_TEST(export_of_rabbitmq_loads_as_it_is)
{
    struct broker *b = start(2);
    struct channel *ch;

    ctl(b, "import_definitions", fixture());
    expect_told("vhosts: 1 created, 0 updated, 1 unchanged, 0 failed\n");
    expect_told("users: 2 created, 1 updated, 0 unchanged, 0 failed\n");
    expect_told("permissions: 3 created, 0 updated, 1 unchanged, 0 failed\n");
    expect_told("topic_permissions: 1 created, 0 updated, 0 unchanged, 0 failed\n");
    expect_told("policies: 3 created, 0 updated, 0 unchanged, 0 failed\n");
    expect_told("parameters: 1 created, 0 updated, 1 unchanged, 0 failed\n");
    expect_told("exchanges: 5 created, 0 updated, 0 unchanged, 0 failed\n");
    expect_told("queues: 6 created, 0 updated, 0 unchanged, 0 failed\n");
    /* RabbitMQ leaves internal exchanges out, but not their bindings. */
    expect_told("$.bindings[1]: not imported: no exchange 'lost' in vhost 'shop'\n");
    expect_told("bindings: 6 created, 0 updated, 0 unchanged, 1 failed\n");

    ctl(b, "import_definitions", fixture());
    expect_told("users: 0 created, 0 updated, 3 unchanged, 0 failed\n");
    expect_told("permissions: 0 created, 0 updated, 4 unchanged, 0 failed\n");
    expect_told("policies: 0 created, 0 updated, 3 unchanged, 0 failed\n");
    expect_told("parameters: 0 created, 0 updated, 2 unchanged, 0 failed\n");
    expect_told("queues: 0 created, 0 updated, 6 unchanged, 0 failed\n");
    expect_told("bindings: 0 created, 0 updated, 6 unchanged, 1 failed\n");

    ch = channel_of(b, "guest", "guest");
    declare_queue(ch, "orders.urgent", DURABLE,
                  ARGS(arg_byte("x-max-priority", 9), arg_int("x-message-ttl", 60000)));
    publish_to(ch, "orders.in", "asia.urgent", "a");
    expect_get(ch, "orders.urgent", "a", 0);
    publish_with(
        ch, "labels", "", 0,
        HEADERS(arg_bool("fragile", true), arg_string("kind", "box"), arg_short("weight", 3)), "b");
    expect_get(channel_of(b, "courier", "courier-pw"), "parcels", "b", 0);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(definitions_are_the_same_after_export_import_and_restart)
{
    struct broker *a = start(1);
    struct broker *b = start(3);
    char *first;
    char *second;

    ctl(a, "import_definitions", fixture());
    {
        struct channel *ch = channel_of(a, "guest", "guest");

        declare_exchange(ch, "inner", "fanout", DURABLE | INTERNAL, NO_ARGS);
        bind_exchange(ch, "inner", "events", "i.#", ARGS(arg_double("share", 0.25)));
        declare_queue(ch, "private", EXCLUSIVE, NO_ARGS);
        bind_queue(ch, "private", "events", "p", NO_ARGS);
        declare_exchange(ch, "later", "x-delayed-message", DURABLE,
                         ARGS(arg_string("x-delayed-type", "direct")));
        delete_queue(ch, "scratch", 0);
        send_exchange_delete(ch, "scratch", 0);
        expect_method(ch, AMQP_EXCHANGE_DELETE_OK_METHOD);
    }
    first = export(a);
    ck_assert_ptr_null(strstr(first, "private"));
    ck_assert_int_eq(ctl(b, "import_definitions", write_scratch("first.json", first)), 0);
    second = export(b);
    ck_assert_str_eq(first, second);
    free(second);
    {
        struct channel *ch = channel_of(b, "guest", "guest");

        bind_queue(ch, "lost", "later", "k", NO_ARGS);
        publish_with(ch, "later", "k", 0, HEADERS(arg_int("x-delay", 1)), "late");
        await_message_count(ch, "lost", 1);
        unbind_queue(ch, "lost", "later", "k", NO_ARGS);
        close_client(ch->client);
    }
    ck_assert(broker_end(b));
    broker_launch(b, CONFIG, 2);
    ck_assert(broker_log_awaits(b, "is ready"));
    second = export(b);
    ck_assert_str_eq(first, second);
    free(second);
    free(first);
    ck_assert(broker_stop(a));
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(exported_file_is_its_owners_and_whole)
{
    struct broker *b = start(1);
    char path[600];
    struct stat st;

    snprintf(path, sizeof(path), "%s", scratch_path("definitions.json"));
    ck_assert_int_eq(ctl(b, "export_definitions", path), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(ctl(b, "import_definitions", path), 0);
    ck_assert_int_eq(ctl(b, "export_definitions", "/nowhere/definitions.json"), 1);
    expect_told("/nowhere/definitions.json: No such file or directory");
    ck_assert_int_eq(ctl(b, "import_definitions", "/nowhere/definitions.json"), 1);
    expect_told("/nowhere/definitions.json: No such file or directory");
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(one_virtual_host_goes_into_another)
{
    struct broker *b = start(2);
    char *out_of_shop[] = {(char *)(uintptr_t) "-p", (char *)(uintptr_t) "shop",
                           (char *)(uintptr_t) "export_definitions", (char *)(uintptr_t) "-", NULL};
    char *into_default[] = {(char *)(uintptr_t) "-p", (char *)(uintptr_t) "/",
                            (char *)(uintptr_t) "import_definitions", NULL, NULL};
    char *list_policies[] = {(char *)(uintptr_t) "-p", NULL, (char *)(uintptr_t) "list_policies",
                             NULL};

    ctl(b, "import_definitions", fixture());
    ck_assert_int_eq(leveretctl_run(b, out_of_shop, output, sizeof(output)), 0);
    ck_assert_ptr_null(strstr(output, "\"vhost\":"));
    ck_assert_ptr_null(strstr(output, "\"users\""));
    into_default[3] = (char *)(uintptr_t)write_scratch("shop.json", output);
    ck_assert_int_eq(leveretctl_run(b, into_default, output, sizeof(output)), 0);
    expect_told("queues: 6 created, 0 updated, 0 unchanged, 0 failed\n");

    /* RabbitMQ's export of one virtual host has its name in policies and parameters. */
    into_default[3] = (char *)(uintptr_t)write_scratch(
        "policies.json", "{\"policies\": [{\"vhost\": \"shop\", \"name\": \"moved\","
                         " \"pattern\": \"a\", \"definition\": {\"max-length\": 5}}],"
                         " \"parameters\": [{\"vhost\": \"gone\", \"component\": \"vhost-limits\","
                         " \"name\": \"limits\", \"value\": {\"max-queues\": 50}}],"
                         " \"users\": [{\"name\": \"intruder\", \"password\": \"x\"}]}");
    ck_assert_int_eq(leveretctl_run(b, into_default, output, sizeof(output)), 0);
    expect_told("policies: 1 created, 0 updated, 0 unchanged, 0 failed\n");
    expect_told("$.users: is left out of an import into one virtual host\n");
    list_policies[1] = (char *)(uintptr_t) "/";
    ck_assert_int_eq(leveretctl_run(b, list_policies, output, sizeof(output)), 0);
    expect_told("\tmoved\t");
    list_policies[1] = (char *)(uintptr_t) "shop";
    ck_assert_int_eq(leveretctl_run(b, list_policies, output, sizeof(output)), 0);
    ck_assert_ptr_null(strstr(output, "\tmoved\t"));

    into_default[1] = (char *)(uintptr_t) "nowhere";
    ck_assert_int_eq(leveretctl_run(b, into_default, output, sizeof(output)), 1);
    expect_told("virtual host 'nowhere' does not exist");
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(what_cannot_be_made_is_told_with_its_place)
{
    struct broker *b = start(2);
    struct channel *ch = open_channel(connect_client_to(b));

    declare_queue(ch, "there", DURABLE, ARGS(arg_int("x-max-length", 5)));
    declare_exchange(ch, "there", "fanout", DURABLE, NO_ARGS);
    declare_queue(ch, "mine", EXCLUSIVE, NO_ARGS);
    ck_assert_int_eq(
        ctl(b, "import_definitions",
            write_scratch(
                "faults.json",
                "{\"queues\": ["
                "{\"vhost\": \"/\", \"name\": \"there\", \"arguments\": {\"x-max-length\": 6}},"
                "{\"vhost\": \"/\", \"name\": \"mine\"},"
                "{\"vhost\": \"/\", \"name\": \"a\", \"arguments\": {\"x-max-length\": -1}},"
                "{\"vhost\": \"/\", \"name\": \"b\", \"arguments\": {\"x-queue-type\":"
                " \"stream\"}},"
                "{\"vhost\": \"lost\", \"name\": \"c\"},"
                "{\"vhost\": \"/\", \"name\": \"\"},"
                "{\"vhost\": \"/\", \"name\": \"good\"}],"
                "\"exchanges\": ["
                "{\"vhost\": \"/\", \"name\": \"there\", \"type\": \"topic\"},"
                "{\"vhost\": \"/\", \"name\": \"d\", \"type\": \"magic\"}],"
                "\"users\": [{\"name\": \"old\", \"password_hash\": "
                "\"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30\","
                " \"hashing_algorithm\": \"rabbit_password_hashing_md5\"}],"
                "\"permissions\": [{\"vhost\": \"/\", \"user\": \"nobody\", \"configure\": \"\","
                " \"write\": \"\", \"read\": \"\"},"
                "{\"vhost\": \"/\", \"user\": \"guest\", \"configure\": \"(\", \"write\": \"\","
                " \"read\": \"\"}]}")),
        1);
    expect_told("$.queues[0]: not imported: inequivalent arg 'x-max-length' for queue 'there' in "
                "vhost '/': received '6' but current is '5'\n");
    expect_told("$.queues[1]: not imported: queue 'mine' in vhost '/' is there and is exclusive\n");
    expect_told("$.queues[2]: not imported: invalid arg 'x-max-length' for queue 'a'");
    expect_told("$.queues[3]: not imported: invalid arg 'x-queue-type' for queue 'b'");
    expect_told("$.queues[4]: not imported: virtual host 'lost' does not exist\n");
    expect_told("$.queues[5]: not imported: a queue must have a name\n");
    expect_told("queues: 1 created, 0 updated, 0 unchanged, 6 failed\n");
    expect_told("$.exchanges[0]: not imported: inequivalent arg 'type' for exchange 'there'");
    expect_told("$.exchanges[1]: not imported: unknown exchange type 'magic'\n");
    expect_told("$.users[0]: not imported: the password of user 'old' is hashed in a way that is "
                "not supported: rabbit_password_hashing_md5\n");
    expect_told("$.permissions[0]: not imported: ");
    expect_told("$.permissions[1]: not imported: ");
    ck_assert_int_eq(ctl(b, "import_definitions", write_scratch("no.json", "{\"queues\": [")), 1);
    expect_told("no.json: line 1, column ");
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(names_of_users_are_text)
{
    struct broker *b = start(1);

    ck_assert_int_eq(ctl(b, "import_definitions",
                         write_scratch("users.json", "{\"users\": [{\"name\": \"a\\u0007b\", "
                                                     "\"password\": \"c\", \"tags\": \"\"}]}")),
                     1);
    expect_told(
        "$.users[0]: not imported: the name of a user must be UTF-8 without control characters");
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(definitions_are_there_before_the_first_client)
{
    struct broker *b = broker_prepare();
    char config[2048];
    struct channel *ch;

    snprintf(config, sizeof(config), "%sload_definitions: %s\n", CONFIG, fixture());
    broker_launch(b, config, 2);
    ch = channel_of(b, "guest", "guest");
    declare_queue(ch, "lost", PASSIVE, NO_ARGS);
    ck_assert(broker_log_holds(b, "$.bindings[1]: no exchange 'lost' in vhost 'shop'"));
    snprintf(config, sizeof(config), "vhost 'shop' was made, through the definitions file %s\n",
             fixture());
    ck_assert(broker_log_holds(b, config));
    snprintf(config, sizeof(config), "%sload_definitions: %s\n", CONFIG, fixture());
    ck_assert(broker_end(b));
    broker_launch(b, config, 2);
    /* What is not durable: an exchange, a queue and the binding between them. */
    ck_assert(broker_log_awaits(b, ": 3 created, "));
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(broker_does_not_start_without_the_definitions_it_is_to_load)
{
    char config[1024];
    char data[600];
    char *arguments[] = {(char *)(uintptr_t) "--config", config, (char *)(uintptr_t) "--data-dir",
                         data, NULL};
    char path[600];

    snprintf(data, sizeof(data), "%s", scratch_path("data"));
    snprintf(path, sizeof(path), "%s", write_scratch("broken.json", "{\"queues\": 5"));
    snprintf(config, sizeof(config),
             "listeners: [{address: 127.0.0.1, port: 0}]\n"
             "load_definitions: %s\n",
             path);
    snprintf(config, sizeof(config), "%s", write_scratch("leveret.yaml", config));
    ck_assert_int_eq(leveretd_run(arguments, NULL, output, sizeof(output)), 1);
    expect_told("broken.json: line 1, column ");
    ck_assert_ptr_null(strstr(output, "listening on"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("import");
    TCase *tcase = tcase_create("import");

    tcase_add_test(tcase, export_of_rabbitmq_loads_as_it_is);
    tcase_add_test(tcase, definitions_are_the_same_after_export_import_and_restart);
    tcase_add_test(tcase, exported_file_is_its_owners_and_whole);
    tcase_add_test(tcase, one_virtual_host_goes_into_another);
    tcase_add_test(tcase, names_of_users_are_text);
    tcase_add_test(tcase, what_cannot_be_made_is_told_with_its_place);
    tcase_add_test(tcase, definitions_are_there_before_the_first_client);
    tcase_add_test(tcase, broker_does_not_start_without_the_definitions_it_is_to_load);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
