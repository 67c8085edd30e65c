/* The dead letters of a queue with the strategy at-least-once (RabbitMQ "Quorum Queues", "Dead
 * Lettering"): each is kept, and counts towards the queue's limits, until every queue that it is
 * routed to has it, a durable one on disk. One that leads nowhere, or that a queue refuses, is sent
 * again after a while, to those that do not have it yet. A window of them is under way at a time,
 * in the order in which they died; the others wait, and what is in a journal does so without its
 * body.
 *
 * In the journal they are marked, so that after a restart they wait here again, and are not
 * delivered by the queue any more. On the queue's home worker. */
#ifndef LEVERET_SESSION_LETTER_WINDOW_H
#define LEVERET_SESSION_LETTER_WINDOW_H

#include "base/list.h"
#include "broker/effects.h"
#include "broker/topology.h"
#include "net/timer_wheel.h"

#include <stdbool.h>
#include <stdint.h>

struct held_settle;
struct recovered_message;
struct shard;

struct letter_window {
    struct shard *shard;
    struct queue_handle *queue; /* not a reference: it ends with the queue */
    struct list_node in_shard;
    struct list waiting; /* to be sent; all by held_settle.in_window */
    struct list sent;    /* or being read */
    struct list refused; /* to be sent again */
    struct timer retry;
    uint32_t retry_ms;
    uint32_t under_way; /* sent and refused */
    bool sending;
    bool stuck;     /* nothing was taken since it was said that something was not */
    uint64_t count; /* all, and bytes of the bodies that are known */
    uint64_t bytes;
};

/* Whether the queue's dead letters are to be confirmed. */
bool letters_are_confirmed(const struct queue_handle *queue);

/* Carries out an EFFECT_DEAD_LETTER of such a queue, with or without its message. */
void letter_window_add(struct shard *s, const struct effect *e);

/* A message that the journal has marked as dead; before the worker runs. */
void letter_window_restore(struct shard *s, struct queue_handle *queue,
                           const struct recovered_message *m);

/* The letter was read (the reference is taken over); NULL: it is lost. */
void letter_window_read(struct held_settle *held, struct message *msg);

/* Every queue that the letter was sent to has answered. */
void letter_window_answered(struct held_settle *held);

/* Other policies apply to the queue. Without a dead-letter exchange its letters are dropped, as
 * RabbitMQ does, and the log says how many; with one they are sent there. */
void letter_window_follow(struct queue_handle *queue);

/* The queue is deleted, and its letters with it: what is in its journal is released there. */
void letter_window_end(struct queue_handle *queue);

#endif
