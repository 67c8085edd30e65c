/* A queue: messages in order, consumers that compete for them, and the rules that end a
 * message's stay (ack, rejection, purge, dead-lettering).
 *
 * Lives on its home worker; every function here must be called on it. Pure: time comes in as
 * `now_ms` (monotonic), what must happen outside comes out as effects.
 *
 * A message may have a location: where the store keeps it. The queue carries the location along,
 * tells when such a message leaves for good or comes back, and can do without the message itself
 * while it waits (paging) or from the start (recovery): it asks for it in time by EFFECT_FETCH. */
#ifndef LEVERET_BROKER_QUEUE_H
#define LEVERET_BROKER_QUEUE_H

#include "base/bytes.h"
#include "base/list.h"
#include "broker/credit_pool.h"
#include "broker/effects.h"
#include "broker/expiry.h"
#include "broker/message.h"
#include "broker/queue_options.h"
#include "broker/store_location.h"

#include <stdbool.h>
#include <stdint.h>

struct queue;
struct consumer;

/* An empty queue. `options` is borrowed and must outlive the queue. `owner` is what
 * queue_owner() returns: the object through which the outside knows the queue. Whenever the
 * queue becomes able to deliver (it has ready messages and a consumer that can take one) it links
 * itself at the end of `active`, where the home worker finds it. */
struct queue *queue_create(const struct queue_options *options, void *owner, struct list *active);

/* Called for the location of a message that leaves the queue without an effect. */
typedef void (*queue_release)(void *context, struct store_location location);

/* Drops every message and frees the queue. All consumers must have been released
 * (queue_first_consumer() walks them), which puts what was unacked back. `release` may be NULL. */
void queue_destroy(struct queue *q, queue_release release, void *context);

/* Has the queue obey other options from now on; borrowed as those of queue_create(). They may
 * differ in all that a policy can say, and in nothing else. Limits and dead letters count at once,
 * for what is in the queue too; a time to live counts for messages that come from now on, as with
 * RabbitMQ; a consumer timeout counts from now on; the time that the queue may be unused begins
 * anew.
 *
 * Returns whether there is more in the queue now than its limits allow, with overflow drop-head:
 * then queue_trim() has to be called until it is done. */
bool queue_change_options(struct queue *q, const struct queue_options *options, int64_t now_ms,
                          struct effects *out);

/* Drops up to `budget` messages of those that are too many after queue_change_options(). Returns
 * whether there are more. */
bool queue_trim(struct queue *q, uint32_t budget, struct effects *out);

void *queue_owner(const struct queue *q);

/* The queue whose link in the active list this is. */
struct queue *queue_from_active(struct list_node *link);

/* Adds `msg` at the tail. Takes its own reference. Nothing is delivered yet: the queue links
 * itself into its active list when a consumer can take it. `location` is none when no store keeps
 * the message; `expiry_ms` is what queue_expiry() told.
 *
 * Only where that decides something, consumers get at once what they can take: a message that
 * expires now goes to a waiting consumer or ends, and what is in consumers' hands takes none of the
 * room that the queue's limits leave. What is too much is dropped from the front, which may be
 * `msg` itself (RabbitMQ "Queue Length Limit", "Time-To-Live and Expiration").
 *
 * Returns the entry's sequence number (> 0, ascending), or 0 when memory is refused: the caller
 * nacks it. */
uint64_t queue_enqueue(struct queue *q, struct message *msg, struct store_location location,
                       int64_t expiry_ms, int64_t now_ms, struct effects *out);

/* When a message that comes now expires: after the shorter of its own time to live (EXPIRY_NEVER:
 * none) and the queue's. */
int64_t queue_expiry(const struct queue *q, int64_t expiration_ms, int64_t now_ms);

/* A queue with x-max-priority has a lane for each priority, the others have one. A message's lane
 * is its priority, or the highest one; sequence numbers begin with the lane's number and ascend
 * within it. */
