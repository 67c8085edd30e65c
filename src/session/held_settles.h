/* Settled messages whose dead letters are not durable yet. A message of a durable queue that became
 * a dead letter is settled in its journal only when every durable queue that the letter went to has
 * it for good: after a crash in between it is in its queue again, and the letter may be there
 * twice, but it is never nowhere. On the home worker of the message's queue.
 *
 * The letters of a queue that has them confirmed (session/letter_window.h) are held as well,
 * whatever they are stored in, and it is known of each queue whether it has them. */
#ifndef LEVERET_SESSION_HELD_SETTLES_H
#define LEVERET_SESSION_HELD_SETTLES_H

#include "base/hash_map.h"
#include "base/list.h"
#include "broker/effects.h"
#include "broker/queue.h"
#include "broker/topology.h"
#include "config/config.h"
#include "net/timer_wheel.h"

#include <stdbool.h>
#include <stdint.h>

struct durable_queue;
struct letter_window;
struct shard;

/* A queue that a letter goes to. */
struct held_target {
    struct queue_handle *queue; /* a reference */
    bool has_it;
};

struct held_settle {
    struct shard *shard;
    struct list_node in_shard;
    struct list_node refused; /* in held_settles.refused: a journal did not take the letter */
    struct hash_node by_sequence;
    struct durable_queue *from; /* NULL: the queue was deleted, or the message is in no journal */
    struct queue_handle *queue; /* a reference */
    struct message *message;    /* the one that died; a reference. NULL until it is read */
    enum dead_letter_reason reason;
    uint64_t sequence;
    struct store_location location;
    uint32_t
        waiting; /* queues that have not answered, and 1 while the letter is being sent or read */
    bool was_refused;
    bool to_confirm;              /* what follows is there for these alone */
    bool settle_comes;            /* the EFFECT_SETTLED is still to be carried out */
    bool done;                    /* and is all that is waited for */
    bool was_sent;                /* before */
    struct letter_window *window; /* NULL: the queue was deleted */
    struct list_node in_window;
    uint32_t body_size; /* as counted */
    uint32_t target_count;
    struct held_target *targets;
};

/* A shard's. */
struct held_settles {
    struct shard *shard;
    struct list all;
    struct list refused;
    struct timer retry;
    struct list windows; /* struct letter_window by .in_shard */
    uint64_t unanswered; /* held settlements that wait for an answer */
};

/* Of the shard's configuration. */
const struct config_dead_letters *held_settles_config(const struct shard *s);

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

/* It goes to one more queue, which will answer with held_settle_answer(), or is to be read. */
void held_settle_expect(struct held_settle *held);

/* It was sent to all. When none has to answer, nothing is held: the EFFECT_SETTLED that follows is
 * recorded at once. */
void held_settle_sent(struct held_settle *held);

/* A queue has the letter for good, or wants none, or (`kept` false) has a journal that could not
 * take it: then it is sent again after a while, to all. `target` is 0, or that of
 * held_settle_target(). */
void held_settle_answer(struct held_settle *held, uint32_t target, bool kept);

/* Has the answer given on worker `to`, which the message's queue lives on. */
void held_settle_mail_answer(struct shard *s, uint32_t to, struct held_settle *held,
                             uint32_t target, bool kept);

/* ---- Letters to be confirmed ---- */

/* The dead letter of an effect is held until held_settle_done() or held_settle_drop(). Takes over
 * the reference to its message. */
struct held_settle *held_settle_keep(struct shard *s, const struct effect *e);

/* The number by which the queue answers that the letter is about to be sent to, or 0 when it has it
 * already. */
uint32_t held_settle_target(struct held_settle *held, struct queue_handle *queue);

/* Every queue has the letter: its message is settled. */
void held_settle_done(struct held_settle *held);

/* The message is gone with its queue. */
void held_settle_drop(struct held_settle *held);

/* Whether what is being read is wanted still. */
bool held_settle_is_wanted(const struct held_settle *held);

/* ---- What a durable queue must know of its own ---- */

/* A message is settled (EFFECT_SETTLED). Returns whether its settlement is held, or was. */
bool durable_queue_hold_settled(struct durable_queue *d, uint64_t sequence);

/* What the journal is to say of the held message beside its delivery count, or 0: durable_mark().
 */
uint32_t durable_queue_held_mark(const struct durable_queue *d, uint64_t sequence);

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
