/* Policies and limits of virtual hosts that are set and cleared while the broker runs, and what is
 * left of them after a restart. */
#include "server/vhost.h"
#include "session/broker_policies.h"
#include "session/vhost_limits.h"
#include "tests/unit/broker_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TEXT(s) bytes_from_string(s)
#define USERS \
    "users:\n" \
    "  - {name: u, password: u}\n" \
    "permissions:\n" \
    "  - {user: u, configure: '.*', write: '.*', read: '.*'}\n"
#define QUEUES "topology: {queues: [{name: q}, {name: other}]}\n"
#define FILE_POLICY(length) \
    "policies: [{name: p, pattern: '^q', definition: {max-length: " length "}}]\n"

static struct arena arena;
static struct refusal refusal;
static char reason[256];

static struct table number(const char *key, int64_t n)
{
    struct table t = table_empty();

    table_set(&arena, &t, key, value_int64(n));
    return t;
}

/* ---- Policies ---- */

static int set(struct test_broker *t, const char *vhost, const char *name, bool operator_policy,
               const char *key, int64_t value)
{
    const struct table definition = number(key, value);
    const struct policy_declaration d = {
        .name = TEXT(name),
        .pattern = TEXT("^q"),
        .apply_to = TEXT("queues"),
        .priority = 3,
        .operator_policy = operator_policy,
        .definition = &definition,
    };
    const struct policies_done nobody_waits = {.call = NULL};

    return broker_policies_set(&t->broker, TEXT(vhost), &d, nobody_waits, &refusal);
}

static int clear(struct test_broker *t, const char *name, bool operator_policy)
{
    const struct policies_done nobody_waits = {.call = NULL};

    return broker_policies_clear(&t->broker, TEXT("/"), TEXT(name), operator_policy, nobody_waits,
                                 &refusal);
}

static void set_length(struct test_broker *t, const char *name, bool operator_policy,
                       int64_t length)
{
    ck_assert_msg(set(t, "/", name, operator_policy, "max-length", length) == 0, "%s",
                  refusal.text);
    ck_assert_int_eq(broker_policies_wait(&t->broker), 0);
}

/* What the queue obeys, UINT64_MAX when it has no limit. Everything set is in force. */
static uint64_t length_of(struct test_broker *t, const char *queue)
{
    struct vhost *v = vhost_find(&t->server.vhosts, TEXT("/"));
    const struct queue_options *o;
    uint64_t length;

    vhost_lock_read(v);
    o = queue_handle_options(topology_find_queue(v->topology, TEXT(queue)));
    length = o->rules != NULL ? o->rules->max_length : UINT64_MAX;
    vhost_unlock(v);
    return length;
}

static void expect_refusal(int rc, enum refusal_code code, const char *text)
{
    ck_assert_int_eq(rc, -EPROTO);
    ck_assert_int_eq(refusal.code, code);
    ck_assert_str_eq(refusal.text, text);
}

START_TEST(policy_set_at_run_time_rules_and_outlives_a_restart)
{
    struct test_broker *t = start_test_broker(USERS QUEUES);

    set_length(t, "p", false, 7);
    ck_assert_uint_eq(length_of(t, "q"), 7);
    ck_assert_uint_eq(length_of(t, "other"), UINT64_MAX);
    set_length(t, "o", true, 5);
    ck_assert_uint_eq(length_of(t, "q"), 5);
    set_length(t, "p", false, 4);
    ck_assert_uint_eq(length_of(t, "q"), 4);
    halt_test_broker(t);

    restart_test_broker(t, USERS);
    ck_assert_uint_eq(length_of(t, "q"), 4);
    ck_assert_uint_eq(length_of(t, "other"), UINT64_MAX);
    ck_assert_int_eq(clear(t, "p", false), 0);
    ck_assert_int_eq(broker_policies_wait(&t->broker), 0);
    ck_assert_uint_eq(length_of(t, "q"), 5);
    halt_test_broker(t);

    restart_test_broker(t, USERS);
    ck_assert_uint_eq(length_of(t, "q"), 5);
    ck_assert_int_eq(clear(t, "o", true), 0);
    halt_test_broker(t);

    restart_test_broker(t, USERS);
    ck_assert_uint_eq(length_of(t, "q"), UINT64_MAX);
    stop_test_broker(t);
}
END_TEST

