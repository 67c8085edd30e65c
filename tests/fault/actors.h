/* Who works against a broker until it is killed, each on a thread of its own with a connection of
 * its own: publishers, consumers and those who declare and delete. All of it is in the ledger. */
#ifndef LEVERET_TESTS_FAULT_ACTORS_H
#define LEVERET_TESTS_FAULT_ACTORS_H

#include "tests/fault/ledger.h"

enum {
    QUEUE_ONE = 0,
    QUEUE_HUNDRED = 1,
    QUEUE_LETTERS = 2, /* its rejected messages go to QUEUE_DEAD */
    QUEUE_TX = 3,
    QUEUE_FAN = 4,
    QUEUE_FAN_COUNT = 8,
    QUEUE_DEAD = QUEUE_FAN + QUEUE_FAN_COUNT,
    QUEUE_COUNT,
};

struct trial {
    const struct broker *broker;
    struct ledger ledger;
    uint64_t seed;
    int round;
};

/* From 0 to `bound` - 1, from a state that is a seed at first. */
uint32_t random_below(uint64_t *state, uint32_t bound);

/* Where an actor publishes, what, and how much of it may be unconfirmed. */
struct publisher {
    struct trial *trial;
    uint16_t number;
    uint32_t window;
    uint32_t most; /* messages of one life */
    const char *exchange;
    int first_queue; /* of those that it publishes to, in turn; of a fanout: of those that get it */
    int queue_count;
    bool fanout;
};

struct consumer {
    struct trial *trial;
    uint16_t number; /* as a publisher, of what marks its place */
    int queue;
    int dead; /* where the queue's rejected messages go, or -1 */
};

void *run_publisher(void *publisher);
void *run_tx_publisher(void *publisher);
void *run_consumer(void *consumer);
void *run_tx_consumer(void *consumer);

#endif
