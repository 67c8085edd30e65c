/* A queue: messages in order, consumers that compete for them, and the rules that end a
 * message's stay (ack, rejection, purge, dead-lettering).
 *
 * Lives on its home worker; every function here must be called on it. Pure: time comes in as
 * `now_ms` (monotonic), what must happen outside comes out as effects. */
#ifndef LEVERET_BROKER_QUEUE_H
#define LEVERET_BROKER_QUEUE_H

#include "base/bytes.h"
#include "base/list.h"
#include "broker/credit_pool.h"
#include "broker/effects.h"
#include "broker/message.h"
#include "broker/queue_options.h"

#include <stdbool.h>
#include <stdint.h>

struct queue;
struct consumer;

/* An empty queue. `options` is borrowed and must outlive the queue. `owner` is what
 * queue_owner() returns: the object through which the outside knows the queue. Whenever the
 * queue becomes able to deliver (it has ready messages and a consumer that can take one) it links
 * itself at the end of `active`, where the home worker finds it. */
struct queue *queue_create(const struct queue_options *options, void *owner, struct list *active);

/* Drops every message, ready and unacked, and frees the queue. All consumers must have been
 * released (queue_first_consumer() walks them). */
void queue_destroy(struct queue *q);

void *queue_owner(const struct queue *q);

/* The queue whose link in the active list this is. */
struct queue *queue_from_active(struct list_node *link);

/* Adds `msg` at the tail. Takes its own reference. Nothing is delivered yet: the queue links
 * itself into its active list when a consumer can take it.
 *
 * Returns the entry's sequence number (> 0, ascending), or 0 when the message was refused by the
 * queue's limits: the caller nacks it. */
uint64_t queue_enqueue(struct queue *q, struct message *msg, int64_t now_ms, struct effects *out);

/* Hands out up to `budget` messages to consumers with credit: consumers of the highest priority
 * first, round-robin among equals in the order they came (RabbitMQ "Consumer Priorities").
 * Appends one EFFECT_DELIVER a message. O(1) a message, whatever the number of consumers that
 * cannot take one.
 *
 * Returns whether more could be delivered now: the caller comes back after other work. Unlinks
 * the queue from its active list when not. */
bool queue_deliver(struct queue *q, uint32_t budget, int64_t now_ms, struct effects *out);

/* Ready messages (RabbitMQ's message_count: without the unacked), consumers that are not
 * cancelled, unacked entries, bytes of ready bodies. */
uint64_t queue_message_count(const struct queue *q);
uint32_t queue_consumer_count(const struct queue *q);
uint64_t queue_unacked_count(const struct queue *q);
uint64_t queue_ready_bytes(const struct queue *q);

/* Drops all ready messages without dead-lettering them. Returns how many. */
uint64_t queue_purge(struct queue *q);

struct consumer_options {
    bool no_ack;
    bool exclusive;           /* refuse other consumers while this one is there */
    bool getter;              /* for basic.get: never offered messages, not counted */
    int32_t priority;         /* x-priority */
    uint32_t prefetch;        /* unacked deliveries at most, 0 = unlimited */
    struct credit_pool *pool; /* the channel's common limit, or NULL; a reference is taken */
};

/* Adds a consumer. `session` is what consumer_session() returns. Returns NULL when the queue is
 * in exclusive use: it has an exclusive consumer, or `exclusive` was asked for and it has any. */
struct consumer *queue_consume(struct queue *q, const struct consumer_options *options,
                               void *session);

void *consumer_session(const struct consumer *c);
struct queue *consumer_queue(const struct consumer *c);
bool consumer_no_ack(const struct consumer *c);

/* The channel's common limit, or NULL. Borrowed. */
struct credit_pool *consumer_pool(const struct consumer *c);

/* Puts the consumer under another common limit (a reference is taken), or under none: what is
 * unacked counts there from now on, even beyond the limit. Nothing happens to one with no_ack and
 * to a getter. */
void consumer_set_pool(struct consumer *c, struct credit_pool *pool);

/* Walks every consumer that is not released, getters and cancelled ones too. NULL at the end. */
struct consumer *queue_first_consumer(struct queue *q);
struct consumer *queue_next_consumer(struct queue *q, struct consumer *c);

/* Takes one ready message for basic.get. With `getter` (a consumer of this queue made with
 * getter = true) the message becomes its unacked delivery; with NULL it leaves the queue.
 * Returns false when the queue is empty; else `*out` is the same as an EFFECT_DELIVER, with the
 * same ownership of the message, and `out->number` is the getter's number or 0. */
bool queue_get(struct queue *q, struct consumer *getter, int64_t now_ms, struct effect *out,
               struct effects *effects);

/* Stops deliveries for good; unacked ones stay until they are settled or the consumer is
 * released. EFFECT_UNUSED when it was the last consumer of an auto-delete queue. Idempotent. */
void consumer_cancel(struct consumer *c, struct effects *out);

/* Cancels, puts every unacked delivery back in its place (redelivered), and frees `c`. */
void consumer_release(struct consumer *c, int64_t now_ms, struct effects *out);

/* Stops and resumes deliveries while the consumer's connection does not take what it is sent.
 * A paused consumer costs nothing. Nothing happens when it is in that state already. */
void consumer_pause(struct consumer *c);
void consumer_resume(struct consumer *c);

/* Tells that the channel's pool has credit again. */
void consumer_pool_refilled(struct consumer *c);

enum settle_outcome {
    SETTLE_ACK,     /* done */
    SETTLE_REQUEUE, /* back to its original position, redelivered */
    SETTLE_REJECT,  /* dead-lettered, or dropped when the queue has no dead-letter exchange */
};

/* Settles the deliveries numbered `first` to `last` (inclusive) of this consumer; those that are
 * settled already are passed over. O(1) each, credit comes back at once. Returns how many it
 * settled. */
uint32_t consumer_settle(struct consumer *c, uint64_t first, uint64_t last,
                         enum settle_outcome outcome, int64_t now_ms, struct effects *out);

#endif
