/* Publishing what a queue rejects to its dead-letter exchange (RabbitMQ "Dead Letter Exchanges").
 * On the queue's home worker. */
#ifndef LEVERET_SESSION_DEAD_LETTERS_H
#define LEVERET_SESSION_DEAD_LETTERS_H

struct effect;
struct held_settle;
struct shard;

/* Carries out an EFFECT_DEAD_LETTER and drops its reference to the message. */
void dead_letter_publish(struct shard *s, const struct effect *e);

/* Publishes it once more: where it went, a journal could not take it. */
void dead_letter_send_again(struct shard *s, struct held_settle *held);

#endif
