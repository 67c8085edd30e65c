/* Timers of one thread: a hierarchical wheel. Setting, moving and cancelling are O(1) and allocate
 * nothing; idle timers cost nothing until they are due, apart from at most one move a level.
 *
 * The wheel reads no clock: it is told the time, in milliseconds of any monotonic clock. */
#ifndef LEVERET_NET_TIMER_WHEEL_H
#define LEVERET_NET_TIMER_WHEEL_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TIMER_WHEEL_LEVELS = 8,
    TIMER_WHEEL_SLOTS = 64,
};

/* Sits inside the object it is for. */
struct timer {
    struct list_node node;
    int64_t due_ms;
    uint16_t slot; /* the wheel's */
    void (*on_due)(struct timer *t);
};

struct timer_wheel {
    int64_t now_ms;     /* everything due up to here has fired */
    int64_t present_ms; /* what the wheel was told last: ahead of now_ms while it advances */
    uint64_t occupied[TIMER_WHEEL_LEVELS];
    struct list slots[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS];
};

void timer_wheel_init(struct timer_wheel *w, int64_t now_ms);

/* A timer that is not set. */
void timer_init(struct timer *t, void (*on_due)(struct timer *t));

static inline bool timer_is_set(const struct timer *t)
{
    return list_linked(&t->node);
}

/* Sets or moves the timer. Due now or in the past: fires at the next advance past now. */
void timer_set(struct timer_wheel *w, struct timer *t, int64_t due_ms);

/* Harmless when it is not set. */
void timer_cancel(struct timer_wheel *w, struct timer *t);

/* Fires what is due at `now_ms` or earlier, in order of due time by the millisecond. A callback may
 * set and cancel any timer; one set for the present or the past fires at the next advance. */
void timer_wheel_advance(struct timer_wheel *w, int64_t now_ms);

/* How long from `now_ms` the thread may sleep: milliseconds until something has to be done, 0 when
 * it is overdue, -1 when no timer is set. Never later than the first due time. */
int timer_wheel_timeout_ms(const struct timer_wheel *w, int64_t now_ms);

#endif
