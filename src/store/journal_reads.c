/* The journal's reading thread: messages for their queues, pieces of segments for compaction, and
 * the removal of files, which must come after the reads that were asked for before it. */
#include "store/journal_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

/* Neighbours are read at once up to this many bytes, and over gaps of this many. */
#define READ_RUN_BYTES ((uint64_t)1 << 20)
#define READ_GAP_BYTES ((uint64_t)64 << 10)
#define CHUNK_BYTES ((uint64_t)256 << 10)
/* The reader's memory beyond this is given back after a read. */
#define KEPT_READ_BYTES ((size_t)4 << 20)

enum task_kind { TASK_READ, TASK_REMOVE };

struct place {
    struct segment_id segment;
    struct store_location location;
};

struct read_task {
    struct list_node node;
    enum task_kind kind;
    /* TASK_REMOVE */
    struct segment_id segment;
    bool set_aside;
    /* TASK_READ */
    void *token;
    int error;
    uint32_t count;
    struct message **messages;
    struct place places[];
};

/* ---- Files ---- */

static void forget_file(struct journal *j, struct reader_file *f)
{
    if (f->segment.number != 0)
        j->options.files->close(journal_files(j), f->fd);
    f->segment.number = 0;
}

static int open_file(struct journal *j, struct segment_id id)
{
    struct journal_reader *r = &j->reader;
    struct reader_file *f;
    char *path;
    int fd;

    for (size_t i = 0; i < sizeof(r->files) / sizeof(r->files[0]); i++) {
        if (r->files[i].segment.number == id.number)
            return r->files[i].fd;
    }
    path = segment_path(j->directory, id, "");
    fd = j->options.files->open(journal_files(j), path, O_RDONLY, 0);
    free(path);
    if (fd < 0)
        return fd;
    f = &r->files[r->next_file++ % (sizeof(r->files) / sizeof(r->files[0]))];
    forget_file(j, f);
    f->segment = id;
    f->fd = fd;
    return fd;
}

static void remove_file(struct journal *j, const struct read_task *t)
{
    struct journal_reader *r = &j->reader;
    char *path = segment_path(j->directory, t->segment, "");
    char *aside = segment_path(j->directory, t->segment, SEGMENT_DAMAGED_SUFFIX);
    int rc;

    for (size_t i = 0; i < sizeof(r->files) / sizeof(r->files[0]); i++) {
        if (r->files[i].segment.number == t->segment.number)
            forget_file(j, &r->files[i]);
    }
    if (t->set_aside)
        rc = j->options.files->rename(journal_files(j), path, aside);
    else
        rc = j->options.files->unlink(journal_files(j), path);
    if (rc < 0 && rc != -ENOENT)
        log_warning("journal", "cannot remove %s: %s", path, strerror(-rc));
    free(path);
    free(aside);
}

/* ---- Reading messages ---- */

/* Reads into the thread's buffer, at its begin. */
static int read_bytes(struct journal *j, struct segment_id id, uint64_t offset, uint64_t size,
                      size_t *read)
{
    int fd = open_file(j, id);

    if (fd < 0)
        return fd;
    buffer_clear(&j->reader.bytes);
    return file_read_full(j->options.files, fd, buffer_reserve(&j->reader.bytes, (size_t)size),
                          (size_t)size, offset, read);
}

/* The most bytes the record at the location takes, or 1 MiB where only it can tell. */
static uint64_t reach(struct store_location l)
{
    uint32_t limit = location_size_limit(l);

    return limit != 0 ? record_padded(limit) : READ_RUN_BYTES;
}

