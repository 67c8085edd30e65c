#include "base/clock.h"
#include "broker/message.h"
#include "leveretctl/backup.h"
#include "leveretctl/file_copy.h"
#include "store/data_directory.h"
#include "store/definitions.h"
#include "store/journal.h"
#include "store/recovery.h"
#include "store/segment.h"
#include "tests/unit/store_helpers.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SHARD = 3,
    QUEUE = 7,
    SEGMENT_SIZE = 2 * 1024 * 1024,
    BODY_SIZE = 900,
    KEPT = 12000,   /* messages in the queue */
    KEEP_EVERY = 50 /* and each of these stays for good, so that segments are compacted */
};

static char directory[TEST_PATH_SIZE];
static char data[TEST_PATH_SIZE];
static char copy[TEST_PATH_SIZE];
static char error[TEST_ERROR_SIZE];

static void start(void)
{
    make_test_directory(directory);
    join_path(data, directory, "data");
    join_path(copy, directory, "copy");
}

static void finish(void)
{
    remove_test_directory(directory);
}

/* ---- A broker: one journal with one queue ---- */

/* What the process that writes tells the one that looks. */
struct shared {
    atomic_uint_fast64_t durable; /* sequence numbers up to it are */
    atomic_uint_fast64_t settled; /* those up to it may be settled (but for the kept) */
};

struct writer {
    struct journal *journal;
    struct journal_queue queue;
    struct shared *shared;
    uint64_t next;
    uint64_t head;
    struct store_location *locations;
    uint64_t *kept;
    uint64_t capacity;
};

static void on_notify(void *context)
{
    (void)context;
}

static bool is_held(const struct writer *w, uint64_t sequence)
{
    return sequence < w->next && (sequence >= w->head || sequence % KEEP_EVERY == 0);
}

static void queue_state(void *context, uint64_t queue_id, uint64_t *head, const uint64_t **kept,
                        uint32_t *count)
{
    struct writer *w = context;

    ck_assert_uint_eq(queue_id, QUEUE);
    *head = w->head;
    *count = 0;
    for (uint64_t s = KEEP_EVERY; s < w->head; s += KEEP_EVERY)
        w->kept[(*count)++] = s;
    *kept = w->kept;
}

static bool is_live(void *context, uint64_t queue_id, uint64_t sequence,
                    struct store_location location)
{
    struct writer *w = context;

    (void)queue_id;
    return is_held(w, sequence) && w->locations[sequence].segment == location.segment &&
           w->locations[sequence].offset == location.offset;
}

static bool relocate(void *context, uint64_t queue_id, uint64_t sequence,
                     struct store_location from, struct store_location to)
{
    struct writer *w = context;

    if (!is_live(context, queue_id, sequence, from))
        return false;
    w->locations[sequence] = to;
    return true;
}

static struct message *make_message(uint64_t sequence)
{
    char body[BODY_SIZE];
    struct message *m;

    memset(body, 'a' + (int)(sequence % 26), sizeof(body));
    m = message_create(bytes_from_string("x"), bytes_from_string("k"), bytes_of(NULL, 0),
                       sizeof(body));
    ck_assert_ptr_nonnull(m);
    memcpy(message_body(m), body, sizeof(body));
    return m;
}

static void append(struct writer *w)
{
    struct message *m = make_message(w->next);

    if (w->next >= w->capacity) {
        w->capacity = w->capacity == 0 ? 4096 : w->capacity * 2;
        w->locations = memory_resize(w->locations, w->capacity, sizeof(*w->locations));
        w->kept = memory_resize(w->kept, w->capacity, sizeof(*w->kept));
    }
    w->locations[w->next] = journal_append_message(w->journal, &w->queue, w->next, m, 0);
    w->next++;
    message_unref(m);
}

static void settle(struct writer *w)
{
    w->shared->settled = w->head;
    if (w->head % KEEP_EVERY != 0)
        journal_append_settle(w->journal, &w->queue, w->head, w->locations[w->head]);
    w->head++;
}

/* Publishes and settles until it is killed. */
static void run_writer(struct shared *shared)
{
    struct writer w = {.shared = shared, .next = 1, .head = 1};
    char *path = data_directory_journal(data, SHARD);
    struct journal_options options = {
        .files = &SYSTEM_FILES,
        .directory = path,
        .segment_size_bytes = SEGMENT_SIZE,
        .sync = JOURNAL_SYNC_NEVER,
        .compact_below_percent = 50,
        .notify = on_notify,
        .queue_state = queue_state,
        .is_live = is_live,
        .relocate = relocate,
        .context = &w,
    };
    int failed = 0;

    if (journal_open(&w.journal, &options) < 0)
        _exit(1);
    journal_queue_init(&w.queue, QUEUE);
    for (;;) {
        uint64_t appended;
        uint64_t last;

        for (unsigned i = 0; i < 20; i++)
            append(&w);
        while (w.next - w.head > KEPT)
            settle(&w);
        appended = journal_appended(w.journal);
        last = w.next - 1;
        journal_submit(w.journal);
        while (journal_durable(w.journal) < appended) {
            journal_submit(w.journal);
            if (journal_collect(w.journal, &failed) == JOURNAL_FAILED)
                _exit(1);
        }
        shared->durable = last;
    }
}

