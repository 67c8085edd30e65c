/* Appending: records go into the gathered bytes, at the places they will have in their segment. */
#include "store/journal_internal.h"

#include "base/clock.h"
#include "base/memory.h"

#include <assert.h>
#include <string.h>

/* ---- Gathering ---- */

static void begin_piece(struct journal *j)
{
    struct journal_group *g = j->gather;

    if (g->piece_count == g->piece_capacity) {
        g->piece_capacity = g->piece_capacity == 0 ? 4 : g->piece_capacity * 2;
        g->pieces = memory_resize(g->pieces, g->piece_capacity, sizeof(*g->pieces));
    }
    g->pieces[g->piece_count++] = (struct journal_piece){
        .segment = j->active->id,
        .offset = (uint32_t)j->active->size_bytes,
        .begin = g->bytes.size,
        .end = g->bytes.size,
    };
}

static uint8_t *take_room(struct journal *j, uint32_t size, uint32_t *offset)
{
    struct journal_group *g = j->gather;
    uint32_t padded = record_padded(size);
    uint8_t *at = buffer_reserve(&g->bytes, padded);

    g->bytes.size += padded;
    g->pieces[g->piece_count - 1].end = g->bytes.size;
    *offset = (uint32_t)j->active->size_bytes;
    j->active->size_bytes += padded;
    journal_space_used(j, padded);
    return at;
}

uint8_t *journal_reserve(struct journal *j, uint32_t size, uint32_t *offset)
{
    uint32_t group_offset;

    /* The group's and the end's record always fit behind. */
    if (j->active == NULL ||
        j->active->size_bytes + size + (4 * RECORD_HEAD_SIZE) > (uint64_t)UINT32_MAX)
        journal_roll(j);
    if (j->gather->piece_count == 0) {
        begin_piece(j);
        j->group_record = j->gather->bytes.size;
        j->has_group_record = true;
        record_put(take_room(j, RECORD_HEAD_SIZE, &group_offset), RECORD_GROUP, RECORD_HEAD_SIZE, 0,
                   0);
    }
    return take_room(j, size, offset);
}

/* A record that is nothing but its head. */
static void append_head(struct journal *j, enum record_type type, uint64_t queue_id,
                        uint64_t sequence)
{
    uint32_t offset;

    record_put(journal_reserve(j, RECORD_HEAD_SIZE, &offset), type, RECORD_HEAD_SIZE, queue_id,
               sequence);
    j->appended++;
}

void journal_append_end(struct journal *j, enum end_kind kind)
{
    append_head(j, RECORD_END, 0, kind);
    j->gather->pieces[j->gather->piece_count - 1].ends = true;
}

static void append_segments(struct journal *j)
{
    uint32_t size = RECORD_HEAD_SIZE;
    uint32_t offset;
    uint8_t *at;

    list_for_each(&j->segments, n) {
        const struct journal_segment *s = container_of(n, struct journal_segment, in_all);

        if (s != j->active && !s->freeing)
            size += SEGMENTS_ENTRY_SIZE;
    }
    at = journal_reserve(j, size, &offset);
    record_put(at, RECORD_SEGMENTS, size, 0, 0);
    at += RECORD_HEAD_SIZE;
    list_for_each(&j->segments, n) {
        const struct journal_segment *s = container_of(n, struct journal_segment, in_all);

        if (s == j->active || s->freeing)
            continue;
        segments_put_entry(at, s->id.number, (uint32_t)s->size_bytes);
        at += SEGMENTS_ENTRY_SIZE;
    }
    j->appended++;
}

void journal_roll(struct journal *j)
{
    struct journal_segment *full = j->active;
    struct segment_id id = {.number = ++j->last_number, .salt = j->salt};
    uint32_t offset;

    if (full != NULL) {
        journal_append_end(j, END_OF_SEGMENT);
        full->sealed = true;
    }
    j->group_number++;
    j->last_message_of = NULL;

    j->active = journal_segment_add(j, id);
    begin_piece(j);
    segment_write_header(take_room(j, SEGMENT_HEADER_SIZE, &offset), id, clock_realtime_ms());
    append_segments(j);
    j->states_due = true;
}

/* ---- Queues and their states ---- */

void journal_queue_init(struct journal_queue *q, uint64_t id)
{
    memset(q, 0, sizeof(*q));
    q->id = id;
    list_node_init(&q->dirty);
    list_node_init(&q->in_segment);
}

