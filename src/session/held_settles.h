/* Settled messages whose dead letters are not durable yet. A message of a durable queue that became
 * a dead letter is settled in its journal only when every durable queue that the letter went to has
 * it for good: after a crash in between it is in its queue again, and the letter may be there
 * twice, but it is never nowhere. On the home worker of the message's queue. */
#ifndef LEVERET_SESSION_HELD_SETTLES_H
#define LEVERET_SESSION_HELD_SETTLES_H

#include "base/hash_map.h"
#include "base/list.h"
#include "broker/effects.h"
#include "broker/queue.h"
#include "broker/topology.h"
#include "net/timer_wheel.h"

#include <stdbool.h>
#include <stdint.h>

struct durable_queue;
struct shard;

struct held_settle {
    struct shard *shard;
    struct list_node in_shard;
    struct list_node refused; /* in held_settles.refused: a journal did not take the letter */
    struct hash_node by_sequence;
    struct durable_queue *from; /* NULL: the queue was deleted */
    struct queue_handle *queue; /* a reference */
    struct message *message;    /* the one that died; a reference. NULL until it is read */
    enum dead_letter_reason reason;
    uint64_t sequence;
    struct store_location location;
    uint32_t waiting; /* queues that have not answered, and 1 while the letter is being sent */
    bool was_refused;
};

/* A shard's. */
struct held_settles {
    struct shard *shard;
    struct list all;
    struct list refused;
    struct timer retry;
};

void held_settles_init(struct held_settles *h, struct shard *s);

/* Frees what is left: the journals are closed, and what they did not record is in them still. */
void held_settles_release(struct held_settles *h);

/* The dead letter of a stored message (an EFFECT_DEAD_LETTER) is about to be sent. Returns NULL
 * when the message is not in a journal: nothing has to be held then. */
struct held_settle *held_settle_begin(struct shard *s, const struct effect *e);

/* As held_settle_begin(), for a message that is in its journal alone: held until it is read and
 * sent, or lost. No EFFECT_SETTLED follows. */
struct held_settle *held_settle_begin_reading(struct shard *s, const struct effect *e);

/* The message was read (the reference is taken over): sends it. NULL: it is lost. */
void held_settle_read(struct held_settle *held, struct message *msg);

/* It goes to one more queue, which will answer with held_settle_answer(). */
void held_settle_expect(struct held_settle *held);

/* It was sent to all. When none has to answer, nothing is held: the EFFECT_SETTLED that follows is
 * recorded at once. */
void held_settle_sent(struct held_settle *held);

/* A queue has the letter for good, or wants none, or (`kept` false) has a journal that could not
 * take it: then it is sent again after a while, to all. */
void held_settle_answer(struct held_settle *held, bool kept);

/* Has the answer given on worker `to`, which the message's queue lives on. */
void held_settle_mail_answer(struct shard *s, uint32_t to, struct held_settle *held, bool kept);

/* ---- What a durable queue must know of its own ---- */

/* Whether the message's settlement is held. */
bool durable_queue_holds(const struct durable_queue *d, uint64_t sequence);

/* Appends to `kept`, which is ascending and stays so, the held messages from `first` on that are
 * below `head`. */
void durable_queue_list_held(const struct durable_queue *d, uint64_t first, uint64_t head,
                             struct sequence_list *kept);

/* As queue_relocate(). */
bool durable_queue_relocate_held(struct durable_queue *d, uint64_t sequence,
                                 struct store_location from, struct store_location to);

/* The queue is deleted, its held messages with it (`release`), or the journal is closed. */
void durable_queue_forget_held(struct durable_queue *d, queue_release release, void *context);

#endif
