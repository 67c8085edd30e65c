#include "store/recovery.h"

#include "base/memory.h"
#include "store/recovery_foreign.h"
#include "store/recovery_merge.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRESS_NS 200000000
#define REGIONS_TOLD 10u /* of a file */
#define STRAYS_TOLD 10u  /* of a directory */

struct recovery {
    const struct recovery_options *options;
    struct recovered *out;
    struct scanned *segments; /* ascending */
    size_t count;
    size_t capacity;
    size_t strays; /* other files */
    /* The scanning threads'. */
    pthread_mutex_t lock;
    pthread_cond_t finished;
    size_t next;    /* under the lock: the first that no thread has taken */
    size_t running; /* under the lock */
    _Atomic uint64_t done_bytes;
};

static void report(struct recovery *r, struct segment_id id, uint64_t offset, uint64_t size,
                   const char *what)
{
    char *path = segment_path(r->options->directory, id, "");

    if (r->options->damage != NULL)
        r->options->damage(r->options->context, path, offset, size, what);
    free(path);
}

/* ---- The files there are ---- */

static void note_stray(struct recovery *r, const char *name)
{
    size_t size = strlen(r->options->directory) + 1 + strlen(name) + 1;
    char *path;

    if (r->strays++ >= STRAYS_TOLD || r->options->damage == NULL)
        return;
    path = memory_alloc(size);
    snprintf(path, size, "%s/%s", r->options->directory, name);
    r->options->damage(r->options->context, path, 0, 0, "not a file of this journal");
    free(path);
}

static void report_more_strays(const struct recovery *r)
{
    char what[64];

    if (r->strays <= STRAYS_TOLD || r->options->damage == NULL)
        return;
    snprintf(what, sizeof(what), "%zu more are not files of this journal", r->strays - STRAYS_TOLD);
    r->options->damage(r->options->context, r->options->directory, 0, 0, what);
}

static void note_file(void *context, const char *name)
{
    struct recovery *r = context;
    struct segment_id id;
    bool set_aside;

    if (!segment_parse_name(name, &id, &set_aside)) {
        note_stray(r, name);
        return;
    }
    if (set_aside)
        return;
    if (r->count == r->capacity) {
        r->capacity = r->capacity == 0 ? 16 : r->capacity * 2;
        r->segments = memory_resize(r->segments, r->capacity, sizeof(*r->segments));
    }
    memset(&r->segments[r->count], 0, sizeof(r->segments[0]));
    r->segments[r->count++].scan.id = id;
}

static int by_number(const void *a, const void *b)
{
    const struct scanned *x = a;
    const struct scanned *y = b;

    if (x->scan.id.number != y->scan.id.number)
        return x->scan.id.number < y->scan.id.number ? -1 : 1;
    return (x->scan.id.salt > y->scan.id.salt) - (x->scan.id.salt < y->scan.id.salt);
}

/* ---- Scanning ---- */

static void *scan_some(void *argument)
{
    struct recovery *r = argument;

    pthread_mutex_lock(&r->lock);
    while (r->next < r->count) {
        struct scanned *s = &r->segments[r->next++];

        pthread_mutex_unlock(&r->lock);
        segment_scan(&s->scan, r->options->files, r->options->directory, &r->done_bytes);
        pthread_mutex_lock(&r->lock);
    }
    r->running--;
    pthread_cond_signal(&r->finished);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static uint64_t total_bytes(const struct recovery *r)
{
    const struct file_layer *files = r->options->files;
    uint64_t total = 0;

    for (size_t i = 0; i < r->count; i++) {
        char *path = segment_path(r->options->directory, r->segments[i].scan.id, "");
        int fd = files->open(files->context, path, O_RDONLY, 0);
        uint64_t size;

        free(path);
        if (fd < 0)
            continue;
        if (files->size(files->context, fd, &size) == 0)
            total += size;
        files->close(files->context, fd);
    }
    return total;
}

static void progress(const struct recovery *r, uint64_t total)
{
    uint64_t done = atomic_load_explicit(&r->done_bytes, memory_order_relaxed);

    if (r->options->progress != NULL)
        r->options->progress(r->options->context, done < total ? done : total, total);
}

static void wait_for_threads(struct recovery *r, uint64_t total)
{
    pthread_mutex_lock(&r->lock);
    while (r->running != 0) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += PROGRESS_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        if (pthread_cond_timedwait(&r->finished, &r->lock, &until) == ETIMEDOUT) {
            pthread_mutex_unlock(&r->lock);
            progress(r, total);
            pthread_mutex_lock(&r->lock);
        }
    }
    pthread_mutex_unlock(&r->lock);
}

