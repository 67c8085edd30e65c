#include "store/definitions.h"

#include "store/definitions_schema.h"
#include "tests/unit/store_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[TEST_PATH_SIZE];
static char path[TEST_PATH_SIZE];
static char error[TEST_ERROR_SIZE];

static const struct definitions_done NOBODY = {.call = NULL};

static void start(void)
{
    make_test_directory(directory);
    join_path(path, directory, "definitions.sqlite");
    error[0] = '\0';
}

static void finish(void)
{
    remove_test_directory(directory);
}

static struct bytes text(const char *s)
{
    return bytes_from_string(s);
}

static void add_queue(struct definitions *d, const char *name, uint64_t id)
{
    struct queue_definition q = {.vhost = text("/"), .name = text(name), .id = id, .shard = 1};

    definitions_add_queue(d, &q, NOBODY);
}

static void add_exchange(struct definitions *d, const char *name)
{
    struct exchange_definition e = {.vhost = text("/"), .name = text(name), .type = text("direct")};

    definitions_add_exchange(d, &e, NOBODY);
}

static void bind_queue(struct definitions *d, const char *source, const char *queue,
                       const char *key)
{
    struct binding_definition b = {.vhost = text("/"),
                                   .source = text(source),
                                   .destination = text(queue),
                                   .routing_key = text(key)};

    definitions_add_binding(d, &b, NOBODY);
}

static void bind_exchange(struct definitions *d, const char *source, const char *exchange)
{
    struct binding_definition b = {.vhost = text("/"),
                                   .source = text(source),
                                   .destination = text(exchange),
                                   .to_exchange = true};

    definitions_add_binding(d, &b, NOBODY);
}

static void add_user(struct definitions *d, const char *name, const char *hash, const char *tags)
{
    const struct user_definition u = {
        .name = text(name), .password_hash = text(hash), .tags = text(tags)};

    definitions_add_user(d, &u, NOBODY);
}

static void add_permission(struct definitions *d, const char *vhost, const char *user,
                           const char *read)
{
    const struct permission_definition p = {.vhost = text(vhost),
                                            .user = text(user),
                                            .configure = text("c"),
                                            .write = text(""),
                                            .read = text(read)};

    definitions_add_permission(d, &p, NOBODY);
}

static void add_topic_permission(struct definitions *d, const char *vhost, const char *user,
                                 const char *exchange)
{
    const struct topic_permission_definition p = {.vhost = text(vhost),
                                                  .user = text(user),
                                                  .exchange = text(exchange),
                                                  .write = text("w"),
                                                  .read = text("r")};

    definitions_add_topic_permission(d, &p, NOBODY);
}

static void add_parameter(struct definitions *d, const char *vhost, const char *component,
                          const char *name, struct value value)
{
    const struct parameter_definition p = {
        .vhost = text(vhost), .component = text(component), .name = text(name), .value = &value};

    definitions_add_parameter(d, &p, NOBODY);
}

static void add_policy(struct definitions *d, const char *vhost, const char *name,
                       bool operator_policy, const struct table *definition)
{
    const struct policy_definition p = {.vhost = text(vhost),
                                        .name = text(name),
                                        .pattern = text("^q\\."),
                                        .apply_to = text("queues"),
                                        .priority = -3,
                                        .operator_policy = operator_policy,
                                        .definition = definition};

    definitions_add_policy(d, &p, NOBODY);
}

static void expect_text(const char *expected)
{
    struct definitions *d = expect_definitions(path);
    char *found = definitions_text(d, NULL);

    ck_assert_str_eq(found, expected);
    free(found);
    definitions_close(d);
}

