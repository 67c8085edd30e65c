/* What entries.c and entries_depth.c share. */
#ifndef LEVERET_BROKER_ENTRIES_INTERNAL_H
#define LEVERET_BROKER_ENTRIES_INTERNAL_H

#include "broker/entries.h"

/* With its head a chunk is what glibc hands out for 1048 bytes without waste. */
#define CHUNK_SLOTS 64u

static_assert((sizeof(struct entry_chunk) + CHUNK_SLOTS * sizeof(struct entry_slot)) % 16 == 8,
              "no waste");

/* A new tail whose first slot is to have the number `base`. Returns false when memory is
 * refused. */
bool entries_grow_tail(struct entries *e, uint64_t base);

void entries_drop_head_chunk(struct entries *e);
void entries_free_chunk(struct entry_chunk *chunk);

/* Takes the one among what came back that has this number. Returns false when there is none. */
bool entries_take_returned_at(struct entries *e, uint64_t sequence, struct entry *out);

/* Takes the first of a kind; it is there and in memory. */
void entries_take_returned(struct entries *e, struct entry *out);

/* Sorts what came back, so that it begins at `returned_front`; and forgets it, for who has taken
 * all of it over. */
void entries_sort_returned(struct entries *e);
void entries_forget_returned(struct entries *e);

static inline void entries_take_waiting(struct entries *e, struct entry *out)
{
    const struct entry_chunk *head = e->head;
    const struct entry_slot *slot = &head->slots[e->head_index];

    out->message = slot->message;
    out->sequence = head->base + e->head_index;
    out->location = slot->location;
    out->delivery_count = 0;
    out->expiry = 0;
    e->head_index++;
    e->waiting--;
    e->resident_bytes -= message_footprint(slot->message);
    e->body_bytes -= slot->message->body_size;
    if (e->waiting == 0 || e->head_index == head->end)
        entries_drop_head_chunk(e);
}

/* How many slots of a chunk are used up. */
static inline uint32_t entries_chunk_end(const struct entries *e, const struct entry_chunk *chunk)
{
    return chunk == e->tail ? e->tail_used : chunk->end;
}

static inline bool entry_slot_in_use(const struct entry_slot *slot)
{
    return slot->message != NULL || !store_location_is_none(slot->location);
}

/* entries_depth.c's part of the functions of entries.h; the queue is deep, but where it says
 * otherwise. */
bool entries_depth_take_first(struct entries *e, struct entry *out);
bool entries_depth_take(struct entries *e, uint64_t sequence, struct entry *out); /* becomes deep */
bool entries_depth_has(struct entries *e, uint64_t sequence);
uint64_t entries_depth_first(const struct entries *e, uint64_t *expiry);
void entries_depth_clear(struct entries *e,
                         void (*release)(void *context, struct store_location location),
                         void *context);
void entries_depth_chunk_dropped(struct entries *e);

#endif
