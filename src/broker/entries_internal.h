/* What entries.c and the entries_*.c files share. */
#ifndef LEVERET_BROKER_ENTRIES_INTERNAL_H
#define LEVERET_BROKER_ENTRIES_INTERNAL_H

#include "broker/entries_depth.h"
#include "broker/entry_list.h"

/* With its head a chunk is what glibc hands out for 1048 bytes without waste. */
#define CHUNK_SLOTS 64u

static_assert((sizeof(struct entry_chunk) + CHUNK_SLOTS * sizeof(struct entry_slot)) % 16 == 8,
              "no waste");

/* A new tail whose first slot is to have the number `base`. Returns false when memory is
 * refused. */
bool entries_grow_tail(struct entries *e, uint64_t base);

void entries_drop_head_chunk(struct entries *e);
void entries_free_chunk(struct entry_chunk *chunk);

/* Adds one to those that were delivered before, its message in memory or not, and no more. */
void entries_add_delivered(struct entries *e, const struct entry *entry);

/* One of them was taken. */
void entries_delivered_taken(struct entries *e);

/* Whether the first message of all was delivered before. */
static inline bool entries_delivered_first(const struct entries *e)
{
    return e->delivered != NULL &&
           (e->waiting == 0 || entry_list_first(e->delivered)->sequence < entries_head_sequence(e));
}

/* Takes the first of a kind; it is there and in memory. */
void entries_take_delivered(struct entries *e, struct entry *out);

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

/* ---- entries_depth.c ---- */

/* The depth, made when there is none. */
struct entries_depth *entries_need_depth(struct entries *e);
void entries_end_depth(struct entries *e);
void entries_end_depth_when_empty(struct entries *e);

/* As entries_take_first(), of a deep queue. */
bool entries_depth_take_first(struct entries *e, struct entry *out);

/* ---- entries_places.c ---- */

/* Where a waiting message is; `chunk` is NULL behind the last one. */
struct entry_place {
    struct entry_chunk *chunk;
    uint32_t index;
};

static inline struct entry_slot *entry_place_slot(struct entry_place p)
{
    return &p.chunk->slots[p.index];
}

static inline uint64_t entry_place_sequence(struct entry_place p)
{
    return p.chunk->base + p.index;
}

/* Goes on to the next slot in use. */
void entries_next_place(const struct entries *e, struct entry_place *p);

/* The first waiting message with this number or a higher one; some message waits, and the queue is
 * deep. */
struct entry_place entries_place_at(struct entries *e, uint64_t sequence);

/* Where this number waits; `chunk` is NULL when it does not. */
struct entry_place entries_find_place(struct entries *e, uint64_t sequence);

/* The number of the waiting message behind the first `count`; there is one. */
uint64_t entries_sequence_behind(const struct entries *e, uint64_t count);

/* Makes a slot no one's. */
void entries_vacate(struct entries *e, struct entry_place p);

/* Makes the head a slot in use. */
void entries_settle_head(struct entries *e);

/* The head chunk leaves the list; the queue is deep. */
void entries_depth_chunk_dropped(struct entries *e);

/* Takes a waiting entry by its number; the queue becomes deep. Returns false when it does not
 * wait. */
bool entries_take_waiting_at(struct entries *e, uint64_t sequence, struct entry *out);

/* ---- entries_paging.c ---- */

/* Where a message is kept, after asking for a place when it has none; false when there is none. */
bool entries_has_place(struct store_location *location, struct message *m,
                       const struct entries_page *p);

/* Lets go of a message. Returns the bytes given back. */
uint64_t entries_let_go(struct message *m);

/* An entry came back; the queue is deep. */
void entries_depth_returned(struct entries *e, uint64_t sequence);

/* An entry with this message, or with one that is not in memory (NULL), is about to leave: it takes
 * its bytes with it. */
void entries_forget_bytes(struct entries *e, const struct message *m);

/* The first waiting message that is not in memory is gone, or in memory. */
void entries_find_first_paged(struct entries *e);

#endif
