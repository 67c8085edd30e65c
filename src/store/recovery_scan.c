#include "store/recovery_scan.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define WINDOW_BYTES ((size_t)1 << 20)
#define SECTOR_BYTES ((size_t)4096)

/* The part of the file that is in memory. */
struct window {
    const struct file_layer *files;
    int fd;
    uint64_t file_size;
    struct buffer bytes;
    uint64_t base; /* the first byte's offset in the file */
    _Atomic uint64_t *done_bytes;
};

struct queue_index {
    struct hash_node node;
    uint64_t id;
    uint32_t index;
};

/* ---- The window ---- */

/* What cannot be read becomes bytes that no record has, sector by sector. */
static void read_sectors(struct window *w, uint8_t *out, size_t size, uint64_t offset)
{
    while (size != 0) {
        size_t part = SECTOR_BYTES - (size_t)(offset % SECTOR_BYTES);
        size_t read = 0;

        if (part > size)
            part = size;
        if (file_read_full(w->files, w->fd, out, part, offset, &read) < 0 || read < part)
            memset(out + read, 0xff, part - read);
        out += part;
        size -= part;
        offset += part;
    }
}

/* Makes the window begin at `offset`, with at least `size` bytes or all up to the file's end. */
static void move_window(struct window *w, uint64_t offset, size_t size)
{
    size_t kept = (size_t)(w->base + w->bytes.size - offset);
    size_t wanted = size > WINDOW_BYTES ? size : WINDOW_BYTES;
    size_t read = 0;
    uint8_t *at;

    if (wanted > w->file_size - offset)
        wanted = (size_t)(w->file_size - offset);
    buffer_consume(&w->bytes, w->bytes.size - kept);
    w->base = offset;
    if (wanted <= kept)
        return;
    at = buffer_reserve(&w->bytes, wanted - kept);
    if (file_read_full(w->files, w->fd, at, wanted - kept, offset + kept, &read) < 0 ||
        read < wanted - kept)
        read_sectors(w, at, wanted - kept, offset + kept);
    w->bytes.size += wanted - kept;
    atomic_fetch_add_explicit(w->done_bytes, wanted - kept, memory_order_relaxed);
}

static enum record_check read_at(struct window *w, struct record *r, struct segment_id id,
                                 uint64_t offset)
{
    enum record_check check;
    size_t at;

    if (offset + RECORD_HEAD_SIZE > w->base + w->bytes.size)
        move_window(w, offset, RECORD_HEAD_SIZE);
    at = (size_t)(offset - w->base);
    check = record_read(r, w->bytes.data + at, w->bytes.size - at, id, (uint32_t)offset);
    if (check != RECORD_SHORT)
        return check;
    if (offset + record_padded(r->size) > w->file_size)
        return RECORD_NONE;
    move_window(w, offset, record_padded(r->size));
    return record_read(r, w->bytes.data, w->bytes.size, id, (uint32_t)offset);
}

/* Has the window begin at `at`, behind a hole if one begins there, but before `end`. */
static uint64_t move_behind_hole(struct window *w, uint64_t at, uint64_t end)
{
    uint64_t data = w->files->next_data(w->files->context, w->fd, at);

    if (data > end)
        data = end;
    data -= data % RECORD_ALIGNMENT;
    if (data > at) {
        atomic_fetch_add_explicit(w->done_bytes, data - at, memory_order_relaxed);
        at = data;
    }
    buffer_clear(&w->bytes);
    w->base = at;
    if (at < end)
        move_window(w, at, 1);
    return at;
}

/* The first byte from `at` on that is not zero, `end` when there is none. */
static uint64_t skip_zeros(struct window *w, uint64_t at, uint64_t end)
{
    while (at < end) {
        if (at < w->base || at >= w->base + w->bytes.size)
            at = move_behind_hole(w, at, end);
        for (; at < end && at < w->base + w->bytes.size; at++) {
            if (w->bytes.data[at - w->base] != 0)
                return at;
        }
    }
    return end;
}

/* Behind the last byte of the region that is not zero, or its begin. */
static uint64_t find_data_end(struct window *w, uint64_t begin, uint64_t end)
{
    uint64_t data_end = begin;

    for (uint64_t at = skip_zeros(w, begin, end); at < end; at = skip_zeros(w, at + 1, end))
        data_end = at + 1;
    return data_end;
}

/* ---- What the records say ---- */

