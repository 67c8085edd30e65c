#include "perf/holding.h"

#include "base/clock.h"
#include "base/memory.h"
#include "perf/interrupt.h"
#include "perf/load.h"
#include "perf/loop.h"
#include "perf/process.h"
#include "perf/topology.h"

#include <stdlib.h>
#include <string.h>

enum {
    OPENING_AT_A_TIME = 64,
    TURN_NS = 10000000,
    SETTLE_NS = 500000000, /* for the broker to finish what follows an answer */
};

struct holding {
    const struct perf_options *options;
    struct client_target target;
    struct loop loop;
    struct client *clients;
    uint64_t started;
    uint64_t open;
    uint64_t ended;
    char error[400];
};

static int holding_fail(const char *text)
{
    fprintf(stderr, "leveret-perf: %s\n", text);
    return RUN_FAILED;
}

static void held_opened(struct client *c)
{
    struct holding *h = c->context;

    h->open++;
}

static void held_ended(struct client *c)
{
    struct holding *h = c->context;

    h->ended++;
    if (c->state == CLIENT_FAILED && h->error[0] == '\0')
        memcpy(h->error, c->error, sizeof(h->error));
}

static const struct client_events held_events = {
    .opened = held_opened,
    .ended = held_ended,
};

static struct process_usage broker_usage(const struct perf_options *o)
{
    struct process_usage usage = {0};

    if (o->broker_pid != 0)
        process_usage_read(o->broker_pid, &usage);
    return usage;
}

/* Turns the loop for `ns` (0: until interrupted), and keeps heartbeats going. */
static void holding_wait(struct holding *h, int64_t ns)
{
    int64_t now_ns = clock_monotonic_ns();
    int64_t end_ns = now_ns + ns;
    int64_t tick_ns = now_ns + 1000000000;

    while (!interrupted() && h->error[0] == '\0' && (ns == 0 || now_ns < end_ns)) {
        now_ns = loop_turn(&h->loop, TURN_NS);
        if (now_ns < tick_ns)
            continue;
        tick_ns += 1000000000;
        for (uint64_t i = 0; i < h->started; i++)
            client_tick(&h->clients[i], now_ns);
    }
}

static int holding_open(struct holding *h)
{
    const struct perf_options *o = h->options;

    while (h->open < o->count && h->error[0] == '\0' && !interrupted()) {
        while (h->started < o->count && h->started - h->open < OPENING_AT_A_TIME) {
            struct client *c = &h->clients[h->started++];

            client_init(c, &h->target, &held_events, h);
            if (client_start(c) != 0)
                return holding_fail(c->error);
            if (loop_add(&h->loop, c) != 0)
                return holding_fail("epoll_ctl failed");
        }
        loop_turn(&h->loop, TURN_NS);
    }
    return h->error[0] != '\0' ? holding_fail(h->error) : RUN_OK;
}

static void holding_close(struct holding *h)
{
    int64_t deadline_ns = clock_monotonic_ns() + 30000000000;
    uint64_t closing = 0;

    while (h->ended < h->started && clock_monotonic_ns() < deadline_ns && h->error[0] == '\0') {
        while (closing < h->started && closing - h->ended < OPENING_AT_A_TIME)
            client_close(&h->clients[closing++], clock_monotonic_ns());
        loop_turn(&h->loop, TURN_NS);
    }
    for (uint64_t i = 0; i < h->started; i++)
        client_free(&h->clients[i]);
}

