#include "perf/load.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "perf/interrupt.h"
#include "perf/process.h"
#include "perf/topology.h"
#include "perf/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TICK_MS = 10,
    QUIET_MS = 15000,     /* without a delivery, what is missing is taken for lost */
    DRAIN_MS = 60000,     /* a longer backlog is left where it is */
    GUESS_QUIET_MS = 500, /* the same when it is not known what has to arrive */
};

/* A moment of the run. */
struct snapshot {
    int64_t time_ns;
    struct load_counts counts;
    struct process_usage broker;
    int64_t own_cpu_ns;
};

struct load {
    const struct perf_options *options;
    struct client_target target;
    struct client_target control_target; /* without heartbeats: nobody listens during the run */
    struct client control;
    struct load_shared shared;
    struct worker *workers;
    uint32_t started;                /* workers whose thread runs */
    struct queue_arrivals *arrivals; /* of each queue */
    bool expectation_known; /* which queues each message reaches follows from the options */
    bool drained;
};

static int load_fail(const char *text)
{
    fprintf(stderr, "leveret-perf: %s\n", text);
    return RUN_FAILED;
}

/* ---- what has to arrive ---- */

/* Whether all queues get every message; else each gets those of its own producers. */
static bool load_is_broadcast(const struct perf_options *o)
{
    if (strcmp(o->type, "fanout") == 0 || strcmp(o->type, "headers") == 0)
        return true;
    return strcmp(o->type, "default") != 0 && o->routing_key != NULL &&
           !pattern_varies(o->routing_key);
}

static bool load_feeds(const struct perf_options *o, uint32_t producer, uint32_t queue)
{
    return load_is_broadcast(o) || producer % o->queues == queue;
}

static bool queue_is_consumed(const struct perf_options *o, uint32_t queue)
{
    return queue < o->consumers;
}

/* Deliveries for each message of a producer. */
static uint32_t load_copies(const struct perf_options *o, uint32_t producer)
{
    uint32_t copies = 0;

    if (o->mode == PERF_MODE_BINDINGS)
        return o->consumers != 0;
    if (!load_is_broadcast(o))
        return queue_is_consumed(o, producer % o->queues);
    for (uint32_t q = 0; q < o->queues; q++)
        copies += queue_is_consumed(o, q);
    return copies;
}

static bool load_expectation_known(const struct perf_options *o)
{
    if (o->predeclared || o->producers == 0 || o->binding_key != NULL || o->queue_args.count != 0 ||
        strcmp(o->type, "headers") == 0)
        return false;
    return o->mode != PERF_MODE_BINDINGS || o->consumers >= o->queues;
}

/* Numbers can be followed through a queue when it gets all of a producer's messages. */
static bool load_is_tracked(const struct perf_options *o)
{
    return size_distribution_max(&o->size) >= SLAB_MARK_SIZE && o->producers != 0 &&
           (o->mode != PERF_MODE_BINDINGS || o->queues == 1);
}

/* ---- counts ---- */

static void counts_add(struct load_counts *to, const struct load_counts *from)
{
    to->published += from->published;
    to->published_bytes += from->published_bytes;
    to->confirmed += from->confirmed;
    to->nacked += from->nacked;
    to->returned += from->returned;
    to->received += from->received;
    to->received_bytes += from->received_bytes;
    to->redelivered += from->redelivered;
    to->out_of_order += from->out_of_order;
    to->foreign += from->foreign;
}

static struct load_counts load_counts_now(struct load *l)
{
    struct load_counts counts = {0};

    for (uint32_t i = 0; i < l->started; i++) {
        struct worker *w = &l->workers[i];

        pthread_mutex_lock(&w->lock);
        counts_add(&counts, &w->counts);
        pthread_mutex_unlock(&w->lock);
    }
    return counts;
}

static struct snapshot load_snapshot(struct load *l)
{
    struct snapshot s = {0};