#define QUEUE_LANES_MAX 256u

uint32_t queue_lane_count(const struct queue *q);
uint32_t queue_lane_of(const struct queue *q, const struct message *msg);

static inline uint32_t queue_lane_of_sequence(uint64_t sequence)
{
    return (uint32_t)(sequence >> 56);
}

static inline uint64_t queue_lane_first_sequence(uint32_t lane)
{
    return ((uint64_t)lane << 56) + 1;
}

/* Whether a queue that refuses what exceeds its limits (overflow reject-publish) has room for the
 * message, to be asked before queue_enqueue(): consumers get at once what they can take. With
 * reject-publish-dlx a refused message is dead-lettered. */
bool queue_admit(struct queue *q, struct message *msg, int64_t now_ms, struct effects *out);

/* Dead letters of the queue that no queue has confirmed yet, and bytes of their bodies: they count
 * towards the limits of a queue whose rules have letters_confirmed. */
void queue_set_letters(struct queue *q, uint64_t count, uint64_t bytes);

/* What the next queue_enqueue() of a message of this lane will return. */
uint64_t queue_next_sequence(const struct queue *q, uint32_t lane);

/* Hands out up to `budget` messages, those of the highest lane first, to consumers with credit:
 * consumers of the highest priority
 * first, round-robin among equals in the order they came (RabbitMQ "Consumer Priorities"). What has
 * expired is never handed out: it ends when its turn comes.
 * Appends one EFFECT_DELIVER a message, with an EFFECT_SETTLED behind it when the message has a
 * location and its consumer needs no acknowledgement. O(1) a message, whatever the number of
 * consumers that cannot take one.
 *
 * Where the first message is not in memory, or will soon not be (read-ahead), appends EFFECT_FETCH.
 *
 * Returns whether more could be delivered now: the caller comes back after other work. Unlinks
 * the queue from its active list when not. */
bool queue_deliver(struct queue *q, uint32_t budget, int64_t now_ms, struct effects *out);

/* The single active consumer of a queue that has one, or NULL. */
const struct consumer *queue_active_consumer(const struct queue *q);

/* Ready messages (RabbitMQ's message_count: without the unacked), consumers that are not
 * cancelled, unacked entries, bytes of ready bodies. In memory or not, all ready messages count;
 * the size of one that leaves while it is not in memory nobody knows: it counts as the average of
 * those, which is put right when the others are in memory again. */
uint64_t queue_message_count(const struct queue *q);
uint32_t queue_consumer_count(const struct queue *q);
uint64_t queue_unacked_count(const struct queue *q);
uint64_t queue_ready_bytes(const struct queue *q);

/* Bytes in memory of the unacked messages (message_footprint()). */
uint64_t queue_unacked_resident_bytes(const struct queue *q);

/* About how many ready messages have so many bytes, by their average: 1 to `most`. */
uint32_t queue_messages_within(const struct queue *q, uint64_t bytes, uint32_t most);

/* Drops all ready messages without dead-lettering them. `release` may be NULL. Returns how many. */
uint64_t queue_purge(struct queue *q, queue_release release, void *context);

struct consumer_options {
    bool no_ack;
    bool exclusive;           /* refuse other consumers while this one is there */
    bool getter;              /* for basic.get: never offered messages, not counted */
    int32_t priority;         /* x-priority */
    uint32_t prefetch;        /* unacked deliveries at most, 0 = unlimited */
    struct credit_pool *pool; /* the channel's common limit, or NULL; a reference is taken */
    /* How long a delivery may stay unacked, in milliseconds, see consumer_on_time(). The consumer's
     * own times, 0: what the queue's rules say; and what counts when those say nothing of the
     * consumer timeout, 0: no limit. */
    int64_t visibility_timeout_ms;
    int64_t consumer_timeout_ms;
    int64_t default_consumer_timeout_ms;
};

