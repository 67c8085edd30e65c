/* Damage to the definitions: whatever happens to the file or its write-ahead log, it is told, or it
 * has changed nothing of what is read. */
#include "base/log.h"
#include "base/random.h"
#include "store/definitions.h"
#include "tests/unit/store_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[TEST_PATH_SIZE];
static char path[TEST_PATH_SIZE];
static char wal[TEST_PATH_SIZE];
static char shm[TEST_PATH_SIZE];
static char log_path[TEST_PATH_SIZE];
static const struct definitions_done NOBODY = {.call = NULL};

/* No test here needs what it writes to be safe from a power failure, and /dev/shm is quick. */
static void start(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    make_test_directory(directory);
    join_path(path, directory, "definitions.sqlite");
    join_path(wal, directory, "definitions.sqlite-wal");
    join_path(shm, directory, "definitions.sqlite-shm");
    join_path(log_path, directory, "log");
    ck_assert_int_eq(log_open_file(log_path), 0);
}

static void finish(void)
{
    log_open_file(NULL);
    remove_test_directory(directory);
}

struct gate {
    sem_t reached;
    sem_t open;
};

static void stand_at_gate(void *context, int result)
{
    struct gate *g = context;

    (void)result;
    sem_post(&g->reached);
    while (sem_wait(&g->open) != 0)
        continue;
}

/* Keeps the writer from working until all of a change is queued, so that it is one commit. */
static void close_gate(struct definitions *d, struct gate *g)
{
    sem_init(&g->reached, 0, 0);
    sem_init(&g->open, 0, 0);
    definitions_barrier(d, (struct definitions_done){stand_at_gate, g});
    while (sem_wait(&g->reached) != 0)
        continue;
}

/* A user, and what the tables beside the topology can hold, under one name. */
static void add_user(struct definitions *d, struct bytes name)
{
    const struct bytes vhost = bytes_from_string("/");
    const struct bytes pattern = bytes_from_string("^a\\.");
    const struct user_definition u = {.name = name, .password_hash = bytes_from_string("$6$")};
    const struct permission_definition p = {.vhost = vhost, .user = name, .read = pattern};
    const struct topic_permission_definition t = {
        .vhost = vhost, .user = name, .exchange = name, .write = pattern};
    const struct value limit = value_int64(7);
    const struct parameter_definition limits = {
        .component = bytes_from_string("user-limits"), .name = name, .value = &limit};
    const struct policy_definition policy = {.vhost = vhost,
                                             .name = name,
                                             .pattern = pattern,
                                             .apply_to = bytes_from_string("all"),
                                             .priority = 1};

    definitions_add_user(d, &u, NOBODY);
    definitions_add_permission(d, &p, NOBODY);
    definitions_add_topic_permission(d, &t, NOBODY);
    definitions_add_parameter(d, &limits, NOBODY);
    definitions_add_policy(d, &policy, NOBODY);
}

static void add_some(struct definitions *d, unsigned from, unsigned count)
{
    struct gate gate;

    close_gate(d, &gate);
    definitions_add_vhost(d, bytes_from_string("/"), NOBODY);
    for (unsigned i = from; i < from + count; i++) {
        struct exchange_definition e = {.vhost = bytes_from_string("/"),
                                        .type = bytes_from_string("topic")};
        struct queue_definition q = {.vhost = bytes_from_string("/"), .id = i + 1, .shard = i % 2};
        struct binding_definition b = {.vhost = bytes_from_string("/"),
                                       .routing_key = bytes_from_string("a.*.b")};
        char name[32];

        snprintf(name, sizeof(name), "name-%u", i);
        e.name = q.name = b.source = b.destination = bytes_from_string(name);
        definitions_add_exchange(d, &e, NOBODY);
        definitions_add_queue(d, &q, NOBODY);
        definitions_add_binding(d, &b, NOBODY);
        if (i % 4 == 0)
            add_user(d, e.name);
    }
    sem_post(&gate.open);
    ck_assert_int_eq(wait_for_definitions(d), 0);
    sem_destroy(&gate.open);
    sem_destroy(&gate.reached);
}

/* Some pages of everything, with holes where things were removed. */
static struct buffer make_file(char **text)
{
    struct definitions *d = expect_definitions(path);

    add_some(d, 0, 60);
    for (unsigned i = 0; i < 60; i += 3) {
        char name[32];

        snprintf(name, sizeof(name), "name-%u", i);
        definitions_remove_queue(d, bytes_from_string("/"), bytes_from_string(name), NOBODY);
        definitions_remove_exchange(d, bytes_from_string("/"), bytes_from_string(name), NOBODY);
        definitions_remove_user(d, bytes_from_string(name), NOBODY);
    }
    ck_assert_int_eq(wait_for_definitions(d), 0);
    *text = definitions_text(d, NULL);
    definitions_close(d);
    return read_test_file(path);
}

static void put(struct bytes content, struct bytes log)
{
    unlink(shm);
    unlink(wal);
    write_test_file(path, content);
    if (log.size != 0)
        write_test_file(wal, log);
}