static pid_t fork_writer(struct shared *shared)
{
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        run_writer(shared);
    return child;
}

static void wait_for_durable(const struct shared *shared, pid_t writer, uint64_t sequence)
{
    int64_t deadline = clock_monotonic_ms() + 60000;

    while (shared->durable < sequence) {
        ck_assert_int_eq(waitpid(writer, NULL, WNOHANG), 0); /* it has not failed */
        ck_assert_int_lt(clock_monotonic_ms(), deadline);
        usleep(1000);
    }
}

/* ---- Looking at a copy ---- */

static void count_damage(void *context, const char *file, uint64_t offset, uint64_t size,
                         const char *what)
{
    (void)context;
    ck_abort_msg("%s: %llu, %llu bytes: %s", file, (unsigned long long)offset,
                 (unsigned long long)size, what);
}

/* All that was durable when the backup began is in it, but for what may have been settled when it
 * ended; and there is no gap behind. */
static void expect_copy(uint64_t durable_before, uint64_t settled_after)
{
    char *path = data_directory_journal(copy, SHARD);
    struct recovery_options options = {
        .files = &SYSTEM_FILES, .directory = path, .threads = 1, .damage = count_damage};
    struct recovered found;
    const struct recovered_queue *q;
    uint64_t last;
    size_t at = 0;

    ck_assert_int_eq(recovery_run(&options, &found), 0);
    ck_assert_uint_eq(found.damaged_regions, 0);
    ck_assert_uint_eq(found.queue_count, 1);
    q = &found.queues[0];
    ck_assert_uint_eq(q->id, QUEUE);
    last = q->messages[q->count - 1].sequence;
    ck_assert_uint_ge(last, durable_before);
    for (uint64_t s = 1; s <= last; s++) {
        while (at < q->count && q->messages[at].sequence < s)
            at++;
        if (at < q->count && q->messages[at].sequence == s)
            continue;
        ck_assert_msg(s <= settled_after && s % KEEP_EVERY != 0, "%llu is missing of %llu",
                      (unsigned long long)s, (unsigned long long)last);
    }
    recovered_free(&found);
    free(path);
}

static void make_data(struct data_directory *d)
{
    char *path = data_directory_definitions(data);
    struct definitions *definitions;
    struct queue_definition q = {
        .vhost = bytes_from_string("/"), .name = bytes_from_string("orders"), .id = QUEUE};

    ck_assert_msg(data_directory_open(d, data, error, sizeof(error)) == 0, "%s", error);
    ck_assert_int_eq(data_directory_make_journal(d, SHARD), 0);
    definitions = expect_definitions(path);
    definitions_add_queue(definitions, &q, (struct definitions_done){.call = NULL});
    ck_assert_int_eq(wait_for_definitions(definitions), 0);
    definitions_close(definitions);
    free(path);
}

START_TEST(copy_taken_while_a_process_writes_misses_nothing)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct data_directory d;
    pid_t writer;

    ck_assert_ptr_ne(shared, MAP_FAILED);
    start();
    make_data(&d);
    writer = fork_writer(shared);
    for (unsigned round = 1; round <= 3; round++) {
        struct backup_figures figures = {.segments = 0};
        uint64_t durable;

        wait_for_durable(shared, writer, shared->durable + 4000);
        durable = shared->durable;
        ck_assert_msg(backup(data, copy, &figures, error, sizeof(error)) == 0, "%s", error);
        ck_assert_uint_gt(figures.segments, 1);
        expect_copy(durable, shared->settled);
        remove_test_directory(copy);
    }
    ck_assert_int_eq(waitpid(writer, NULL, WNOHANG), 0); /* it has not failed */
    kill(writer, SIGKILL);
    ck_assert_int_eq(waitpid(writer, NULL, 0), writer);
    data_directory_close(&d);
    finish();
}
END_TEST

START_TEST(copy_is_a_data_directory_with_the_definitions)
{
    struct backup_figures figures = {.segments = 0};
    struct data_directory d;
    struct data_directory restored;
    struct definitions *definitions;
    char *path = NULL;
    char *found;

    start();
    make_data(&d);
    ck_assert_msg(backup(data, copy, &figures, error, sizeof(error)) == 0, "%s", error);
    data_directory_close(&d);
    ck_assert_msg(data_directory_open(&restored, copy, error, sizeof(error)) == 0, "%s", error);
    path = data_directory_definitions(copy);
    definitions = expect_definitions(path);
    found = definitions_text(definitions, NULL);
    ck_assert_str_eq(found, "queue /:orders id=7 shard=0 []\n");
    free(found);
    definitions_close(definitions);
    free(path);
    data_directory_close(&restored);
    finish();
}
END_TEST

