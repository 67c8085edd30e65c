/* A connection that publishes: at a rate or as fast as its socket, its window of unconfirmed
 * messages and the limit of messages in flight let it. Lives on its worker's thread once that
 * runs. */
#ifndef LEVERET_PERF_PRODUCER_H
#define LEVERET_PERF_PRODUCER_H

#include "perf/client.h"
#include "perf/slab.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* Fields are for reading. */
struct producer {
    struct worker *worker;
    struct client client;
    struct slab slab;
    uint16_t index;
    uint64_t sent;

    double interval_ns; /* 0: no rate */
    int64_t start_ns;   /* when message 0 of the schedule was due; 0: not begun */
    bool late;          /* it was kept from sending what was due */

    uint32_t window;          /* of confirms; 0: none */
    uint64_t confirmed_below; /* all numbers below are confirmed */
    int64_t *unconfirmed_ns;  /* ring: when number n was sent, at n % window; 0: confirmed */
};

/* Connects, and selects confirms. Blocking. Returns 0, or -1 with p->client.error filled in. */
int producer_init(struct producer *p, struct worker *w, const struct client_target *target,
                  uint16_t index);
void producer_free(struct producer *p);

/* Publishes what may be published now. */
void producer_run(struct producer *p, int64_t now_ns);

enum { PRODUCER_NEVER = -1 };

/* How long until producer_run has something to do if nothing comes from the broker: 0 for at
 * once, PRODUCER_NEVER when only the broker can change that. */
int64_t producer_wait_ns(const struct producer *p, int64_t now_ns);

#endif