    if (l->options->broker_pid != 0)
        process_usage_read(l->options->broker_pid, &s.broker);
    s.counts = load_counts_now(l);
    s.time_ns = clock_monotonic_ns();
    s.own_cpu_ns = process_own_cpu_ns();
    return s;
}

/* The first error of a worker, copied; or NULL. */
static const char *load_error(struct load *l)
{
    static char text[sizeof(l->workers->error)];

    text[0] = '\0';
    for (uint32_t i = 0; i < l->started && text[0] == '\0'; i++) {
        pthread_mutex_lock(&l->workers[i].lock);
        memcpy(text, l->workers[i].error, sizeof(text));
        pthread_mutex_unlock(&l->workers[i].lock);
    }
    return text[0] != '\0' ? text : NULL;
}

static bool load_producers_done(struct load *l)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < l->started; i++) {
        pthread_mutex_lock(&l->workers[i].lock);
        left += l->workers[i].producers_left;
        pthread_mutex_unlock(&l->workers[i].lock);
    }
    return left == 0;
}

static int64_t load_last_delivery_ns(struct load *l)
{
    int64_t last_ns = 0;

    for (uint32_t i = 0; i < l->started; i++) {
        pthread_mutex_lock(&l->workers[i].lock);
        if (l->workers[i].last_delivery_ns > last_ns)
            last_ns = l->workers[i].last_delivery_ns;
        pthread_mutex_unlock(&l->workers[i].lock);
    }
    return last_ns;
}

/* Deliveries that all that was sent adds up to. */
static uint64_t load_expected(const struct load *l)
{
    uint64_t expected = 0;

    for (uint32_t i = 0; i < l->started; i++) {
        const struct worker *w = &l->workers[i];

        for (uint32_t p = 0; p < w->producer_count; p++)
            expected += w->producers[p].sent * load_copies(l->options, w->producers[p].index);
    }
    return expected;
}

/* ---- set-up ---- */

static int load_add_consumers(struct load *l, struct worker *w, uint32_t index)
{
    const struct perf_options *o = l->options;

    w->consumers = memory_alloc_zeroed(o->consumers + 1, sizeof(*w->consumers));
    for (uint32_t i = 0; i < o->consumers; i++) {
        uint32_t queue = i % o->queues;
        struct consumer *c = &w->consumers[w->consumer_count];
        char name[TOPOLOGY_NAME_MAX];

        if (queue % o->threads != index)
            continue;
        topology_queue_name(name, o, queue);
        w->consumer_count++;
        if (consumer_init(c, w, &l->target, name, &l->arrivals[queue]) != 0)
            return load_fail(c->client.error);
    }
    return RUN_OK;
}

static int load_add_producers(struct load *l, struct worker *w, uint32_t index)
{
    const struct perf_options *o = l->options;

    w->producers = memory_alloc_zeroed(o->producers + 1, sizeof(*w->producers));
    for (uint32_t i = index; i < o->producers; i += o->threads) {
        struct producer *p = &w->producers[w->producer_count++];

        if (producer_init(p, w, &l->target, (uint16_t)i) != 0)
            return load_fail(p->client.error);
    }
    return RUN_OK;
}

static int load_declare(struct load *l)
{
    struct client *c = &l->control;

    if (client_connect(c) != 0 || topology_declare(c, l->options) != 0)
        return load_fail(c->error);
    if (l->options->mode == PERF_MODE_BINDINGS && topology_bind_patterns(c, l->options) != 0)
        return load_fail(c->error);
    return RUN_OK;
}

static int load_connect(struct load *l)
{
    const struct perf_options *o = l->options;
    int rc = RUN_OK;

    l->workers = memory_alloc_zeroed(o->threads, sizeof(*l->workers));
    for (uint32_t i = 0; i < o->threads; i++)
        if (worker_init(&l->workers[i], &l->shared) != 0)
            return load_fail("epoll: out of descriptors");
    for (uint32_t i = 0; i < o->threads && rc == RUN_OK; i++)
        rc = load_add_consumers(l, &l->workers[i], i);
    for (uint32_t i = 0; i < o->threads && rc == RUN_OK; i++)
        rc = load_add_producers(l, &l->workers[i], i);
    return rc;
}

