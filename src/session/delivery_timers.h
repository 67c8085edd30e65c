/* The timers of consumers whose deliveries may not stay unacked for ever (broker/queue.h,
 * consumer_on_time()): a timer for each such consumer in its home worker's wheel, whatever the
 * number of its deliveries. What is due is worked off at the end of turns, a bounded number of
 * messages each, so that many deadlines at once hold nobody up. On the queue's home worker. */
#ifndef LEVERET_SESSION_DELIVERY_TIMERS_H
#define LEVERET_SESSION_DELIVERY_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

struct consumer;
struct effect;
struct shard;

/* Carries out EFFECT_CONSUMER_TIMER: has the consumer called at `due_ms`. */
void delivery_timers_set(struct shard *s, struct consumer *c, int64_t due_ms);

/* Carries out EFFECT_TAKEN_BACK: tells the channel, and its consumers of the credit that came
 * back. */
void delivery_timers_taken_back(struct shard *s, const struct effect *e);

/* Works off what is due: the end of a turn. Returns whether work is left. */
bool delivery_timers_run(struct shard *s);

/* The consumer is about to be released. */
void delivery_timers_forget(struct shard *s, struct consumer *c);

#endif