/* How many places from `first` on are read at once, and to where. */
static uint32_t run_length(const struct read_task *t, uint32_t first, uint64_t *end)
{
    uint64_t begin = location_offset(t->places[first].location);
    uint32_t n = 1;

    *end = begin + reach(t->places[first].location);
    while (first + n < t->count) {
        const struct place *p = &t->places[first + n];
        uint64_t offset = location_offset(p->location);
        uint64_t reached = offset + reach(p->location);

        if (p->segment.number != t->places[first].segment.number || offset < begin ||
            offset > *end + READ_GAP_BYTES || reached - begin > READ_RUN_BYTES)
            break;
        if (reached > *end)
            *end = reached;
        n++;
    }
    return n;
}

/* The message at a place, out of what was read from `begin` on. -ERANGE: it goes on behind that. */
static int take_message(const struct place *p, const uint8_t *data, size_t size, uint64_t begin,
                        struct message **out, uint32_t *record_size)
{
    uint32_t offset = location_offset(p->location);
    uint64_t at = offset - begin;
    struct record r;

    if (at > size)
        return -EBADMSG;
    switch (record_read(&r, data + at, size - (size_t)at, p->segment, offset)) {
    case RECORD_GOOD:
        break;
    case RECORD_SHORT:
        *record_size = record_padded(r.size);
        return -ERANGE;
    case RECORD_CORRUPT:
    case RECORD_NONE:
    case RECORD_UNKNOWN:
        return -EBADMSG;
    }
    if (r.type != RECORD_MESSAGE)
        return -EBADMSG;
    *out = record_message(&r);
    return *out != NULL ? 0 : -ENOMEM;
}

static int read_large(struct journal *j, const struct place *p, uint32_t record_size,
                      struct message **out)
{
    uint32_t offset = location_offset(p->location);
    size_t size;
    int rc = read_bytes(j, p->segment, offset, record_size, &size);

    if (rc == 0)
        rc = take_message(p, j->reader.bytes.data, size, offset, out, &record_size);
    return rc == -ERANGE ? -EBADMSG : rc;
}

/* Of a damaged message there is none afterwards. -EBADMSG: the file system takes what is there for
 * damaged. */
static int read_run(struct journal *j, struct read_task *t, uint32_t first, uint32_t count,
                    uint64_t end)
{
    uint64_t begin = location_offset(t->places[first].location);
    size_t size;
    int rc = read_bytes(j, t->places[first].segment, begin, end - begin, &size);

    if (rc < 0)
        return rc;
    for (uint32_t i = first; i < first + count; i++) {
        uint32_t record_size = 0;

        rc = take_message(&t->places[i], j->reader.bytes.data, size, begin, &t->messages[i],
                          &record_size);
        /* Only the last of a run can be that long: what follows would be beyond the run's end. */
        if (rc == -ERANGE)
            rc = i + 1 == first + count ? read_large(j, &t->places[i], record_size, &t->messages[i])
                                        : -EBADMSG;
        if (rc < 0 && rc != -EBADMSG)
            return rc;
    }
    return 0;
}

/* Finds out which of a run the file system gives. */
static int read_each(struct journal *j, struct read_task *t, uint32_t first, uint32_t count)
{
    int rc = 0;

    for (uint32_t i = first; rc == 0 && i < first + count; i++) {
        uint64_t begin = location_offset(t->places[i].location);

        rc = read_run(j, t, i, 1, begin + reach(t->places[i].location));
        if (rc == -EBADMSG)
            rc = 0;
    }
    return rc;
}

static void drop_messages(struct read_task *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->messages[i] != NULL)
            message_unref(t->messages[i]);
    }
    free(t->messages);
    t->messages = NULL;
}

/* GCC's analyzer loses sight of the task, which a list holds, and so of what it owns. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
static void read_messages(struct journal *j, struct read_task *t)
{
    uint64_t end;

    t->messages = calloc(t->count != 0 ? t->count : 1, sizeof(struct message *));
    if (t->messages == NULL) {
        t->error = -ENOMEM;
        return;
    }
    for (uint32_t i = 0; t->error == 0 && i < t->count;) {
        uint32_t n = run_length(t, i, &end);

        t->error = read_run(j, t, i, n, end);
        if (t->error == -EBADMSG)
            t->error = read_each(j, t, i, n);
        i += n;
    }
    if (t->error != 0) {
        drop_messages(t);
        t->count = 0;
    }
    if (j->reader.bytes.capacity > KEPT_READ_BYTES)
        buffer_free(&j->reader.bytes);
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/* ---- Reading for compaction ---- */

