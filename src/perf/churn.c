#include "perf/churn.h"

#include "base/clock.h"
#include "base/memory.h"
#include "perf/histogram.h"
#include "perf/interrupt.h"
#include "perf/load.h"
#include "perf/loop.h"
#include "perf/process.h"
#include "perf/topology.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { TURN_NS = 10000000 };

/* One of the connections that come and go, or that declare. */
struct churner {
    struct churn *churn;
    struct client client;
    int64_t begun_ns;
    uint64_t asked; /* declares sent */
};

struct churn {
    const struct perf_options *options;
    struct client_target target;
    struct loop loop;
    struct churner *churners;
    struct histogram latency;
    uint64_t done;  /* cycles, or declares answered */
    uint64_t asked; /* declares sent */
    bool stopping;
    uint32_t alive;
    char error[400];
};

static int churn_fail(struct churn *churn, const char *text)
{
    if (churn->error[0] == '\0')
        snprintf(churn->error, sizeof(churn->error), "%s", text);
    churn->stopping = true;
    return RUN_FAILED;
}

/* ---- churn ---- */

static void churner_start(struct churner *ch)
{
    struct churn *churn = ch->churn;

    ch->begun_ns = clock_monotonic_ns();
    if (client_start(&ch->client) != 0) {
        churn_fail(churn, ch->client.error);
        return;
    }
    churn->alive++;
    if (loop_add(&churn->loop, &ch->client) != 0)
        churn_fail(churn, "epoll_ctl failed");
}

static void churner_opened(struct client *c)
{
    struct amqp_method declare = {
        .id = AMQP_QUEUE_DECLARE,
        .queue_declare = {.exclusive = true, .auto_delete = true},
    };

    client_send(c, &declare);
}

static void churner_method(struct client *c, const struct amqp_method *m)
{
    if (m->id == AMQP_QUEUE_DECLARE_OK)
        client_close(c, clock_monotonic_ns());
}

static void churner_ended(struct client *c)
{
    struct churner *ch = c->context;
    struct churn *churn = ch->churn;

    churn->alive--;
    if (c->state == CLIENT_FAILED) {
        churn_fail(churn, c->error);
        return;
    }
    churn->done++;
    histogram_record(&churn->latency, clock_monotonic_ns() - ch->begun_ns);
    if (!churn->stopping)
        churner_start(ch);
}

static const struct client_events churner_events = {
    .opened = churner_opened,
    .method = churner_method,
    .ended = churner_ended,
};

/* ---- declare ---- */

/* Keeps the pipeline full. */
static void declarer_send(struct churner *ch)
{
    struct churn *churn = ch->churn;

    while (churn->asked < churn->options->count &&
           ch->asked - ch->client.replies < churn->options->pipeline) {
        topology_send_declare(&ch->client, churn->options, churn->asked);
        churn->asked++;
        ch->asked++;
    }
}

static void declarer_method(struct client *c, const struct amqp_method *m)
{
    struct churner *ch = c->context;
    int64_t now_ns = clock_monotonic_ns();

    if (m->id != AMQP_QUEUE_DECLARE_OK)
        return;
    ch->churn->done++;
    histogram_record(&ch->churn->latency, now_ns - ch->begun_ns);
    if (ch->churn->options->pipeline == 1)
        ch->begun_ns = now_ns;
    declarer_send(ch);
}

static void declarer_ended(struct client *c)
{
    struct churner *ch = c->context;

    if (c->state == CLIENT_FAILED)
        churn_fail(ch->churn, c->error);
}

static const struct client_events declarer_events = {
    .method = declarer_method,
    .ended = declarer_ended,
};

/* ---- both ---- */

static int churn_init(struct churn *churn, const struct perf_options *o,
                      const struct client_events *events)
{
    *churn = (struct churn){.options = o};
    histogram_reset(&churn->latency);
    if (client_target_init(&churn->target, o, churn->error, sizeof(churn->error)) != 0)
        return RUN_FAILED;
    churn->churners = memory_alloc_zeroed(o->connections, sizeof(*churn->churners));
    for (uint32_t i = 0; i < o->connections; i++) {
        churn->churners[i].churn = churn;
        client_init(&churn->churners[i].client, &churn->target, events, &churn->churners[i]);
    }
    return loop_init(&churn->loop) == 0 ? RUN_OK : churn_fail(churn, "epoll_create1 failed");
}

static void churn_free(struct churn *churn)
{
    for (uint32_t i = 0; churn->churners != NULL && i < churn->options->connections; i++)
        client_free(&churn->churners[i].client);
    free(churn->churners);
    client_target_release(&churn->target);
    if (churn->loop.input != NULL)
        loop_free(&churn->loop);
}

struct moment {
    int64_t time_ns;
    uint64_t done;
    struct process_usage broker;
    int64_t own_cpu_ns;
};

static struct moment churn_moment(const struct churn *churn)
{
    struct moment m = {
        .time_ns = clock_monotonic_ns(), .done = churn->done, .own_cpu_ns = process_own_cpu_ns()};

    if (churn->options->broker_pid != 0)
        process_usage_read(churn->options->broker_pid, &m.broker);
    return m;
}