/* Opens and reads. Returns 0 when what is there is `text`, or the error, which has its line. */
static int open_and_read(const char *text, const char *what, size_t where)
{
    char error[TEST_ERROR_SIZE] = "";
    struct definitions *d;
    char *found;
    int rc = definitions_open(&d, path, error, sizeof(error));

    if (rc < 0) {
        ck_assert_msg(strncmp(error, path, strlen(path)) == 0, "%s at %zu: %d without a line", what,
                      where, rc);
        ck_assert_msg(rc == -EBADMSG || rc == -ENOTSUP, "%s at %zu: %s", what, where, error);
        return rc;
    }
    found = definitions_text(d, &rc);
    if (rc == 0)
        ck_assert_msg(strcmp(found, text) == 0, "%s at %zu is read in silence", what, where);
    else
        ck_assert_msg(rc == -EBADMSG, "%s at %zu: %d", what, where, rc);
    free(found);
    definitions_close(d);
    return rc;
}

enum {
    FLIPS = 1500,
};

START_TEST(flipped_byte_is_told_or_without_effect)
{
    char *text;
    struct buffer good;
    unsigned told = 0;
    struct random_sequence random;

    start();
    random_sequence_seed(&random, 1);
    good = make_file(&text);
    for (unsigned i = 0; i < FLIPS; i++) {
        /* All of the first page's head, the rest by chance. */
        size_t at = i < 112 ? i : random_sequence_below(&random, good.size);
        uint8_t mask = (uint8_t)(1U << random_sequence_below(&random, 8));

        good.data[at] ^= mask;
        put(buffer_bytes(&good), bytes_of(NULL, 0));
        told += open_and_read(text, "flip", at) < 0;
        good.data[at] ^= mask;
    }
    ck_assert_uint_gt(told, FLIPS / 10);
    put(buffer_bytes(&good), bytes_of(NULL, 0));
    ck_assert_int_eq(open_and_read(text, "nothing", 0), 0);
    buffer_free(&good);
    free(text);
    finish();
}
END_TEST

START_TEST(overwritten_region_is_told_or_without_effect)
{
    enum { REGION = 512 };
    char *text;
    struct buffer good;
    unsigned told = 0;

    start();
    good = make_file(&text);
    for (size_t at = 0; at < good.size; at += REGION * unit_stride()) {
        uint8_t saved[REGION];

        memcpy(saved, good.data + at, REGION);
        for (unsigned filler = 0; filler <= 0xff; filler += 0xff) {
            memset(good.data + at, (int)filler, REGION);
            put(buffer_bytes(&good), bytes_of(NULL, 0));
            told += open_and_read(text, "region", at) < 0;
        }
        memcpy(good.data + at, saved, REGION);
    }
    ck_assert_uint_gt(told, good.size / REGION / 2 / unit_stride());
    buffer_free(&good);
    free(text);
    finish();
}
END_TEST

START_TEST(truncated_file_is_told_or_without_effect)
{
    char *text;
    struct buffer good;
    unsigned told = 0;
    unsigned tried = 0;

    start();
    good = make_file(&text);
    for (size_t size = 1; size < good.size; size += 509 * unit_stride()) {
        put(bytes_of(good.data, size), bytes_of(NULL, 0));
        told += open_and_read(text, "truncation", size) < 0;
        tried++;
    }
    /* The others cut through what no row is in. */
    ck_assert_uint_ge(told, tried - tried / 10);
    buffer_free(&good);
    free(text);
    finish();
}
END_TEST

/* ---- The write-ahead log of a broker that was killed ---- */

enum {
    COMMITS = 5,
};

struct killed {
    struct buffer file;
    struct buffer log;
    char *text; /* of all */
};

