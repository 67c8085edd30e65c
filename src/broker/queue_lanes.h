/* The rows in which a queue's messages stand: one, or with x-max-priority one for each priority
 * (RabbitMQ "Priority Queue Support"). What is in a higher lane goes first; within one the order is
 * that of arrival. Each lane numbers its messages for itself, and the number begins with the
 * lane's, so that a message that comes back finds its place. The lowest lane is part of the queue,
 * so a plain one pays nothing; the others are made when they are first needed. */
#ifndef LEVERET_BROKER_QUEUE_LANES_H
#define LEVERET_BROKER_QUEUE_LANES_H

#include "base/memory.h"
#include "broker/entries.h"
#include "broker/expiry.h"
#include "broker/queue_internal.h"

#include <stdint.h>

struct lane {
    struct entries ready;
    struct expiry_runs runs;
};

struct queue_lanes {
    uint32_t count;
    uint32_t top;                                 /* what is above is empty */
    struct entries *first;                        /* the top lane's */
    uint64_t filled[(QUEUE_LANES_MAX + 63) / 64]; /* a bit a lane that may have ready messages */
    struct lane *higher[]; /* the lowest is not there; NULL: not needed yet */
};

struct queue_lanes *queue_lanes_create(struct queue *q, uint32_t count);
void queue_lanes_free(struct queue_lanes *l);

/* The lane's messages, made when there are none yet. */
struct entries *queue_need_lane(struct queue *q, uint32_t lane);

/* The highest lane that has a ready message, which becomes the top one; the lowest when none has.
 */
struct entries *queue_find_first_lane(struct queue *q);

static inline bool queue_has_lanes(const struct queue *q)
{
    return q->extra != NULL && q->extra->lanes != NULL;
}

/* NULL for one that was not needed yet. */
static inline struct entries *queue_lane(struct queue *q, uint32_t lane)
{
    struct lane *higher;

    if (lane == 0)
        return &q->ready;
    higher = q->extra->lanes->higher[lane - 1];
    return higher != NULL ? &higher->ready : NULL;
}

static inline bool queue_lane_is_there(const struct queue *q, uint32_t lane)
{
    return lane == 0 || q->extra->lanes->higher[lane - 1] != NULL;
}

/* The lane of a message that is or was in the queue. */
static inline struct entries *queue_lane_with(struct queue *q, uint64_t sequence)
{
    return queue_has_lanes(q) ? queue_lane(q, queue_lane_of_sequence(sequence)) : &q->ready;
}

static inline struct entries *queue_first_lane(struct queue *q)
{
    if (!queue_has_lanes(q))
        return &q->ready;
    if (entries_count(q->extra->lanes->first) != 0)
        return q->extra->lanes->first;
    return queue_find_first_lane(q);
}

/* The times of a lane that is there. */
static inline struct expiry_runs *queue_lane_runs(struct queue *q, struct entries *lane)
{
    return lane == &q->ready ? &q->extra->runs : &container_of(lane, struct lane, ready)->runs;
}

/* The lane has a message more. */
static inline void queue_lane_filled(struct queue *q, uint32_t lane)
{
    struct queue_lanes *l = q->extra->lanes;

    l->filled[lane / 64] |= UINT64_C(1) << (lane % 64);
    if (lane <= l->top)
        return;
    l->top = lane;
    l->first = queue_lane(q, lane);
}

/* The sum of what `of` tells of each lane. */
static inline uint64_t queue_sum_lanes(const struct queue *q,
                                       uint64_t (*of)(const struct entries *e))
{
    uint64_t sum = of(&q->ready);

    if (!queue_has_lanes(q))
        return sum;
    for (uint32_t i = 0; i + 1 < q->extra->lanes->count; i++) {
        const struct lane *lane = q->extra->lanes->higher[i];

        if (lane != NULL)
            sum += of(&lane->ready);
    }
    return sum;
}

#endif
