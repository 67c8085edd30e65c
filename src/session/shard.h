/* What one worker carries of the broker: connections, the queues at home here, and the work that a
 * turn leaves for its end. Every function is called on the shard's worker. */
#ifndef LEVERET_SESSION_SHARD_H
#define LEVERET_SESSION_SHARD_H

#include "base/hash_map.h"
#include "base/list.h"
#include "broker/effects.h"
#include "broker/topology.h"
#include "server/server.h"
#include "server/worker.h"
#include "session/connection_lines.h"
#include "session/dead_reads.h"
#include "session/handshakes.h"
#include "session/held_settles.h"
#include "session/output.h"
#include "session/paging.h"
#include "session/policy_walk.h"
#include "session/route_cache.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker;
struct durable_log;
struct queue;

struct shard {
    struct worker *worker;
    struct broker *broker; /* common to all shards */

    struct list connections;      /* all, by struct connection.in_shard */
    atomic_uint connection_count; /* of them; other workers read it */
    struct handshakes handshakes; /* those that have not logged in */
    struct connection_lines connection_lines;
    struct list dirty_connections; /* with output to write, by .dirty */
    struct list dead_connections;  /* to be freed at the end of the turn, by .in_shard */
    struct list held_back;         /* publishers that a journal keeps waiting, by .held_back */
    struct list dirty_channels;    /* with confirms to report, by struct channel.dirty */
    struct hash_map connections_by_id;
    struct timer give_up; /* set by shard_shut_down() */
    bool gave_up;         /* leaves without the answers it waits for */
    uint32_t orphans;     /* channels that wait for other workers' answers, their connection gone */

    struct list active_queues; /* queues at home that can deliver now (broker/queue.h) */
    struct list due_consumers; /* of queues at home (session/delivery_timers.h) */
    struct effects effects;
    uint32_t next_effect; /* the first that was not carried out */
    bool running_effects;
    struct route route;
    struct route_cache routes;

    struct durable_log *log;   /* where new durable queues go; NULL: nothing is kept */
    struct durable_log **logs; /* all that this worker carries on, `log` too */
    uint32_t log_count;

    struct paging paging;
    struct dead_reads dead_reads;
    struct policy_walk policy_walk;
    struct held_settles held_settles;

    struct output_pool output_pool;
    uint8_t *read_area;           /* `headroom` bytes, then read_budget bytes */
    size_t headroom;              /* room for what the last read left over: one frame */
    size_t read_budget;           /* bytes read from one connection in one go */
    struct bytes ahead;           /* what of it follows a content that is being handled */
    struct route_hint next_route; /* for what is there */
    size_t output_high_watermark;

    uint64_t messages_routed; /* handed out by queues at home; bounds a turn */
};

static inline struct shard *shard_of(struct worker *w)
{
    return w->state;
}

static inline uint32_t shard_id(const struct shard *s)
{
    return s->worker->id;
}

static inline int64_t shard_now_ms(const struct shard *s)
{
    return s->worker->now_ms;
}

/* Prepares and frees the shard of a worker that does not run. */
void shard_init(struct shard *s, struct worker *w, struct broker *b);
void shard_release(struct shard *s);

/* Has the shard carry on a journal; new durable queues go to the first. */
void shard_add_log(struct shard *s, struct durable_log *log);

/* The broker shuts down: closes every connection. What is not answered in time, by peers or by a
 * disk, is not waited for. */
void shard_shut_down(struct shard *s);

/* The end of a turn: delivers, reports confirms, writes. Returns whether work is left. */
bool shard_end_turn(struct shard *s);

/* Carries out what the core asked for, until nothing is left in s->effects. Call it after every
 * call of the core that appends to s->effects. Called while effects are being carried out, it
 * leaves the new ones to the call that is at it. */
void shard_run_effects(struct shard *s);

/* Carries out at once what is left to do for one queue's messages: the queue is about to go. */
void shard_finish_effects(struct shard *s, const struct queue *q);

/* Hands the record to worker `to`: at once when that is this one (the record is copied first),
 * else by mail. `r` is complete but for `from`. */
void shard_send(struct shard *s, uint32_t to, struct mail_record *r);

#endif
