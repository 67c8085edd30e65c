/* A consumer's deliveries that are not settled yet, by the number it was given for each.
 *
 * Numbers start at 1 and ascend. Adding, finding and taking one are O(1) as long as they are
 * settled roughly in order; where one is kept back while many later ones are settled the memory
 * stays in proportion to those that are left and finding is a binary search.
 *
 * Holds one reference to each message that is in memory. One thread. */
#ifndef LEVERET_BROKER_UNACKED_H
#define LEVERET_BROKER_UNACKED_H

#include "broker/entries.h"

#include <stdint.h>

struct unacked_slot {
    struct entry entry; /* a settled one has the number 0 in the queue */
    uint64_t number;
};

/* What of the deliveries is not in memory. */
struct unacked_pages {
    uint64_t next; /* what is below this number is settled or not in memory */
    uint64_t
        bytes; /* of the bodies; once some were settled each of the others counts the average */
    uint32_t count;
};

struct unacked {
    struct unacked_slot *slots;  /* a ring in ascending order of numbers */
    uint64_t *deadlines;         /* beside the slots (broker/delivery_deadlines.h), or NULL */
    struct unacked_pages *pages; /* or NULL */
    uint32_t capacity;           /* a power of two, or 0 */
    uint32_t first;              /* the place of the oldest slot */
    uint32_t span;               /* slots from the oldest to the newest, settled ones too */
    uint32_t count;              /* of them not settled */
    uint64_t next_number;
};

/* Empty; holds no memory. */
void unacked_init(struct unacked *u);

/* Frees the memory. Everything must have been taken. */
void unacked_free(struct unacked *u);

/* Adds an entry and takes over its reference. Returns its number. */
uint64_t unacked_add(struct unacked *u, const struct entry *entry);

/* How far from the oldest slot the first one with this number or a higher one is; `span` when
 * there is none. */
uint32_t unacked_find(const struct unacked *u, uint64_t number);

/* The slot at a distance below `span` from the oldest. */
static inline struct unacked_slot *unacked_at(const struct unacked *u, uint32_t distance)
{
    return &u->slots[(u->first + distance) & (u->capacity - 1)];
}

/* Makes room for a deadline beside each slot, 0 for what is there, when there is none. */
void unacked_need_deadlines(struct unacked *u);

/* The deadline beside a slot, 0 when none was set. There is room for them. */
static inline uint64_t *unacked_deadline_at(const struct unacked *u, uint32_t distance)
{
    return &u->deadlines[(u->first + distance) & (u->capacity - 1)];
}

static inline bool unacked_is_settled(const struct unacked_slot *slot)
{
    return slot->entry.sequence == 0;
}

/* Takes the entry, with its reference when it is in memory, out of a slot that is not settled. */
static inline struct entry unacked_take(struct unacked *u, struct unacked_slot *slot)
{
    struct entry taken = slot->entry;

    slot->entry.sequence = 0;
    u->count--;
    return taken;
}

/* To be called after a run of unacked_take: gives up slots and memory that are not needed any
 * more. Distances change by it. */
void unacked_tidy(struct unacked *u);

/* ---- Paging ---- */

/* The oldest slot that is not settled and whose message is in memory; NULL when there is none. */
struct unacked_slot *unacked_next_to_page(struct unacked *u);

/* Takes the message, with its reference, of the slot that the call before returned. */
struct message *unacked_page(struct unacked *u, struct unacked_slot *slot);

/* An entry that is not in memory was taken. Returns how large its body is taken to be. */
uint32_t unacked_forget_paged(struct unacked *u);

#endif