/* Finds the chunk's good messages and references in what was read. Returns how far it came, or 0
 * and the size of the record that needs a larger read. */
static uint64_t find_records(struct compaction_chunk *c, uint64_t size, bool at_end,
                             uint32_t *needed)
{
    uint64_t at = 0;
    struct record r;

    *needed = 0;
    while (at + RECORD_HEAD_SIZE <= size) {
        uint32_t position = (uint32_t)at;
        uint32_t offset = (uint32_t)(c->begin + at);

        switch (record_read(&r, c->bytes.data + at, (size_t)(size - at), c->segment, offset)) {
        case RECORD_GOOD:
            if (r.type == RECORD_MESSAGE || r.type == RECORD_REFERENCE)
                buffer_append(&c->offsets, bytes_of(&position, sizeof(position)));
            at += record_padded(r.size);
            break;
        case RECORD_SHORT:
            if (!at_end) {
                *needed = record_padded(r.size);
                return at;
            }
            at += RECORD_ALIGNMENT;
            break;
        case RECORD_CORRUPT:
        case RECORD_UNKNOWN:
            at += record_padded(r.size);
            break;
        case RECORD_NONE:
            at += RECORD_ALIGNMENT;
            break;
        }
    }
    return at_end ? size : at;
}

static void read_chunk(struct journal *j, struct compaction_chunk *c)
{
    uint64_t size = CHUNK_BYTES;
    int fd = open_file(j, c->segment);

    c->error = fd < 0 ? fd : 0;
    c->next = c->limit;
    while (c->error == 0) {
        uint32_t needed;
        size_t read;

        if (size > c->limit - c->begin)
            size = c->limit - c->begin;
        buffer_clear(&c->bytes);
        buffer_clear(&c->offsets);
        c->error = file_read_full(j->options.files, fd, buffer_reserve(&c->bytes, (size_t)size),
                                  (size_t)size, c->begin, &read);
        if (c->error != 0)
            return;
        c->bytes.size = read;
        c->next =
            c->begin + find_records(c, read, c->begin + read >= c->limit || read < size, &needed);
        if (read < size || needed == 0 || c->next != c->begin)
            break;
        size = needed;
    }
    if (c->error == 0 && c->bytes.size < size)
        c->next = c->limit;
}

