/* The journal's writing thread: takes a group, writes and syncs it, tells. */
#include "store/journal_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* Small groups find zeros where they are written: a sync then has no change of the file's size or
 * blocks to commit (measured on ext4: 200 us instead of 300 us). */
#define ZERO_AHEAD_BYTES ((uint64_t)256 << 10)
#define ZERO_GROUP_BYTES ((size_t)64 << 10)

/* How long settled records may wait for a sync of what follows them. */
#define LAZY_SYNC_NS INT64_C(1000000000)

const uint8_t journal_zeros[JOURNAL_ZEROS_SIZE];

static int sync_file(struct journal *j, int fd)
{
    int rc = j->options.files->datasync(journal_files(j), fd);

    atomic_fetch_add_explicit(&j->writer.syncs, 1, memory_order_relaxed);
    return rc;
}

/* Everything written so far is durable when this succeeds. */
static int sync_all(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    int rc = 0;

    for (int i = 0; i < w->sealed_count; i++) {
        int result = sync_file(j, w->sealed[i]);

        if (rc == 0)
            rc = result;
        j->options.files->close(journal_files(j), w->sealed[i]);
    }
    w->sealed_count = 0;
    if (rc == 0 && w->unsynced)
        rc = sync_file(j, w->fd);
    if (rc == 0 && w->unsynced_directory)
        rc = j->options.files->sync_directory(journal_files(j), j->directory);
    if (rc < 0)
        return rc;
    w->unsynced = false;
    w->unsynced_directory = false;
    w->sync_due_ns = 0;
    return 0;
}

/* What is written to a file that was deleted is found by no restart, synced or not. */
static int check_linked(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    int rc = j->options.files->linked(journal_files(j), w->fd);
    char *path;

    if (rc != -ENOENT)
        return rc;
    path = segment_path(j->directory, w->segment, "");
    log_error("journal", "%s: was deleted while the broker had it; what it held is lost", path);
    free(path);
    return rc;
}

static int begin_segment(struct journal *j, struct segment_id id)
{
    struct journal_writer *w = &j->writer;
    char *path = segment_path(j->directory, id, "");
    int fd = j->options.files->open(journal_files(j), path, O_RDWR | O_CREAT | O_EXCL, 0640);

    free(path);
    if (fd < 0)
        return fd;
    assert(w->fd < 0);
    w->fd = fd;
    w->segment = id;
    w->offset = 0;
    w->zeroed_to = 0;
    w->unsynced_directory = true;
    return 0;
}

static int end_segment(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    int rc = 0;

    if (w->zeroed_to > w->offset)
        rc = j->options.files->truncate(journal_files(j), w->fd, w->offset);
    if (rc < 0)
        return rc;
    if (j->options.sync != JOURNAL_SYNC_NEVER || w->sealed_count == 8) {
        rc = sync_all(j);
        if (rc == 0)
            rc = check_linked(j);
        if (rc < 0)
            return rc;
        j->options.files->close(journal_files(j), w->fd);
    } else {
        rc = check_linked(j);
        if (rc < 0)
            return rc;
        w->sealed[w->sealed_count++] = w->fd;
    }
    w->fd = -1;
    w->unsynced = false;
    return 0;
}

/* Puts zeros behind what is written. That they are not there does no harm but to speed. */
static void zero_ahead(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    uint64_t end = w->offset + ZERO_AHEAD_BYTES;

    end -= end % JOURNAL_ZEROS_SIZE;
    while (w->zeroed_to < end) {
        size_t size = (size_t)(end - w->zeroed_to);

        if (size > JOURNAL_ZEROS_SIZE)
            size = JOURNAL_ZEROS_SIZE;
        if (file_write_all(j->options.files, w->fd, journal_zeros, size, w->zeroed_to) < 0)
            return;
        w->zeroed_to += size;
    }
}

static int write_piece(struct journal *j, uint8_t *data, size_t size, bool may_zero)
{
    struct journal_writer *w = &j->writer;
    int rc = file_write_all(j->options.files, w->fd, data, size, w->offset);

    if (rc < 0)
        return rc;
    w->offset += size;
    w->unsynced = true;
    if (w->zeroed_to < w->offset) {
        w->zeroed_to = w->offset;
        if (may_zero)
            zero_ahead(j);
    }
    return 0;
}