/* One that is told when it is done. */
struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t called;
    unsigned calls;
    int result;
};

static void on_done(void *context, int result)
{
    struct waiting *w = context;

    pthread_mutex_lock(&w->lock);
    w->calls++;
    w->result = result;
    pthread_cond_signal(&w->called);
    pthread_mutex_unlock(&w->lock);
}

START_TEST(who_sets_a_policy_is_told_when_it_is_in_force)
{
    struct test_broker *t = start_test_broker(USERS QUEUES);
    struct waiting w = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER, .result = 1};
    const struct table definition = number("max-length", 7);
    const struct policy_declaration d = {
        .name = TEXT("p"), .pattern = TEXT("^q"), .definition = &definition};

    ck_assert_int_eq(broker_policies_set(&t->broker, TEXT("/"), &d,
                                         (struct policies_done){.call = on_done, .context = &w},
                                         &refusal),
                     0);
    pthread_mutex_lock(&w.lock);
    while (w.calls == 0)
        pthread_cond_wait(&w.called, &w.lock);
    pthread_mutex_unlock(&w.lock);
    ck_assert_int_eq(w.result, 0);
    ck_assert_uint_eq(length_of(t, "q"), 7);
    ck_assert_int_eq(broker_policies_wait(&t->broker), 0);
    ck_assert_uint_eq(w.calls, 1);
    stop_test_broker(t);
}
END_TEST

static void visit(void *context, const struct policy_declaration *d)
{
    char *list = context;
    size_t used = strlen(list);

    snprintf(list + used, 256 - used, "%.*s %.*s %.*s %lld %lld;", BYTES_ARGS(d->name),
             BYTES_ARGS(d->pattern), BYTES_ARGS(d->apply_to), (long long)d->priority,
             (long long)table_get(d->definition, "max-length")->integer);
}

START_TEST(policies_are_listed_in_their_order)
{
    struct test_broker *t = start_test_broker(USERS FILE_POLICY("9"));
    char list[256] = "";

    set_length(t, "b", false, 7);
    set_length(t, "a", false, 8);
    set_length(t, "o", true, 5);
    ck_assert_int_eq(broker_policies_each(&t->broker, TEXT("/"), false, visit, list), 0);
    ck_assert_str_eq(list, "a ^q queues 3 8;b ^q queues 3 7;p ^q all 0 9;");
    list[0] = '\0';
    ck_assert_int_eq(broker_policies_each(&t->broker, TEXT("/"), true, visit, list), 0);
    ck_assert_str_eq(list, "o ^q queues 3 5;");
    ck_assert_int_eq(broker_policies_each(&t->broker, TEXT("nowhere"), true, visit, list), -ENOENT);
    stop_test_broker(t);
}
END_TEST

START_TEST(what_cannot_be_set_is_refused_and_changes_nothing)
{
    struct test_broker *t = start_test_broker(USERS QUEUES FILE_POLICY("9"));

    expect_refusal(set(t, "nowhere", "a", false, "max-length", 1), REFUSAL_NOT_FOUND,
                   "vhost 'nowhere' not found");
    expect_refusal(set(t, "/", "a", false, "max-lenght", 1), REFUSAL_PRECONDITION_FAILED,
                   "policy 'a' in vhost '/': 'max-lenght' is not a recognised setting");
    expect_refusal(set(t, "/", "p", false, "max-length", 1), REFUSAL_ACCESS_REFUSED,
                   "policy 'p' in vhost '/' is set in the configuration file");
    expect_refusal(clear(t, "p", false), REFUSAL_ACCESS_REFUSED,
                   "policy 'p' in vhost '/' is set in the configuration file");
    expect_refusal(clear(t, "a", false), REFUSAL_NOT_FOUND, "no policy 'a' in vhost '/'");
    expect_refusal(clear(t, "p", true), REFUSAL_NOT_FOUND, "no operator policy 'p' in vhost '/'");
    ck_assert_int_eq(broker_policies_wait(&t->broker), 0);
    ck_assert_uint_eq(length_of(t, "q"), 9);
    stop_test_broker(t);
}
END_TEST