static int load_start(struct load *l)
{
    for (uint32_t i = 0; i < l->options->threads; i++) {
        if (worker_start(&l->workers[i]) != 0)
            return load_fail("cannot start a thread");
        l->started++;
    }
    return RUN_OK;
}

static void load_init(struct load *l, const struct perf_options *o)
{
    uint16_t run;
    uint64_t copies = 0;

    memset(l, 0, sizeof(*l));
    l->options = o;
    random_bytes(&run, sizeof(run));
    l->shared.options = o;
    l->shared.run = run & 0xFFF;
    for (uint32_t p = 0; p < o->producers; p++)
        copies += load_copies(o, p);
    l->shared.copies = o->producers != 0 ? (double)copies / o->producers : 0;
    l->expectation_known = load_expectation_known(o);
    atomic_init(&l->shared.phase, o->warmup_s > 0 ? LOAD_WARMUP : LOAD_MEASURE);
    l->arrivals = memory_alloc_zeroed(o->queues, sizeof(*l->arrivals));
    for (uint32_t q = 0; load_is_tracked(o) && q < o->queues; q++)
        if (queue_is_consumed(o, q))
            l->arrivals[q].of_producer =
                memory_alloc_zeroed(o->producers, sizeof(*l->arrivals[q].of_producer));
}

static void load_free(struct load *l)
{
    for (uint32_t i = 0; l->workers != NULL && i < l->options->threads; i++)
        if (l->workers[i].shared != NULL)
            worker_free(&l->workers[i]);
    free(l->workers);
    for (uint32_t q = 0; q < l->options->queues; q++) {
        for (uint32_t p = 0; l->arrivals[q].of_producer != NULL && p < l->options->producers; p++)
            sequence_free(&l->arrivals[q].of_producer[p]);
        free(l->arrivals[q].of_producer);
    }
    free(l->arrivals);
    client_free(&l->control);
    client_target_release(&l->target);
}

/* ---- the run ---- */

/* Takes what was recorded since the last call. */
static void load_take_interval(struct load *l, struct histogram *out)
{
    histogram_reset(out);
    for (uint32_t i = 0; i < l->started; i++) {
        struct worker *w = &l->workers[i];

        pthread_mutex_lock(&w->lock);
        histogram_merge(out, &w->interval_latency);
        histogram_reset(&w->interval_latency);
        pthread_mutex_unlock(&w->lock);
    }
}

