/* One journal at work: what the durable queues of a shard write to it, who waits for what to be
 * durable, and what happens when it fails. On the shard's worker.
 *
 * A shard has the journal of its own number; when the broker runs with fewer workers than it once
 * did, a shard also carries on the journals that would have no worker. A queue stays with its
 * journal for life. */
#ifndef LEVERET_SESSION_DURABLE_LOG_H
#define LEVERET_SESSION_DURABLE_LOG_H

#include "base/hash_map.h"
#include "base/list.h"
#include "broker/queue.h"
#include "broker/topology.h"
#include "net/timer_wheel.h"
#include "store/journal.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct durable_wait;
struct publish_origin;
struct shard;
struct undefined_queue;

/* One lane of a durable queue (broker/queue.h): a row of its own in the journal. */
struct durable_lane {
    struct journal_queue journal;
    struct durable_queue *durable;
    uint32_t number;
    struct hash_node by_id;
    struct list_node touched; /* in log.touched: it has messages that may not be durable yet */
    uint64_t safe_below;      /* every message below is durable */
    uint64_t mark_below;      /* and below this one when log.mark is */
    uint64_t delivered_below; /* as recorded */
    uint64_t lost_below;      /* a failed journal lost messages up to here: they stay in memory */
};

/* What a durable queue has beside its queue. */
struct durable_queue {
    struct durable_log *log;
    struct queue_handle *queue;   /* not a reference: it is freed with the queue */
    struct durable_lane **higher; /* of a queue with priorities: NULL where nothing was kept yet */
    uint32_t lane_count;
    uint64_t id;
    struct hash_map held; /* settled, but not yet as recorded (session/held_settles.h) */
    uint64_t defined_at;  /* its definition's place among the changes, or 0 */
    struct undefined_queue *undefined; /* who waits for that (session/undefined_queue.h) */
    bool undefinable;                  /* which could not be written when they asked */
    struct durable_lane lowest;
};

/* The id under which the journal has a lane of the queue with this id. */
static inline uint64_t durable_lane_id(uint64_t queue_id, uint32_t lane)
{
    return queue_id | (uint64_t)lane << 56;
}

static inline uint64_t durable_lane_queue(uint64_t lane_id)
{
    return lane_id & ((UINT64_C(1) << 56) - 1);
}

struct durable_log {
    struct shard *shard;
    struct journal *journal;
    uint32_t number; /* of the journal */
    uint64_t write_buffer_bytes;
    struct hash_map lanes; /* by id */
    struct list touched;
    uint64_t mark;              /* a position; the touched lanes' mark_below holds for it */
    struct durable_wait *waits; /* a ring, by ascending position */
    uint32_t wait_capacity;
    uint32_t wait_first;
    uint32_t wait_count;
    struct durable_wait *held_waits; /* for settlements, while the journal fails */
    uint32_t held_wait_capacity;
    uint32_t held_wait_count;
    struct timer retry;        /* after a failure */
    struct timer rest;         /* to see whether nothing is appended any more */
    uint64_t rest_position;    /* what was appended when it was set */
    uint64_t noted_end;        /* journal_synced_end(), as the definitions know it */
    uint32_t failures;         /* of the journal so far */
    bool holds_back;           /* there are publishers that are not read from */
    struct sequence_list kept; /* for the journal's questions */
};

/* Opens the journal in `directory`. The worker does not run yet. Returns 0 or -errno. */
int durable_log_open(struct durable_log *log, struct shard *s, uint32_t number,
                     const char *directory);

/* The worker runs now. */
void durable_log_start(struct durable_log *log);

/* Writes what is gathered and closes; the worker has ended. */
void durable_log_close(struct durable_log *log);

/* Makes the queue durable in this log under an id of its own. Freed by durable_queue_free(). */
struct durable_queue *durable_queue_create(struct durable_log *log, struct queue_handle *queue,
                                           uint64_t id);

/* For a queue found at start, after durable_queue_create(): a lane of it, whose messages follow.
 * The lowest is adopted always, a higher one when the journal knows it. */
void durable_queue_adopt(struct durable_queue *d, uint32_t lane, uint64_t next_sequence,
                         uint64_t delivered_below);

/* The queue is deleted; its messages have been released. */
void durable_queue_free(struct durable_queue *d);

/* As durable_queue_free(), after the log is closed. */
void durable_queue_discard(struct durable_queue *d);

/* Journals the message as the queue's next one. Returns where it is, or none when the journal takes
 * nothing at present: the publish is refused then. `expires_ms` as for journal_append_message(). */
struct store_location durable_queue_append(struct durable_queue *d, const struct message *msg,
                                           int64_t expires_ms);

/* Has who published to the queue on `worker` told when everything appended so far is durable and
 * the queue is defined, or either cannot be. A channel is held by the caller's side (channel_hold).
 */
void durable_queue_await(struct durable_queue *d, const struct publish_origin *origin,
                         uint32_t worker);

/* The same without a queue. */
void durable_log_await(struct durable_log *log, const struct publish_origin *origin,
                       uint32_t worker);

/* Has `channel` on `worker` told as of confirm `number`, and settled records alone are synced for
 * it too (tx.commit). What is settled stays so while the journal fails, and is recorded when it
 * works again: that is when the channel is told then. */
void durable_log_await_synced(struct durable_log *log, struct channel *channel, uint64_t number,
                              uint32_t worker);

/* Whether so much waits to be written that who publishes now must be held back
 * (queue_home.c does): all who are will be let go when it is being written. */
bool durable_log_holds_back(struct durable_log *log);

/* Below this sequence number nothing of the lane waits for the disk any more. */
uint64_t durable_queue_safe_below(const struct durable_queue *d, uint32_t lane);

/* In the place of a delivery count: the message is dead, for this reason, and its letters are to be
 * confirmed (session/letter_window.h). Higher than any count. */
#define DURABLE_DEAD 0x80000000u

static inline uint32_t durable_mark(enum dead_letter_reason reason)
{
    return DURABLE_DEAD | (uint32_t)reason;
}

static inline bool durable_is_dead(uint32_t delivery_count)
{
    return (delivery_count & DURABLE_DEAD) != 0;
}

static inline enum dead_letter_reason durable_mark_reason(uint32_t delivery_count)
{
    return (enum dead_letter_reason)(delivery_count & ~DURABLE_DEAD);
}

/* The core's effects on stored messages. A settlement that is held is recorded later. */
void durable_queue_settled(struct durable_queue *d, uint64_t sequence,
                           struct store_location location);
void durable_queue_returned(struct durable_queue *d, uint64_t sequence, uint32_t delivery_count);

/* The message is dead: after a restart it is not to be delivered. */
void durable_queue_died(struct durable_queue *d, uint64_t sequence, enum dead_letter_reason reason);

/* The queue has delivered. */
void durable_queue_delivered(struct durable_queue *d);

/* Releases one message without a record. */
void durable_queue_release(struct durable_queue *d, struct store_location location);

/* The queue was purged. */
void durable_queue_purged(struct durable_queue *d);

/* The end of a turn. */
void durable_log_end_turn(struct durable_log *log);

#endif
