/* What leveretctl says is done is there after a SIGKILL that follows at once: users, passwords,
 * permissions, virtual hosts, limits, policies and parameters, and what was taken away stays away.
 *
 * LEVERET_FAULT_ROUNDS  how often the broker is killed (two rounds for each change) */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wire/harness.h"

enum {
    OUTPUT_SIZE = 1 << 16,
    ARGUMENTS_MAX = 8,
    CHANGES_A_ROUND = 3,
    WORKERS = 2,
};

static const char CONFIG[] = "listeners: [{address: 127.0.0.1, port: @PORT@}]\n"
                             "workers: @WORKERS@\n";

static char output[OUTPUT_SIZE];
static struct broker *broker;

/* ---- Commands ---- */

/* Runs leveretctl with the words of `format`, which blanks separate. */
static int ctl(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int ctl(const char *format, ...)
{
    char *words[ARGUMENTS_MAX + 1] = {NULL};
    char text[512];
    char *rest = text;
    va_list arguments;
    int count = 0;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    while (count < ARGUMENTS_MAX && (words[count] = strsep(&rest, " ")) != NULL)
        count++;
    return leveretctl_run(broker, words, output, sizeof(output));
}

#define done(...) ck_assert_msg(ctl(__VA_ARGS__) == 0, "%s", output)

/* Whether the output of the last command has a line that begins so. */
static bool lists(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool lists(const char *format, ...)
{
    char beginning[256] = "\n";
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(beginning + 1, sizeof(beginning) - 1, format, arguments);
    va_end(arguments);
    return strncmp(output, beginning + 1, strlen(beginning + 1)) == 0 ||
           strstr(output, beginning) != NULL;
}

#define listed(...) ck_assert_msg(lists(__VA_ARGS__), "not in:\n%s", output)
#define not_listed(...) ck_assert_msg(!lists(__VA_ARGS__), "in:\n%s", output)

/* ---- Changes ----
 *
 * Each is made with the number of its round, and held to that of the last round that made it. */

static void make_user(int n)
{
    done("add_user u%d pw%d", n, n);
}

static void check_user(int n)
{
    done("authenticate_user u%d pw%d", n, n);
}

static void make_password(int n)
{
    done("change_password ann pw%d", n);
}

static void check_password(int n)
{
    done("authenticate_user ann pw%d", n);
}

static void make_tags(int n)
{
    done("set_user_tags ann tag%d", n);
}

static void check_tags(int n)
{
    done("-s list_users user tags");
    listed("ann\t[tag%d]\n", n);
}

static void make_user_limit(int n)
{
    done("set_user_limits ann {\"max-channels\":%d}", n + 1);
}

static void check_user_limit(int n)
{
    done("-s list_users user limits");
    listed("ann\t{\"max-channels\":%d}\n", n + 1);
}

static void make_deletion_of_user(int n)
{
    done("add_user gone%d pw", n);
    done("delete_user gone%d", n);
}

static void check_deletion_of_user(int n)
{
    done("-s list_users user");
    not_listed("gone%d\n", n);
}

static void make_permission(int n)
{
    done("set_permissions -p v ann ^c%d ^w%d ^r%d", n, n, n);
}

static void check_permission(int n)
{
    done("-s -p v list_permissions");
    listed("ann\t^c%d\t^w%d\t^r%d\n", n, n, n);
}

static void make_clearing_of_permission(int n)
{
    (void)n;
    done("set_permissions ann .* .* .*");
    done("clear_permissions ann");
}

static void check_clearing_of_permission(int n)
{
    (void)n;
    done("-s list_permissions");
    not_listed("ann\t");
}

static void make_topic_permission(int n)
{
    done("set_topic_permissions -p v ann amq.topic ^w%d ^r%d", n, n);
}

static void check_topic_permission(int n)
{
    done("-s -p v list_topic_permissions");
    listed("ann\tamq.topic\t^w%d\t^r%d\n", n, n);
}

static void make_vhost(int n)
{
    done("add_vhost v%d", n);
}

static void check_vhost(int n)
{
    done("-s list_vhosts");
    listed("v%d\n", n);
}

static void make_deletion_of_vhost(int n)
{
    done("add_vhost gone%d", n);
    done("delete_vhost gone%d", n);
}

static void check_deletion_of_vhost(int n)
{
    done("-s list_vhosts");
    not_listed("gone%d\n", n);
}

static void make_vhost_limit(int n)
{
    done("set_vhost_limits -p v {\"max-queues\":%d}", n + 1);
}

static void declare_up_to_limit(struct channel *ch, int limit)
{
    char name[16];

    for (int i = 0; i < limit; i++) {
        snprintf(name, sizeof(name), "%d", i);
        declare_queue(ch, name, 0, NO_ARGS);
    }
    send_queue_declare(ch, "too many", 0, NO_ARGS);
    expect_channel_error(ch, 406, "PRECONDITION_FAILED - cannot declare queue 'too many': *");
}

static void check_vhost_limit(int n)
{
    struct client *c = connect_client_tuned(broker, "guest", "guest", "v", 0, 131072, 0);

    declare_up_to_limit(open_channel(c), n + 1);
    close_client(c);
}

static void make_policy(int n)
{
    done("set_policy live ^q$ {\"max-length\":%d}", n + 1);
}

/* It applies to the queue, which was there before. */
static void check_policy(int n)
{
    struct client *c = connect_client_to(broker);
    struct channel *ch = open_channel(c);

    confirm_select(ch);
    for (int i = 0; i < n + 3; i++)
        publish(ch, "q", "x");
    await_confirms(ch);
    await_message_count(ch, "q", (uint32_t)n + 1);
    purge_queue(ch, "q");
    close_client(c);
}

static void make_operator_policy(int n)
{
    done("set_operator_policy bound ^o%d$ {\"max-length\":%d}", n, n);
}

static void check_operator_policy(int n)
{
    done("-s list_operator_policies name pattern definition");
    listed("bound\t^o%d$\t{\"max-length\":%d}\n", n, n);
}

static void make_clearing_of_policy(int n)
{
    done("set_policy brief%d ^brief {\"max-length\":1}", n);
    done("clear_policy brief%d", n);
}

static void check_clearing_of_policy(int n)
{
    done("-s list_policies name");
    not_listed("brief%d\n", n);
}

static void make_parameter(int n)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/parameter.json", scratch_directory());
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file,
            "{\"parameters\": [{\"vhost\": \"/\", \"component\": \"shovel\", \"name\": \"s\","
            " \"value\": {\"text\": \"number %d\"}}]}",
            n);
    ck_assert_int_eq(fclose(file), 0);
    done("import_definitions %s", path);
}

