/* The ready messages of a queue, in order: those that wait for their first delivery, and those
 * that were delivered and came back.
 *
 * The first kind enters at the tail with ascending, consecutive sequence numbers and leaves at the
 * head, so a slot is no more than a pointer and its number follows from its place. The second
 * kind is always older than the head of the first (it passed it once), so order needs no merge:
 * what came back goes first, the lowest number before the others.
 *
 * Holds one reference to each message. One thread; chunks are recycled within a thread. */
#ifndef LEVERET_BROKER_ENTRIES_H
#define LEVERET_BROKER_ENTRIES_H

#include "broker/message.h"

#include <stdbool.h>
#include <stdint.h>

/* One place in a queue. */
struct entry {
    struct message *message;
    uint64_t sequence;
    uint32_t delivery_count; /* how often it was delivered before */
};

static_assert(sizeof(struct entry) <= 24, "the cost of each unacked or returned message");

struct entry_chunk;

struct entries {
    struct entry_chunk *head;
    struct entry_chunk *tail;
    uint32_t head_index; /* the first slot in use of the head chunk */
    uint32_t tail_used;  /* slots used up in the tail chunk */
    uint64_t waiting;    /* messages in the chunks */
    uint64_t next_sequence;
    /* What came back, in order for as long as it came in order (a nack of many, the end of a
     * channel): taken from the front. Else a binary heap by sequence, which an array in order
     * happens to be, with the front at 0. */
    struct entry *returned;
    uint32_t returned_front;
    uint32_t returned_count;
    uint32_t returned_capacity;
    bool returned_in_order;
};

/* Empty; holds no memory. The first sequence number will be 1. */
void entries_init(struct entries *e);

/* Drops every message and frees the memory. Sequence numbers go on from where they were. */
void entries_clear(struct entries *e);

static inline uint64_t entries_count(const struct entries *e)
{
    return e->waiting + e->returned_count;
}

/* Adds a message at the tail and takes over the caller's reference. Returns its sequence number,
 * or 0, with the reference still the caller's, when memory is refused. O(1). */
uint64_t entries_append(struct entries *e, struct message *m);

/* Puts an entry that was taken back in its place, with its reference. O(1) while they come back in
 * order, else O(log n) of those that did. */
void entries_return(struct entries *e, const struct entry *entry);

/* Takes the first entry, with its reference. Returns false when there is none. O(1), or O(log n)
 * of those that came back out of order while there are any. */
bool entries_take_first(struct entries *e, struct entry *out);

#endif