START_TEST(name_that_the_file_gets_is_the_files_for_good)
{
    struct test_broker *t = start_test_broker(USERS QUEUES);

    set_length(t, "p", false, 7);
    reload_test_broker(t, USERS FILE_POLICY("9"));
    ck_assert_uint_eq(length_of(t, "q"), 9);
    reload_test_broker(t, USERS FILE_POLICY("8"));
    ck_assert_uint_eq(length_of(t, "q"), 8);
    reload_test_broker(t, USERS);
    ck_assert_uint_eq(length_of(t, "q"), UINT64_MAX);
    set_length(t, "p", false, 6);
    ck_assert_uint_eq(length_of(t, "q"), 6);
    halt_test_broker(t);

    restart_test_broker(t, USERS FILE_POLICY("9"));
    ck_assert_uint_eq(length_of(t, "q"), 9);
    halt_test_broker(t);
    restart_test_broker(t, USERS);
    ck_assert_uint_eq(length_of(t, "q"), UINT64_MAX);
    stop_test_broker(t);
}
END_TEST

/* ---- Limits of virtual hosts ---- */

#define CONNECTIONS_REACHED(n) \
    "NOT_ALLOWED - access to vhost '/' refused for user 'u': connection limit (" n \
    ") is reached (max-connections of set_vhost_limits)"
#define QUEUES_REACHED(queue, n, key) \
    "PRECONDITION_FAILED - cannot declare queue '" queue "': queue limit in vhost '/' (" n \
    ") is reached (" key ")"

static int limit(struct test_broker *t, const char *key, int64_t n)
{
    const struct table limits = number(key, n);
    const struct definitions_done nobody_waits = {.call = NULL};

    return vhost_limits_set(&t->broker, TEXT("/"), &limits, nobody_waits, &refusal);
}

static void expect_connections(struct test_broker *t, unsigned n, const char *refused)
{
    struct test_client *clients[4];

    for (unsigned i = 0; i < n; i++) {
        clients[i] = connect_test_client(t, "u", "u", reason);
        ck_assert_msg(clients[i] != NULL, "%s", reason);
    }
    ck_assert_ptr_null(connect_test_client(t, "u", "u", reason));
    ck_assert_str_eq(reason, refused);
    for (unsigned i = 0; i < n; i++)
        close_test_client(clients[i]);
}

/* Connections end when the broker has seen that they did. */
static void await_no_connections(struct test_broker *t)
{
    const struct vhost *v = vhost_find(&t->server.vhosts, TEXT("/"));

    while (atomic_load(&v->connection_count) != 0)
        sched_yield();
}

START_TEST(limit_of_connections_counts_those_that_are_open)
{
    struct test_broker *t = start_test_broker(USERS);

    ck_assert_int_eq(limit(t, "max-connections", 2), 0);
    expect_connections(t, 2, CONNECTIONS_REACHED("2"));
    await_no_connections(t);
    expect_connections(t, 2, CONNECTIONS_REACHED("2"));
    await_no_connections(t);
    ck_assert_int_eq(limit(t, "max-connections", 0), 0);
    expect_connections(t, 0, CONNECTIONS_REACHED("0"));
    ck_assert_int_eq(limit(t, "max-connections", -1), 0);
    close_test_client(connect_test_client(t, "u", "u", reason));
    ck_assert_int_eq(limit(t, "max-connections", 1), 0);
    halt_test_broker(t);

    restart_test_broker(t, USERS);
    expect_connections(t, 1, CONNECTIONS_REACHED("1"));
    ck_assert_int_eq(vhost_limits_clear(&t->broker, TEXT("/"),
                                        (struct definitions_done){.call = NULL}, &refusal),
                     0);
    halt_test_broker(t);
    restart_test_broker(t, USERS);
    ck_assert_int_eq(vhost_limits_of(vhost_find(&t->server.vhosts, TEXT("/"))).max_connections, -1);
    stop_test_broker(t);
}
END_TEST