static void churn_report(struct churn *churn, struct report *r, const char *what,
                         const struct moment *from, const struct moment *to)
{
    double seconds = (double)(to->time_ns - from->time_ns) / 1e9;
    double done = (double)(to->done - from->done);

    report_text(r, "mode", "mode", perf_mode_name(churn->options->mode));
    report_number(r, "seconds", "measured", "s", seconds, 3);
    report_number(r, "per_s", what, "/s", done / seconds, 1);
    report_number(r, "count", "in all", "", done, 0);
    report_latency(r, "latency", "latency", &churn->latency);
    if (done > 0)
        report_number(r, "generator_cpu_us_each", "generator processor time", "us each",
                      (double)(to->own_cpu_ns - from->own_cpu_ns) / 1e3 / done, 2);
    if (churn->options->broker_pid == 0 || !(done > 0))
        return;
    report_number(r, "broker_cpu_us_each", "broker processor time", "us each",
                  (double)(to->broker.cpu_ns - from->broker.cpu_ns) / 1e3 / done, 2);
    report_number(r, "broker_rss_mib", "broker resident memory", "MiB",
                  (double)to->broker.rss_bytes / 1048576, 1);
}

static void print_progress(const struct churn *churn, int64_t now_ns, int64_t *next_ns,
                           uint64_t *last)
{
    if (now_ns < *next_ns)
        return;
    if (churn->options->progress)
        fprintf(stderr, "%9" PRIu64 "/s\n", churn->done - *last);
    *last = churn->done;
    *next_ns += 1000000000;
}

/* Turns the loop for `seconds` (0: until interrupted). */
static void churn_for(struct churn *churn, double seconds)
{
    int64_t now_ns = clock_monotonic_ns();
    int64_t end_ns = now_ns + (int64_t)(seconds * 1e9);
    int64_t next_ns = now_ns + 1000000000;
    uint64_t last = churn->done;

    while (churn->error[0] == '\0' && !interrupted() && (!(seconds > 0) || now_ns < end_ns)) {
        now_ns = loop_turn(&churn->loop, TURN_NS);
        print_progress(churn, now_ns, &next_ns, &last);
    }
}

static int churn_finish(struct churn *churn, int rc)
{
    if (churn->error[0] != '\0') {
        fprintf(stderr, "leveret-perf: %s\n", churn->error);
        rc = RUN_FAILED;
    }
    churn_free(churn);
    return rc;
}

int churn_run(const struct perf_options *o, struct report *report)
{
    static struct churn churn;
    struct moment from;
    struct moment to;
    int64_t deadline_ns;

    if (churn_init(&churn, o, &churner_events) != RUN_OK)
        return churn_finish(&churn, RUN_FAILED);
    for (uint32_t i = 0; i < o->connections; i++)
        churner_start(&churn.churners[i]);
    if (o->warmup_s > 0)
        churn_for(&churn, o->warmup_s);
    histogram_reset(&churn.latency);
    from = churn_moment(&churn);
    churn_for(&churn, o->time_s);
    to = churn_moment(&churn);
    churn_report(&churn, report, "connections", &from, &to);

    churn.stopping = true;
    deadline_ns = clock_monotonic_ns() + 5000000000;
    while (churn.alive != 0 && churn.error[0] == '\0' && clock_monotonic_ns() < deadline_ns)
        loop_turn(&churn.loop, TURN_NS);
    return churn_finish(&churn, RUN_OK);
}

static int declare_connect(struct churn *churn)
{
    for (uint32_t i = 0; i < churn->options->connections; i++) {
        struct client *c = &churn->churners[i].client;

        if (client_connect(c) != 0)
            return churn_fail(churn, c->error);
        if (loop_add(&churn->loop, c) != 0)
            return churn_fail(churn, "epoll_ctl failed");
    }
    return RUN_OK;
}

static int declare_delete(struct churn *churn)
{
    struct client *c = &churn->churners[0].client;

    if (churn->options->keep)
        return RUN_OK;
    c->events = NULL;
    if (topology_for_each(c, churn->options, churn->asked, topology_send_delete) != 0)
        return churn_fail(churn, c->error);
    return RUN_OK;
}

int declare_run(const struct perf_options *o, struct report *report)
{
    static struct churn churn;
    struct moment from;
    struct moment to;
    int64_t now_ns;
    int64_t next_ns;
    uint64_t last = 0;

    if (churn_init(&churn, o, &declarer_events) != RUN_OK || declare_connect(&churn) != RUN_OK)
        return churn_finish(&churn, RUN_FAILED);
    now_ns = clock_monotonic_ns();
    next_ns = now_ns + 1000000000;
    from = churn_moment(&churn);
    for (uint32_t i = 0; i < o->connections; i++) {
        struct churner *ch = &churn.churners[i];

        ch->begun_ns = now_ns;
        declarer_send(ch);
        client_flush(&ch->client, now_ns);
        loop_update(&churn.loop, &ch->client);
    }
    while (churn.done < o->count && churn.error[0] == '\0' && !interrupted()) {
        now_ns = loop_turn(&churn.loop, TURN_NS);
        print_progress(&churn, now_ns, &next_ns, &last);
    }
    to = churn_moment(&churn);
    churn_report(&churn, report, "declares", &from, &to);
    if (churn.error[0] == '\0')
        declare_delete(&churn);
    for (uint32_t i = 0; i < o->connections; i++)
        client_disconnect(&churn.churners[i].client);
    return churn_finish(&churn, RUN_OK);
}