START_TEST(what_was_added_is_there_after_a_restart_in_declarable_order)
{
    struct definitions *d;

    start();
    d = expect_definitions(path);
    bind_exchange(d, "orders", "audit");
    bind_queue(d, "orders", "paid", "p");
    add_queue(d, "paid", 7);
    add_exchange(d, "orders");
    add_exchange(d, "audit");
    definitions_add_vhost(d, text("/"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);

    expect_text("vhost /\n"
                "exchange /:audit direct []\n"
                "exchange /:orders direct []\n"
                "queue /:paid id=7 shard=1 []\n"
                "binding /:orders -> exchange audit '' []\n"
                "binding /:orders -> queue paid 'p' []\n");
    finish();
}
END_TEST

START_TEST(every_field_and_argument_comes_back_as_it_was)
{
    struct exchange_definition e = {.vhost = text("a b"),
                                    .name = bytes_of("\0\xff'\"", 4),
                                    .type = text("x-custom"),
                                    .auto_delete = true,
                                    .internal = true};
    struct queue_definition q = {.vhost = text("a b"),
                                 .name = bytes_of(NULL, 0),
                                 .id = 3,
                                 .shard = UINT32_MAX,
                                 .auto_delete = true};
    struct table arguments = table_empty();
    struct table inner = table_empty();
    struct value_array list = {.items = NULL};
    struct definitions *d;
    struct arena arena;
    char *before;

    start();
    arena_init(&arena);
    table_set(&arena, &arguments, "int8", (struct value){.type = VALUE_INT8, .integer = -5});
    table_set(&arena, &arguments, "uint8", (struct value){.type = VALUE_UINT8, .integer = 250});
    table_set(&arena, &arguments, "int32", value_int32(-7));
    table_set(&arena, &arguments, "int64", value_int64(INT64_MIN));
    table_set(&arena, &arguments, "float", (struct value){.type = VALUE_FLOAT, .real = 0.5});
    table_set(&arena, &arguments, "double", (struct value){.type = VALUE_DOUBLE, .real = 0.1});
    table_set(&arena, &arguments, "decimal",
              (struct value){.type = VALUE_DECIMAL, .decimal = {.scale = 2, .unscaled = -199}});
    table_set(&arena, &arguments, "string", value_string(bytes_of("\0\x80", 2)));
    table_set(&arena, &arguments, "bytes",
              (struct value){.type = VALUE_BYTES, .bytes = text("raw")});
    table_set(&arena, &arguments, "time", value_timestamp(1));
    table_set(&arena, &arguments, "void", value_void());
    table_set(&arena, &inner, "bool", value_boolean(true));
    value_array_append(&arena, &list, value_table(inner));
    table_set(&arena, &arguments, "array", value_array(list));
    e.arguments = &arguments;
    q.arguments = &arguments;

    d = expect_definitions(path);
    definitions_add_exchange(d, &e, NOBODY);
    definitions_add_queue(d, &q, NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    before = definitions_text(d, NULL);
    /* The tables' own bytes: each type has its octet in them. */
    for (const char *type = "bBIlfdDSxTVAFt"; *type != '\0'; type++) {
        char octet[3];

        snprintf(octet, sizeof(octet), "%02x", *type);
        ck_assert_ptr_nonnull(strstr(before, octet));
    }
    ck_assert_ptr_nonnull(strstr(before, "exchange a b:"));
    ck_assert_ptr_nonnull(strstr(before, " x-custom auto_delete internal ["));
    ck_assert_ptr_nonnull(strstr(before, "queue a b: id=3 shard=4294967295 auto_delete ["));
    definitions_close(d);
    expect_text(before);
    free(before);
    arena_free(&arena);
    finish();
}
END_TEST

static void add_delayed(struct definitions *d, const char *vhost, const char *name, uint64_t id)
{
    struct exchange_definition e = {.vhost = text(vhost),
                                    .name = text(name),
                                    .type = text("x-delayed-message"),
                                    .delays_id = id,
                                    .delays_shard = 2};

    definitions_add_exchange(d, &e, NOBODY);
}

START_TEST(delays_come_and_go_with_their_exchange)
{
    struct definitions *d;

    start();
    d = expect_definitions(path);
    definitions_add_vhost(d, text("/"), NOBODY);
    add_delayed(d, "/", "stays", 5);
    add_delayed(d, "/", "goes", 6);
    add_delayed(d, "/", "comes back", 7);
    add_delayed(d, "other", "goes with its vhost", 8);
    definitions_remove_exchange(d, text("/"), text("goes"), NOBODY);
    definitions_remove_exchange(d, text("/"), text("comes back"), NOBODY);
    add_delayed(d, "/", "comes back", 9);
    definitions_remove_vhost(d, text("other"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text("vhost /\n"
                "exchange /:comes back x-delayed-message []\n"
                "exchange /:stays x-delayed-message []\n"
                "delays /:comes back id=9 shard=2\n"
                "delays /:stays id=5 shard=2\n");
    finish();
}
END_TEST

START_TEST(users_parameters_and_policies_come_back_as_they_were)
{
    struct table limits = table_empty();
    struct definitions *d;
    struct arena arena;

    start();
    arena_init(&arena);
    table_set(&arena, &limits, "n", value_int32(5));
    d = expect_definitions(path);
    add_policy(d, "/", "p", false, &limits);
    add_policy(d, "/", "p", true, NULL); /* another of the same name */
    add_parameter(d, "/", "vhost-limits", "limits", value_table(limits));
    add_parameter(d, "", "c", "one", value_int64(1));
    add_parameter(d, "", "c", "void", value_void());
    add_topic_permission(d, "/", "u", "amq.topic");
    add_permission(d, "/", "u", "r.*");
    add_user(d, "u", "$6$hash", "administrator,monitoring");
    add_user(d, "nobody", "", "");
    definitions_add_vhost(d, text("/"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text("vhost /\n"
                "user nobody '' ''\n"
                "user u '$6$hash' 'administrator,monitoring'\n"
                "permission /:u 'c' '' 'r.*'\n"
                "topic permission /:u amq.topic 'w' 'r'\n"
                "parameter :c one 6c0000000000000001\n"
                "parameter :c void 56\n"
                "parameter /:vhost-limits limits 4600000007016e4900000005\n"
                "policy /:p '^q\\.' queues -3 [016e4900000005]\n"
                "operator policy /:p '^q\\.' queues -3 []\n");
    arena_free(&arena);
    finish();
}
END_TEST

START_TEST(users_parameters_and_policies_are_replaced_and_removed)
{
    struct definitions *d;

    start();
    d = expect_definitions(path);
    add_user(d, "u", "old", "");
    add_user(d, "u", "new", "management");
    add_permission(d, "/", "u", "old");
    add_permission(d, "/", "u", "new");
    add_permission(d, "v", "u", "r");
    add_topic_permission(d, "/", "u", "x");
    add_topic_permission(d, "/", "u", "y");
    add_topic_permission(d, "v", "u", "x");
    add_topic_permission(d, "v", "u", "y");
    add_parameter(d, "", "c", "n", value_int32(1));
    add_parameter(d, "", "c", "n", value_int32(2));
    add_parameter(d, "v", "c", "n", value_int32(3));
    add_policy(d, "/", "p", false, NULL);
    add_policy(d, "/", "p", true, NULL);
    definitions_remove_permission(d, text("v"), text("u"), NOBODY);
    definitions_remove_topic_permission(d, text("/"), text("u"), text("x"), NOBODY);
    definitions_remove_topic_permissions(d, text("v"), text("u"), NOBODY);
    definitions_remove_parameter(d, text("v"), text("c"), text("n"), NOBODY);
    definitions_remove_policy(d, text("/"), text("p"), false, NOBODY);
    definitions_remove_user(d, text("not there"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text("user u 'new' 'management'\n"
                "permission /:u 'c' '' 'new'\n"
                "topic permission /:u y 'w' 'r'\n"
                "parameter :c n 4900000002\n"
                "operator policy /:p '^q\\.' queues -3 []\n");
    finish();
}
END_TEST

START_TEST(removing_a_user_removes_what_is_the_users_and_no_more)
{
    struct definitions *d;

    start();
    d = expect_definitions(path);
    add_user(d, "u", "", "");
    add_user(d, "other", "", "");
    add_permission(d, "/", "u", "r");
    add_permission(d, "v", "u", "r");
    add_permission(d, "v", "other", "r");
    add_topic_permission(d, "v", "u", "x");
    add_topic_permission(d, "v", "other", "x");
    add_parameter(d, "", PARAMETER_USER_LIMITS, "u", value_int32(1));
    add_parameter(d, "", PARAMETER_USER_LIMITS, "other", value_int32(2));
    add_parameter(d, "", "something", "u", value_int32(3));
    add_parameter(d, "v", PARAMETER_USER_LIMITS, "u", value_int32(4));
    definitions_remove_user(d, text("u"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text("user other '' ''\n"
                "permission v:other 'c' '' 'r'\n"
                "topic permission v:other x 'w' 'r'\n"
                "parameter :something u 4900000003\n"
                "parameter :user-limits other 4900000002\n"
                "parameter v:user-limits u 4900000004\n");
    finish();
}
END_TEST

START_TEST(adding_again_replaces_and_removing_what_is_not_there_is_fine)
{
    struct definitions *d;

    start();
    d = expect_definitions(path);
    add_queue(d, "q", 1);
    add_queue(d, "q", 2);
    definitions_remove_queue(d, text("/"), text("other"), NOBODY);
    definitions_remove_exchange(d, text("/"), text("other"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text("queue /:q id=2 shard=1 []\n");
    finish();
}
END_TEST

START_TEST(removing_a_queue_or_exchange_removes_its_bindings_and_no_others)
{
    struct definitions *d;

    start();
    d = expect_definitions(path);
    bind_queue(d, "x", "q", "1");
    bind_queue(d, "x", "q", "2");
    bind_queue(d, "y", "q", "3");
    bind_queue(d, "y", "other", "4");
    bind_exchange(d, "y", "q"); /* an exchange of the queue's name */
    bind_exchange(d, "z", "y");
    definitions_remove_queue(d, text("/"), text("q"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text("binding /:y -> queue other '4' []\n"
                "binding /:y -> exchange q '' []\n"
                "binding /:z -> exchange y '' []\n");

    d = expect_definitions(path);
    bind_queue(d, "z", "q", "5");
    bind_queue(d, "y", "y", "6");
    definitions_remove_exchange(d, text("/"), text("y"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text("binding /:z -> queue q '5' []\n");
    finish();
}
END_TEST

START_TEST(removing_a_vhost_removes_what_is_in_it)
{
    struct queue_definition elsewhere = {.vhost = text("v"), .name = text("q"), .id = 9};
    struct definitions *d;

    start();
    d = expect_definitions(path);
    definitions_add_vhost(d, text("/"), NOBODY);
    definitions_add_vhost(d, text("v"), NOBODY);
    add_exchange(d, "x");
    add_queue(d, "q", 1);
    bind_queue(d, "x", "q", "");
    definitions_add_queue(d, &elsewhere, NOBODY);
    add_user(d, "u", "", "");
    for (unsigned i = 0; i < 2; i++) {
        const char *vhost = i == 0 ? "/" : "v";

        add_permission(d, vhost, "u", "r");
        add_topic_permission(d, vhost, "u", "x");
        add_parameter(d, vhost, "c", "n", value_int32(1));
        add_policy(d, vhost, "p", false, NULL);
        add_policy(d, vhost, "p", true, NULL);
    }
    definitions_remove_vhost(d, text("/"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text("vhost v\n"
                "user u '' ''\n"
                "permission v:u 'c' '' 'r'\n"
                "topic permission v:u x 'w' 'r'\n"
                "parameter v:c n 4900000001\n"
                "policy v:p '^q\\.' queues -3 []\n"
                "operator policy v:p '^q\\.' queues -3 []\n"
                "queue v:q id=9 shard=0 []\n");
    finish();
}
END_TEST

START_TEST(binding_is_removed_by_equal_arguments_however_they_are_written)
{
    struct binding_definition b = {
        .vhost = text("/"), .source = text("h"), .destination = text("q")};
    struct table added = table_empty();
    struct table removed = table_empty();
    struct table kept = table_empty();
    struct definitions *d;
    struct arena arena;

    start();
    arena_init(&arena);
    table_set(&arena, &added, "a", value_int32(1));
    table_set(&arena, &added, "b", value_string(text("s")));
    table_set(&arena, &removed, "b", value_string(text("s")));
    table_set(&arena, &removed, "a", value_int64(1));
    table_set(&arena, &kept, "a", value_int32(2));
    d = expect_definitions(path);
    b.arguments = &added;
    definitions_add_binding(d, &b, NOBODY);
    b.arguments = &kept;
    definitions_add_binding(d, &b, NOBODY);
    b.arguments = &removed;
    definitions_remove_binding(d, &b, NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text("binding /:h -> queue q '' [01614900000002]\n");
    arena_free(&arena);
    finish();
}
END_TEST

/* ---- Ids ---- */

START_TEST(queue_id_is_never_given_twice_even_after_kill)
{
    uint64_t highest = 0;

    start();
    for (unsigned round = 0; round < 3; round++) {
        int pipe_fds[2];
        uint64_t id = 0;
        pid_t child;

        ck_assert_int_eq(pipe(pipe_fds), 0);
        child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            struct definitions *d = expect_definitions(path);

            for (unsigned i = 0; i < 1000; i++) {
                id = definitions_next_queue_id(d);
                if (write(pipe_fds[1], &id, sizeof(id)) != sizeof(id))
                    _exit(1);
            }
            kill(getpid(), SIGKILL);
        }
        close(pipe_fds[1]);
        for (unsigned i = 0; i < 1000; i++) {
            ck_assert_int_eq(read(pipe_fds[0], &id, sizeof(id)), sizeof(id));
            ck_assert_uint_gt(id, highest);
            highest = id;
        }
        close(pipe_fds[0]);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
    }
    finish();
}
END_TEST

START_TEST(more_ids_are_reserved_before_they_run_out)
{
    struct definitions *d;
    uint64_t last = 0;

    start();
    d = expect_definitions(path);
    for (unsigned i = 0; i < 3 * 1024 * 1024; i++) {
        uint64_t id = definitions_next_queue_id(d);

        if (id != last + 1)
            ck_abort_msg("%llu follows %llu", (unsigned long long)id, (unsigned long long)last);
        last = id;
    }
    definitions_close(d);
    d = expect_definitions(path);
    ck_assert_uint_gt(definitions_next_queue_id(d), last);
    definitions_close(d);
    finish();
}
END_TEST

/* ---- Many at once ---- */

enum {
    THREADS = 4,
    QUEUES_EACH = 250,
};

struct declarer {
    struct definitions *d;
    unsigned number;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t came;
    unsigned answers;
    int worst;
};

static void on_declared(void *context, int result)
{
    struct declarer *w = context;

    pthread_mutex_lock(&w->mutex);
    w->answers++;
    if (result != 0)
        w->worst = result;
    pthread_cond_signal(&w->came);
    pthread_mutex_unlock(&w->mutex);
}

static void *declare(void *context)
{
    struct declarer *w = context;

    for (unsigned i = 0; i < QUEUES_EACH; i++) {
        struct queue_definition q = {.vhost = text("/"), .id = definitions_next_queue_id(w->d)};
        char name[32];

        snprintf(name, sizeof(name), "%u-%u", w->number, i);
        q.name = text(name);
        definitions_add_queue(w->d, &q, (struct definitions_done){on_declared, w});
        memset(name, 'x', sizeof(name)); /* it was copied */
    }
    pthread_mutex_lock(&w->mutex);
    while (w->answers < QUEUES_EACH)
        pthread_cond_wait(&w->came, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

static void count_queue(void *context, const struct queue_definition *q)
{
    bool *seen = context;

    ck_assert_uint_le(q->id, THREADS * QUEUES_EACH);
    ck_assert(!seen[q->id]);
    seen[q->id] = true;
    seen[0] = true;
}

START_TEST(threads_declare_at_once_and_each_is_answered)
{
    struct declarer declarers[THREADS];
    bool seen[THREADS * QUEUES_EACH + 1] = {false};
    struct definitions_visitor visitor = {.context = seen, .queue = count_queue};
    struct definitions *d;

    start();
    d = expect_definitions(path);
    for (unsigned i = 0; i < THREADS; i++) {
        declarers[i] = (struct declarer){.d = d, .number = i};
        pthread_mutex_init(&declarers[i].mutex, NULL);
        pthread_cond_init(&declarers[i].came, NULL);
        ck_assert_int_eq(pthread_create(&declarers[i].thread, NULL, declare, &declarers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(declarers[i].thread, NULL);
        ck_assert_int_eq(declarers[i].worst, 0);
    }
    definitions_close(d);
    d = expect_definitions(path);
    ck_assert_int_eq(definitions_read(d, &visitor, error, sizeof(error)), 0);
    for (unsigned i = 0; i <= THREADS * QUEUES_EACH; i++)
        ck_assert(seen[i]);
    definitions_close(d);
    finish();
}
END_TEST

START_TEST(closing_commits_what_is_queued)
{
    struct definitions *d;

    start();
    d = expect_definitions(path);
    add_queue(d, "q", 1);
    definitions_close(d);
    expect_text("queue /:q id=1 shard=1 []\n");
    finish();
}
END_TEST

START_TEST(what_was_committed_outlives_a_kill)
{
    pid_t child;
    int status;

    start();
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct definitions *d = expect_definitions(path);

        add_queue(d, "q", 1);
        if (wait_for_definitions(d) == 0)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    expect_text("queue /:q id=1 shard=1 []\n");
    finish();
}
END_TEST

/* ---- Who may open it ---- */

START_TEST(second_process_is_refused_and_may_come_later)
{
    struct definitions *first;
    struct definitions *second;

    start();
    first = expect_definitions(path);
    ck_assert_int_eq(definitions_open(&second, path, error, sizeof(error)), -EBUSY);
    ck_assert_ptr_null(second);
    ck_assert_ptr_nonnull(strstr(error, "is in use by another process"));
    add_queue(first, "q", 1); /* and the first goes on */
    ck_assert_int_eq(wait_for_definitions(first), 0);
    definitions_close(first);
    expect_text("queue /:q id=1 shard=1 []\n");
    finish();
}
END_TEST

static void make_sqlite_file(const char *sql)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void expect_refused(int expected, const char *line)
{
    struct buffer before = read_test_file(path);
    struct buffer after;
    struct definitions *d;

    ck_assert_int_eq(definitions_open(&d, path, error, sizeof(error)), expected);
    ck_assert_ptr_null(d);
    ck_assert_msg(strstr(error, line) != NULL, "%s", error);
    ck_assert_ptr_null(strchr(error, '\n'));
    after = read_test_file(path);
    ck_assert(bytes_equal(buffer_bytes(&before), buffer_bytes(&after)));
    buffer_free(&before);
    buffer_free(&after);
}

START_TEST(newer_schema_is_refused_and_not_touched)
{
    char line[TEST_ERROR_SIZE];

    start();
    make_sqlite_file("PRAGMA application_id=0x6c767274; PRAGMA user_version=99;"
                     "CREATE TABLE of_the_future (a)");
    snprintf(line, sizeof(line), "has schema version 99, newer than this leveret's %d",
             DEFINITIONS_MIGRATIONS.count);
    expect_refused(-ENOTSUP, line);
    finish();
}
END_TEST

static void make_newer_file_with_log(bool checkpoint)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db,
                                  "PRAGMA journal_mode=WAL; PRAGMA application_id=0x6c767274;"
                                  "PRAGMA user_version=99; CREATE TABLE of_the_future (a)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, checkpoint ? 0 : 1, NULL),
        SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

START_TEST(log_of_a_newer_schema_is_left_as_it_is)
{
    struct buffer before;
    struct buffer after;
    char wal[TEST_PATH_SIZE];

    start();
    join_path(wal, directory, "definitions.sqlite-wal");
    make_newer_file_with_log(false);
    before = read_test_file(wal);
    ck_assert_uint_gt(before.size, 0);
    expect_refused(-ENOTSUP, "has schema version 99");
    after = read_test_file(wal);
    ck_assert(bytes_equal(buffer_bytes(&before), buffer_bytes(&after)));
    buffer_free(&before);
    buffer_free(&after);
    finish();
}
END_TEST

START_TEST(newer_schema_without_a_log_is_left_without)
{
    char wal[TEST_PATH_SIZE];

    start();
    join_path(wal, directory, "definitions.sqlite-wal");
    make_newer_file_with_log(true);
    expect_refused(-ENOTSUP, "has schema version 99");
    ck_assert_int_eq(access(wal, F_OK), -1);
    finish();
}
END_TEST

START_TEST(foreign_file_is_refused_and_not_touched)
{
    start();
    make_sqlite_file("CREATE TABLE bookmarks (a)");
    expect_refused(-EBADMSG, "not a definitions file of leveret");
    write_test_file(path, text("root:x:0:0:root:/root:/bin/sh\n"));
    expect_refused(-EBADMSG, "damaged");
    finish();
}
END_TEST

START_TEST(missing_directory_and_directory_as_file_are_told)
{
    struct definitions *d;

    start();
    ck_assert_int_eq(definitions_open(&d, directory, error, sizeof(error)), -EISDIR);
    ck_assert_ptr_nonnull(strstr(error, directory));
    join_path(path, directory, "missing/definitions.sqlite");
    ck_assert_int_eq(definitions_open(&d, path, error, sizeof(error)), -ENOENT);
    ck_assert_ptr_nonnull(strstr(error, "missing/definitions.sqlite: cannot be opened"));
    finish();
}
END_TEST

/* ---- Migration ---- */

START_TEST(empty_files_get_the_schema)
{
    start();
    write_test_file(path, bytes_of(NULL, 0));
    expect_text("");
    ck_assert_int_eq(unlink(path), 0);
    make_sqlite_file("PRAGMA application_id=0x6c767274");
    expect_text("");
    finish();
}
END_TEST

static const struct migration TWO_STEPS[] = {
    {"CREATE TABLE things (name BLOB NOT NULL)"},
    {"ALTER TABLE things ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey';"
     "UPDATE things SET colour = 'red' WHERE name = x'61'"},
};
static const struct migration FAILING_STEP[] = {
    {"CREATE TABLE things (name BLOB NOT NULL)"},
    {"UPDATE things SET name = x'ff'; ALTER TABLE missing ADD COLUMN colour TEXT"},
};

static int migrate(const struct migration *steps, int count, int *version)
{
    struct migrations m = {.steps = steps, .count = count};
    struct error_line line = {.text = error, .size = sizeof(error)};
    sqlite3 *db;
    int rc;

    ck_assert_int_eq(definitions_connect(&db, path, SQLITE_OPEN_READWRITE, line), 0);
    rc = definitions_schema_inspect(db, &m, path, version, line);
    if (rc == 0)
        rc = definitions_schema_migrate(db, &m, path, *version, line);
    sqlite3_close(db);
    return rc;
}

static sqlite3_int64 query(const char *sql)
{
    sqlite3_int64 out = -1;
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(definitions_query_integer(db, sql, &out), SQLITE_OK);
    sqlite3_close(db);
    return out;
}

START_TEST(older_schema_is_brought_up_with_its_data)
{
    int version = -1;

    start();
    make_sqlite_file("PRAGMA application_id=0x6c767274; PRAGMA user_version=1;"
                     "CREATE TABLE things (name BLOB NOT NULL);"
                     "INSERT INTO things VALUES (x'61'), (x'62')");
    ck_assert_int_eq(migrate(TWO_STEPS, 2, &version), 0);
    ck_assert_int_eq(version, 1);
    ck_assert_int_eq(query("PRAGMA user_version"), 2);
    ck_assert_int_eq(query("SELECT count(*) FROM things WHERE colour = 'red'"), 1);
    ck_assert_int_eq(query("SELECT count(*) FROM things WHERE colour = 'grey'"), 1);
    ck_assert_int_eq(migrate(TWO_STEPS, 2, &version), 0); /* and there is nothing left to do */
    ck_assert_int_eq(version, 2);
    ck_assert_int_eq(migrate(TWO_STEPS, 1, &version), -ENOTSUP);
    finish();
}
END_TEST

START_TEST(step_that_fails_leaves_the_file_as_it_was)
{
    int version;

    start();
    make_sqlite_file("PRAGMA application_id=0x6c767274; PRAGMA user_version=1;"
                     "CREATE TABLE things (name BLOB NOT NULL);"
                     "INSERT INTO things VALUES (x'61')");
    ck_assert_int_lt(migrate(FAILING_STEP, 2, &version), 0);
    ck_assert_ptr_nonnull(strstr(error, "cannot be brought to schema version 2"));
    ck_assert_int_eq(query("PRAGMA user_version"), 1);
    ck_assert_int_eq(query("SELECT count(*) FROM things WHERE name = x'61'"), 1);
    finish();
}
END_TEST

/* A file of the first version of the program's own schema, as an older leveret wrote it. */
START_TEST(definitions_of_an_older_version_are_brought_up)
{
    struct migrations first = {.steps = DEFINITIONS_MIGRATIONS.steps, .count = 1};
    struct error_line line = {.text = error, .size = sizeof(error)};
    struct definitions *d;
    sqlite3 *db;
    int version = -1;

    start();
    write_test_file(path, bytes_of(NULL, 0));
    ck_assert_int_eq(definitions_connect(&db, path, SQLITE_OPEN_READWRITE, line), 0);
    ck_assert_int_eq(definitions_schema_inspect(db, &first, path, &version, line), 0);
    ck_assert_int_eq(definitions_schema_migrate(db, &first, path, version, line), 0);
    sqlite3_close(db);
    ck_assert_int_eq(query("PRAGMA user_version"), 1);

    d = expect_definitions(path);
    add_user(d, "u", "", "");
    add_permission(d, "/", "u", "r");
    definitions_remove_user(d, text("u"), NOBODY);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    ck_assert_int_eq(query("PRAGMA user_version"), DEFINITIONS_MIGRATIONS.count);
    expect_text("");
    finish();
}
END_TEST

/* ---- Backup ---- */

START_TEST(backup_is_whole_while_changes_go_on)
{
    char copy[TEST_PATH_SIZE];
    struct definitions *d;
    char *found;

    start();
    join_path(copy, directory, "copy.sqlite");
    d = expect_definitions(path);
    for (unsigned i = 1; i <= 100; i++) {
        char name[32];

        snprintf(name, sizeof(name), "q%u", i);
        add_queue(d, name, i);
    }
    ck_assert_int_eq(wait_for_definitions(d), 0);
    add_queue(d, "late", 101); /* in it or not, but whole */
    ck_assert_msg(definitions_backup(path, copy, error, sizeof(error)) == 0, "%s", error);
    definitions_close(d);
    ck_assert_msg(definitions_verify(copy, error, sizeof(error)) == 0, "%s", error);

    d = expect_definitions(copy);
    found = definitions_text(d, NULL);
    ck_assert_ptr_nonnull(strstr(found, "queue /:q1 id=1 "));
    ck_assert_ptr_nonnull(strstr(found, "queue /:q100 id=100 "));
    free(found);
    ck_assert_uint_gt(definitions_next_queue_id(d), 101);
    definitions_close(d);
    finish();
}
END_TEST

START_TEST(backup_overwrites_nothing_and_tells_what_is_missing)
{
    char copy[TEST_PATH_SIZE];
    struct buffer content;

    start();
    join_path(copy, directory, "copy.sqlite");
    ck_assert_int_eq(definitions_backup(path, copy, error, sizeof(error)), -ENOENT);
    ck_assert_int_ne(access(copy, F_OK), 0);
    definitions_close(expect_definitions(path));
    write_test_file(copy, text("mine"));
    ck_assert_int_eq(definitions_backup(path, copy, error, sizeof(error)), -EEXIST);
    ck_assert_ptr_nonnull(strstr(error, copy));
    content = read_test_file(copy);
    ck_assert(bytes_equal(buffer_bytes(&content), text("mine")));
    buffer_free(&content);
    finish();
}
END_TEST

UNIT_MAIN("definitions", what_was_added_is_there_after_a_restart_in_declarable_order,
          every_field_and_argument_comes_back_as_it_was, delays_come_and_go_with_their_exchange,
          users_parameters_and_policies_come_back_as_they_were,
          users_parameters_and_policies_are_replaced_and_removed,
          removing_a_user_removes_what_is_the_users_and_no_more,
          adding_again_replaces_and_removing_what_is_not_there_is_fine,
          removing_a_queue_or_exchange_removes_its_bindings_and_no_others,
          removing_a_vhost_removes_what_is_in_it,
          binding_is_removed_by_equal_arguments_however_they_are_written,
          queue_id_is_never_given_twice_even_after_kill, more_ids_are_reserved_before_they_run_out,
          threads_declare_at_once_and_each_is_answered, closing_commits_what_is_queued,
          what_was_committed_outlives_a_kill, second_process_is_refused_and_may_come_later,
          newer_schema_is_refused_and_not_touched, log_of_a_newer_schema_is_left_as_it_is,
          newer_schema_without_a_log_is_left_without, foreign_file_is_refused_and_not_touched,
          missing_directory_and_directory_as_file_are_told, empty_files_get_the_schema,
          older_schema_is_brought_up_with_its_data, step_that_fails_leaves_the_file_as_it_was,
          definitions_of_an_older_version_are_brought_up, backup_is_whole_while_changes_go_on,
          backup_overwrites_nothing_and_tells_what_is_missing)