static void scan_all(struct recovery *r)
{
    uint64_t total = total_bytes(r);
    size_t wanted = r->options->threads != 0 ? r->options->threads : 1;
    pthread_t *threads;
    size_t started = 0;

    if (wanted > r->count)
        wanted = r->count;
    threads = memory_resize(NULL, wanted + 1, sizeof(*threads));
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->finished, NULL);
    r->running = wanted;
    while (started < wanted && pthread_create(&threads[started], NULL, scan_some, r) == 0)
        started++;
    if (started < wanted) {
        pthread_mutex_lock(&r->lock);
        r->running -= wanted - started - (started == 0 ? 1 : 0);
        pthread_mutex_unlock(&r->lock);
        if (started == 0)
            scan_some(r);
    }
    wait_for_threads(r, total);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    pthread_cond_destroy(&r->finished);
    pthread_mutex_destroy(&r->lock);
    progress(r, total);
}

/* ---- What counts ---- */

static int check_formats(struct recovery *r)
{
    int rc = 0;

    for (size_t i = 0; i < r->count; i++) {
        const struct segment_scan *s = &r->segments[i].scan;
        char what[80];

        if (s->error < 0) {
            report(r, s->id, 0, s->file_size, strerror(-s->error));
            rc = s->error;
        }
        if (s->format == 0 && !s->unknown_record)
            continue;
        if (s->format != 0)
            snprintf(what, sizeof(what), "format %u is newer than this program's (%d)", s->format,
                     SEGMENT_FORMAT);
        else
            snprintf(what, sizeof(what), "has records of a kind that only a newer program knows");
        report(r, s->id, s->end, 0, what);
        rc = -EINVAL;
    }
    return rc;
}

static struct scanned *find(struct recovery *r, uint32_t number)
{
    struct scanned key = {.scan.id.number = number};

