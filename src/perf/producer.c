#include "perf/producer.h"

#include "amqp/properties.h"
#include "base/clock.h"
#include "base/memory.h"
#include "perf/topology.h"
#include "perf/worker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLAB_BYTES = 128 * 1024,
    SLAB_BYTES_ALL = 64 * 1024 * 1024, /* what the slabs of all producers take together */
    SLAB_BYTES_LEAST = 4 * 1024,
};

static void confirm_one(struct producer *p, uint64_t number, bool ack)
{
    struct worker *w = p->worker;
    int64_t *sent_ns = &p->unconfirmed_ns[number % p->window];

    if (*sent_ns == 0)
        return;
    if (ack) {
        w->counts.confirmed++;
        if (w->phase == LOAD_MEASURE)
            histogram_record(&w->confirm_latency, p->client.received_ns - *sent_ns);
    } else {
        w->counts.nacked++;
    }
    *sent_ns = 0;
}

/* Delivery tags of confirms count from 1, our numbers from 0. */
static void producer_confirmed(struct client *client, uint64_t tag, bool multiple, bool ack)
{
    struct producer *p = client->context;
    uint64_t first;

    if (p->window == 0)
        return;
    if (tag == 0 && multiple)
        tag = p->sent;
    if (tag == 0 || tag > p->sent) {
        client_fail(client, "the broker confirmed message %llu of %llu", (unsigned long long)tag,
                    (unsigned long long)p->sent);
        return;
    }
    first = multiple ? p->confirmed_below : tag - 1;
    if (first < p->confirmed_below)
        return;
    for (uint64_t number = first; number < tag; number++)
        confirm_one(p, number, ack);
    while (p->confirmed_below < p->sent && p->unconfirmed_ns[p->confirmed_below % p->window] == 0)
        p->confirmed_below++;
}

static void producer_method(struct client *client, const struct amqp_method *m)
{
    struct producer *p = client->context;

    if (m->id == AMQP_BASIC_RETURN)
        p->worker->counts.returned++;
}

static void producer_ended(struct client *client)
{
    struct producer *p = client->context;

    if (client->state == CLIENT_FAILED && p->worker->error[0] == '\0')
        memcpy(p->worker->error, client->error, sizeof(client->error));
}

static const struct client_events producer_events = {
    .confirmed = producer_confirmed,
    .method = producer_method,
    .ended = producer_ended,
};

static void producer_encode(struct producer *p, const struct perf_options *o)
{
    char key[TOPOLOGY_NAME_MAX];
    struct buffer headers;
    struct buffer raw;
    struct amqp_properties properties = {0};
    struct slab_shape shape = {
        .exchange = bytes_from_string(o->exchange),
        .mandatory = o->mandatory,
        .size = &o->size,
        .frame_max = p->client.frame_max,
        .target_bytes = SLAB_BYTES,
    };

    if (o->producers > SLAB_BYTES_ALL / SLAB_BYTES)
        shape.target_bytes = SLAB_BYTES_ALL / o->producers;
    if (shape.target_bytes < SLAB_BYTES_LEAST)
        shape.target_bytes = SLAB_BYTES_LEAST;
    if (o->mode == PERF_MODE_BINDINGS) {
        shape.keys = o->keys;
        shape.key_range = o->count;
    }
    topology_routing_key(key, o, p->index % o->queues);
    shape.routing_key = bytes_from_string(key);

    buffer_init(&headers);
    buffer_init(&raw);
    if (o->headers.count != 0) {
        properties.present |= AMQP_PROPERTY_HEADERS;
        properties.headers = topology_arguments(&o->headers, &headers);
    }
    if (o->persistent) {
        properties.present |= AMQP_PROPERTY_DELIVERY_MODE;
        properties.delivery_mode = 2;
    }
    amqp_properties_encode(&properties, &raw);
    shape.properties = buffer_bytes(&raw);
    slab_init(&p->slab, &shape, (uint64_t)p->index + 1);
    buffer_free(&raw);
    buffer_free(&headers);
}

int producer_init(struct producer *p, struct worker *w, const struct client_target *target,
                  uint16_t index)
{
    const struct perf_options *o = w->shared->options;
    struct amqp_method select = {.id = AMQP_CONFIRM_SELECT};

    *p = (struct producer){
        .worker = w,
        .index = index,
        .interval_ns = o->rate > 0 ? 1e9 / o->rate : 0,
        .window = o->confirms,
    };
    client_init(&p->client, target, &producer_events, p);
    if (p->window != 0)
        p->unconfirmed_ns = memory_alloc_zeroed(p->window, sizeof(*p->unconfirmed_ns));
    if (client_connect(&p->client) != 0)
        return -1;
    if (p->window != 0 && client_call(&p->client, &select) != 0)
        return -1;
    producer_encode(p, o);
    return 0;
}