/* Watches the broker while nothing happens, and says what one of the things held costs. */
static void holding_measure(struct holding *h, struct report *r, const char *what,
                            const struct process_usage *before, double seconds)
{
    const struct perf_options *o = h->options;
    struct process_usage idle_from;
    struct process_usage idle_to;
    int64_t from_ns;
    double idle_s;

    report_text(r, "mode", "mode", perf_mode_name(o->mode));
    report_number(r, "count", what, "", (double)o->count, 0);
    report_number(r, "setup_seconds", "set-up", "s", seconds, 3);
    report_number(r, "setup_per_s", "set-up", "/s", (double)o->count / seconds, 0);

    holding_wait(h, SETTLE_NS);
    idle_from = broker_usage(o);
    from_ns = clock_monotonic_ns();
    fprintf(stderr, "leveret-perf: holding %llu %s\n", (unsigned long long)o->count, what);
    holding_wait(h, (int64_t)(o->hold_s * 1e9));
    idle_to = broker_usage(o);
    idle_s = (double)(clock_monotonic_ns() - from_ns) / 1e9;

    if (o->broker_pid == 0)
        return;
    report_number(r, "broker_rss_before_mib", "broker memory before", "MiB",
                  (double)before->rss_bytes / 1048576, 1);
    report_number(r, "broker_rss_mib", "broker memory with them", "MiB",
                  (double)idle_from.rss_bytes / 1048576, 1);
    report_number(r, "broker_bytes_each", "broker memory", "bytes each",
                  (double)(idle_from.rss_bytes - before->rss_bytes) / (double)o->count, 1);
    report_number(r, "broker_setup_cpu_us_each", "broker processor time, set-up", "us each",
                  (double)(idle_from.cpu_ns - before->cpu_ns) / 1e3 / (double)o->count, 2);
    report_number(r, "idle_seconds", "idle", "s", idle_s, 1);
    report_number(r, "broker_idle_cpu_percent", "broker processor share, idle", "% of a core",
                  (double)(idle_to.cpu_ns - idle_from.cpu_ns) / 1e7 / idle_s, 3);
}

static int holding_init(struct holding *h, const struct perf_options *o)
{
    *h = (struct holding){.options = o};
    if (client_target_init(&h->target, o, h->error, sizeof(h->error)) != 0)
        return holding_fail(h->error);
    return loop_init(&h->loop) == 0 ? RUN_OK : holding_fail("epoll_create1 failed");
}

int holding_run_connections(const struct perf_options *o, struct report *report)
{
    static struct holding h;
    struct process_usage before;
    int64_t from_ns;
    int rc = holding_init(&h, o);

    if (rc != RUN_OK)
        return rc;
    h.clients = memory_alloc_zeroed(o->count, sizeof(*h.clients));
    before = broker_usage(o);
    from_ns = clock_monotonic_ns();
    rc = holding_open(&h);
    if (rc == RUN_OK && h.open == o->count) {
        holding_measure(&h, report, "connections", &before,
                        (double)(clock_monotonic_ns() - from_ns) / 1e9);
        if (h.error[0] != '\0')
            rc = holding_fail(h.error);
    }
    holding_close(&h);
    free(h.clients);
    loop_free(&h.loop);
    client_target_release(&h.target);
    return rc;
}

static unsigned send_declare_and_bind(struct client *c, const struct perf_options *o,
                                      uint64_t queue)
{
    return topology_send_declare(c, o, queue) + topology_send_bind(c, o, queue);
}

/* The exchange that the held queues are bound to. */
static int holding_exchange(struct client *c, const struct perf_options *o, bool declare)
{
    struct amqp_method m = {.id = declare ? AMQP_EXCHANGE_DECLARE : AMQP_EXCHANGE_DELETE};

    if (declare) {
        m.exchange_declare.exchange = bytes_from_string(o->exchange);
        m.exchange_declare.type = bytes_from_string(o->type);
        m.exchange_declare.durable = o->durable;
    } else {
        m.exchange_delete.exchange = bytes_from_string(o->exchange);
    }
    return client_call(c, &m);
}

int holding_run_queues(const struct perf_options *o, struct report *report)
{
    static struct holding h;
    struct client control;
    struct process_usage before;
    int64_t from_ns;
    int rc = holding_init(&h, o);

    if (rc != RUN_OK)
        return rc;
    h.target.heartbeat_s = 0;
    client_init(&control, &h.target, NULL, NULL);
    if (client_connect(&control) != 0 || holding_exchange(&control, o, true) != 0) {
        rc = holding_fail(control.error);
        goto out;
    }
    before = broker_usage(o);
    from_ns = clock_monotonic_ns();
    if (topology_for_each(&control, o, o->count, send_declare_and_bind) != 0) {
        rc = holding_fail(control.error);
        goto out;
    }
    holding_measure(&h, report, "queues", &before, (double)(clock_monotonic_ns() - from_ns) / 1e9);
    if (!o->keep && (topology_for_each(&control, o, o->count, topology_send_delete) != 0 ||
                     holding_exchange(&control, o, false) != 0))
        rc = holding_fail(control.error);

out:
    client_disconnect(&control);
    client_free(&control);
    loop_free(&h.loop);
    client_target_release(&h.target);
    return rc;
}
