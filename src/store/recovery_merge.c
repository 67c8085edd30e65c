/* A message is held by its queue unless a settled record has it or the queue's newest state record
 * excludes it. Sequence numbers are never given twice, so that it does not matter where the settled
 * record stands; a message that compaction copied counts where its last copy is. */
#include "store/recovery_merge.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

struct settle_window {
    uint64_t window;
    uint8_t bits[SETTLE_WINDOW / 8];
};

struct returned {
    uint64_t sequence;
    uint32_t delivery_count;
};

struct merge_queue {
    struct hash_node node;
    struct recovered_queue found;
    uint64_t head;
    const struct state_run *runs; /* the newest state's */
    size_t run_count;
    size_t message_capacity;
    size_t expiry_capacity;
    size_t settle_count;
    size_t returned_count;
    struct settle_window *settles;
    struct returned *returned;
};

struct merge {
    struct hash_map by_id;
    struct merge_queue **queues; /* in the order they were found */
    size_t count;
    size_t capacity;
};

static bool has_id(const struct hash_node *node, const void *key)
{
    const uint64_t *id = key;

    return container_of(node, const struct merge_queue, node)->found.id == *id;
}

static struct merge_queue *queue_of(struct merge *m, uint64_t id)
{
    uint64_t hash = id * UINT64_C(0x9e3779b97f4a7c15);
    struct hash_node *n;
    struct merge_queue *q;

    hash ^= hash >> 32;
    n = hash_map_find(&m->by_id, hash, has_id, &id);
    if (n != NULL)
        return container_of(n, struct merge_queue, node);
    q = memory_alloc_zeroed(1, sizeof(*q));
    q->found.id = id;
    q->found.next_sequence = 1;
    hash_map_insert(&m->by_id, &q->node, hash);
    if (m->count == m->capacity) {
        m->capacity = m->capacity == 0 ? 64 : m->capacity * 2;
        m->queues = memory_resize(m->queues, m->capacity, sizeof(*m->queues));
    }
    m->queues[m->count++] = q;
    return q;
}

/* The queues of a scan's indexes. Freed by the caller. */
static struct merge_queue **map_queues(struct merge *m, const struct segment_scan *s)
{
    size_t count = s->queues.size / sizeof(uint64_t);
    const uint64_t *ids = (const uint64_t *)(const void *)s->queues.data;
    struct merge_queue **map = memory_resize(NULL, count + 1, sizeof(struct merge_queue *));

    for (size_t i = 0; i < count; i++)
        map[i] = queue_of(m, ids[i]);
    return map;
}

#define SCANNED(scan, member, type) ((const type *)(const void *)(scan)->member.data)
#define SCANNED_COUNT(scan, member, type) ((scan)->member.size / sizeof(type))

static void raise(uint64_t *value, uint64_t to)
{
    if (*value < to)
        *value = to;
}

static bool counts(const struct scanned *s, uint32_t at)
{
    return !s->freed && at < s->end;
}

/* ---- First the states, which tell what need not be looked at ---- */

static void take_states(struct merge_queue **map, const struct scanned *s)
{
    const struct scanned_state *states = SCANNED(&s->scan, states, struct scanned_state);
    size_t count = SCANNED_COUNT(&s->scan, states, struct scanned_state);

    for (size_t i = 0; i < count; i++) {
        struct merge_queue *q = map[states[i].queue];

        raise(&q->found.next_sequence, states[i].next_sequence);
        if (!counts(s, states[i].at))
            continue;
        raise(&q->found.delivered_below, states[i].delivered_below);
        q->head = states[i].head;
        q->run_count = states[i].run_count;
        q->runs =
            q->run_count != 0 ? SCANNED(&s->scan, runs, struct state_run) + states[i].runs : NULL;
    }
}

/* The run of the newest state that has the sequence number, or NULL. */
static const struct state_run *kept_run(const struct merge_queue *q, uint64_t sequence)
{
    size_t low = 0;
    size_t high = q->run_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (sequence < q->runs[middle].first)
            high = middle;
        else if (sequence - q->runs[middle].first < q->runs[middle].count)
            return &q->runs[middle];
        else
            low = middle + 1;
    }
    return NULL;
}

static bool state_excludes(const struct merge_queue *q, uint64_t sequence)
{
    return sequence < q->head && kept_run(q, sequence) == NULL;
}

static uint64_t behind(uint64_t sequence)
{
    return sequence == UINT64_MAX ? sequence : sequence + 1;
}

/* ---- Then how much each queue has ---- */

static uint64_t last_settled(const struct scanned_settle *s)
{
    for (uint32_t bit = SETTLE_WINDOW; bit-- != 0;) {
        if ((s->bits[bit / 8] >> (bit % 8) & 1) != 0)
            return s->window + bit;
    }
    return s->window;
}

