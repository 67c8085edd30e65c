#include "base/memory.h"
#include "broker/entries_depth.h"
#include "broker/queue_lanes.h"

#include <errno.h>

#define KEPT_FIRST_CAPACITY 64u

/* One of the unacked and the returned. */
struct held {
    uint64_t sequence;
    struct entry *entry; /* does not move while the index lives */
};

struct held_index {
    uint64_t count;
    struct held items[]; /* ascending */
};

uint64_t queue_delivered_below(const struct queue *q, uint32_t lane)
{
    const struct lane *higher;

    if (lane == 0)
        return entries_head_sequence(&q->ready);
    higher = q->extra->lanes->higher[lane - 1];
    return higher != NULL ? entries_head_sequence(&higher->ready) : queue_lane_first_sequence(lane);
}

/* Calls `visit` for all that are unacked, of any lane. */
static void visit_unacked(const struct queue *q, void (*visit)(void *context, struct entry *entry),
                          void *context)
{
    list_for_each(&q->consumers, node) {
        const struct unacked *u = &container_of(node, struct consumer, by_queue)->unacked;

        for (uint32_t i = 0; i < u->span; i++) {
            struct unacked_slot *slot = unacked_at(u, i);

            if (!unacked_is_settled(slot))
                visit(context, &slot->entry);
        }
    }
}

/* ---- State ---- */

void sequence_list_free(struct sequence_list *l)
{
    free(l->items);
    *l = (struct sequence_list){.items = NULL};
}

struct kept_below {
    uint64_t head;
    uint32_t lane;
    struct sequence_list *list;
    bool ascending;
};

static void keep(void *context, struct entry *entry)
{
    struct kept_below *kept = context;
    struct sequence_list *l = kept->list;

    if (entry->sequence >= kept->head || queue_lane_of_sequence(entry->sequence) != kept->lane ||
        store_location_is_none(entry->location))
        return;
    if (l->count == l->capacity) {
        l->capacity = l->capacity != 0 ? 2 * l->capacity : KEPT_FIRST_CAPACITY;
        l->items = memory_resize(l->items, l->capacity, sizeof(*l->items));
    }
    if (l->count != 0 && l->items[l->count - 1] > entry->sequence)
        kept->ascending = false;
    l->items[l->count++] = entry->sequence;
}

static int compare_sequences(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void queue_state(struct queue *q, uint32_t lane, uint64_t *head, struct sequence_list *kept)
{
    const struct entries *e = queue_need_lane(q, lane);
    struct kept_below below = {
        .head = entries_whole_from(e), .lane = lane, .list = kept, .ascending = true};

    kept->count = 0;
    visit_unacked(q, keep, &below);
    entries_visit_delivered(e, keep, &below);
    entries_visit_waiting(e, below.head, keep, &below);
    if (!below.ascending)
        qsort(kept->items, kept->count, sizeof(*kept->items), compare_sequences);
    *head = below.head;
}

/* ---- Moved messages ---- */

static void index_add(void *context, struct entry *entry)
{
    struct held_index *index = context;

    index->items[index->count++] = (struct held){.sequence = entry->sequence, .entry = entry};
}

static int compare_held(const void *a, const void *b)
{
    const struct held *x = a;
    const struct held *y = b;

    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static uint64_t count_delivered(const struct entries *e)
{
    return entries_count(e) - e->waiting;
}

static struct held_index *index_held(struct queue *q)
{
    uint64_t most = q->unacked_count + queue_sum_lanes(q, count_delivered);
    struct held_index *index = memory_alloc(sizeof(*index) + most * sizeof(index->items[0]));

    index->count = 0;
    visit_unacked(q, index_add, index);
    for (uint32_t lane = queue_lane_count(q); lane-- != 0;) {
        const struct entries *e = queue_lane(q, lane);

        if (e != NULL)
            entries_visit_delivered(e, index_add, index);
    }
    assert(index->count == most);
    qsort(index->items, index->count, sizeof(index->items[0]), compare_held);
    return index;
}

void queue_free_held_index(struct queue *q)
{
    free(q->extra->held);
    q->extra->held = NULL;
    queue_drop_extra(q);
}

static const struct held *find_held(struct queue *q, uint64_t sequence)
{
    const struct held wanted = {.sequence = sequence};
    struct queue_extra *x = queue_need_extra(q);

    if (x->held == NULL)
        x->held = index_held(q);
    return bsearch(&wanted, x->held->items, x->held->count, sizeof(wanted), compare_held);
}

bool queue_relocate(struct queue *q, uint64_t sequence, struct store_location from,
                    struct store_location to)
{
    struct entries *lane = queue_lane_with(q, sequence);
    struct entry_slot *slot = lane != NULL ? entries_find(lane, sequence) : NULL;
    const struct held *held = slot == NULL ? find_held(q, sequence) : NULL;
    struct store_location *location = slot != NULL ? &slot->location : NULL;

    if (held != NULL)
        location = &held->entry->location;
    if (location == NULL || location->segment != from.segment || location->offset != from.offset)
        return false;
    *location = to;
    return true;
}

uint32_t queue_delivery_count(struct queue *q, uint64_t sequence)
{
    const struct held *held;

    if (sequence >= queue_delivered_below(q, queue_lane_of_sequence(sequence)))
        return 0;
    held = find_held(q, sequence);
    return held != NULL ? held->entry->delivery_count : 0;
}

/* ---- Recovery ---- */

int queue_restore(struct queue *q, uint64_t sequence, struct message *msg,
                  struct store_location location, uint32_t delivery_count, uint32_t body_size,
                  int64_t expiry_ms)
{
    const struct entry entry = {
        .message = msg,
        .sequence = sequence,
        .location = location,
        .delivery_count = delivery_count < ENTRY_DELIVERIES_MAX
                              ? delivery_count & ENTRY_DELIVERIES_MAX
                              : ENTRY_DELIVERIES_MAX,
        .expiry = expiry_encode(expiry_ms) & EXPIRY_CODE_MAX,
    };
    uint32_t lane = queue_lane_of_sequence(sequence);

    if (!entries_restore(queue_need_lane(q, lane), &entry, body_size))
        return -ENOMEM;
    if (queue_has_lanes(q))
        queue_lane_filled(q, lane);
    if (msg != NULL)
        message_ref(msg);
    if (entry.expiry != 0)
        queue_restore_expiry(q, &entry);
    return 0;
}

void queue_restore_lane_done(struct queue *q, uint32_t lane, uint64_t next_sequence)
{
    entries_restore_done(queue_need_lane(q, lane), next_sequence);
}

void queue_restore_done(struct queue *q, struct effects *out)
{
    if (q->extra != NULL) {
        queue_start_clock(q, out);
        queue_trim_recovered(q, out);
    }
    queue_update_active(q);
}