static void load_print_progress(struct load *l, const struct snapshot *start,
                                const struct snapshot *last, const struct snapshot *now)
{
    static struct histogram latency;
    double seconds = (double)(now->time_ns - last->time_ns) / 1e9;
    uint64_t received = now->counts.received - last->counts.received;

    load_take_interval(l, &latency);
    fprintf(stderr, "%6.1f s  published %9.0f/s  received %9.0f/s",
            (double)(now->time_ns - start->time_ns) / 1e9,
            (double)(now->counts.published - last->counts.published) / seconds,
            (double)received / seconds);
    if (l->options->confirms != 0)
        fprintf(stderr, "  confirmed %9.0f/s",
                (double)(now->counts.confirmed - last->counts.confirmed) / seconds);
    if (histogram_count(&latency) != 0)
        fprintf(stderr, "  latency p50 %.0f p99 %.0f max %.0f us",
                (double)histogram_percentile(&latency, 50) / 1e3,
                (double)histogram_percentile(&latency, 99) / 1e3,
                (double)histogram_max(&latency) / 1e3);
    if (l->options->broker_pid != 0 && received != 0)
        fprintf(stderr, "  broker %.2f us/msg, %.1f MiB",
                (double)(now->broker.cpu_ns - last->broker.cpu_ns) / 1e3 / (double)received,
                (double)now->broker.rss_bytes / 1048576);
    fputc('\n', stderr);
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/* All that was to be sent was, and has arrived as far as that can be told. */
static bool load_is_complete(struct load *l, int64_t now_ns)
{
    const struct perf_options *o = l->options;
    struct load_counts counts;
    int64_t quiet_ms;

    if (o->producers != 0 && !load_producers_done(l))
        return false;
    counts = load_counts_now(l);
    if (o->confirms != 0 && counts.confirmed + counts.nacked < counts.published)
        return false;
    if (o->consumers == 0)
        return true;
    if (l->expectation_known &&
        counts.received + counts.nacked + counts.returned >= load_expected(l))
        return true;
    quiet_ms = (now_ns - load_last_delivery_ns(l)) / 1000000;
    return quiet_ms >= (l->expectation_known ? QUIET_MS : GUESS_QUIET_MS);
}

/* Runs one phase, for `seconds` (0: no limit). Returns the exit status. */
static int load_phase(struct load *l, enum load_phase phase, double seconds)
{
    const struct perf_options *o = l->options;
    struct snapshot start = load_snapshot(l);
    struct snapshot last = start;
    int64_t end_ns = start.time_ns + (int64_t)(seconds * 1e9);
    int64_t next_ns = start.time_ns + 1000000000;
    const char *error;

    atomic_store(&l->shared.phase, phase);
    for (;;) {
        int64_t now_ns = clock_monotonic_ns();

        if (interrupted() || (seconds > 0 && now_ns >= end_ns))
            return RUN_OK;
        error = load_error(l);
        if (error != NULL)
            return load_fail(error);
        if (o->messages != 0 && load_is_complete(l, now_ns))
            return RUN_OK;
        if (now_ns >= next_ns) {
            if (o->progress) {
                struct snapshot now = load_snapshot(l);

                load_print_progress(l, &start, &last, &now);
                last = now;
            }
            next_ns += 1000000000;
        }
        sleep_ms(TICK_MS);
    }
}

/* Lets consumers take what is left. */
static int load_drain(struct load *l)
{
    int64_t deadline_ns = clock_monotonic_ns() + (int64_t)DRAIN_MS * 1000000;
    const struct perf_options *o = l->options;
    const char *error;

    atomic_store(&l->shared.phase, LOAD_DRAIN);
    sleep_ms(2 * TICK_MS);
    for (;;) {
        int64_t now_ns = clock_monotonic_ns();
        struct load_counts counts = load_counts_now(l);

        error = load_error(l);
        if (error != NULL)
            return load_fail(error);
        if (o->consumers == 0 || o->producers == 0 || now_ns >= deadline_ns)
            return RUN_OK;
        l->drained = l->expectation_known
                         ? counts.received + counts.nacked + counts.returned >= load_expected(l)
                         : (now_ns - load_last_delivery_ns(l)) / 1000000 >= GUESS_QUIET_MS;
        if (!l->drained && (now_ns - load_last_delivery_ns(l)) / 1000000 >= QUIET_MS)
            l->drained = true;
        if (l->drained)
            return RUN_OK;
        sleep_ms(TICK_MS);
    }
}

/* ---- the report ---- */

/* Messages that never came. 0 while some may still be in the queues. */
static uint64_t load_lost(const struct load *l, const struct load_counts *total)
{
    const struct perf_options *o = l->options;
    uint64_t missing = 0;
    uint64_t excused = total->nacked + total->returned;

    if (!l->drained || o->consumers == 0)
        return 0;
    if (!load_is_tracked(o) || !l->expectation_known) {
        uint64_t expected = load_expected(l);

        missing =
            l->expectation_known && expected > total->received ? expected - total->received : 0;
        return missing > excused ? missing - excused : 0;
    }
    for (uint32_t i = 0; i < l->started; i++) {
        const struct worker *w = &l->workers[i];

        for (uint32_t k = 0; k < w->producer_count; k++) {
            const struct producer *p = &w->producers[k];

            for (uint32_t q = 0; q < o->queues; q++)
                if (queue_is_consumed(o, q) && load_feeds(o, p->index, q))
                    missing += sequence_missing(&l->arrivals[q].of_producer[p->index], p->sent);
        }
    }
    return missing > excused ? missing - excused : 0;
}

static uint64_t load_duplicates(const struct load *l)
{
    uint64_t duplicates = 0;

    for (uint32_t q = 0; q < l->options->queues; q++)
        for (uint32_t p = 0; l->arrivals[q].of_producer != NULL && p < l->options->producers; p++)
            duplicates += l->arrivals[q].of_producer[p].duplicates;
    return duplicates;
}

static void report_rates(struct report *r, const struct perf_options *o,
                         const struct load_counts *from, const struct load_counts *to,
                         double seconds)
{
    report_number(r, "published_per_s", "published", "msg/s",
                  (double)(to->published - from->published) / seconds, 0);
    report_number(r, "received_per_s", "received", "msg/s",
                  (double)(to->received - from->received) / seconds, 0);
    report_number(r, "received_mb_per_s", "received bodies", "MB/s",
                  (double)(to->received_bytes - from->received_bytes) / seconds / 1e6, 2);
    if (o->confirms != 0)
        report_number(r, "confirmed_per_s", "confirmed", "msg/s",
                      (double)(to->confirmed - from->confirmed) / seconds, 0);
}

static void report_usage(struct report *r, const struct perf_options *o,
                         const struct snapshot *from, const struct snapshot *to)
{
    double seconds = (double)(to->time_ns - from->time_ns) / 1e9;
    uint64_t messages = o->consumers != 0 ? to->counts.received - from->counts.received
                                          : to->counts.published - from->counts.published;
    double broker_us = (double)(to->broker.cpu_ns - from->broker.cpu_ns) / 1e3;
    double own_us = (double)(to->own_cpu_ns - from->own_cpu_ns) / 1e3;

    if (messages != 0)
        report_number(r, "generator_cpu_us_per_message", "generator processor time", "us/msg",
                      own_us / (double)messages, 3);
    if (o->broker_pid == 0)
        return;
    if (messages != 0)
        report_number(r, "broker_cpu_us_per_message", "broker processor time", "us/msg",
                      broker_us / (double)messages, 3);
    report_number(r, "broker_cpu_percent", "broker processor share", "% of a core",
                  broker_us / 1e4 / seconds, 2);
    report_number(r, "broker_rss_mib", "broker resident memory", "MiB",
                  (double)to->broker.rss_bytes / 1048576, 1);
}

/* What a message that waits costs beyond its own bytes. */
static void report_backlog(struct report *r, const struct perf_options *o,
                           const struct snapshot *from, const struct snapshot *to)
{
    enum { NO_PROPERTIES = 2 };
    double count = (double)(to->counts.published - from->counts.published);
    double each = (double)(to->broker.rss_bytes - from->broker.rss_bytes) / count;
    double body = (double)(to->counts.published_bytes - from->counts.published_bytes) / count;
    char key[TOPOLOGY_NAME_MAX];

    if (o->broker_pid == 0 || !(count > 0))
        return;
    topology_routing_key(key, o, 0);
    report_number(r, "broker_bytes_each", "broker memory", "bytes each", each, 1);
    report_number(r, "broker_bytes_beyond", "beyond key, properties and body", "bytes each",
                  each - body - NO_PROPERTIES - (double)strlen(key), 1);
}

static int load_report(struct load *l, struct report *r, const struct snapshot *from,
                       const struct snapshot *to)
{
    const struct perf_options *o = l->options;
    static struct histogram latency;
    static struct histogram confirm_latency;
    double seconds = (double)(to->time_ns - from->time_ns) / 1e9;
    struct load_counts total = load_counts_now(l);
    uint64_t lost = load_lost(l, &total);
    uint64_t duplicates = load_duplicates(l);

    histogram_reset(&latency);
    histogram_reset(&confirm_latency);
    for (uint32_t i = 0; i < l->started; i++) {
        histogram_merge(&latency, &l->workers[i].latency);
        histogram_merge(&confirm_latency, &l->workers[i].confirm_latency);
    }

    report_text(r, "mode", "mode", perf_mode_name(o->mode));
    report_number(r, "seconds", "measured", "s", seconds, 3);
    report_rates(r, o, &from->counts, &to->counts, seconds);
    report_latency(r, "latency", "latency", &latency);
    report_latency(r, "confirm_latency", "confirm latency", &confirm_latency);
    report_usage(r, o, from, to);
    if (o->mode == PERF_MODE_BACKLOG)
        report_backlog(r, o, from, to);
    report_number(r, "published", "published in all", "", (double)total.published, 0);
    report_number(r, "received", "received in all", "", (double)total.received, 0);
    report_number(r, "redelivered", "redelivered", "", (double)total.redelivered, 0);
    if (o->confirms != 0)
        report_number(r, "nacked", "nacked", "", (double)total.nacked, 0);
    if (o->mandatory)
        report_number(r, "returned", "returned", "", (double)total.returned, 0);
    if (total.foreign != 0)
        report_number(r, "foreign", "of another run", "", (double)total.foreign, 0);
    report_number(r, "out_of_order", "out of order", "", (double)total.out_of_order, 0);
    report_number(r, "duplicates", "duplicates", "", (double)duplicates, 0);
    report_number(r, "lost", "lost", "", (double)lost, 0);
    if (o->producers != 0 && o->consumers != 0 && !l->drained)
        report_text(r, "left", "left in the queues", "yes");
    return lost != 0 || duplicates > total.redelivered ? RUN_MISSING : RUN_OK;
}

/* Warm-up, measurement and drain. */
static int load_measure(struct load *l, struct report *report)
{
    const struct perf_options *o = l->options;
    struct snapshot from;
    struct snapshot to;
    int rc;

    from = load_snapshot(l);
    rc = load_start(l);
    if (rc == RUN_OK && o->warmup_s > 0) {
        rc = load_phase(l, LOAD_WARMUP, o->warmup_s);
        from = load_snapshot(l);
    }
    if (rc != RUN_OK)
        return rc;
    rc = load_phase(l, LOAD_MEASURE, o->time_s);
    to = load_snapshot(l);
    if (rc != RUN_OK)
        return rc;
    if (o->messages != 0 && o->consumers != 0 && load_last_delivery_ns(l) > from.time_ns)
        to.time_ns = load_last_delivery_ns(l);
    rc = load_drain(l);
    return rc == RUN_OK ? load_report(l, report, &from, &to) : rc;
}

static void load_stop(struct load *l)
{
    atomic_store(&l->shared.phase, LOAD_STOP);
    for (uint32_t i = 0; i < l->started; i++)
        worker_join(&l->workers[i]);
    for (uint32_t i = 0; i < l->started; i++) {
        for (uint32_t k = 0; k < l->workers[i].producer_count; k++)
            client_disconnect(&l->workers[i].producers[k].client);
        for (uint32_t k = 0; k < l->workers[i].consumer_count; k++)
            client_disconnect(&l->workers[i].consumers[k].client);
    }
}

int load_run(const struct perf_options *o, struct report *report)
{
    struct load load;
    char error[256];
    int rc;

    load_init(&load, o);
    if (client_target_init(&load.target, o, error, sizeof(error)) != 0) {
        client_init(&load.control, &load.control_target, NULL, NULL);
        load_free(&load);
        return load_fail(error);
    }
    load.control_target = load.target;
    load.control_target.heartbeat_s = 0;
    client_init(&load.control, &load.control_target, NULL, NULL);
    rc = load_declare(&load);
    if (rc == RUN_OK)
        rc = load_connect(&load);
    if (rc == RUN_OK)
        rc = load_measure(&load, report);
    load_stop(&load);
    if (load.control.state == CLIENT_OPEN && topology_delete(&load.control, o) != 0)
        rc = load_fail(load.control.error);
    client_disconnect(&load.control);
    load_free(&load);
    return rc;
}