void journal_queue_release(struct journal *j, struct journal_queue *q)
{
    struct journal_segment *s;

    list_remove(&q->dirty);
    if (!list_linked(&q->in_segment))
        return;
    list_remove(&q->in_segment);
    s = journal_segment_find(j, q->state_segment);
    q->state_segment = 0;
    if (s != NULL)
        journal_segment_consider(j, s);
}

static void mark_dirty(struct journal *j, struct journal_queue *q)
{
    if (!list_linked(&q->dirty))
        list_append(&j->dirty, &q->dirty);
}

static uint32_t delivery_count(const struct journal *j, uint64_t queue_id, uint64_t sequence)
{
    if (j->options.delivery_count == NULL)
        return 0;
    return j->options.delivery_count(j->options.context, queue_id, sequence);
}

/* The runs of what is kept, encoded into the scratch buffer. */
static void encode_kept(struct journal *j, const struct journal_queue *q, const uint64_t *kept,
                        uint32_t count)
{
    struct state_run run = {0};
    uint64_t previous_end = 0;

    buffer_clear(&j->scratch);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t delivered = delivery_count(j, q->id, kept[i]);

        if (run.count != 0 && kept[i] == run.first + run.count && delivered == run.delivery_count) {
            run.count++;
            continue;
        }
        if (run.count != 0) {
            j->scratch.size +=
                state_put_run(buffer_reserve(&j->scratch, STATE_RUN_SIZE_MAX), &run, previous_end);
            previous_end = run.first + run.count;
        }
        run = (struct state_run){.first = kept[i], .count = 1, .delivery_count = delivered};
    }
    if (run.count != 0)
        j->scratch.size +=
            state_put_run(buffer_reserve(&j->scratch, STATE_RUN_SIZE_MAX), &run, previous_end);
}

void journal_append_state(struct journal *j, struct journal_queue *q)
{
    const uint64_t *kept = NULL;
    uint32_t kept_count = 0;
    uint64_t head = 0;
    uint32_t offset, size;
    uint8_t *at;

    if (j->failed) {
        mark_dirty(j, q);
        return;
    }
    j->options.queue_state(j->options.context, q->id, &head, &kept, &kept_count);
    if (head > q->next_sequence)
        q->next_sequence = head;
    if (kept_count != 0 && kept[kept_count - 1] >= q->next_sequence)
        q->next_sequence = kept[kept_count - 1] + 1;
    encode_kept(j, q, kept, kept_count);

    size = (uint32_t)(STATE_FIXED_SIZE + j->scratch.size);
    at = journal_reserve(j, size, &offset);
    record_put(at, RECORD_STATE, size, q->id, q->next_sequence);
    state_put_fixed(at, head, q->delivered_below);
    if (j->scratch.size != 0)
        memcpy(at + STATE_FIXED_SIZE, j->scratch.data, j->scratch.size);
    j->appended++;

    q->settle_group = 0;
    q->delivered_group = 0;
    list_remove(&q->dirty);
    if (list_linked(&q->in_segment)) {
        struct journal_segment *before = journal_segment_find(j, q->state_segment);

        list_remove(&q->in_segment);
        q->state_segment = 0;
        if (before != NULL)
            journal_segment_consider(j, before);
    }
    list_append(&j->active->states, &q->in_segment);
    q->state_segment = j->active->id.number;
}

void journal_append_states(struct journal *j)
{
    struct list_node *n;

    j->states_due = false;
    while ((n = list_first(&j->dirty)) != NULL)
        journal_append_state(j, container_of(n, struct journal_queue, dirty));
    list_for_each(&j->segments, node)
        journal_segment_consider(j, container_of(node, struct journal_segment, in_all));
}

void journal_append_freed(struct journal *j, uint32_t segment)
{
    append_head(j, RECORD_FREED, 0, segment);
}

/* ---- Messages ---- */

void journal_append_reference(struct journal *j, uint64_t queue_id, uint64_t sequence,
                              struct store_location target, int64_t expires_ms)
{
    uint32_t offset;
    uint8_t *at = journal_reserve(j, record_reference_size(expires_ms), &offset);

    assert(target.segment == j->active->id.number);
    record_put_reference(at, queue_id, sequence, target.offset, expires_ms);
    j->appended++;
    j->gather->needs_sync = true;
    journal_hold_more(j, target);
}

