/* The ready messages of a queue, in order: those that wait for their first delivery, and those
 * that were delivered before: they came back, or were recovered as such.
 *
 * The first kind enters at the tail with ascending sequence numbers and leaves at the head, so a
 * slot is no more than a pointer and a location, and its number follows from its place. The second
 * kind (broker/entry_list.h) is older than the head of the first (it passed it once), so order
 * needs no merge: what came back goes first, the lowest number before the others.
 *
 * A queue that was paged or recovered is deep (broker/entries_depth.h): messages may be missing
 * from memory, numbers may be missing between the slots, and what was delivered before a restart
 * may be younger than the head. A queue that is not deep knows nothing of this and does nothing for
 * it.
 *
 * Holds one reference to each message. One thread; chunks are recycled within a thread. */
#ifndef LEVERET_BROKER_ENTRIES_H
#define LEVERET_BROKER_ENTRIES_H

#include "base/memory.h"
#include "broker/expiry.h"
#include "broker/message.h"
#include "broker/store_location.h"

#include <stdbool.h>
#include <stdint.h>

/* One place in a queue. */
struct entry {
    struct message *message; /* NULL while it is not in memory */
    uint64_t sequence;
    struct store_location location; /* none when no store keeps the message */
    /* How often it was delivered before; stands still at ENTRY_DELIVERIES_MAX. */
    uint64_t delivery_count : 24;
    uint64_t expiry : EXPIRY_CODE_BITS; /* expiry_encode() */
};

static_assert(sizeof(struct entry) <= 32, "the cost of each unacked or returned message");

#define ENTRY_DELIVERIES_MAX ((1u << 24) - 1)

/* One delivery more. */
static inline void entry_count_delivery(struct entry *entry)
{
    if (entry->delivery_count < ENTRY_DELIVERIES_MAX)
        entry->delivery_count = (entry->delivery_count + 1) & ENTRY_DELIVERIES_MAX;
}

/* A place whose number follows from where it is. Without message and location it is no one's. */
struct entry_slot {
    struct message *message;
    struct store_location location;
};

static_assert(sizeof(struct entry_slot) <= 16, "the cost of each waiting message");

struct entry_chunk {
    struct entry_chunk *next;
    uint64_t base;   /* the sequence number of the first slot */
    uint32_t end;    /* how many slots there are */
    uint32_t vacant; /* of them no one's */
    struct entry_slot slots[];
};

struct entries_depth;
struct entry_list;

#define ENTRIES_LOOK_AHEAD 8u

struct entries {
    struct entry_chunk *head;
    struct entry_chunk *tail;
    uint32_t head_index; /* the first slot in use of the head chunk */
    uint32_t tail_used;  /* slots used up in the tail chunk */
    uint64_t waiting;    /* messages in the chunks */
    uint64_t next_sequence;
    uint64_t resident_bytes;      /* footprints of the messages in the chunks */
    uint64_t body_bytes;          /* of all, those not in memory as far as they are known */
    struct entry_list *delivered; /* NULL while it is empty */
    struct entries_depth *depth;  /* NULL while the queue is not deep */
};

/* Empty; holds no memory. The first sequence number will be 1. */
void entries_init(struct entries *e);

/* Drops every message, calls `release` (may be NULL) for each location, and frees the memory.
 * Sequence numbers go on from where they were. */
void entries_clear(struct entries *e,
                   void (*release)(void *context, struct store_location location), void *context);

/* How many were delivered before. */
uint64_t entries_delivered_count(const struct entries *e);

/* The deep queue's part of entries_can_take(). */
bool entries_depth_can_take(const struct entries *e);

/* All ready messages, in memory or not. */
static inline uint64_t entries_count(const struct entries *e)
{
    return e->waiting + (e->delivered != NULL ? entries_delivered_count(e) : 0);
}

static inline uint64_t entries_body_bytes(const struct entries *e)
{
    return e->body_bytes;
}

/* Adds a message at the tail and takes over the caller's reference. Returns its sequence number,
 * or 0, with the reference still the caller's, when memory is refused. O(1). */
uint64_t entries_append(struct entries *e, struct message *m, struct store_location location);

/* Has the processor fetch what is soon to be taken: where several rows take turns, it does not know
 * by itself. */
static inline void entries_look_ahead(const struct entries *e)
{
    const struct entry_chunk *chunk = e->head;
    uint32_t index = e->head_index + ENTRIES_LOOK_AHEAD;
    const char *ahead;

    if (e->waiting <= ENTRIES_LOOK_AHEAD)
        return;
    if (index >= chunk->end) {
        index -= chunk->end;
        chunk = chunk->next;
        if (index >= chunk->end)
            return;
    }
    ahead = (const char *)chunk->slots[index].message;
    memory_prefetch(ahead);
    memory_prefetch(ahead + 64);
    memory_prefetch(ahead + 128); /* where a small body ends */
}

/* Puts an entry that was taken back in its place, with its reference; where its message is not in
 * memory the body is taken to be of `body_size`. O(1) while they come back in order, else O(log n)
 * of those that did. */
void entries_return(struct entries *e, const struct entry *entry, uint32_t body_size);

/* Whether there is a first entry and its message is in memory. */
static inline bool entries_can_take(const struct entries *e)
{
    return e->depth != NULL ? entries_depth_can_take(e) : e->waiting != 0 || e->delivered != NULL;
}

/* Takes the first entry, with its reference, when its message is in memory. Returns false when it
 * is not, or there is none. O(1). */
bool entries_take_first(struct entries *e, struct entry *out);

/* Takes an entry, with its reference, from wherever it is; its message is NULL when it is not in
 * memory. Returns false when it is not there. O(1) at the head, else O(log n). */
bool entries_take(struct entries *e, uint64_t sequence, struct entry *out);

/* Whether an entry is there. As entries_take() otherwise. */
bool entries_has(struct entries *e, uint64_t sequence);

/* The number of the entry that entries_take_first() takes, in memory or not, and its expiry code
 * when it was delivered before (else 0: only who added it knows). There is one. */
uint64_t entries_first(const struct entries *e, uint64_t *expiry);

/* The sequence number of the first that waits for its first delivery, or the one that the next
 * message will get. */
static inline uint64_t entries_head_sequence(const struct entries *e)
{
    return e->waiting != 0 ? e->head->base + e->head_index : e->next_sequence;
}

#endif
