#include "base/memory.h"
#include "broker/entries_internal.h"

/* So many missing numbers in a row cost slots of no one; more of them cost a new chunk. */
#define GAP_SLOTS 2u

struct entries_depth *entries_need_depth(struct entries *e)
{
    if (e->depth == NULL) {
        e->depth = memory_alloc_zeroed(1, sizeof(*e->depth));
        e->depth->first_paged = UINT64_MAX;
    }
    return e->depth;
}

void entries_end_depth(struct entries *e)
{
    free(e->depth->directory.chunks);
    free(e->depth);
    e->depth = NULL;
}

void entries_end_depth_when_empty(struct entries *e)
{
    if (e->depth != NULL && e->waiting == 0 && e->delivered == NULL)
        entries_end_depth(e);
}

/* ---- The first message ---- */

bool entries_depth_can_take(const struct entries *e)
{
    if (entries_delivered_first(e))
        return entry_list_first(e->delivered)->message != NULL;
    return e->waiting != 0 && e->head->slots[e->head_index].message != NULL;
}

bool entries_depth_take_first(struct entries *e, struct entry *out)
{
    if (!entries_depth_can_take(e))
        return false;
    if (entries_delivered_first(e)) {
        entries_take_delivered(e, out);
    } else {
        entries_take_waiting(e, out);
        if (e->depth->gaps)
            entries_settle_head(e);
    }
    entries_end_depth_when_empty(e);
    return true;
}

/* ---- Recovery ---- */

/* No more messages go into the tail chunk: gives back the slots that are left. */
static void close_tail(struct entries *e)
{
    struct entry_chunk *closed;

    if (e->tail == NULL || e->tail_used == e->tail->end)
        return;
    e->tail->end = e->tail_used;
    closed = realloc(e->tail, sizeof(*closed) + e->tail_used * sizeof(closed->slots[0]));
    if (closed == NULL)
        return;
    if (e->depth->before_tail != NULL)
        e->depth->before_tail->next = closed;
    else
        e->head = closed;
    e->tail = closed;
}

/* Makes the next slot of the tail chunk the one for `sequence`. */
static bool make_room(struct entries *e, uint64_t sequence)
{
    uint64_t missing = e->tail != NULL ? sequence - e->tail->base - e->tail_used : 0;

    if (missing != 0) {
        e->depth->gaps = true;
        e->depth->taken_below = sequence;
    }
    if (e->tail == NULL || missing > GAP_SLOTS || sequence - e->tail->base >= e->tail->end) {
        struct entry_chunk *before;

        close_tail(e);
        before = e->tail;
        if (!entries_grow_tail(e, sequence))
            return false;
        e->depth->before_tail = before;
        return true;
    }
    e->tail->vacant += (uint32_t)missing;
    while (missing-- != 0)
        e->tail->slots[e->tail_used++] = (struct entry_slot){.message = NULL};
    return true;
}

static bool restore_waiting(struct entries *e, const struct entry *entry)
{
    struct entries_depth *d = e->depth;

    if (!make_room(e, entry->sequence))
        return false;
    e->tail->slots[e->tail_used++] =
        (struct entry_slot){.message = entry->message, .location = entry->location};
    e->waiting++;
    if (entry->message != NULL) {
        e->resident_bytes += message_footprint(entry->message);
        return true;
    }
    if (d->paged++ == 0)
        d->first_paged = entry->sequence;
    return true;
}

bool entries_restore(struct entries *e, const struct entry *entry, uint32_t body_size)
{
    struct entries_depth *d = entries_need_depth(e);

    assert(entry->sequence >= e->next_sequence);
    assert(entry->message != NULL || !store_location_is_none(entry->location));
    if (entry->delivery_count != 0)
        entries_add_delivered(e, entry);
    else if (!restore_waiting(e, entry))
        return false;
    e->next_sequence = entry->sequence + 1;
    e->body_bytes += body_size;
    if (entry->message == NULL)
        d->paged_bytes += body_size;
    return true;
}

void entries_restore_done(struct entries *e, uint64_t next_sequence)
{
    if (next_sequence > e->next_sequence)
        e->next_sequence = next_sequence;
    if (e->depth == NULL)
        return;
    if (e->tail != NULL && e->tail->base + e->tail_used != e->next_sequence) {
        close_tail(e);
        e->depth->gaps = true;
        e->depth->taken_below = e->next_sequence;
    }
    e->depth->before_tail = NULL;
    e->depth->page_next = e->resident_bytes == 0 ? e->next_sequence : 0;
    if (e->delivered != NULL && e->delivered->paged == e->delivered->count)
        e->depth->delivered_page_next = e->next_sequence;
    entries_end_depth_when_empty(e);
}