struct store_location journal_append_message(struct journal *j, struct journal_queue *q,
                                             uint64_t sequence, const struct message *msg,
                                             int64_t expires_ms)
{
    uint32_t size = record_message_size(msg, expires_ms);
    uint32_t offset;
    uint8_t *at;

    if (size == 0 || !journal_takes_messages(j))
        return (struct store_location){0};
    if (sequence >= q->next_sequence)
        q->next_sequence = sequence + 1;

    /* The pointer may be that of another message by now: the content decides. */
    if (j->last_message_of == msg && j->active->size_bytes < UINT32_MAX / 2 &&
        record_is_message(j->gather->bytes.data + j->last_message, msg)) {
        journal_append_reference(j, q->id, sequence, j->last_location, expires_ms);
        return j->last_location;
    }
    at = journal_reserve(j, size, &offset);
    record_put_message(at, size, q->id, sequence, msg, expires_ms);
    j->appended++;
    j->gather->needs_sync = true;
    j->last_message_of = msg;
    j->last_message = (size_t)(at - j->gather->bytes.data);
    j->last_location = segment_location(j->active->id.number, offset, size);
    journal_hold(j, j->last_location);
    return j->last_location;
}

struct store_location journal_append_copy(struct journal *j, const uint8_t *record,
                                          uint64_t queue_id, uint64_t sequence, int64_t expires_ms)
{
    struct store_location location;
    struct record r;
    uint32_t size, offset;
    uint8_t *at;

    record_parse(&r, record);
    size = record_copy_size(&r, expires_ms);
    at = journal_reserve(j, size, &offset);
    record_put_message_copy(at, size, &r, queue_id, sequence, expires_ms);
    j->appended++;
    j->gather->needs_sync = true;
    j->last_message_of = NULL;
    j->compacted_bytes += size;
    location = segment_location(j->active->id.number, offset, size);
    journal_hold(j, location);
    return location;
}

void journal_append_settle(struct journal *j, struct journal_queue *q, uint64_t sequence,
                           struct store_location location)
{
    uint64_t window = sequence - sequence % SETTLE_WINDOW;
    uint32_t offset;
    uint8_t *at;

    journal_release(j, location);
    mark_dirty(j, q);
    if (sequence >= q->next_sequence)
        q->next_sequence = sequence + 1;
    if (j->failed || j->short_of_space) /* a state will tell */
        return;

    j->appended++;
    if (q->settle_group == j->group_number && q->settle_window == window) {
        settle_set(j->gather->bytes.data + q->settle_at, sequence);
        return;
    }
    at = journal_reserve(j, SETTLE_SIZE, &offset);
    record_put(at, RECORD_SETTLE, SETTLE_SIZE, q->id, window);
    memset(at + RECORD_HEAD_SIZE, 0, SETTLE_SIZE - RECORD_HEAD_SIZE);
    settle_set(at, sequence);
    q->settle_group = j->group_number;
    q->settle_window = window;
    q->settle_at = (size_t)(at - j->gather->bytes.data);
}

void journal_append_delivered(struct journal *j, struct journal_queue *q, uint64_t sequence)
{
    uint32_t offset;
    uint8_t *at;

    if (sequence <= q->delivered_below)
        return;
    q->delivered_below = sequence;
    if (sequence > q->next_sequence)
        q->next_sequence = sequence;
    mark_dirty(j, q);
    if (j->failed || j->short_of_space)
        return;

    j->appended++;
    if (q->delivered_group == j->group_number) {
        record_set_sequence(j->gather->bytes.data + q->delivered_at, sequence);
        return;
    }
    at = journal_reserve(j, RECORD_HEAD_SIZE, &offset);
    record_put(at, RECORD_DELIVERED, RECORD_HEAD_SIZE, q->id, sequence);
    q->delivered_group = j->group_number;
    q->delivered_at = (size_t)(at - j->gather->bytes.data);
}

void journal_append_delivery_count(struct journal *j, uint64_t queue_id, uint64_t sequence,
                                   uint32_t count)
{
    uint32_t offset;
    uint8_t *at = journal_reserve(j, RETURNED_SIZE, &offset);

    record_put(at, RECORD_RETURNED, RETURNED_SIZE, queue_id, sequence);
    record_put_u32(at, count);
    j->appended++;
}

void journal_append_returned(struct journal *j, struct journal_queue *q, uint64_t sequence,
                             uint32_t count)
{
    mark_dirty(j, q);
    if (j->failed || j->short_of_space)
        return;
    journal_append_delivery_count(j, q->id, sequence, count);
}

void journal_release_message(struct journal *j, struct store_location location)
{
    journal_release(j, location);
}