void journal_reader_read_chunk(struct journal *j, struct compaction_chunk *chunk)
{
    struct journal_reader *r = &j->reader;

    pthread_mutex_lock(&r->lock);
    r->chunk = chunk;
    r->chunk_done = false;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

bool journal_reader_chunk_done(struct journal *j)
{
    struct journal_reader *r = &j->reader;
    bool done;

    pthread_mutex_lock(&r->lock);
    done = r->chunk_done;
    pthread_mutex_unlock(&r->lock);
    return done;
}

/* ---- The thread ---- */

/* With the lock held, which is released meanwhile. */
static void do_task(struct journal *j, struct read_task *t)
{
    struct journal_reader *r = &j->reader;

    pthread_mutex_unlock(&r->lock);
    switch (t->kind) {
    case TASK_READ:
        read_messages(j, t);
        pthread_mutex_lock(&r->lock);
        list_append(&r->done, &t->node);
        pthread_mutex_unlock(&r->lock);
        j->options.notify(j->options.context);
        break;
    case TASK_REMOVE:
        remove_file(j, t);
        free(t);
        break;
    }
    pthread_mutex_lock(&r->lock);
}

static void do_chunk(struct journal *j)
{
    struct journal_reader *r = &j->reader;
    struct compaction_chunk *chunk = r->chunk;

    pthread_mutex_unlock(&r->lock);
    read_chunk(j, chunk);
    pthread_mutex_lock(&r->lock);
    r->chunk = NULL;
    r->chunk_done = true;
    pthread_mutex_unlock(&r->lock);
    j->options.notify(j->options.context);
    pthread_mutex_lock(&r->lock);
}

static void *run(void *argument)
{
    struct journal *j = argument;
    struct journal_reader *r = &j->reader;

    journal_thread_begin("journal-read");
    pthread_mutex_lock(&r->lock);
    for (;;) {
        struct list_node *n = list_take_first(&r->tasks);

        if (n != NULL) {
            do_task(j, container_of(n, struct read_task, node));
        } else if (r->stop) {
            break;
        } else if (r->chunk != NULL && clock_monotonic_ns() >= r->chunk->not_before_ns) {
            do_chunk(j);
        } else if (r->chunk != NULL) {
            struct timespec until = {
                .tv_sec = (time_t)(r->chunk->not_before_ns / 1000000000),
                .tv_nsec = (long)(r->chunk->not_before_ns % 1000000000),
            };

            pthread_cond_timedwait(&r->wake, &r->lock, &until);
        } else {
            pthread_cond_wait(&r->wake, &r->lock);
        }
    }
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < sizeof(r->files) / sizeof(r->files[0]); i++)
        forget_file(j, &r->files[i]);
    return NULL;
}

int journal_reader_start(struct journal *j)
{
    struct journal_reader *r = &j->reader;
    pthread_condattr_t monotonic;
    int rc;

    list_init(&r->tasks);
    list_init(&r->done);
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    rc = pthread_create(&r->thread, NULL, run, j);
    if (rc == 0)
        return 0;
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    return -rc;
}

void journal_reader_stop(struct journal *j)
{
    struct journal_reader *r = &j->reader;
    struct list_node *n;

    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    while ((n = list_take_first(&r->done)) != NULL) {
        struct read_task *t = container_of(n, struct read_task, node);

        if (t->messages != NULL)
            drop_messages(t);
        free(t);
    }
    buffer_free(&r->bytes);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
}

static void enqueue(struct journal *j, struct read_task *t)
{
    struct journal_reader *r = &j->reader;

    pthread_mutex_lock(&r->lock);
    list_append(&r->tasks, &t->node);
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

void journal_reader_remove(struct journal *j, struct segment_id id, bool set_aside)
{
    struct read_task *t = memory_alloc_zeroed(1, sizeof(*t));

    t->kind = TASK_REMOVE;
    t->segment = id;
    t->set_aside = set_aside;
    enqueue(j, t);
}

/* ---- The owner's ---- */

void journal_read(struct journal *j, const struct store_location *locations, uint32_t count,
                  void *token)
{
    struct read_task *t = memory_alloc(sizeof(*t) + count * sizeof(t->places[0]));

    memset(t, 0, sizeof(*t));
    t->kind = TASK_READ;
    t->token = token;
    t->count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct journal_segment *s = journal_segment_find(j, locations[i].segment);

        assert(s != NULL && location_offset(locations[i]) < s->durable_bytes);
        t->places[i] = (struct place){.segment = s->id, .location = locations[i]};
    }
    enqueue(j, t);
}

bool journal_take_read(struct journal *j, struct journal_read_result *out)
{
    struct journal_reader *r = &j->reader;
    struct list_node *n;
    struct read_task *t;

    pthread_mutex_lock(&r->lock);
    n = list_take_first(&r->done);
    pthread_mutex_unlock(&r->lock);
    if (n == NULL)
        return false;
    t = container_of(n, struct read_task, node);
    *out = (struct journal_read_result){
        .token = t->token, .error = t->error, .count = t->count, .messages = t->messages};
    free(t);
    return true;
}

void journal_read_result_free(struct journal_read_result *r)
{
    free(r->messages);
    r->messages = NULL;
    r->count = 0;
}
