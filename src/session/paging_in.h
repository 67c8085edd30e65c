/* Bringing messages that are on disk back to their queues, from the journal or from page segments
 * (session/paging.h), before or when their turn has come. On the shard's worker. */
#ifndef LEVERET_SESSION_PAGING_IN_H
#define LEVERET_SESSION_PAGING_IN_H

#include "base/list.h"
#include "broker/store_location.h"
#include "broker/topology.h"
#include "net/timer_wheel.h"
#include "store/journal.h"

struct queue_command;
struct shard;

/* What a read of a journal ends with. The messages are the caller's, NULL for those that are
 * damaged; there are none after an error. */
struct paging_read {
    void (*finish)(struct shard *s, struct paging_read *read, struct journal_read_result *result);
};

struct paging_in {
    struct shard *shard;
    struct list parked; /* basic.gets that wait for a fetch */
    struct list failed; /* fetches to be tried again */
    struct timer retry;
};

void paging_in_init(struct paging_in *p, struct shard *s);

/* The worker has ended. */
void paging_in_release(struct paging_in *p);

/* EFFECT_FETCH: reads what comes next. */
void paging_fetch(struct shard *s, struct queue_handle *queue);

/* Reads one message of the queue, wherever it is. */
void paging_read(struct shard *s, const struct queue_handle *queue, struct store_location location,
                 struct paging_read *read);

/* The message there, with a reference for the caller, when it is not written yet; else NULL. */
struct message *paging_find_unwritten(struct shard *s, struct store_location location);

/* Hands finished reads of a journal to their queues. */
void paging_take_reads(struct shard *s, struct journal *j);

/* A basic.get of a queue whose next message is on disk: asked again when it is here. Takes over the
 * command. */
void paging_park_get(struct shard *s, const struct queue_command *c);

/* Asks again what waits for the queue: messages have come, or the queue is gone. */
void paging_ask_parked(struct shard *s, const struct queue_handle *queue);

#endif
