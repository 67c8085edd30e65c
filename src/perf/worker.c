#include "perf/worker.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum {
    PHASE_POLL_NS = 20000000, /* how soon a sleeping worker sees a new phase */
};

int worker_init(struct worker *w, struct load_shared *shared)
{
    memset(w, 0, sizeof(*w));
    w->shared = shared;
    histogram_reset(&w->latency);
    histogram_reset(&w->confirm_latency);
    histogram_reset(&w->interval_latency);
    pthread_mutex_init(&w->lock, NULL);
    return loop_init(&w->loop);
}

void worker_free(struct worker *w)
{
    for (uint32_t i = 0; i < w->producer_count; i++)
        producer_free(&w->producers[i]);
    for (uint32_t i = 0; i < w->consumer_count; i++)
        consumer_free(&w->consumers[i]);
    free(w->producers);
    free(w->consumers);
    loop_free(&w->loop);
    pthread_mutex_destroy(&w->lock);
}

static int64_t worker_wait_ns(const struct worker *w, int64_t now_ns)
{
    int64_t wait_ns = PHASE_POLL_NS;

    for (uint32_t i = 0; i < w->producer_count && wait_ns != 0; i++) {
        int64_t ns = producer_wait_ns(&w->producers[i], now_ns);

        if (ns != PRODUCER_NEVER && ns < wait_ns)
            wait_ns = ns;
    }
    return wait_ns;
}

static void worker_tick(struct worker *w, int64_t now_ns)
{
    for (uint32_t i = 0; i < w->producer_count; i++)
        client_tick(&w->producers[i].client, now_ns);
    for (uint32_t i = 0; i < w->consumer_count; i++)
        client_tick(&w->consumers[i].client, now_ns);
}

static void worker_see_phase(struct worker *w)
{
    enum load_phase phase = atomic_load(&w->shared->phase);

    if (phase == LOAD_MEASURE && w->phase != LOAD_MEASURE) {
        histogram_reset(&w->latency);
        histogram_reset(&w->confirm_latency);
    }
    w->phase = phase;
}

static void worker_turn(struct worker *w, struct loop_events found)
{
    uint64_t received = w->counts.received;
    int64_t now_ns;

    worker_see_phase(w);
    loop_dispatch(&w->loop, found);
    if (w->shared->options->max_in_flight != 0 && w->counts.received != received)
        atomic_fetch_add_explicit(&w->shared->received, w->counts.received - received,
                                  memory_order_relaxed);
    now_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < w->producer_count; i++)
        producer_run(&w->producers[i], now_ns);
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    int64_t next_tick_ns = 0;
    int64_t now_ns = clock_monotonic_ns();

    prctl(PR_SET_TIMERSLACK, 1ul);
    while (w->phase != LOAD_STOP) {
        struct loop_events found = loop_wait(&w->loop, worker_wait_ns(w, now_ns));

        pthread_mutex_lock(&w->lock);
        worker_turn(w, found);
        if (found.now_ns >= next_tick_ns) {
            worker_tick(w, found.now_ns);
            next_tick_ns = found.now_ns + 1000000000;
        }
        pthread_mutex_unlock(&w->lock);
        now_ns = clock_monotonic_ns();
    }
    return NULL;
}

int worker_start(struct worker *w)
{
    int rc = 0;

    w->producers_left = w->producer_count;
    for (uint32_t i = 0; i < w->producer_count && rc == 0; i++)
        rc = loop_add(&w->loop, &w->producers[i].client);
    for (uint32_t i = 0; i < w->consumer_count && rc == 0; i++)
        rc = loop_add(&w->loop, &w->consumers[i].client);
    if (rc == 0)
        rc = -pthread_create(&w->thread, NULL, worker_main, w);
    return rc;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    for (uint32_t i = 0; i < w->consumer_count; i++)
        consumer_settle(&w->consumers[i], clock_monotonic_ns());
}
