/* The deep part of a queue's ready messages: which of them are not in memory, which numbers are
 * missing, and where to find one by its number. Made when it is first needed, gone when the queue
 * runs empty.
 *
 * A message that waits (broker/entries.h) costs its slot alone while it is not in memory, and one
 * that was delivered before its entry. Numbers that are missing between recovered messages are
 * slots of no one where they are few, and chunks that begin anew where they are many. One thread.
 */
#ifndef LEVERET_BROKER_ENTRIES_DEPTH_H
#define LEVERET_BROKER_ENTRIES_DEPTH_H

#include "broker/entries.h"

#include <stddef.h>

/* The chunks in order, to find one by number. Follows the list when it is used: chunks are added
 * behind the last one known, and the first `dropped - first` are gone. */
struct chunk_directory {
    struct entry_chunk **chunks;
    uint32_t count;
    uint32_t capacity;
    uint64_t first; /* how many chunks had been dropped before chunks[0] */
};

struct entries_depth {
    bool gaps;                    /* there may be slots of no one */
    uint64_t taken_below;         /* of the waiting below this number some are gone out of order */
    uint32_t vacant_chunks;       /* chunks of nothing but slots of no one */
    uint64_t paged;               /* waiting messages that are not in memory */
    uint64_t paged_bytes;         /* bodies of all that are not in memory: once some of them left,
                                   * how large each of the others is nobody knows before it comes
                                   * back */
    uint64_t first_paged;         /* the first of them */
    uint64_t page_next;           /* paging of what waits goes on here */
    uint64_t delivered_page_next; /* and of what was delivered before here */
    uint64_t dropped;             /* chunks that left the list */
    struct chunk_directory directory;
    struct entry_chunk *before_tail; /* while recovering */
};

/* How many of the messages are not in memory. */
uint64_t entries_paged(const struct entries *e);

/* How many are in memory before the first one that is not; UINT64_MAX when all are. With gaps, or
 * where what was delivered before is not older than all that waits, about. */
uint64_t entries_ahead(const struct entries *e);

/* ---- Recovery ---- */

/* Adds at the end, with the caller's reference to the message unless that is NULL. Numbers ascend.
 * Returns false, with the reference still the caller's, when memory is refused. */
bool entries_restore(struct entries *e, const struct entry *entry, uint32_t body_size);
void entries_restore_done(struct entries *e, uint64_t next_sequence);

/* ---- Finding ---- */

/* The slot of a waiting message, or NULL. O(1), with gaps O(log n). */
struct entry_slot *entries_find(struct entries *e, uint64_t sequence);

/* Calls `visit` for each entry that was delivered before, in order. */
void entries_visit_delivered(const struct entries *e,
                             void (*visit)(void *context, struct entry *entry), void *context);

/* Behind the last number that was taken out of order: from here on no number is missing that was
 * ever given to a message with a location. Not below entries_head_sequence(). */
uint64_t entries_whole_from(const struct entries *e);

/* Calls `visit` for each waiting entry below a number. */
void entries_visit_waiting(const struct entries *e, uint64_t below,
                           void (*visit)(void *context, struct entry *entry), void *context);

/* ---- Paging ---- */

struct entries_page {
    uint64_t keep_first;
    uint64_t up_to_sequence;
    uint32_t max_messages;
    struct store_location (*page)(void *context, struct message *m);
    void *context;
};

/* See queue_page_out(). */
uint64_t entries_page_out(struct entries *e, const struct entries_page *p);
void entries_page_again(struct entries *e);

/* The numbers and locations of those that are not in memory among the next `max` messages from the
 * first such on. There is one. Returns how many. */
uint32_t entries_list_paged(struct entries *e, uint32_t max, uint64_t *sequences,
                            struct store_location *locations);

/* Puts a message in its place and takes over the reference. Returns false, with the reference still
 * the caller's, when it is not missing (any more). */
bool entries_put(struct entries *e, uint64_t sequence, struct message *m);

/* Gives up a message that is not in memory. Returns false when it is not missing (any more). */
bool entries_lose(struct entries *e, uint64_t sequence, struct store_location *location);

/* To be called after a run of entries_put() and entries_lose(). */
void entries_tidy_paged(struct entries *e);

#endif
