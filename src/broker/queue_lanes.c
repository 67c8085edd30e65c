#include "broker/queue_lanes.h"

#include "base/memory.h"

#include <assert.h>

struct queue_lanes *queue_lanes_create(struct queue *q, uint32_t count)
{
    struct queue_lanes *l = memory_alloc_zeroed(1, sizeof(*l) + count * sizeof(l->higher[0]));

    l->count = count;
    l->first = &q->ready;
    return l;
}

void queue_lanes_free(struct queue_lanes *l)
{
    for (uint32_t i = 0; i + 1 < l->count; i++) {
        if (l->higher[i] == NULL)
            continue;
        expiry_runs_clear(&l->higher[i]->runs);
        free(l->higher[i]);
    }
    free(l);
}

struct entries *queue_need_lane(struct queue *q, uint32_t lane)
{
    struct lane **higher;

    if (lane == 0)
        return &q->ready;
    higher = &q->extra->lanes->higher[lane - 1];
    if (*higher == NULL) {
        *higher = memory_alloc_zeroed(1, sizeof(**higher));
        entries_init(&(*higher)->ready);
        (*higher)->ready.next_sequence = queue_lane_first_sequence(lane);
    }
    return &(*higher)->ready;
}

struct entries *queue_find_first_lane(struct queue *q)
{
    struct queue_lanes *l = q->extra->lanes;

    for (uint32_t i = (l->count + 63) / 64; i-- != 0;) {
        while (l->filled[i] != 0) {
            uint32_t bit = 63 - (uint32_t)__builtin_clzll(l->filled[i]);
            struct entries *e = queue_lane(q, 64 * i + bit);

            assert(e != NULL); /* of a lane that was never used no bit is set */
            if (entries_count(e) != 0) {
                l->top = 64 * i + bit;
                l->first = e;
                return e;
            }
            l->filled[i] &= ~(UINT64_C(1) << bit);
        }
    }
    l->top = 0;
    l->first = &q->ready;
    return &q->ready;
}

uint32_t queue_lane_count(const struct queue *q)
{
    return queue_has_lanes(q) ? q->extra->lanes->count : 1;
}

uint32_t queue_lane_of(const struct queue *q, const struct message *msg)
{
    uint32_t count = queue_lane_count(q);

    return msg->priority < count ? msg->priority : count - 1;
}