/* Adds a consumer. A getter has the options that are times, and no others. `session` is what
 * consumer_session() returns. Returns NULL when the queue is in exclusive use: it has an exclusive
 * consumer, or `exclusive` was asked for and it has any. */
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

enum queue_get_outcome {
    QUEUE_GET_EMPTY,   /* there is no ready message */
    QUEUE_GET_MESSAGE, /* `*out` has it */
    QUEUE_GET_WAIT,    /* the first one is not in memory: to be tried again after queue_fetched() */
};

/* Takes one ready message for basic.get. With `getter` (a consumer of this queue made with
 * getter = true) the message becomes its unacked delivery; with NULL it leaves the queue.
 * With QUEUE_GET_MESSAGE `*out` is the same as an EFFECT_DELIVER, with the same ownership of the
 * message, and `out->number` is the getter's number or 0; it must not be one of `effects`. Appends
 * effects as queue_deliver() does. */
enum queue_get_outcome queue_get(struct queue *q, struct consumer *getter, int64_t now_ms,
                                 struct effect *out, struct effects *effects);

/* Stops deliveries for good; unacked ones stay until they are settled or the consumer is
 * released. EFFECT_UNUSED when it was the last consumer of an auto-delete queue. Of a queue with a
 * single active consumer the next one takes over: that of the highest priority, of equals the
 * oldest. Idempotent. */
void consumer_cancel(struct consumer *c, int64_t now_ms, struct effects *out);

/* Cancels, puts every unacked delivery back in its place (redelivered), and frees `c`. An
 * EFFECT_UNUSED comes last. */
void consumer_release(struct consumer *c, int64_t now_ms, struct effects *out);

/* Stops and resumes deliveries while the consumer's connection does not take what it is sent.
 * A paused consumer costs nothing. Nothing happens when it is in that state already. */
void consumer_pause(struct consumer *c);
void consumer_resume(struct consumer *c);

/* Tells that the channel's pool has credit again. */
void consumer_pool_refilled(struct consumer *c);

enum settle_outcome {
    SETTLE_ACK,     /* done */
    SETTLE_REQUEUE, /* back to its original position, redelivered; or dead-lettered (or dropped)
                     * when it has expired or was delivered too often */
    SETTLE_REJECT,  /* dead-lettered, or dropped when the queue has no dead-letter exchange */
};

/* Settles the deliveries numbered `first` to `last` (inclusive) of this consumer; those that are
 * settled already are passed over. O(1) each, credit comes back at once. Appends EFFECT_SETTLED or
 * EFFECT_RETURNED for each that has a location. Returns how many it settled. */
uint32_t consumer_settle(struct consumer *c, uint64_t first, uint64_t last,
                         enum settle_outcome outcome, int64_t now_ms, struct effects *out);

/* ---- How long a delivery may stay unacked ---- */

/* Of a queue, since it was created. */
struct queue_lease_counts {
    uint64_t expired;  /* deliveries whose visibility timeout ended: the message went back */
    uint64_t extended; /* times that a consumer moved the end of one, or released it */
    uint64_t late;     /* acks, nacks and rejects of deliveries that had gone back by then */
};

struct queue_lease_counts queue_lease_counts(const struct queue *q);

/* `count` deliveries were to be settled that consumer_settle() did not find: they had gone back. */
void queue_count_late(struct queue *q, uint32_t count);

/* Deliveries that waited longer for their settlement than the consumer timeout: the channel is to
 * be closed for it (RabbitMQ "Delivery Acknowledgement Timeout"). */
struct consumer_overdue {
    uint64_t up_to;     /* all that are unacked up to this number; 0: there are none */
    int64_t timeout_ms; /* what counted */
};

/* Does what is due for the unacked deliveries, `budget` messages at most: one whose visibility
 * timeout has ended goes back to the queue, it alone, as by consumer_settle() with SETTLE_REQUEUE,
 * and EFFECT_TAKEN_BACK tells that the consumer has it no more. Tells what is overdue by the
 * consumer timeout, within a 32nd part of it, and again after as long when it still is.
 *
 * To be called at the time that the last EFFECT_CONSUMER_TIMER told, or later; asks to be called
 * again at once when there is more. Never looks at a delivery that is not due. */
