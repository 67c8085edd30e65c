#include "perf/consumer.h"

#include "base/memory.h"
#include "perf/slab.h"
#include "perf/topology.h"
#include "perf/worker.h"

#include <stdlib.h>
#include <string.h>

static void consumer_ack(struct consumer *c, uint64_t tag)
{
    const struct perf_options *o = c->worker->shared->options;

    c->last_tag = tag;
    c->unacknowledged++;
    if (c->unacknowledged < o->multi_ack)
        return;
    client_send_ack(&c->client, tag, o->multi_ack > 1);
    c->unacknowledged = 0;
}

/* Reads time and number out of the body. */
static void consumer_check_mark(struct consumer *c, const struct client_delivery *d)
{
    struct worker *w = c->worker;
    struct slab_mark mark;
    uint64_t packed;
    int64_t sent_ns;

    memcpy(&sent_ns, d->start, sizeof(sent_ns));
    memcpy(&packed, d->start + sizeof(sent_ns), sizeof(packed));
    mark = slab_mark_unpack(packed);
    if (mark.run != w->shared->run && w->shared->options->producers != 0) {
        w->counts.foreign++;
        return;
    }
    if (w->phase == LOAD_MEASURE) {
        int64_t latency_ns = c->client.received_ns - sent_ns;

        histogram_record(&w->latency, latency_ns);
        histogram_record(&w->interval_latency, latency_ns);
    }
    if (mark.producer >= c->producers)
        return;
    if (mark.number + 1 <= c->latest[mark.producer] && !d->redelivered)
        w->counts.out_of_order++;
    c->latest[mark.producer] = mark.number + 1;
    if (c->arrivals->of_producer != NULL)
        sequence_arrive(&c->arrivals->of_producer[mark.producer], mark.number);
}

static void consumer_delivered(struct client *client, const struct client_delivery *d)
{
    struct consumer *c = client->context;
    struct worker *w = c->worker;

    w->counts.received++;
    w->counts.received_bytes += d->body_size;
    w->counts.redelivered += d->redelivered;
    w->last_delivery_ns = client->received_ns;
    if (d->body_size >= SLAB_MARK_SIZE)
        consumer_check_mark(c, d);
    if (!w->shared->options->autoack)
        consumer_ack(c, d->delivery_tag);
}

static void client_ended(struct client *client)
{
    struct consumer *c = client->context;

    if (client->state == CLIENT_FAILED && c->worker->error[0] == '\0')
        memcpy(c->worker->error, client->error, sizeof(client->error));
}

static const struct client_events consumer_events = {
    .delivered = consumer_delivered,
    .ended = client_ended,
};

int consumer_init(struct consumer *c, struct worker *w, const struct client_target *target,
                  const char *queue, struct queue_arrivals *arrivals)
{
    const struct perf_options *o = w->shared->options;
    struct amqp_method qos = {
        .id = AMQP_BASIC_QOS,
        .basic_qos = {.prefetch_count = (uint16_t)o->prefetch},
    };
    struct amqp_method consume = {
        .id = AMQP_BASIC_CONSUME,
        .basic_consume = {.queue = bytes_from_string(queue), .no_ack = o->autoack},
    };
    struct buffer arguments;
    int rc;

    *c = (struct consumer){.worker = w, .arrivals = arrivals, .producers = o->producers};
    c->latest = memory_alloc_zeroed(o->producers + 1, sizeof(*c->latest));
    client_init(&c->client, target, &consumer_events, c);
    if (client_connect(&c->client) != 0)
        return -1;
    if (o->prefetch != 0 && client_call(&c->client, &qos) != 0)
        return -1;

    buffer_init(&arguments);
    consume.basic_consume.arguments = topology_arguments(&o->consumer_args, &arguments);
    rc = client_call(&c->client, &consume);
    buffer_free(&arguments);
    return rc;
}

void consumer_free(struct consumer *c)
{
    client_free(&c->client);
    free(c->latest);
}

void consumer_settle(struct consumer *c, int64_t now_ns)
{
    if (c->unacknowledged == 0 || c->client.state != CLIENT_OPEN)
        return;
    client_send_ack(&c->client, c->last_tag, true);
    c->unacknowledged = 0;
    client_flush(&c->client, now_ns);
}