static bool has_id(const struct hash_node *node, const void *key)
{
    const uint64_t *id = key;

    return container_of(node, const struct queue_index, node)->id == *id;
}

static uint32_t queue_index(struct segment_scan *s, uint64_t id)
{
    uint64_t hash = id * UINT64_C(0x9e3779b97f4a7c15);
    struct hash_node *n;
    struct queue_index *q;

    if (id == s->last_queue_id)
        return s->last_queue;
    hash ^= hash >> 32;
    n = hash_map_find(&s->queue_indexes, hash, has_id, &id);
    if (n == NULL) {
        q = memory_alloc(sizeof(*q));
        q->id = id;
        q->index = (uint32_t)s->queue_indexes.count;
        hash_map_insert(&s->queue_indexes, &q->node, hash);
        buffer_append(&s->queues, bytes_of(&id, sizeof(id)));
        n = &q->node;
    }
    s->last_queue_id = id;
    s->last_queue = container_of(n, struct queue_index, node)->index;
    return s->last_queue;
}

static void add_state(struct segment_scan *s, const struct record *r, uint32_t at)
{
    struct scanned_state state = {
        .next_sequence = r->sequence,
        .head = record_u64(r, 0),
        .delivered_below = record_u64(r, 8),
        .queue = queue_index(s, r->queue_id),
        .at = at,
        .runs = s->runs.size / sizeof(struct state_run),
    };
    struct state_run run = {0};
    uint32_t position = 0;

    while (state_next_run(r, &position, &run)) {
        buffer_append(&s->runs, bytes_of(&run, sizeof(run)));
        state.run_count++;
    }
    buffer_append(&s->states, bytes_of(&state, sizeof(state)));
}

static void add_segments(struct segment_scan *s, const struct record *r, uint32_t at)
{
    buffer_clear(&s->segments);
    s->segments_at = at;
    for (uint32_t i = 0; i < r->payload_size; i += 4) {
        uint32_t v = record_u32(r, i);

        buffer_append(&s->segments, bytes_of(&v, sizeof(v)));
    }
}

static void add_note(struct segment_scan *s, const struct record *r, uint32_t at)
{
    struct scanned_note note = {
        .sequence = r->sequence,
        .queue = r->type == RECORD_FREED ? UINT32_MAX : queue_index(s, r->queue_id),
        .at = at,
        .delivery_count = r->type == RECORD_RETURNED ? record_u32(r, 0) : 0,
    };

    buffer_append(&s->notes, bytes_of(&note, sizeof(note)));
}

static void prove(struct segment_scan *s, uint64_t end)
{
    if (end > s->proven_end)
        s->proven_end = end;
}

static void add_expiry(struct segment_scan *s, const struct record *r,
                       const struct scanned_message *m)
{
    const struct scanned_expiry expiry = {
        .sequence = m->sequence,
        .expires_ms = record_expires_ms(r),
        .queue = m->queue,
        .at = m->at,
    };

    if (expiry.expires_ms != 0)
        buffer_append(&s->expiries, bytes_of(&expiry, sizeof(expiry)));
}

static void add_record(struct segment_scan *s, const struct record *r, uint32_t at,
                       struct scanned_message *last)
{
    struct scanned_settle settle = {.window = r->sequence, .at = at};

    s->ended = r->type == RECORD_END && r->sequence == END_OF_JOURNAL;
    switch (r->type) {
    case RECORD_MESSAGE:
        last->location = segment_location(s->id.number, at, r->size).offset;
        last->body_size = record_body_size(r);
        break;
    case RECORD_REFERENCE:
        if (record_u32(r, 0) != last->location)
            return; /* its message is in a damaged region */
        s->references = true;
        break;
    case RECORD_SETTLE:
        settle.queue = queue_index(s, r->queue_id);
        memcpy(settle.bits, r->payload, sizeof(settle.bits));
        buffer_append(&s->settles, bytes_of(&settle, sizeof(settle)));
        return;
    case RECORD_DELIVERED:
    case RECORD_RETURNED:
    case RECORD_FREED:
        add_note(s, r, at);
        return;
    case RECORD_STATE:
        add_state(s, r, at);
        return;
    case RECORD_GROUP:
        prove(s, r->sequence);
        return;
    case RECORD_SEGMENTS:
        add_segments(s, r, at);
        return;
    case RECORD_END:
        return;
    }
    last->at = at;
    last->sequence = r->sequence;
    last->queue = queue_index(s, r->queue_id);
    buffer_append(&s->messages, bytes_of(last, sizeof(*last)));
    add_expiry(s, r, last);
}