struct consumer_overdue consumer_on_time(struct consumer *c, int64_t now_ms, uint32_t budget,
                                         struct effects *out);

/* Moves the visibility timeout of the deliveries numbered `first` to `last` to end `timeout_ms`
 * from now; with 0 they go back at once (EFFECT_TAKEN_BACK). Those without one stay without.
 * Returns how many of them the consumer still had. O(log n) each, O(1) when it is all of them. */
uint32_t consumer_extend(struct consumer *c, uint64_t first, uint64_t last, int64_t timeout_ms,
                         int64_t now_ms, struct effects *out);

/* What the home worker has for a consumer that asked for a timer, or NULL. */
void consumer_set_clock(struct consumer *c, void *clock);
void *consumer_clock(const struct consumer *c);

/* ---- Time ---- */

/* Ends what is due: messages that expire, in the order of their times, those that a recovered
 * queue has too many, and the queue itself when it was not used for its time (EFFECT_UNUSED, the
 * last). To be called at the time that the last
 * EFFECT_TIMER told, or later. Ends a bounded number of messages and asks to be called again at
 * once when there are more. Never looks at a message that is not due. */
void queue_on_time(struct queue *q, int64_t now_ms, struct effects *out);

/* The queue is used (declared, asked for a message): its time to expire begins anew. */
void queue_used(struct queue *q, int64_t now_ms, struct effects *out);

/* What the home worker has for a queue that asked for a timer, or NULL; to be set to NULL again
 * when none is asked for any more. */
void queue_set_clock(struct queue *q, void *clock);
void *queue_clock(const struct queue *q);

/* ---- What a journal needs ---- */

/* Everything of the lane below was delivered at least once: the sequence number of the first
 * message that waits for its first delivery, or queue_next_sequence() when none does. Never falls.
 * O(1). */
uint64_t queue_delivered_below(const struct queue *q, uint32_t lane);

/* An array of sequence numbers that its owner uses again and again. Starts zeroed. */
struct sequence_list {
    uint64_t *items;
    uint32_t count;
    uint32_t capacity;
};

void sequence_list_free(struct sequence_list *l);

/* What of a lane must outlive a restart: everything from `*head` on, and below it those in
 * `kept`, ascending, which have a location. `*head` is queue_delivered_below(), or behind the last
 * message that left out of order: below it are the unacked, the returned, and what waits in front
 * of such a message. O(n log n) of these. */
void queue_state(struct queue *q, uint32_t lane, uint64_t *head, struct sequence_list *kept);

/* Tells that the store moved a message. Returns whether the queue holds `sequence` at `from`,
 * waiting, returned or unacked; it is at `to` then.
 *
 * O(1) for those that wait (O(log n) where a recovered queue has gaps). For the others the first
 * call after a delivery or a settlement sorts all of them, O(n log n), and the calls that follow
 * without one in between are O(log n) each: relocate in batches. */
bool queue_relocate(struct queue *q, uint64_t sequence, struct store_location from,
                    struct store_location to);

/* Adds a recovered message to a queue that is new, in ascending order in its lane; gaps
 * are fine (a message costs at most 56 bytes then). `msg` is NULL for one that is in the store
 * alone, the usual case, else the queue takes its own reference. One that was delivered before
 * (`delivery_count` > 0) comes redelivered. Returns 0 or -ENOMEM. */
int queue_restore(struct queue *q, uint64_t sequence, struct message *msg,
                  struct store_location location, uint32_t delivery_count, uint32_t body_size,
                  int64_t expiry_ms);

/* Ends the recovery of a lane: its next message will have the number `next_sequence` or a higher
 * one; and that of the queue, before anything else is done with it. What expired meanwhile, and
 * what is more than the length allows, is still there: EFFECT_TIMER asks to have it ended. */
