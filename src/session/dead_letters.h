/* Publishing what a queue rejects to its dead-letter exchange (RabbitMQ "Dead Letter Exchanges").
 * On the queue's home worker. */
#ifndef LEVERET_SESSION_DEAD_LETTERS_H
#define LEVERET_SESSION_DEAD_LETTERS_H

#include "broker/effects.h"

struct held_settle;
struct queue_handle;
struct shard;

/* Carries out an EFFECT_DEAD_LETTER that has its message, and drops the reference to it. */
void dead_letter_publish(struct shard *s, const struct effect *e);

/* Publishes a message that died in `queue`, or whose time in the queue of a delayed exchange is
 * over. `held` is its settlement, or NULL. */
void dead_letter_send(struct shard *s, struct queue_handle *queue, const struct message *msg,
                      enum dead_letter_reason reason, struct held_settle *held);

#endif