static void expect_refused(const char *from, int rc, const char *line)
{
    struct backup_figures figures = {.segments = 0};

    ck_assert_int_eq(backup(from, copy, &figures, error, sizeof(error)), rc);
    ck_assert_msg(strstr(error, line) != NULL, "%s", error);
    ck_assert_ptr_null(strchr(error, '\n'));
}

START_TEST(what_is_no_data_directory_or_no_empty_target_is_refused)
{
    struct data_directory d;
    char file[TEST_PATH_SIZE];

    start();
    expect_refused(data, -ENOENT, "cannot be opened: No such file or directory");
    expect_refused(directory, -ENOENT, "is not a data directory of leveret");
    make_data(&d);
    data_directory_close(&d);
    ck_assert_int_eq(mkdir(copy, 0700), 0);
    join_path(file, copy, "mine");
    write_test_file(file, bytes_from_string("mine"));
    expect_refused(data, -ENOTEMPTY, "cannot be the copy: Directory not empty");
    finish();
}
END_TEST

/* A copy with damage in it is no backup, and is not marked as one. */
START_TEST(damage_makes_the_backup_fail)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct data_directory d;
    struct dirent **names;
    char *journal;
    char oldest[TEST_PATH_SIZE];
    struct buffer content;
    char stamp[TEST_PATH_SIZE];
    pid_t writer;
    int count;

    ck_assert_ptr_ne(shared, MAP_FAILED);
    start();
    make_data(&d);
    writer = fork_writer(shared);
    wait_for_durable(shared, writer, 6000);
    kill(writer, SIGKILL);
    ck_assert_int_eq(waitpid(writer, NULL, 0), writer);
    data_directory_close(&d);

    journal = data_directory_journal(data, SHARD);
    count = scandir(journal, &names, NULL, alphasort);
    ck_assert_int_gt(count, 3); /* with "." and ".." */
    join_path(oldest, journal, names[2]->d_name);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    free(journal);
    content = read_test_file(oldest);
    ck_assert_uint_gt(content.size, 2000);
    content.data[1500] ^= 1;
    write_test_file(oldest, buffer_bytes(&content));
    buffer_free(&content);

    expect_refused(data, -EBADMSG, "damaged at offset");
    join_path(stamp, copy, "leveret.format");
    ck_assert_int_ne(access(stamp, F_OK), 0);
    finish();
}
END_TEST

/* ---- Files that grow ---- */

enum {
    GROWING_SIZE = 48 * 1024 * 1024,
    PIECE_SIZE = 64 * 1024,
};

struct appender {
    int fd;
    atomic_bool started;
};

/* Fills a preallocated file, faster than it is copied. */
static void *append_pieces(void *context)
{
    static uint8_t piece[PIECE_SIZE];
    struct appender *a = context;

    memset(piece, 0xaa, sizeof(piece));
    for (off_t at = 0; at < GROWING_SIZE; at += PIECE_SIZE) {
        if (pwrite(a->fd, piece, sizeof(piece), at) != PIECE_SIZE)
            abort();
        a->started = true;
    }
    return NULL;
}

START_TEST(copy_of_a_file_that_grows_is_its_beginning)
{
    char from[TEST_PATH_SIZE];
    char to[TEST_PATH_SIZE];

    start();
    join_path(from, directory, "from");
    join_path(to, directory, "to");
    for (unsigned round = 0; round < 10; round++) {
        struct appender a = {.fd = open(from, O_RDWR | O_CREAT | O_TRUNC, 0600)};
        struct buffer copied;
        pthread_t thread;
        uint64_t bytes = 0;
        size_t end = 0;

        ck_assert_int_ge(a.fd, 0);
        ck_assert_int_eq(ftruncate(a.fd, GROWING_SIZE), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, append_pieces, &a), 0);
        while (!a.started)
            sched_yield();
        ck_assert_int_eq(file_copy(a.fd, to, &bytes), 0);
        pthread_join(thread, NULL);
        close(a.fd);
        copied = read_test_file(to);
        ck_assert_uint_eq(bytes, GROWING_SIZE);
        ck_assert_uint_eq(copied.size, GROWING_SIZE);
        while (end < copied.size && copied.data[end] == 0xaa)
            end++;
        ck_assert_uint_ge(end, PIECE_SIZE);
        for (size_t i = end; i < copied.size; i++) {
            if (copied.data[i] != 0)
                ck_abort_msg("a gap from %zu to %zu", end, i);
        }
        buffer_free(&copied);
        ck_assert_int_eq(unlink(to), 0);
    }
    finish();
}
END_TEST

UNIT_MAIN("leveretctl_backup", copy_taken_while_a_process_writes_misses_nothing,
          copy_is_a_data_directory_with_the_definitions,
          what_is_no_data_directory_or_no_empty_target_is_refused, damage_makes_the_backup_fail,
          copy_of_a_file_that_grows_is_its_beginning)