START_TEST(limit_of_queues_lets_redeclarations_pass)
{
    struct test_broker *t = start_test_broker(USERS);
    struct test_client *c = connect_test_client(t, "u", "u", reason);

    ck_assert_int_eq(client_declare(c, "a", reason), 0);
    ck_assert_int_eq(limit(t, "max-queues", 2), 0);
    ck_assert_int_eq(client_declare(c, "b", reason), 0);
    ck_assert_int_eq(client_declare(c, "c", reason), 406);
    ck_assert_str_eq(reason, QUEUES_REACHED("c", "2", "max-queues of set_vhost_limits"));
    ck_assert_int_eq(client_declare(c, "a", reason), 0);
    ck_assert_int_eq(limit(t, "max-queues", 1), 0);
    ck_assert_int_eq(client_declare(c, "b", reason), 0);
    ck_assert_int_eq(limit(t, "max-queues", -3), 0);
    ck_assert_int_eq(client_declare(c, "c", reason), 0);
    close_test_client(c);
    stop_test_broker(t);
}
END_TEST

START_TEST(limits_of_the_file_are_the_files)
{
    struct test_broker *t =
        start_test_broker(USERS "vhost_limits: [{max_queues: 1, max_connections: 1}]\n");
    struct test_client *c = connect_test_client(t, "u", "u", reason);

    ck_assert_int_eq(client_declare(c, "a", reason), 0);
    ck_assert_int_eq(client_declare(c, "b", reason), 406);
    ck_assert_str_eq(reason, QUEUES_REACHED("b", "1", "vhost_limits.max_queues"));
    ck_assert_ptr_null(connect_test_client(t, "u", "u", reason));
    ck_assert_ptr_nonnull(strstr(reason, " (1) is reached (vhost_limits.max_connections)"));
    expect_refusal(limit(t, "max-queues", 9), REFUSAL_ACCESS_REFUSED,
                   "the limits of vhost '/' are set in the configuration file");
    reload_test_broker(t, USERS "vhost_limits: [{max_queues: 2}]\n");
    ck_assert_int_eq(client_declare(c, "b", reason), 0);
    ck_assert_int_eq(client_declare(c, "c", reason), 406);
    reload_test_broker(t, USERS);
    ck_assert_int_eq(client_declare(c, "c", reason), 0);

    ck_assert_int_eq(limit(t, "max-queues", 0), 0);
    reload_test_broker(t, USERS "vhost_limits: [{max_queues: 9}]\n");
    ck_assert_int_eq(client_declare(c, "d", reason), 0);
    close_test_client(c);
    halt_test_broker(t);
    restart_test_broker(t, USERS);
    ck_assert_int_eq(vhost_limits_of(vhost_find(&t->server.vhosts, TEXT("/"))).max_queues, -1);
    stop_test_broker(t);
}
END_TEST

START_TEST(what_is_no_limit_is_refused)
{
    struct test_broker *t = start_test_broker(USERS);
    struct table limits = table_empty();

    expect_refusal(limit(t, "max-exchanges", 9), REFUSAL_PRECONDITION_FAILED,
                   "'max-exchanges' is not a recognised limit");
    table_set(&arena, &limits, "max-queues", value_string(TEXT("a")));
    expect_refusal(vhost_limits_set(&t->broker, TEXT("/"), &limits,
                                    (struct definitions_done){.call = NULL}, &refusal),
                   REFUSAL_PRECONDITION_FAILED,
                   "max-queues should be a number, actually was <<\"a\">>");
    limits = table_empty();
    expect_refusal(vhost_limits_set(&t->broker, TEXT("nowhere"), &limits,
                                    (struct definitions_done){.call = NULL}, &refusal),
                   REFUSAL_NOT_FOUND, "vhost 'nowhere' not found");
    stop_test_broker(t);
}
END_TEST

UNIT_MAIN("broker_policies", policy_set_at_run_time_rules_and_outlives_a_restart,
          who_sets_a_policy_is_told_when_it_is_in_force, policies_are_listed_in_their_order,
          what_cannot_be_set_is_refused_and_changes_nothing,
          name_that_the_file_gets_is_the_files_for_good,
          limit_of_connections_counts_those_that_are_open, limit_of_queues_lets_redeclarations_pass,
          limits_of_the_file_are_the_files, what_is_no_limit_is_refused)