/* ---- The walk ---- */

static void add_region(struct segment_scan *s, uint64_t begin, uint64_t end)
{
    struct scanned_region region = {.begin = begin, .end = end, .records_before = s->records};

    buffer_append(&s->regions, bytes_of(&region, sizeof(region)));
}

/* Where a record may begin, behind `at`: none begins with zeros alone. */
static uint64_t next_candidate(struct window *w, uint64_t at)
{
    uint64_t next = skip_zeros(w, at + RECORD_ALIGNMENT, w->file_size);

    return next - next % RECORD_ALIGNMENT;
}

static void walk(struct segment_scan *s, struct window *w, uint64_t at)
{
    struct scanned_message last = {.location = UINT32_MAX};
    uint64_t bad = at < SEGMENT_HEADER_SIZE ? at : UINT64_MAX; /* where no good record was */
    struct record r;

    if (at < SEGMENT_HEADER_SIZE)
        at = SEGMENT_HEADER_SIZE;
    while (at + RECORD_HEAD_SIZE <= w->file_size && !s->unknown_record) {
        enum record_check check = read_at(w, &r, s->id, at);

        if (check == RECORD_GOOD) {
            if (bad != UINT64_MAX)
                add_region(s, bad, at);
            bad = UINT64_MAX;
            s->records++;
            add_record(s, &r, (uint32_t)at, &last);
            at += record_padded(r.size);
            s->end = at;
            continue;
        }
        if (bad == UINT64_MAX)
            bad = at;
        if (check == RECORD_UNKNOWN)
            s->unknown_record = true;
        if (check == RECORD_CORRUPT)
            at += record_padded(r.size);
        else
            at = next_candidate(w, at);
    }
    if (bad == UINT64_MAX)
        bad = at;
    s->data_end = s->end;
    if (bad >= w->file_size)
        return;
    s->data_end = find_data_end(w, bad, w->file_size);
    if (s->data_end > bad)
        add_region(s, bad, s->data_end);
    else
        s->data_end = s->end;
}

void segment_scan(struct segment_scan *s, const struct file_layer *files, const char *directory,
                  _Atomic uint64_t *done_bytes)
{
    struct window w = {.files = files, .done_bytes = done_bytes};
    char *path = segment_path(directory, s->id, "");
    int rc;

    hash_map_init(&s->queue_indexes);
    w.fd = files->open(files->context, path, O_RDONLY, 0);
    free(path);
    if (w.fd < 0) {
        s->error = w.fd;
        return;
    }
    s->error = files->size(files->context, w.fd, &s->file_size);
    w.file_size = s->file_size > UINT32_MAX ? UINT32_MAX : s->file_size;
    if (s->error == 0 && s->file_size != 0) {
        buffer_init(&w.bytes);
        move_window(&w, 0, SEGMENT_HEADER_SIZE);
        rc = segment_check_header(w.bytes.data, w.bytes.size, s->id, &s->format);
        if (rc == 0) {
            s->format = 0;
            s->end = SEGMENT_HEADER_SIZE;
        } else if (rc == -EBADMSG) {
            s->format = 0;
            if (!segment_read_header(w.bytes.data, w.bytes.size, &s->holds))
                s->strange = !segment_may_begin(w.bytes.data, w.bytes.size);
        }
        if (rc != -ENOTSUP)
            walk(s, &w, s->end);
        buffer_free(&w.bytes);
    }
    atomic_fetch_add_explicit(done_bytes, s->file_size - w.file_size, memory_order_relaxed);
    files->close(files->context, w.fd);
}

void segment_scan_free(struct segment_scan *s)
{
    struct hash_node *n;

    while ((n = hash_map_first(&s->queue_indexes)) != NULL) {
        hash_map_remove(&s->queue_indexes, n);
        free(container_of(n, struct queue_index, node));
    }
    hash_map_clear(&s->queue_indexes);
    buffer_free(&s->segments);
    buffer_free(&s->queues);
    buffer_free(&s->messages);
    buffer_free(&s->expiries);
    buffer_free(&s->settles);
    buffer_free(&s->notes);
    buffer_free(&s->states);
    buffer_free(&s->runs);
    buffer_free(&s->regions);
}