static void check_parameter(int n)
{
    char expected[32];

    done("export_definitions -");
    snprintf(expected, sizeof(expected), "\"number %d\"", n);
    ck_assert_msg(strstr(output, expected) != NULL, "no %s in:\n%s", expected, output);
}

static const struct change {
    const char *name;
    void (*make)(int n);
    void (*check)(int n);
} CHANGES[] = {
    {"user", make_user, check_user},
    {"password", make_password, check_password},
    {"tags", make_tags, check_tags},
    {"user limit", make_user_limit, check_user_limit},
    {"deletion of user", make_deletion_of_user, check_deletion_of_user},
    {"permission", make_permission, check_permission},
    {"clearing of permission", make_clearing_of_permission, check_clearing_of_permission},
    {"topic permission", make_topic_permission, check_topic_permission},
    {"vhost", make_vhost, check_vhost},
    {"deletion of vhost", make_deletion_of_vhost, check_deletion_of_vhost},
    {"vhost limit", make_vhost_limit, check_vhost_limit},
    {"policy", make_policy, check_policy},
    {"operator policy", make_operator_policy, check_operator_policy},
    {"clearing of policy", make_clearing_of_policy, check_clearing_of_policy},
    {"parameter", make_parameter, check_parameter},
};

enum { CHANGE_COUNT = sizeof(CHANGES) / sizeof(CHANGES[0]) };

/* ---- Rounds ---- */

static void launch(void)
{
    broker_launch(broker, CONFIG, WORKERS);
    ck_assert(broker_log_awaits(broker, "is ready"));
}

static void prepare(void)
{
    struct client *c;

    launch();
    done("add_user ann pw");
    done("add_vhost v");
    done("set_permissions -p v guest .* .* .*");
    c = connect_client_to(broker);
    declare_queue(open_channel(c), "q", DURABLE, NO_ARGS);
    close_client(c);
}

static int round_count(void)
{
    const char *rounds = getenv("LEVERET_FAULT_ROUNDS");

    return rounds != NULL ? atoi(rounds) : 2 * CHANGE_COUNT;
}

/* Every change is the last before a kill in turn, behind others. */
START_TEST(what_was_done_is_there_after_a_kill)
{
    int made[CHANGE_COUNT];
    int rounds = round_count();

    for (int i = 0; i < CHANGE_COUNT; i++)
        made[i] = -1;
    broker = broker_prepare();
    prepare();
    for (int n = 0; n < rounds; n++) {
        for (int i = 0; i < CHANGES_A_ROUND; i++) {
            int which = (n + i) % CHANGE_COUNT;

            CHANGES[which].make(n);
            made[which] = n;
        }
        ck_assert(broker_kill(broker));
        launch();
        for (int i = 0; i < CHANGE_COUNT; i++) {
            harness_case(CHANGES[i].name);
            if (made[i] >= 0)
                CHANGES[i].check(made[i]);
        }
    }
    ck_assert(broker_stop(broker));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("changes");
    TCase *tcase = tcase_create("kill");

    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, what_was_done_is_there_after_a_kill);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    if (against_oracle())
        return 77; /* automake's code for a skipped test */
    return wire_main_alone(make_suite);
}
