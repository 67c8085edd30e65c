/* When the messages of a queue expire (RabbitMQ "Time-To-Live and Expiration"), found without
 * looking at those that do not yet: a clock has, in the order of the queue, the times of those that
 * wait for their first delivery, and finds the one that is due next. Messages that never expire are
 * not in it and cost nothing.
 *
 * Messages one after the other with the same time are one run of 16 bytes, so a queue with nothing
 * but a time to live of its own costs 16 bytes for each millisecond in which something arrived. As
 * long as times do not fall from one to the next, the order of the queue is that of the times.
 * Those before whose time an earlier one arrived are in order still; one that came out of order, or
 * came back after a delivery, is in a heap as well: 16 bytes more, O(log n).
 *
 * Pure: times are milliseconds of whatever clock the caller has. One thread. */
#ifndef LEVERET_BROKER_EXPIRY_H
#define LEVERET_BROKER_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#define EXPIRY_NEVER INT64_MAX

/* A time in 40 bits, 0 for never: 17 years both ways. */
#define EXPIRY_CODE_BITS 40
#define EXPIRY_CODE_MAX ((UINT64_C(1) << EXPIRY_CODE_BITS) - 1)
#define EXPIRY_CODE_BIAS (INT64_C(1) << (EXPIRY_CODE_BITS - 1))

/* Times beyond 40 bits become the earliest or the latest that there is room for. */
static inline uint64_t expiry_encode(int64_t time_ms)
{
    if (time_ms == EXPIRY_NEVER)
        return 0;
    if (time_ms <= -EXPIRY_CODE_BIAS)
        return 1;
    if (time_ms >= EXPIRY_CODE_BIAS)
        return EXPIRY_CODE_MAX;
    return (uint64_t)(time_ms + EXPIRY_CODE_BIAS);
}

static inline int64_t expiry_decode(uint64_t code)
{
    return code != 0 ? (int64_t)code - EXPIRY_CODE_BIAS : EXPIRY_NEVER;
}

struct expiry_run {
    uint64_t sequence; /* of the first */
    uint64_t code : EXPIRY_CODE_BITS;
    uint64_t count : 23; /* 0: gone */
    uint64_t out_of_order : 1;
};

/* By time, then by number. */
static inline bool expiry_run_before(const struct expiry_run *a, const struct expiry_run *b)
{
    return a->code != b->code ? a->code < b->code : a->sequence < b->sequence;
}

struct expiry_runs {
    struct expiry_run *items;
    uint32_t front;
    uint32_t count;
    uint32_t capacity;
    uint32_t next; /* from the front: the first in order that is not gone */
    uint32_t gone;
    uint32_t out_of_order; /* of those that are not gone */
    uint64_t latest;       /* code of the last one in order */
};

struct expiry_heap {
    struct expiry_run *items; /* the earliest first, among equals the lowest number */
    uint32_t count;
    uint32_t capacity;
};

/* ---- Runs: what waits for its first delivery, of one row of sequence numbers ---- */

/* Adds a message behind all others. Returns whether it is out of order: it goes into a heap too. */
bool expiry_runs_add(struct expiry_runs *r, uint64_t sequence, uint64_t code);

/* The code of the message `sequence`, the first of those left: forgets all before it. 0 when it
 * never expires. O(1) amortised. */
uint64_t expiry_runs_at_head(struct expiry_runs *r, uint64_t sequence);

/* The first run in order, or NULL. */
const struct expiry_run *expiry_runs_next(const struct expiry_runs *r);

/* The first message of expiry_runs_next() is gone. */
void expiry_runs_drop_next(struct expiry_runs *r);

/* A message that is out of order is gone: O(log n). Nothing happens when it is none. */
void expiry_runs_drop(struct expiry_runs *r, uint64_t sequence);

void expiry_runs_clear(struct expiry_runs *r);

/* ---- The heap ---- */

void expiry_heap_add(struct expiry_heap *h, uint64_t sequence, uint64_t code);
void expiry_heap_drop_first(struct expiry_heap *h);
void expiry_heap_clear(struct expiry_heap *h);

/* Leaves in the heap those alone for which `is_needed` returns true, and each once. O(n log n). */
void expiry_heap_filter(struct expiry_heap *h,
                        bool (*is_needed)(void *context, const struct expiry_run *run),
                        void *context);

#endif
