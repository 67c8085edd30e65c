/* A thread that computes without a system call gives up the processor many times a slice. */
#include "base/yield_timer.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/unit/unit.h"

enum {
    WALL_MS = 100,
    /* One for each period would be 10; by ticks of the scheduler alone there is 1 at most. */
    SWITCHES_PER_MS = 3,
};

static atomic_bool done;

static void stay_on_one_processor(void)
{
    cpu_set_t all;
    cpu_set_t one;
    size_t first = 0;

    ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* Always ready to run. */
static void *be_ready(void *unused)
{
    (void)unused;
    while (!atomic_load_explicit(&done, memory_order_relaxed)) {
    }
    return NULL;
}

static double clock_ms(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Returns how often somebody else had the processor for each millisecond that this one had it. To
 * look at the monotonic clock is no system call. */
static double switches_of_computing(void)
{
    struct rusage before;
    struct rusage after;
    double began_ms = clock_ms(CLOCK_THREAD_CPUTIME_ID);
    double end_ms = clock_ms(CLOCK_MONOTONIC) + WALL_MS;

    getrusage(RUSAGE_THREAD, &before);
    while (clock_ms(CLOCK_MONOTONIC) < end_ms) {
    }
    getrusage(RUSAGE_THREAD, &after);
    return (double)(after.ru_nivcsw - before.ru_nivcsw + after.ru_nvcsw - before.ru_nvcsw) /
           (clock_ms(CLOCK_THREAD_CPUTIME_ID) - began_ms);
}

/* Priority and slice are the thread's, so it is one of its own. */
static void *compute(void *switches)
{
    struct yield_timer t;

    ck_assert_int_eq(yield_timer_init(&t), 0);
    yield_timer_start(&t);
    *(double *)switches = switches_of_computing();
    yield_timer_stop(&t);
    yield_timer_free(&t);
    return NULL;
}

START_TEST(others_run_while_a_thread_computes)
{
    pthread_t other;
    pthread_t computing;
    double switches = 0;

    stay_on_one_processor();
    ck_assert_int_eq(pthread_create(&other, NULL, be_ready, NULL), 0);
    ck_assert_int_eq(pthread_create(&computing, NULL, compute, &switches), 0);
    pthread_join(computing, NULL);
    atomic_store(&done, true);
    pthread_join(other, NULL);
    ck_assert_double_ge(switches, SWITCHES_PER_MS);
}
END_TEST

UNIT_MAIN("yield_timer", others_run_while_a_thread_computes)
