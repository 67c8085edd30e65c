#include "tests/unit/store_helpers.h"

#include "amqp/table.h"

#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void make_test_directory(char out[TEST_PATH_SIZE])
{
    const char *tmp = getenv("TMPDIR");

    snprintf(out, TEST_PATH_SIZE, "%s/leveret-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(out));
}

void join_path(char out[TEST_PATH_SIZE], const char *directory, const char *name)
{
    int n = snprintf(out, TEST_PATH_SIZE, "%s/%s", directory, name);

    ck_assert(n > 0 && n < TEST_PATH_SIZE);
}

void remove_test_directory(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)) != NULL) {
        char inside[TEST_PATH_SIZE];
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        join_path(inside, path, entry->d_name);
        ck_assert_int_eq(lstat(inside, &st), 0);
        if (S_ISDIR(st.st_mode))
            remove_test_directory(inside);
        else
            ck_assert_int_eq(unlink(inside), 0);
    }
    closedir(dir);
    ck_assert_int_eq(rmdir(path), 0);
}

struct buffer read_test_file(const char *path)
{
    struct buffer content;
    FILE *f = fopen(path, "re");
    size_t n;

    ck_assert_msg(f != NULL, "%s", path);
    buffer_init(&content);
    do {
        n = fread(buffer_reserve(&content, 65536), 1, 65536, f);
        content.size += n;
    } while (n != 0);
    fclose(f);
    return content;
}

void write_test_file(const char *path, struct bytes content)
{
    FILE *f = fopen(path, "we");

    ck_assert_msg(f != NULL, "%s", path);
    if (content.size != 0)
        ck_assert_uint_eq(fwrite(content.data, 1, content.size, f), content.size);
    ck_assert_int_eq(fclose(f), 0);
}

struct definitions *expect_definitions(const char *path)
{
    char error[TEST_ERROR_SIZE] = "";
    struct definitions *d;

    ck_assert_msg(definitions_open(&d, path, error, sizeof(error)) == 0, "%s", error);
    return d;
}

/* ---- Waiting ---- */

struct answer {
    pthread_mutex_t mutex;
    pthread_cond_t came;
    bool here;
    int result;
};

static void on_answer(void *context, int result)
{
    struct answer *a = context;

    pthread_mutex_lock(&a->mutex);
    a->here = true;
    a->result = result;
    pthread_cond_signal(&a->came);
    pthread_mutex_unlock(&a->mutex);
}

int wait_for_definitions(struct definitions *d)
{
    struct answer a = {.here = false};

    pthread_mutex_init(&a.mutex, NULL);
    pthread_cond_init(&a.came, NULL);
    definitions_barrier(d, (struct definitions_done){.call = on_answer, .context = &a});
    pthread_mutex_lock(&a.mutex);
    while (!a.here)
        pthread_cond_wait(&a.came, &a.mutex);
    pthread_mutex_unlock(&a.mutex);
    pthread_cond_destroy(&a.came);
    pthread_mutex_destroy(&a.mutex);
    return a.result;
}

/* ---- Text ---- */

static void add_arguments(struct buffer *out, const struct table *arguments)
{
    struct buffer encoded;

    buffer_init(&encoded);
    amqp_table_encode_fields(arguments, &encoded);
    buffer_append_format(out, " [");
    for (size_t i = 0; i < encoded.size; i++)
        buffer_append_format(out, "%02x", encoded.data[i]);
    buffer_append_format(out, "]\n");
    buffer_free(&encoded);
}

static void on_vhost(void *context, struct bytes name)
{
    buffer_append_format(context, "vhost %.*s\n", BYTES_ARGS(name));
}

static void on_user(void *context, const struct user_definition *u)
{
    buffer_append_format(context, "user %.*s '%.*s' '%.*s'\n", BYTES_ARGS(u->name),
                         BYTES_ARGS(u->password_hash), BYTES_ARGS(u->tags));
}

