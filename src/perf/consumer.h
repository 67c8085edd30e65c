/* A connection that consumes from one queue. Lives on its worker's thread once that runs. */
#ifndef LEVERET_PERF_CONSUMER_H
#define LEVERET_PERF_CONSUMER_H

#include "perf/client.h"
#include "perf/sequence.h"

#include <stdint.h>

struct worker;

/* What has arrived of each producer's messages through a queue; all consumers of the queue live on
 * one worker and share it. */
struct queue_arrivals {
    struct sequence *of_producer; /* NULL: not tracked */
};

/* Fields are for reading. */
struct consumer {
    struct worker *worker;
    struct client client;
    struct queue_arrivals *arrivals;
    uint64_t *latest; /* of each producer, one more than the number that came last */
    uint32_t producers;
    uint32_t unacknowledged;
    uint64_t last_tag;
};

/* Connects and begins to consume from `queue`. Blocking. `arrivals` is borrowed. Returns 0, or -1
 * with c->client.error filled in. */
int consumer_init(struct consumer *c, struct worker *w, const struct client_target *target,
                  const char *queue, struct queue_arrivals *arrivals);
void consumer_free(struct consumer *c);

/* Acknowledges what --multi-ack has left over. */
void consumer_settle(struct consumer *c, int64_t now_ns);

#endif
