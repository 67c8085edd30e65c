/* Has a thread that computes for long, in a library that knows nothing of it, let others have the
 * processor in between.
 *
 * A scheduler lets who runs finish its slice, which is milliseconds, although somebody of a higher
 * priority has become ready; that is late for a message. A timer that interrupts the computation
 * to call sched_yield() bounds the wait instead. It uses SIGURG, with a handler for the process. */
#ifndef LEVERET_BASE_YIELD_TIMER_H
#define LEVERET_BASE_YIELD_TIMER_H

#include <stdbool.h>
#include <time.h>

enum {
    YIELD_TIMER_US = 100, /* who is ready waits no longer */
    YIELD_TIMER_NICENESS = 10,
};

/* Of one thread, which alone calls what follows. */
struct yield_timer {
    timer_t timer;
    bool exists;
};

/* Gives the calling thread its priority and slice, and the timer, stopped. Returns 0 or -errno:
 * then start and stop do nothing and the thread yields as the scheduler likes. */
int yield_timer_init(struct yield_timer *t);
void yield_timer_free(struct yield_timer *t);

/* Around the computation, in which the thread holds no lock that others wait for. */
void yield_timer_start(struct yield_timer *t);
void yield_timer_stop(struct yield_timer *t);

#endif
