/* What the queue's parts share (queue.c, queue_paging.c, queue_store.c, consumer.c): the two
 * structs and the seams between them. */
#ifndef LEVERET_BROKER_QUEUE_INTERNAL_H
#define LEVERET_BROKER_QUEUE_INTERNAL_H

#include "broker/entries.h"
#include "broker/queue.h"
#include "broker/unacked.h"

/* The consumers of one queue with the same x-priority. Exists while there are any. */
struct priority_level {
    struct list ready;           /* consumers that can take a message, whose turn it is first */
    struct list_node by_queue;   /* in queue.levels */
    struct list_node ready_link; /* in queue.ready_levels while `ready` is not empty */
    int32_t priority;
    uint32_t consumer_count;
};

struct held_index;

/* Owned by whoever created it. */
struct queue {
    struct list_node active_link; /* in `active` while the queue can deliver */
    struct list ready_levels;     /* highest priority first */
    struct entries ready;
    uint64_t ready_bytes;
    uint64_t unacked_count;
    const struct queue_options *options;
    void *owner;
    struct list *active;
    struct list consumers;   /* all that are not released */
    struct list levels;      /* highest priority first */
    uint32_t consumer_count; /* without getters and cancelled ones */
    bool exclusive_use;      /* its one consumer is exclusive */
    bool fetching;           /* since EFFECT_FETCH */
    struct held_index *held; /* finds the unacked and the returned by number, or NULL */
};

static_assert(sizeof(struct queue) <= 200, "the fixed cost of each queue");

/* Owned by the session that created it, freed by consumer_release. */
struct consumer {
    struct list_node ready_link; /* in level.ready while it can take a message */
    struct queue *queue;
    struct priority_level *level; /* NULL for a getter */
    struct unacked unacked;
    struct credit_pool *pool; /* holds a reference; NULL without one or with no_ack */
    uint32_t prefetch;        /* 0 = unlimited */
    bool no_ack : 1;
    bool exclusive : 1;
    bool getter : 1;
    bool cancelled : 1;
    bool paused : 1;
    bool starved : 1; /* the pool had no credit for it */
    void *session;
    struct list_node by_queue; /* in queue.consumers */
};

static_assert(sizeof(struct consumer) <= 128, "two cache lines, and the first for delivery");

/* Links the queue into its active list or unlinks it, whichever its state asks for. */
void queue_update_active(struct queue *q);

/* Takes back an entry of a consumer, with its reference. */
void queue_return(struct queue *q, const struct entry *entry, struct effects *out);

/* Tells that an entry left for good, when it has a location. */
static inline void queue_settled(struct queue *q, const struct entry *entry, struct effects *out)
{
    struct effect *settled;

    if (store_location_is_none(entry->location))
        return;
    settled = effects_add(out, EFFECT_SETTLED, q);
    settled->sequence = entry->sequence;
    settled->location = entry->location;
}

/* To be called when unacked or returned entries come, go or move. */
void queue_free_held_index(struct queue *q);

static inline void queue_held_changed(struct queue *q)
{
    if (q->held != NULL)
        queue_free_held_index(q);
}

/* Forgets the sizes of lost messages, which nobody knows one by one. */
static inline void queue_bytes_when_empty(struct queue *q)
{
    if (entries_count(&q->ready) == 0)
        q->ready_bytes = 0;
}

/* Asks for messages that are not in memory when they are, or will soon be, the next ones. */
void queue_fetch_ahead(struct queue *q, struct effects *out);

/* The consumer that is to have the next message, or NULL when none can take one. */
struct consumer *queue_next_consumer_ready(struct queue *q);

/* Hands an entry, with its reference, to a consumer that has credit for it, and moves the
 * consumer behind its equals. */
void consumer_deliver(struct consumer *c, const struct entry *entry, struct effect *out);

/* Reserves credit for one delivery. When the pool has none the consumer leaves the ready list. */
bool consumer_take_credit(struct consumer *c);

#endif