static struct killed make_killed(void)
{
    struct killed k;
    struct definitions *d;
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        d = expect_definitions(path);
        for (unsigned i = 0; i < COMMITS; i++)
            add_some(d, i * 10, 10);
        kill(getpid(), SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    k.file = read_test_file(path);
    k.log = read_test_file(wal);
    ck_assert_uint_gt(k.log.size, COMMITS * 4096);
    d = expect_definitions(path);
    k.text = definitions_text(d, NULL);
    definitions_close(d);
    return k;
}

static void killed_free(struct killed *k)
{
    buffer_free(&k->file);
    buffer_free(&k->log);
    free(k->text);
}

static bool log_says(const char *text)
{
    struct buffer content = read_test_file(log_path);
    bool found =
        content.size != 0 && memmem(content.data, content.size, text, strlen(text)) != NULL;

    buffer_free(&content);
    return found;
}

static void forget_log(void)
{
    ck_assert_int_eq(truncate(log_path, 0), 0);
}

static void *offset_of_frame(const struct buffer *log, unsigned frame)
{
    return log->data + 32 + frame * (size_t)(24 + 4096);
}

/* How many frames there are up to and with the last commit but one. */
static unsigned frames_before_last_commit(const struct buffer *log)
{
    unsigned frames = (unsigned)((log->size - 32) / (24 + 4096));
    unsigned found = 0;

    for (unsigned i = 0; i + 1 < frames; i++) {
        const uint8_t *header = offset_of_frame(log, i);

        if ((header[4] | header[5] | header[6] | header[7]) != 0)
            found = i + 1;
    }
    return found;
}

START_TEST(damage_before_a_later_commit_is_told)
{
    struct killed k;
    size_t end;
    unsigned tried = 0;

    start();
    k = make_killed();
    end = 32 + frames_before_last_commit(&k.log) * (size_t)(24 + 4096);
    for (size_t at = 0; at < end; at += tried < 80 ? 1 : 97) {
        char error[TEST_ERROR_SIZE] = "";
        struct definitions *d;

        k.log.data[at] ^= 0x10;
        put(buffer_bytes(&k.file), buffer_bytes(&k.log));
        k.log.data[at] ^= 0x10;
        tried++;
        if (definitions_open(&d, path, error, sizeof(error)) == 0) {
            /* The salts and sums in a frame's head count; what it holds beyond is the page. */
            ck_abort_msg("a flip at %zu of the log is taken in silence", at);
        }
        ck_assert_msg(strstr(error, "-wal: damaged at offset") != NULL, "%s", error);
    }
    ck_assert_uint_gt(tried, 500);
    killed_free(&k);
    finish();
}
END_TEST

START_TEST(damage_in_the_last_commit_is_cut_with_a_warning)
{
    struct killed k;
    size_t begin;
    char *found;
    struct definitions *d;

    start();
    k = make_killed();
    begin = 32 + frames_before_last_commit(&k.log) * (size_t)(24 + 4096);
    for (size_t at = begin + 24; at < k.log.size; at += 1021) {
        forget_log();
        k.log.data[at] ^= 0x10;
        put(buffer_bytes(&k.file), buffer_bytes(&k.log));
        k.log.data[at] ^= 0x10;
        d = expect_definitions(path);
        ck_assert(log_says("pages of unfinished changes at its end are dropped"));
        found = definitions_text(d, NULL);
        ck_assert_ptr_nonnull(strstr(found, "queue /:name-39 "));
        ck_assert_ptr_null(strstr(found, "queue /:name-49 "));
        free(found);
        definitions_close(d);
    }
    killed_free(&k);
    finish();
}
END_TEST

/* A log that ends between two frames of one change: cut, and told. One that ends with a change is
 * whole as far as anybody can tell. */
START_TEST(truncated_log_gives_whole_changes_only)
{
    struct killed k;
    unsigned frames;

    start();
    k = make_killed();
    frames = (unsigned)((k.log.size - 32) / (24 + 4096));
    for (unsigned keep = 1; keep <= frames; keep++) {
        const uint8_t *last = offset_of_frame(&k.log, keep - 1);
        bool ends_with_commit = (last[4] | last[5] | last[6] | last[7]) != 0;
        struct definitions *d;
        char *found;

        forget_log();
        put(buffer_bytes(&k.file), bytes_of(k.log.data, 32 + keep * (size_t)(24 + 4096)));
        d = expect_definitions(path);
        found = definitions_text(d, NULL);
        ck_assert_int_eq(log_says("are dropped"), !ends_with_commit);
        /* Ten queues come with each change. */
        if (found[0] != '\0') {
            unsigned queues = 0;

            for (const char *q = strstr(found, "queue /:"); q != NULL;
                 q = strstr(q + 1, "queue /:"))
                queues++;
            ck_assert_uint_eq(queues % 10, 0);
        }
        if (keep == frames)
            ck_assert_str_eq(found, k.text);
        free(found);
        definitions_close(d);
    }
    killed_free(&k);
    finish();
}
END_TEST

START_TEST(random_files_are_refused)
{
    struct random_sequence random;
    uint8_t content[8192];
    struct definitions *d;
    char error[TEST_ERROR_SIZE];

    start();
    random_sequence_seed(&random, 2);
    for (unsigned i = 0; i < 200; i++) {
        for (size_t j = 0; j < sizeof(content); j++)
            content[j] = (uint8_t)random_sequence_below(&random, 256);
        if (i % 2 == 0)
            memcpy(content, "SQLite format 3\0\x10\0\1\1\0\x40\x20\x20", 24);
        put(bytes_of(content, 1 + random_sequence_below(&random, sizeof(content))),
            bytes_of(NULL, 0));
        error[0] = '\0';
        ck_assert_int_eq(definitions_open(&d, path, error, sizeof(error)), -EBADMSG);
        ck_assert_str_ne(error, "");
    }
    finish();
}
END_TEST

UNIT_MAIN("definitions_corruption", flipped_byte_is_told_or_without_effect,
          overwritten_region_is_told_or_without_effect, truncated_file_is_told_or_without_effect,
          damage_before_a_later_commit_is_told, damage_in_the_last_commit_is_cut_with_a_warning,
          truncated_log_gives_whole_changes_only, random_files_are_refused)
