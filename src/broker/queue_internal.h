/* What the queue's parts share (queue.c, queue_paging.c, queue_rules.c, queue_store.c, consumer.c,
 * consumer_watch.c): the structs and the seams between them. */
#ifndef LEVERET_BROKER_QUEUE_INTERNAL_H
#define LEVERET_BROKER_QUEUE_INTERNAL_H

#include "broker/delivery_ages.h"
#include "broker/delivery_deadlines.h"
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
struct queue_lanes;

/* What few queues need. There while the queue has rules, or a message in it has an expiry, or
 * `held` or `clock` is set, or something was counted. */
struct queue_extra {
    struct held_index *held;   /* finds the unacked and the returned by number, or NULL */
    void *clock;               /* queue_clock() */
    struct expiry_runs runs;   /* of what waits for its first delivery */
    struct expiry_heap heap;   /* of what of it is out of order, and of what came back */
    int64_t timer_ms;          /* asked for; EXPIRY_NEVER when none is */
    int64_t used_ms;           /* when the queue was last used */
    struct queue_lanes *lanes; /* of a queue with priorities, or NULL */
    struct consumer *active;   /* of a single active consumer's queue, or NULL */
    struct queue_lease_counts leases;
    uint64_t letters; /* dead letters that wait to be confirmed, and bytes of their bodies */
    uint64_t letter_bytes;
    bool trimming; /* since a new limit: queue_trim() is at it */
};

/* Owned by whoever created it. */
struct queue {
    struct list_node active_link; /* in `active` while the queue can deliver */
    struct list ready_levels;     /* highest priority first */
    struct entries ready;
    uint64_t unacked_count;
    uint64_t unacked_bytes; /* footprints of those that are in memory */
    const struct queue_options *options;
    void *owner;
    struct list *active;
    struct list consumers;     /* all that are not released */
    struct list levels;        /* highest priority first */
    uint32_t consumer_count;   /* without getters and cancelled ones */
    bool exclusive_use;        /* its one consumer is exclusive */
    bool fetching;             /* since EFFECT_FETCH */
    struct queue_extra *extra; /* or NULL */
};

static_assert(sizeof(struct queue) <= 200, "the fixed cost of each queue");

/* What is to be known of a consumer's unacked deliveries where they may not stay so for ever. There
 * since the first of them, or since the consumer came with a time of its own. */
struct consumer_watch {
    struct delivery_deadlines deadlines; /* by the visibility timeout */
    struct delivery_ages ages;           /* for the consumer timeout */
    int64_t visibility_timeout_ms;       /* the consumer's own, or 0 */
    int64_t timer_ms;                    /* asked for; EXPIRY_NEVER when none is */
    int64_t tell_ms; /* when the next is told that is overdue, at the earliest */
    void *clock;     /* consumer_clock() */
};

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
    bool standby : 1; /* another one is the single active consumer */
    bool own_consumer_timeout : 1;
    void *session;
    struct consumer_watch *watch; /* or NULL */
    int64_t
        consumer_timeout_ms;   /* its own, or what counts when the queue's rules have none; or 0 */
    struct list_node by_queue; /* in queue.consumers */
};

static_assert(sizeof(struct consumer) <= 136, "two cache lines, and the first for delivery");

/* Links the queue into its active list or unlinks it, whichever its state asks for. */
void queue_update_active(struct queue *q);

/* Takes back an entry of a consumer, with its reference. Its body is taken to be of `body_size`
 * where it is not in memory. */
void queue_return(struct queue *q, const struct entry *entry, uint32_t body_size, int64_t now_ms,
                  struct effects *out);

/* The entry, with its reference, leaves the queue for a reason of the queue's: to be dead-lettered,
 * or dropped. */
void queue_end_entry(struct queue *q, const struct entry *entry, enum dead_letter_reason reason,
                     struct effects *out);

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
    if (q->extra != NULL && q->extra->held != NULL)
        queue_free_held_index(q);
}