void queue_restore_lane_done(struct queue *q, uint32_t lane, uint64_t next_sequence);
void queue_restore_done(struct queue *q, struct effects *out);

/* How often the message was delivered when it is unacked, or came back; else 0. O(log n) once a
 * call has sorted these, as queue_relocate(). */
uint32_t queue_delivery_count(struct queue *q, uint64_t sequence);

/* ---- Paging ---- */

/* Bytes in memory of the messages that wait for their first delivery (message_footprint()), and how
 * many ready messages are not in memory. */
uint64_t queue_resident_bytes(const struct queue *q);
uint64_t queue_paged_count(const struct queue *q);

/* Where a message that has no location yet is to be kept from now on (a paging file), or none when
 * it cannot be. */
typedef struct store_location (*queue_page)(void *context, struct message *m);

/* Drops from memory the messages of one lane that lie behind the first `keep_first` ready ones of
 * the queue and have sequence numbers up to `up_to_sequence` (those that are durable as far as they
 * have a location). For those without a location asks `page`, and leaves those alone for which it
 * returns none.
 *
 * Looks at `max_messages` at most and goes on behind them the next time; looks at a message again
 * after queue_page_again() alone, or, one that was delivered before, when one came back before it.
 * Returns the bytes of memory given back, those of messages that are in use elsewhere not counted.
 * O(messages looked at). */
uint64_t queue_page_out(struct queue *q, uint32_t lane, uint64_t keep_first,
                        uint64_t up_to_sequence, uint32_t max_messages, queue_page page,
                        void *context);

/* Tells whether a message that has a location can be read from there: it is durable. */
typedef bool (*queue_is_safe)(void *context, uint64_t sequence);

/* Drops from memory unacked messages, the oldest of each consumer first, while there are more than
 * `keep_bytes` of them. Those without a location get one from `page`. One that is not safe yet, or
 * gets no location, ends the call for its consumer. An ack needs none of them again; one that comes
 * back is read as others that are not in memory are, and so is one that is to be dead-lettered.
 *
 * Looks at `max_messages` at most and goes on where it stopped the next time. Returns the bytes of
 * memory given back as queue_page_out() does. O(consumers + messages looked at). */
uint64_t queue_page_out_unacked(struct queue *q, uint64_t keep_bytes, uint32_t max_messages,
                                queue_is_safe is_safe, queue_page page, void *context);

/* Makes queue_page_out() start over at the front: there is room again in the paging file, or
 * `keep_first` is lower than it was. */
void queue_page_again(struct queue *q);

/* Read-ahead: EFFECT_FETCH comes when fewer messages than this, of fewer bytes than this by the
 * average of the queue, are in memory before the first one that is not. */
#define QUEUE_READ_AHEAD_MESSAGES 1024u
#define QUEUE_READ_AHEAD_BYTES (1024u * 1024u)

/* The answer to EFFECT_FETCH: the next messages that are not in memory, from the front, at most
 * `max`, and of about `max_bytes` by the average of the queue's bodies (at least one). Returns how
 * many; 0 when there are none any more, then queue_fetched() need not be called.
 *
 * Until queue_fetched() is called there is no further EFFECT_FETCH. After a read that failed the
 * caller asks for the list again, which is then that of what is missing by then. */
uint32_t queue_fetch_list(struct queue *q, uint32_t max, uint64_t max_bytes, uint64_t *sequences,
                          struct store_location *locations);

/* Brings the messages of a queue_fetch_list(), or some of them, and takes over their references.
 * Those that left the queue or came in the meantime are dropped. A NULL among the messages says
 * that it is lost (its bytes are damaged): it leaves the queue with an EFFECT_SETTLED. O(1) each,
 * or O(log n) where a recovered queue has gaps. */
void queue_fetched(struct queue *q, const uint64_t *sequences, struct message *const *messages,
                   uint32_t count, struct effects *out);

#endif