static void count_records(struct merge_queue **map, const struct scanned *s)
{
    const struct scanned_message *messages = SCANNED(&s->scan, messages, struct scanned_message);
    const struct scanned_expiry *expiries = SCANNED(&s->scan, expiries, struct scanned_expiry);
    const struct scanned_settle *settles = SCANNED(&s->scan, settles, struct scanned_settle);
    const struct scanned_note *notes = SCANNED(&s->scan, notes, struct scanned_note);

    for (size_t i = 0; i < SCANNED_COUNT(&s->scan, messages, struct scanned_message); i++) {
        struct merge_queue *q = map[messages[i].queue];

        raise(&q->found.next_sequence, behind(messages[i].sequence));
        if (counts(s, messages[i].at) && !state_excludes(q, messages[i].sequence))
            q->message_capacity++;
    }
    for (size_t i = 0; i < SCANNED_COUNT(&s->scan, expiries, struct scanned_expiry); i++) {
        if (counts(s, expiries[i].at))
            map[expiries[i].queue]->expiry_capacity++;
    }
    for (size_t i = 0; i < SCANNED_COUNT(&s->scan, settles, struct scanned_settle); i++) {
        struct merge_queue *q = map[settles[i].queue];

        raise(&q->found.next_sequence, behind(last_settled(&settles[i])));
        if (counts(s, settles[i].at))
            q->settle_count++;
    }
    for (size_t i = 0; i < SCANNED_COUNT(&s->scan, notes, struct scanned_note); i++) {
        struct merge_queue *q;

        if (notes[i].queue == UINT32_MAX)
            continue;
        q = map[notes[i].queue];
        if (notes[i].delivery_count != 0)
            raise(&q->found.next_sequence, behind(notes[i].sequence));
        else
            raise(&q->found.next_sequence, notes[i].sequence);
        if (!counts(s, notes[i].at))
            continue;
        if (notes[i].delivery_count != 0)
            q->returned_count++;
        else
            raise(&q->found.delivered_below, notes[i].sequence);
    }
}

static void allocate(struct merge *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct merge_queue *q = m->queues[i];

        q->found.messages =
            memory_resize(NULL, q->message_capacity + 1, sizeof(*q->found.messages));
        if (q->expiry_capacity != 0)
            q->found.expiries = memory_resize(NULL, q->expiry_capacity, sizeof(*q->found.expiries));
        q->settles = memory_resize(NULL, q->settle_count + 1, sizeof(*q->settles));
        q->returned = memory_resize(NULL, q->returned_count + 1, sizeof(*q->returned));
        q->settle_count = 0;
        q->returned_count = 0;
    }
}

/* ---- Then each queue gets its own ---- */

static void distribute(struct merge_queue **map, const struct scanned *s)
{
    const struct scanned_message *messages = SCANNED(&s->scan, messages, struct scanned_message);
    const struct scanned_expiry *expiries = SCANNED(&s->scan, expiries, struct scanned_expiry);
    const struct scanned_settle *settles = SCANNED(&s->scan, settles, struct scanned_settle);
    const struct scanned_note *notes = SCANNED(&s->scan, notes, struct scanned_note);

    for (size_t i = 0; i < SCANNED_COUNT(&s->scan, messages, struct scanned_message); i++) {
        struct merge_queue *q = map[messages[i].queue];

        if (!counts(s, messages[i].at) || state_excludes(q, messages[i].sequence))
            continue;
        q->found.messages[q->found.count++] = (struct recovered_message){
            .sequence = messages[i].sequence,
            .location = {.segment = s->scan.id.number, .offset = messages[i].location},
            .body_size = messages[i].body_size,
        };
    }
    for (size_t i = 0; i < SCANNED_COUNT(&s->scan, expiries, struct scanned_expiry); i++) {
        struct merge_queue *q = map[expiries[i].queue];

        if (counts(s, expiries[i].at))
            q->found.expiries[q->found.expiry_count++] = (struct recovered_expiry){
                .sequence = expiries[i].sequence, .expires_ms = expiries[i].expires_ms};
    }
    for (size_t i = 0; i < SCANNED_COUNT(&s->scan, settles, struct scanned_settle); i++) {
        struct merge_queue *q = map[settles[i].queue];
        struct settle_window *w = &q->settles[q->settle_count];

        if (!counts(s, settles[i].at))
            continue;
        q->settle_count++;
        w->window = settles[i].window;
        memcpy(w->bits, settles[i].bits, sizeof(w->bits));
    }
    for (size_t i = 0; i < SCANNED_COUNT(&s->scan, notes, struct scanned_note); i++) {
        struct merge_queue *q;

        if (notes[i].queue == UINT32_MAX || notes[i].delivery_count == 0 || !counts(s, notes[i].at))
            continue;
        q = map[notes[i].queue];
        q->returned[q->returned_count++] = (struct returned){
            .sequence = notes[i].sequence, .delivery_count = notes[i].delivery_count};
    }
}

static int by_sequence_and_place(const void *a, const void *b)
{
    const struct recovered_message *x = a;
    const struct recovered_message *y = b;

    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    if (x->location.segment != y->location.segment)
        return x->location.segment < y->location.segment ? -1 : 1;
    return (x->location.offset > y->location.offset) - (x->location.offset < y->location.offset);
}