static void on_permission(void *context, const struct permission_definition *p)
{
    buffer_append_format(context, "permission %.*s:%.*s '%.*s' '%.*s' '%.*s'\n",
                         BYTES_ARGS(p->vhost), BYTES_ARGS(p->user), BYTES_ARGS(p->configure),
                         BYTES_ARGS(p->write), BYTES_ARGS(p->read));
}

static void on_topic_permission(void *context, const struct topic_permission_definition *p)
{
    buffer_append_format(context, "topic permission %.*s:%.*s %.*s '%.*s' '%.*s'\n",
                         BYTES_ARGS(p->vhost), BYTES_ARGS(p->user), BYTES_ARGS(p->exchange),
                         BYTES_ARGS(p->write), BYTES_ARGS(p->read));
}

static void on_parameter(void *context, const struct parameter_definition *p)
{
    struct buffer encoded;

    buffer_init(&encoded);
    amqp_value_encode(p->value, &encoded);
    buffer_append_format(context, "parameter %.*s:%.*s %.*s ", BYTES_ARGS(p->vhost),
                         BYTES_ARGS(p->component), BYTES_ARGS(p->name));
    for (size_t i = 0; i < encoded.size; i++)
        buffer_append_format(context, "%02x", encoded.data[i]);
    buffer_append_format(context, "\n");
    buffer_free(&encoded);
}

static void on_policy(void *context, const struct policy_definition *p)
{
    buffer_append_format(context, "%spolicy %.*s:%.*s '%.*s' %.*s %lld",
                         p->operator_policy ? "operator " : "", BYTES_ARGS(p->vhost),
                         BYTES_ARGS(p->name), BYTES_ARGS(p->pattern), BYTES_ARGS(p->apply_to),
                         (long long)p->priority);
    add_arguments(context, p->definition);
}

static void on_exchange(void *context, const struct exchange_definition *e)
{
    buffer_append_format(context, "exchange %.*s:%.*s %.*s%s%s", BYTES_ARGS(e->vhost),
                         BYTES_ARGS(e->name), BYTES_ARGS(e->type),
                         e->auto_delete ? " auto_delete" : "", e->internal ? " internal" : "");
    add_arguments(context, e->arguments);
}

static void on_delays(void *context, const struct delays_definition *d)
{
    buffer_append_format(context, "delays %.*s:%.*s id=%llu shard=%u\n", BYTES_ARGS(d->vhost),
                         BYTES_ARGS(d->exchange), (unsigned long long)d->id, d->shard);
}

static void on_queue(void *context, const struct queue_definition *q)
{
    buffer_append_format(context, "queue %.*s:%.*s id=%llu shard=%u%s", BYTES_ARGS(q->vhost),
                         BYTES_ARGS(q->name), (unsigned long long)q->id, q->shard,
                         q->auto_delete ? " auto_delete" : "");
    add_arguments(context, q->arguments);
}

static void on_binding(void *context, const struct binding_definition *b)
{
    buffer_append_format(context, "binding %.*s:%.*s -> %s %.*s '%.*s'", BYTES_ARGS(b->vhost),
                         BYTES_ARGS(b->source), b->to_exchange ? "exchange" : "queue",
                         BYTES_ARGS(b->destination), BYTES_ARGS(b->routing_key));
    add_arguments(context, b->arguments);
}

char *definitions_text(struct definitions *d, int *rc)
{
    char error[TEST_ERROR_SIZE] = "";
    struct buffer out;
    struct definitions_visitor visitor = {
        .context = &out,
        .vhost = on_vhost,
        .user = on_user,
        .permission = on_permission,
        .topic_permission = on_topic_permission,
        .parameter = on_parameter,
        .policy = on_policy,
        .exchange = on_exchange,
        .delays = on_delays,
        .queue = on_queue,
        .binding = on_binding,
    };
    char *text;
    int result;

    buffer_init(&out);
    result = definitions_read(d, &visitor, error, sizeof(error));
    if (rc != NULL)
        *rc = result;
    else
        ck_assert_msg(result == 0, "%s", error);
    ck_assert_msg(result == 0 || error[0] != '\0', "an error without a line");
    text = bytes_to_string(buffer_bytes(&out));
    buffer_free(&out);
    return text;
}