/* Hands out ready messages to consumers with credit, up to `budget`. Returns how many. */
uint32_t queue_hand_out(struct queue *q, uint32_t budget, int64_t now_ms, struct effects *out);

/* ---- queue_rules.c ---- */

/* The queue's extra, made when it has none yet; and its end, when nothing needs it any more. */
struct queue_extra *queue_need_extra(struct queue *q);
void queue_drop_extra(struct queue *q);
void queue_free_extra(struct queue *q);

/* As queue_enqueue(), for a queue with an extra or a message with an expiry. */
uint64_t queue_enqueue_by_rules(struct queue *q, struct message *msg,
                                struct store_location location, int64_t expiry_ms, int64_t now_ms,
                                struct effects *out);

/* Adds a message at the tail, and no more. */
uint64_t queue_append(struct queue *q, struct message *msg, struct store_location location);

/* Ends what is due at the front. Returns where the first message is then, or NULL when it is not in
 * memory, or there is none. */
struct entries *queue_can_take_by_rules(struct queue *q, int64_t now_ms, struct effects *out);

/* Takes the first message from there. */
void queue_take_by_rules(struct queue *q, struct entries *lane, struct entry *entry);

/* A message with an expiry came back. */
void queue_watch_expiry(struct queue *q, const struct entry *entry, struct effects *out);

/* A message with an expiry was restored; and the end of it. */
void queue_restore_expiry(struct queue *q, const struct entry *entry);
void queue_start_clock(struct queue *q, struct effects *out);

/* Recovered is what was unacked, too, and a policy may have changed: has queue_on_time() drop what
 * is too much. */
void queue_trim_recovered(struct queue *q, struct effects *out);

/* Before messages come back: consumers get what they can take. And after: drops what is too
 * much. */
void queue_make_room(struct queue *q, int64_t now_ms, struct effects *out);
void queue_keep_limits(struct queue *q, struct effects *out);

/* The ready messages are all gone. */
void queue_forget_expiries(struct queue *q);

/* A consumer came to, or stopped at, a queue; the last one that stopped was the queue's use. */
void queue_consumer_came(struct queue *q, struct consumer *c);
void queue_consumer_stopped(struct queue *q, struct consumer *c, int64_t now_ms,
                            struct effects *out);

/* Brings the consumer's place up to date with its state. */
void consumer_update(struct consumer *c);

/* Asks for messages that are not in memory when they are, or will soon be, the next ones. */
void queue_fetch_ahead(struct queue *q, struct effects *out);

/* The consumer that is to have the next message, or NULL when none can take one. */
struct consumer *queue_next_consumer_ready(struct queue *q);

/* Settles an entry, with its reference, that was taken out of the unacked. */
void consumer_settle_entry(struct consumer *c, struct entry entry, enum settle_outcome outcome,
                           int64_t now_ms, struct effects *out);

/* Before deliveries are settled one by one, and after `count` were. */
void consumer_settle_begin(struct consumer *c, enum settle_outcome outcome, int64_t now_ms,
                           struct effects *out);
void consumer_settle_end(struct consumer *c, uint32_t count, enum settle_outcome outcome,
                         struct effects *out);

/* ---- consumer_watch.c ---- */

/* The consumer's own times; and its end. */
void consumer_watch_begin(struct consumer *c, const struct consumer_options *options);
void consumer_watch_end(struct consumer *c);

/* The delivery that was added last begins to wait for its settlement. */
void consumer_watch_delivery(struct consumer *c, int64_t now_ms, struct effects *out);

/* The queue's rules changed: its consumer timeout counts for what was delivered before as well. */
void consumer_watch_rules(struct consumer *c, int64_t now_ms, struct effects *out);

/* Hands an entry, with its reference, to a consumer that has credit for it, and moves the
 * consumer behind its equals. */
void consumer_deliver(struct consumer *c, const struct entry *entry, struct effect *out);

/* Reserves credit for one delivery. When the pool has none the consumer leaves the ready list. */
bool consumer_take_credit(struct consumer *c);

#endif