static int by_window(const void *a, const void *b)
{
    const struct settle_window *x = a;
    const struct settle_window *y = b;

    return (x->window > y->window) - (x->window < y->window);
}

static int by_sequence_and_count(const void *a, const void *b)
{
    const struct returned *x = a;
    const struct returned *y = b;

    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    return (x->delivery_count > y->delivery_count) - (x->delivery_count < y->delivery_count);
}

static int by_expiry_sequence(const void *a, const void *b)
{
    const struct recovered_expiry *x = a;
    const struct recovered_expiry *y = b;

    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static void sort_messages(struct recovered_queue *q)
{
    for (size_t i = 1; i < q->count; i++) {
        if (by_sequence_and_place(&q->messages[i - 1], &q->messages[i]) > 0) {
            qsort(q->messages, q->count, sizeof(*q->messages), by_sequence_and_place);
            return;
        }
    }
}

/* ---- Then what is settled goes ---- */

static bool has_bit(const struct settle_window *w, uint64_t sequence)
{
    uint64_t bit = sequence - w->window;

    return bit < SETTLE_WINDOW && (w->bits[bit / 8] >> (bit % 8) & 1) != 0;
}

/* `*at` is the first window that may have the sequence number: it only rises. */
static bool is_settled(const struct merge_queue *q, size_t *at, uint64_t sequence)
{
    while (*at < q->settle_count && sequence - q->settles[*at].window >= SETTLE_WINDOW &&
           q->settles[*at].window < sequence)
        (*at)++;
    for (size_t i = *at; i < q->settle_count && q->settles[i].window <= sequence; i++) {
        if (has_bit(&q->settles[i], sequence))
            return true;
    }
    return false;
}

static uint32_t delivery_count(const struct merge_queue *q, size_t *at, uint64_t sequence)
{
    const struct state_run *run = sequence < q->head ? kept_run(q, sequence) : NULL;
    uint32_t count = sequence < q->found.delivered_below ? 1 : 0;

    if (run != NULL && run->delivery_count > count)
        count = run->delivery_count;
    while (*at < q->returned_count && q->returned[*at].sequence < sequence)
        (*at)++;
    for (size_t i = *at; i < q->returned_count && q->returned[i].sequence == sequence; i++) {
        if (q->returned[i].delivery_count > count)
            count = q->returned[i].delivery_count;
    }
    return count;
}

static void finish_queue(struct merge_queue *q)
{
    struct recovered_queue *found = &q->found;
    size_t settle_at = 0;
    size_t returned_at = 0;
    size_t kept = 0;

    sort_messages(found);
    if (found->expiry_count != 0)
        qsort(found->expiries, found->expiry_count, sizeof(*found->expiries), by_expiry_sequence);
    qsort(q->settles, q->settle_count, sizeof(*q->settles), by_window);
    qsort(q->returned, q->returned_count, sizeof(*q->returned), by_sequence_and_count);
    for (size_t i = 0; i < found->count; i++) {
        struct recovered_message *m = &found->messages[i];

        if (i + 1 < found->count && found->messages[i + 1].sequence == m->sequence)
            continue; /* a later copy counts */
        if (is_settled(q, &settle_at, m->sequence))
            continue;
        m->delivery_count = delivery_count(q, &returned_at, m->sequence);
        found->messages[kept++] = *m;
    }
    found->count = kept;
}

static int by_id(const void *a, const void *b)
{
    const struct recovered_queue *x = a;
    const struct recovered_queue *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

void recovery_merge(struct scanned *segments, size_t count, struct recovered *out)
{
    struct merge_queue ***maps = memory_alloc_zeroed(count + 1, sizeof(*maps));
    struct merge m = {0};

    hash_map_init(&m.by_id);
    for (size_t i = 0; i < count; i++) {
        maps[i] = map_queues(&m, &segments[i].scan);
        take_states(maps[i], &segments[i]);
    }
    for (size_t i = 0; i < count; i++)
        count_records(maps[i], &segments[i]);
    allocate(&m);
    for (size_t i = 0; i < count; i++) {
        distribute(maps[i], &segments[i]);
        buffer_free(&segments[i].scan.messages);
        buffer_free(&segments[i].scan.expiries);
        buffer_free(&segments[i].scan.settles);
        free(maps[i]);
    }
    free(maps);

    out->queues = memory_resize(NULL, m.count + 1, sizeof(*out->queues));
    out->queue_count = m.count;
    for (size_t i = 0; i < m.count; i++) {
        finish_queue(m.queues[i]);
        out->queues[i] = m.queues[i]->found;
        free(m.queues[i]->settles);
        free(m.queues[i]->returned);
        free(m.queues[i]);
    }
    free(m.queues);
    hash_map_clear(&m.by_id);
    qsort(out->queues, out->queue_count, sizeof(*out->queues), by_id);
}