void producer_free(struct producer *p)
{
    client_free(&p->client);
    slab_free(&p->slab);
    free(p->unconfirmed_ns);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool producer_is_done(const struct producer *p)
{
    const struct perf_options *o = p->worker->shared->options;

    return p->worker->phase > LOAD_MEASURE || p->client.state != CLIENT_OPEN ||
           (o->messages != 0 && p->sent == o->messages);
}

/* When message `number` is due. */
static int64_t due_ns(const struct producer *p, uint64_t number)
{
    return p->start_ns + (int64_t)((double)number * p->interval_ns);
}

/* How many messages the schedule is behind. */
static uint64_t producer_due(const struct producer *p, int64_t now_ns)
{
    uint64_t all;

    if (p->interval_ns == 0)
        return UINT64_MAX;
    if (p->start_ns == 0 || now_ns < p->start_ns)
        return 0;
    all = (uint64_t)((double)(now_ns - p->start_ns) / p->interval_ns) + 1;
    return all > p->sent ? all - p->sent : 0;
}

/* What the confirm window and the limit of messages in flight leave. */
static uint64_t producer_allowance(const struct producer *p)
{
    const struct load_shared *shared = p->worker->shared;
    const struct perf_options *o = shared->options;
    uint64_t allowed = UINT64_MAX;

    if (o->messages != 0)
        allowed = o->messages - p->sent;
    if (p->window != 0)
        allowed = least(allowed, p->confirmed_below + p->window - p->sent);
    if (o->max_in_flight != 0 && shared->copies > 0) {
        double published = (double)atomic_load_explicit(&shared->published, memory_order_relaxed);
        double received = (double)atomic_load_explicit(&shared->received, memory_order_relaxed);
        double room = (double)o->max_in_flight - (published * shared->copies - received);

        allowed = least(allowed, room >= shared->copies ? (uint64_t)(room / shared->copies) : 0);
    }
    return allowed;
}

static void producer_publish(struct producer *p, uint32_t count, int64_t now_ns)
{
    struct worker *w = p->worker;
    struct slab_mark mark = {.run = w->shared->run, .producer = p->index, .number = p->sent};
    int64_t stamp_ns = p->late ? due_ns(p, p->sent) : now_ns;
    struct bytes frames;

    frames = slab_take(&p->slab, count, mark, stamp_ns, p->late ? p->interval_ns : 0,
                       &w->counts.published_bytes);
    for (uint32_t i = 0; p->window != 0 && i < count; i++)
        p->unconfirmed_ns[(p->sent + i) % p->window] = now_ns;
    p->sent += count;
    w->counts.published += count;
    if (w->shared->options->max_in_flight != 0)
        atomic_fetch_add_explicit(&w->shared->published, count, memory_order_relaxed);
    if (p->sent == w->shared->options->messages)
        w->producers_left--;
    client_send_bulk(&p->client, frames, now_ns);
    loop_update(&w->loop, &p->client);
}

/* With a rate, a message that goes out when it is due bears the time it goes out, so that the
 * generator's own wake-up is not counted; one that was kept back, by a full socket or window,
 * bears the time it was due, so that the wait is. */
void producer_run(struct producer *p, int64_t now_ns)
{
    if (producer_is_done(p))
        return;
    if (p->start_ns == 0)
        p->start_ns =
            now_ns + (int64_t)(p->interval_ns * p->index / p->worker->shared->options->producers);

    for (;;) {
        uint64_t due = producer_due(p, now_ns);
        uint64_t count = least(due, least(producer_allowance(p), slab_available(&p->slab)));

        if (due == 0)
            p->late = false;
        if (!client_bulk_ready(&p->client) || count == 0) {
            p->late = p->interval_ns != 0 && due != 0;
            return;
        }
        producer_publish(p, (uint32_t)count, now_ns);
        if (p->interval_ns == 0 || due == count || producer_is_done(p))
            return;
    }
}

int64_t producer_wait_ns(const struct producer *p, int64_t now_ns)
{
    int64_t next_ns;

    if (producer_is_done(p) || !client_bulk_ready(&p->client))
        return PRODUCER_NEVER;
    if (p->interval_ns != 0) {
        next_ns = due_ns(p, p->sent);
        if (next_ns > now_ns)
            return next_ns - now_ns;
    }
    if (producer_allowance(p) != 0)
        return 0;
    /* Deliveries on other threads make room in flight without an event here. */
    return p->worker->shared->options->threads > 1 && p->window == 0 ? 500000 : PRODUCER_NEVER;
}
