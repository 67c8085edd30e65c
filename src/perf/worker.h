/* A thread that makes load: a loop, the producers and consumers that live on it, and what it has
 * counted. */
#ifndef LEVERET_PERF_WORKER_H
#define LEVERET_PERF_WORKER_H

#include "perf/consumer.h"
#include "perf/histogram.h"
#include "perf/loop.h"
#include "perf/producer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum load_phase {
    LOAD_WARMUP,  /* load, not measured */
    LOAD_MEASURE, /* load, latencies recorded */
    LOAD_DRAIN,   /* producers are silent, consumers take what is left */
    LOAD_STOP,
};

/* Monotonic counts. */
struct load_counts {
    uint64_t published;
    uint64_t published_bytes;
    uint64_t confirmed;
    uint64_t nacked;
    uint64_t returned;
    uint64_t received;
    uint64_t received_bytes;
    uint64_t redelivered;
    uint64_t out_of_order;
    uint64_t foreign; /* messages of another run */
};

/* What all workers share. Constant but for the atomics. */
struct load_shared {
    const struct perf_options *options;
    uint16_t run;
    double copies; /* deliveries for each publish, for max_in_flight */
    _Atomic enum load_phase phase;
    _Atomic uint64_t published; /* kept only when max_in_flight is set */
    _Atomic uint64_t received;
};

/* The worker's thread holds `lock` while it handles events; others hold it to read. */
struct worker {
    struct load_shared *shared;
    struct loop loop;
    pthread_t thread;
    pthread_mutex_t lock;

    struct producer *producers;
    uint32_t producer_count;
    struct consumer *consumers;
    uint32_t consumer_count;

    struct load_counts counts;
    struct histogram latency;
    struct histogram confirm_latency;
    struct histogram interval_latency; /* since someone last took it */
    int64_t last_delivery_ns;
    enum load_phase phase;   /* as last seen by the thread */
    uint32_t producers_left; /* that have not sent all of --messages */
    char error[400];         /* of the first client that failed; empty: none did */
};

/* Readies a worker without clients. Returns 0 or -errno. */
int worker_init(struct worker *w, struct load_shared *shared);
void worker_free(struct worker *w);

/* Runs the thread; its clients are connected. Returns 0 or -errno. */
int worker_start(struct worker *w);

/* Waits for the thread after the phase became LOAD_STOP. */
void worker_join(struct worker *w);

#endif