    for (size_t low = 0, high = r->count; low < high;) {
        size_t middle = low + (high - low) / 2;

        if (r->segments[middle].scan.id.number == number)
            return &r->segments[middle];
        if (r->segments[middle].scan.id.number < key.scan.id.number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The last segment ends where its first bad bytes are that nothing proves to have been synced. */
static void cut_tail(struct recovery *r)
{
    struct scanned *last = &r->segments[r->count - 1];
    struct segment_scan *s = &last->scan;
    const struct scanned_region *regions =
        (const struct scanned_region *)(const void *)s->regions.data;
    size_t count = s->regions.size / sizeof(*regions);

    for (size_t i = 0; i < count; i++) {
        if (regions[i].begin < s->proven_end)
            continue;
        last->end = regions[i].begin;
        r->out->cut_bytes = s->data_end - regions[i].begin;
        r->out->cut_records = s->records - regions[i].records_before;
        s->ended = false;
        return;
    }
}

/* The segments that there must be according to `teller`, and where they end. */
static void take_segments(struct recovery *r, const struct scanned *teller, struct buffer *listed)
{
    const struct segment_scan *s = &teller->scan;

    if (s->segments_at == 0 || s->segments_at >= teller->end)
        return;
    buffer_clear(listed);
    buffer_append(listed, buffer_bytes(&s->segments));
    for (struct scanned *older = r->segments; older != teller; older++) {
        older->freed = true;
        older->has_end = false;
    }
    for (size_t i = 0; i + 8 <= s->segments.size; i += 8) {
        uint32_t entry[2];
        struct scanned *older;

        memcpy(entry, s->segments.data + i, sizeof(entry));
        older = find(r, entry[0]);
        if (older == NULL || older >= teller)
            continue;
        older->freed = false;
        older->has_end = true;
        older->end = entry[1];
    }
}

static void take_freed(struct recovery *r, const struct scanned *teller, struct buffer *listed)
{
    const struct segment_scan *s = &teller->scan;
    const struct scanned_note *notes = (const struct scanned_note *)(const void *)s->notes.data;

    for (size_t i = 0; i < s->notes.size / sizeof(*notes); i++) {
        struct scanned *freed;

        if (notes[i].queue != UINT32_MAX || notes[i].at >= teller->end)
            continue;
        freed = find(r, (uint32_t)notes[i].sequence);
        if (freed != NULL && freed != teller)
            freed->freed = true;
        for (size_t k = 0; k + 8 <= listed->size; k += 8) {
            uint32_t number;

            memcpy(&number, listed->data + k, sizeof(number));
            if (number == notes[i].sequence)
                memset(listed->data + k, 0, sizeof(number));
        }
    }
}

static void damaged(struct recovery *r, struct scanned *s, uint64_t begin, uint64_t end,
                    const char *what)
{
    s->damaged = true;
    r->out->damaged_regions++;
    report(r, s->scan.id, begin, end - begin, what);
}

/* Each region is told with its place, of many the first ones; the others as one, with their sum. */
static void report_regions(struct recovery *r, struct scanned *s)
{
    const struct scanned_region *regions =
        (const struct scanned_region *)(const void *)s->scan.regions.data;
    size_t count = s->scan.regions.size / sizeof(*regions);
    uint64_t more_bytes = 0;
    char what[80];

    if (s->freed)
        return;
    while (count != 0 && regions[count - 1].begin >= s->end)
        count--;
    for (size_t i = 0; i < count; i++) {
        uint64_t end = regions[i].end < s->end ? regions[i].end : s->end;

        if (i < REGIONS_TOLD) {
            damaged(r, s, regions[i].begin, end,
                    regions[i].begin == 0 ? "damaged header" : "damaged records");
            continue;
        }
        r->out->damaged_regions++;
        more_bytes += end - regions[i].begin;
    }
    if (count > REGIONS_TOLD) {
        snprintf(what, sizeof(what), "damaged records in %zu more places, the first of them here",
                 count - REGIONS_TOLD);
        report(r, s->scan.id, regions[REGIONS_TOLD].begin, more_bytes, what);
    }
    if (s->has_end && s->scan.data_end < s->end)
        damaged(r, s, s->scan.data_end, s->end, "missing records");
}

static void report_missing(struct recovery *r, const struct buffer *listed)
{
    for (size_t i = 0; i + 8 <= listed->size; i += 8) {
        struct segment_id id = {0};
        char what[64];

        memcpy(&id.number, listed->data + i, sizeof(id.number));
        if (id.number == 0 || find(r, id.number) != NULL)
            continue;
        snprintf(what, sizeof(what), "segment %08x is missing", id.number);
        r->out->damaged_regions++;
        if (r->options->damage != NULL)
            r->options->damage(r->options->context, r->options->directory, 0, 0, what);
    }
}

/* Decides for every segment where it ends and whether it is damaged. */
static void judge(struct recovery *r)
{
    struct buffer listed;

    buffer_init(&listed);
    for (size_t i = 0; i < r->count; i++)
        r->segments[i].end = UINT64_MAX;
    cut_tail(r);
    for (size_t i = 0; i < r->count; i++) {
        take_segments(r, &r->segments[i], &listed);
        take_freed(r, &r->segments[i], &listed);
    }
    for (size_t i = 0; i < r->count; i++)
        report_regions(r, &r->segments[i]);
    report_missing(r, &listed);
    buffer_free(&listed);
    r->out->clean = r->segments[r->count - 1].scan.ended && r->out->damaged_regions == 0;
}

/* Shortens the file that ends in a torn tail, so that the tail is never taken for damage later. */
static int truncate_tail(struct recovery *r)
{
    const struct file_layer *files = r->options->files;
    const struct scanned *last = &r->segments[r->count - 1];
    char *path;
    int fd, rc;

    if (last->end == UINT64_MAX)
        return 0;
    path = segment_path(r->options->directory, last->scan.id, "");
    fd = files->open(files->context, path, O_RDWR, 0);
    free(path);
    if (fd < 0)
        return fd;
    rc = files->truncate(files->context, fd, last->end);
    if (rc == 0)
        rc = files->datasync(files->context, fd);
    files->close(files->context, fd);
    return rc;
}

static void list_segments(struct recovery *r)
{
    r->out->segments = memory_resize(NULL, r->count + 1, sizeof(*r->out->segments));
    r->out->segment_count = r->count;
    for (size_t i = 0; i < r->count; i++) {
        const struct scanned *s = &r->segments[i];

        r->out->segments[i] = (struct recovered_segment){
            .segment = s->scan.id.number,
            .size_bytes = s->end != UINT64_MAX ? s->end : s->scan.end,
            .damaged = s->damaged,
            .shares = s->scan.references,
        };
    }
}

/* Judges first, and changes files only when it is known what becomes of all. */
static int recover(struct recovery *r)
{
    size_t found = r->count;
    int rc = 0;

    r->count = recovery_part_foreign(r->segments, found);
    for (size_t i = r->count; i < found; i++)
        recovery_tell_foreign(r->options, &r->segments[i].scan);
    if (r->count != 0) {
        judge(r);
        rc = truncate_tail(r);
    }
    for (size_t i = r->count; rc == 0 && i < found; i++)
        rc = recovery_set_aside(r->options, &r->segments[i].scan);
    if (rc < 0)
        return rc;
    list_segments(r);
    recovery_merge(r->segments, r->count, r->out);
    return 0;
}

int recovery_run(const struct recovery_options *options, struct recovered *out)
{
    struct recovery r = {.options = options, .out = out};
    size_t found = 0;
    int rc;

    memset(out, 0, sizeof(*out));
    out->clean = true;
    rc = options->files->list(options->files->context, options->directory, note_file, &r);
    report_more_strays(&r);
    if (rc == 0 && r.count != 0) {
        qsort(r.segments, r.count, sizeof(*r.segments), by_number);
        scan_all(&r);
        found = r.count;
        rc = check_formats(&r);
        if (rc == 0)
            rc = recover(&r);
    }
    for (size_t i = 0; i < found; i++)
        segment_scan_free(&r.segments[i].scan);
    free(r.segments);
    if (rc < 0)
        recovered_free(out);
    return rc;
}

void recovered_free(struct recovered *r)
{
    for (size_t i = 0; i < r->queue_count; i++) {
        free(r->queues[i].messages);
        free(r->queues[i].expiries);
    }
    free(r->queues);
    free(r->segments);
    memset(r, 0, sizeof(*r));
}
