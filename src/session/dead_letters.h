/* Publishing what a queue rejects to its dead-letter exchange (RabbitMQ "Dead Letter Exchanges").
 * On the queue's home worker. */
#ifndef LEVERET_SESSION_DEAD_LETTERS_H
#define LEVERET_SESSION_DEAD_LETTERS_H

struct effect;
struct shard;

/* Carries out an EFFECT_DEAD_LETTER and drops its reference to the message. */
void dead_letter_publish(struct shard *s, const struct effect *e);

#endif