static int write_group(struct journal *j, struct journal_group *g)
{
    struct journal_writer *w = &j->writer;
    bool small = j->options.sync == JOURNAL_SYNC_ALWAYS && g->bytes.size <= ZERO_GROUP_BYTES;
    int rc;

    for (uint32_t i = 0; i < g->piece_count; i++) {
        const struct journal_piece *p = &g->pieces[i];
        uint8_t *data = g->bytes.data + p->begin;
        uint32_t skip = p->offset == 0 ? SEGMENT_HEADER_SIZE : 0;

        records_seal(data + skip, p->end - p->begin - skip, p->segment, p->offset + skip);
        if (p->offset == 0) {
            rc = begin_segment(j, p->segment);
            if (rc < 0)
                return rc;
        }
        assert(w->offset == p->offset && w->segment.number == p->segment.number);
        rc = write_piece(j, data, p->end - p->begin, small && !p->ends);
        if (rc == 0 && p->ends)
            rc = end_segment(j);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool group_is_synced(const struct journal *j, const struct journal_group *g)
{
    return g->force_sync || (j->options.sync == JOURNAL_SYNC_ALWAYS && g->needs_sync);
}

/* Notes when what is written has to be synced, if at all. */
static void set_sync_due(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    int64_t wait_ns = LAZY_SYNC_NS;

    if (w->sync_due_ns != 0 || j->options.sync == JOURNAL_SYNC_NEVER)
        return;
    if (j->options.sync == JOURNAL_SYNC_INTERVAL)
        wait_ns = (int64_t)j->options.sync_interval_ms * 1000000;
    w->sync_due_ns = clock_monotonic_ns() + wait_ns;
}

static void close_files(struct journal *j)
{
    struct journal_writer *w = &j->writer;

    for (int i = 0; i < w->sealed_count; i++)
        j->options.files->close(journal_files(j), w->sealed[i]);
    w->sealed_count = 0;
    if (w->fd >= 0)
        j->options.files->close(journal_files(j), w->fd);
    w->fd = -1;
    w->unsynced = false;
    w->unsynced_directory = false;
    w->sync_due_ns = 0;
}

/* With the lock held, which is released meanwhile. `g` is NULL when it is only time to sync. */
static void work(struct journal *j, struct journal_group *g)
{
    struct journal_writer *w = &j->writer;
    uint64_t end = g != NULL ? g->end : w->written;
    bool synced = false;
    int rc = 0;

    pthread_mutex_unlock(&w->lock);
    if (g != NULL)
        rc = write_group(j, g);
    if (rc == 0 && g != NULL && !group_is_synced(j, g))
        set_sync_due(j);
    if (rc == 0 && (g == NULL || group_is_synced(j, g) ||
                    (w->sync_due_ns != 0 && clock_monotonic_ns() >= w->sync_due_ns))) {
        rc = sync_all(j);
        synced = rc == 0;
    }
    if (rc == 0 && w->fd >= 0)
        rc = check_linked(j);
    if (rc < 0)
        close_files(j);
    pthread_mutex_lock(&w->lock);

    if (g != NULL)
        w->group = NULL; /* one that was handed over during a sync alone stays */
    w->error = rc;
    if (rc == 0)
        w->written = end;
    if (synced && rc == 0) {
        w->synced = end;
        w->synced_segment = w->segment;
        w->synced_offset = w->offset;
    }
    pthread_cond_broadcast(&w->idle);
    pthread_mutex_unlock(&w->lock);
    j->options.notify(j->options.context);
    pthread_mutex_lock(&w->lock);
}

static void wait_for_work(struct journal_writer *w)
{
    struct timespec until;

    if (w->sync_due_ns == 0) {
        pthread_cond_wait(&w->wake, &w->lock);
        return;
    }
    until.tv_sec = (time_t)(w->sync_due_ns / 1000000000);
    until.tv_nsec = (long)(w->sync_due_ns % 1000000000);
    pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

void journal_thread_begin(const char *name)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_setname_np(pthread_self(), name);
}

static void *run(void *argument)
{
    struct journal *j = argument;
    struct journal_writer *w = &j->writer;

    journal_thread_begin("journal-write");
    pthread_mutex_lock(&w->lock);
    for (;;) {
        if (w->group != NULL)
            work(j, w->group);
        else if (w->stop)
            break;
        else if (w->error == 0 && w->sync_due_ns != 0 && clock_monotonic_ns() >= w->sync_due_ns)
            work(j, NULL);
        else
            wait_for_work(w);
    }
    pthread_mutex_unlock(&w->lock);
    close_files(j);
    return NULL;
}

int journal_writer_start(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    pthread_condattr_t monotonic;
    int rc;

    w->fd = -1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_cond_init(&w->idle, NULL);
    pthread_condattr_destroy(&monotonic);
    rc = pthread_create(&w->thread, NULL, run, j);
    if (rc == 0)
        return 0;
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->idle);
    pthread_mutex_destroy(&w->lock);
    return -rc;
}

void journal_writer_stop(struct journal *j)
{
    struct journal_writer *w = &j->writer;

    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->idle);
    pthread_mutex_destroy(&w->lock);
}

bool journal_writer_hand_over(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    bool taken = false;

    pthread_mutex_lock(&w->lock);
    if (w->group == NULL && w->error == 0) {
        w->group = j->gather;
        taken = true;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    return taken;
}

/* What the finished group's pieces made durable. */
static void note_durable(struct journal *j, struct journal_group *g)
{
    for (uint32_t i = 0; i < g->piece_count; i++) {
        const struct journal_piece *p = &g->pieces[i];
        struct journal_segment *s = journal_segment_find(j, p->segment.number);

        if (s != NULL)
            s->durable_bytes = p->offset + (p->end - p->begin);
    }
    journal_group_clear(g);
}

int journal_writer_take_news(struct journal *j, uint64_t *durable)
{
    struct journal_writer *w = &j->writer;
    bool idle;
    int rc;

    pthread_mutex_lock(&w->lock);
    rc = w->error;
    idle = w->group == NULL;
    *durable = w->written;
    j->synced = w->synced;
    j->synced_segment = w->synced_segment;
    j->synced_offset = w->synced_offset;
    pthread_mutex_unlock(&w->lock);
    if (rc == 0 && idle && j->in_flight != NULL) {
        note_durable(j, j->in_flight);
        j->in_flight = NULL;
    }
    return rc;
}

void journal_writer_wait_idle(struct journal *j)
{
    struct journal_writer *w = &j->writer;

    pthread_mutex_lock(&w->lock);
    while (w->group != NULL)
        pthread_cond_wait(&w->idle, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void journal_writer_clear_error(struct journal *j)
{
    struct journal_writer *w = &j->writer;

    pthread_mutex_lock(&w->lock);
    w->error = 0;
    pthread_mutex_unlock(&w->lock);
}
