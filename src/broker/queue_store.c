#include "base/memory.h"
#include "broker/entries_depth.h"
#include "broker/queue_internal.h"

#include <errno.h>

#define KEPT_FIRST_CAPACITY 64u

/* One of the unacked and the returned. */
struct held {
    uint64_t sequence;
    struct store_location *location; /* in the entry, which does not move while the index lives */
};

struct held_index {
    uint64_t count;
    struct held items[]; /* ascending */
};

uint64_t queue_delivered_below(const struct queue *q)
{
    return entries_head_sequence(&q->ready);
}

/* Calls `visit` for all that are unacked or came back. */
static void visit_held(const struct queue *q, void (*visit)(void *context, struct entry *entry),
                       void *context)
{
    list_for_each(&q->consumers, node) {
        const struct unacked *u = &container_of(node, struct consumer, by_queue)->unacked;

        for (uint32_t i = 0; i < u->span; i++) {
            struct entry *entry = &unacked_at(u, i)->entry;

            if (entry->message != NULL)
                visit(context, entry);
        }
    }
    entries_visit_returned(&q->ready, visit, context);
}

/* ---- State ---- */

void sequence_list_free(struct sequence_list *l)
{
    free(l->items);
    *l = (struct sequence_list){.items = NULL};
}

struct kept_below {
    uint64_t head;
    struct sequence_list *list;
    bool ascending;
};

static void keep(void *context, struct entry *entry)
{
    struct kept_below *kept = context;
    struct sequence_list *l = kept->list;

    if (entry->sequence >= kept->head || store_location_is_none(entry->location))
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

void queue_state(const struct queue *q, uint64_t *head, struct sequence_list *kept)
{
    struct kept_below below = {.head = queue_delivered_below(q), .list = kept, .ascending = true};

    kept->count = 0;
    visit_held(q, keep, &below);
    if (!below.ascending)
        qsort(kept->items, kept->count, sizeof(*kept->items), compare_sequences);
    *head = below.head;
}

/* ---- Moved messages ---- */

static void index_add(void *context, struct entry *entry)
{
    struct held_index *index = context;

    index->items[index->count++] =
        (struct held){.sequence = entry->sequence, .location = &entry->location};
}

static int compare_held(const void *a, const void *b)
{
    const struct held *x = a;
    const struct held *y = b;

    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static struct held_index *index_held(const struct queue *q)
{
    uint64_t most = q->unacked_count + entries_count(&q->ready) - q->ready.waiting;
    struct held_index *index = memory_alloc(sizeof(*index) + most * sizeof(index->items[0]));

    index->count = 0;
    visit_held(q, index_add, index);
    assert(index->count == most);
    qsort(index->items, index->count, sizeof(index->items[0]), compare_held);
    return index;
}

void queue_free_held_index(struct queue *q)
{
    free(q->held);
    q->held = NULL;
}

static struct store_location *find_held(struct queue *q, uint64_t sequence)
{
    const struct held wanted = {.sequence = sequence};
    const struct held *found;

    if (q->held == NULL)
        q->held = index_held(q);
    found = bsearch(&wanted, q->held->items, q->held->count, sizeof(wanted), compare_held);
    return found != NULL ? found->location : NULL;
}

bool queue_relocate(struct queue *q, uint64_t sequence, struct store_location from,
                    struct store_location to)
{
    struct entry_slot *slot = entries_find(&q->ready, sequence);
    struct store_location *location = slot != NULL ? &slot->location : find_held(q, sequence);

    if (location == NULL || location->segment != from.segment || location->offset != from.offset)
        return false;
    *location = to;
    return true;
}

/* ---- Recovery ---- */

int queue_restore(struct queue *q, uint64_t sequence, struct message *msg,
                  struct store_location location, uint32_t delivery_count, uint32_t body_size)
{
    const struct entry entry = {
        .message = msg,
        .sequence = sequence,
        .location = location,
        .delivery_count = delivery_count,
    };

    if (!entries_restore(&q->ready, &entry))
        return -ENOMEM;
    if (msg != NULL)
        message_ref(msg);
    q->ready_bytes += body_size;
    return 0;
}

void queue_restore_done(struct queue *q, uint64_t next_sequence)
{
    entries_restore_done(&q->ready, next_sequence);
    queue_update_active(q);
}
