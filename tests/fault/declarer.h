/* One who declares, binds, fills and deletes durable queues and exchanges until the broker is
 * killed, and knows afterwards what must be there. */
#ifndef LEVERET_TESTS_FAULT_DECLARER_H
#define LEVERET_TESTS_FAULT_DECLARER_H

#include "tests/fault/actors.h"

enum { DECLARER_NAMES = 8 };

/* What is known of a thing: DOUBTFUL when the broker was asked and did not answer. */
enum known { ABSENT, PRESENT, DOUBTFUL };

struct declared {
    char queue[32];
    char exchange[32];
    enum known queue_known;
    enum known exchange_known;
    enum known bound; /* the queue to the hub, by its name */
    uint32_t least;   /* persistent messages in the queue */
    uint32_t most;
};

struct declarer {
    struct trial *trial;
    int number;
    char hub[32]; /* a direct exchange */
    struct declared things[DECLARER_NAMES];
};

void declarer_init(struct declarer *d, struct trial *trial, int number);
void *run_declarer(void *declarer);

/* After a restart: everything is as the broker said, and what was in doubt is known then. */
void declarer_inspect(struct declarer *d, struct link *l);

#endif
