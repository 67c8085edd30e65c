/* Until when a consumer may keep each of its unacked deliveries (a visibility timeout).
 *
 * A deadline is 8 bytes beside the slot of the delivery. With one timeout for all, deadlines come
 * in the order of the deliveries, and the next one is found by going on along the slots: O(1)
 * amortised, whatever is settled meanwhile. One that was moved, or came out of order, is in a heap
 * as well: at most 24 bytes more, O(log n) of those.
 *
 * Pure: times are milliseconds of whatever clock the caller has. One thread. */
#ifndef LEVERET_BROKER_DELIVERY_DEADLINES_H
#define LEVERET_BROKER_DELIVERY_DEADLINES_H

#include "broker/expiry.h"
#include "broker/unacked.h"

#include <stdint.h>

/* Starts zeroed. */
struct delivery_deadlines {
    struct expiry_heap heap; /* by number; holds times that were moved since, until they are most */
    uint64_t next;           /* those of lower numbers are settled, or in the heap */
    uint64_t latest;         /* code of the last one in order */
};

/* Gives the delivery that was added last its deadline. */
void delivery_deadlines_add(struct delivery_deadlines *d, struct unacked *u, int64_t due_ms);

/* Moves the deadlines of the deliveries numbered `first` to `last` (inclusive); one that has none
 * gets none. Returns how many are not settled, with a deadline or without. O(log n) each, or O(1)
 * when it is all of them. */
uint32_t delivery_deadlines_move(struct delivery_deadlines *d, struct unacked *u, uint64_t first,
                                 uint64_t last, int64_t due_ms);

/* The earliest deadline, EXPIRY_NEVER when no delivery has one; `*distance` (broker/unacked.h) is
 * where that delivery is. */
int64_t delivery_deadlines_first(struct delivery_deadlines *d, const struct unacked *u,
                                 uint32_t *distance);

/* To be called when deliveries were settled: gives up memory that is not needed any more. */
void delivery_deadlines_tidy(struct delivery_deadlines *d, const struct unacked *u);

void delivery_deadlines_free(struct delivery_deadlines *d);

#endif
