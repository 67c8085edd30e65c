/* What the core wants done outside of it. The core's functions append effects to a batch that
 * their caller owns and carries out, in order, before it calls the core again with it. */
#ifndef LEVERET_BROKER_EFFECTS_H
#define LEVERET_BROKER_EFFECTS_H

#include "broker/message.h"
#include "broker/store_location.h"

#include <stdbool.h>
#include <stdint.h>

struct consumer;
struct queue;

enum effect_type {
    EFFECT_NONE,           /* nothing any more */
    EFFECT_DELIVER,        /* send `message` to `consumer` as its delivery `number` */
    EFFECT_DEAD_LETTER,    /* publish `message` to the dead-letter exchange of `queue` */
    EFFECT_UNUSED,         /* `queue` is not used any more, and is to be deleted then */
    EFFECT_SETTLED,        /* the message `sequence` left for good: `location` is free */
    EFFECT_RETURNED,       /* the message `sequence` was requeued: `delivery_count` is new */
    EFFECT_FETCH,          /* messages of `queue` are wanted in memory: queue_fetch_list() */
    EFFECT_TIMER,          /* queue_on_time() of `queue` is to be called at `due_ms` */
    EFFECT_CONSUMER_TIMER, /* consumer_on_time() of `consumer` is to be called at `due_ms` */
    EFFECT_TAKEN_BACK, /* the deliveries `number` to `sequence` of `consumer` are not its any more
                        */
};

enum dead_letter_reason {
    DEAD_LETTER_REJECTED,
    DEAD_LETTER_EXPIRED,
    DEAD_LETTER_MAXLEN,
    DEAD_LETTER_DELIVERY_LIMIT,
};

struct effect {
    enum effect_type type;
    bool redelivered;               /* deliver */
    enum dead_letter_reason reason; /* dead letter */
    uint32_t delivery_count;        /* deliver, dead letter: how often it was delivered before */
    struct queue *queue;
    struct consumer *consumer; /* deliver, consumer timer, taken back */
    union {
        uint64_t number; /* deliver: the consumer's number for it, 0 with no_ack; taken back */
        int64_t due_ms;  /* timers: takes the place of a later one that was asked for */
    };
    /* Deliver without no_ack: borrowed from the consumer's unacked entries, valid until something
     * is settled; take a reference to keep it. Deliver with no_ack and dead letter: the effect's
     * own reference, to be dropped by whoever carries it out. NULL for a dead letter that is in the
     * store alone: who carries it out reads it at `location`, and settles it there itself. */
    struct message *message;
    /* Deliver, dead letter, settled, returned; taken back: the last number. Settled and returned
     * come only for messages with a location, settled behind the deliver or dead letter of the same
     * message. A dead letter that never was in the queue (it was refused) has no sequence number.
     */
    uint64_t sequence;
    struct store_location location;
};

static_assert(sizeof(struct effect) <= 64, "one cache line");

struct effects {
    struct effect *items;
    uint32_t count;
    uint32_t capacity;
};

void effects_init(struct effects *e);

/* Frees the array. The effects must have been carried out. */
void effects_free(struct effects *e);

/* The slot for one more effect, zeroed. Grows by doubling, so that the steady state allocates
 * nothing. */
struct effect *effects_add(struct effects *e, enum effect_type type, struct queue *q);

#endif
