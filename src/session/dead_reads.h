/* Dead letters whose messages are on disk: each is read, published, and settled then. On the home
 * worker of their queues.
 *
 * Letters of a queue go in the order in which the messages died: behind one that has to be read,
 * those that need not be wait too. A bounded number is read at a time, and none while letters
 * gather that are not written, so that a backlog that dies at once does not come into memory at
 * once. */
#ifndef LEVERET_SESSION_DEAD_READS_H
#define LEVERET_SESSION_DEAD_READS_H

#include "base/hash_map.h"
#include "base/list.h"
#include "broker/effects.h"
#include "net/timer_wheel.h"

#include <stdbool.h>
#include <stdint.h>

struct held_settle;
struct shard;

/* A shard's. */
struct dead_reads {
    struct shard *shard;
    struct list line;        /* in the order of their deaths */
    struct list unread;      /* of them those that are to be read, in order */
    struct timer retry;      /* when a read that failed is tried again */
    struct hash_map queues;  /* that have letters in line */
    uint32_t count;          /* in line */
    uint32_t reading;        /* reads under way */
    uint32_t last_body_size; /* of what was read last: what the next are taken to be */
    bool advancing;
};

void dead_reads_init(struct dead_reads *r, struct shard *s);

/* Drops what is left; the journals are closed. What is in them is there still. */
void dead_reads_release(struct dead_reads *r);

/* Whether an EFFECT_DEAD_LETTER is for dead_reads_add(): its message is not in memory, or others of
 * its queue are in line. */
bool dead_reads_want(const struct shard *s, const struct effect *e);

/* Takes over the effect, with its reference to the message when it has one. */
void dead_reads_add(struct shard *s, const struct effect *e);

/* Reads a held message that is in its journal or a page segment: held_settle_read(). */
void dead_reads_read(struct shard *s, struct held_settle *held);

/* A journal has written something: it may have been waited for. */
void dead_reads_go_on(struct shard *s);

/* Whether so many are in line that what can wait should. */
bool dead_reads_are_behind(const struct shard *s);

#endif
