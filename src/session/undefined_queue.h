/* Publishes to a durable queue whose definition is not on the disk yet: whoever sees the queue may
 * publish to it, but a broker that dies before the definition is committed forgets the queue, and
 * its messages with it. So nothing is confirmed before both are durable; and when the definition
 * cannot be written, the queue takes no persistent messages until it is. On the queue's home. */
#ifndef LEVERET_SESSION_UNDEFINED_QUEUE_H
#define LEVERET_SESSION_UNDEFINED_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct durable_queue;
struct publish_origin;
struct undefined_queue;

/* The queue was just made, and its definition is on its way. */
void undefined_queue_begin(struct durable_queue *d);

/* Whether the queue's definition is committed. */
bool durable_queue_is_defined(const struct durable_queue *d);

/* Has who published on `worker` told when all that was appended for the queue so far is durable and
 * the queue is defined, or when either cannot be. */
void undefined_queue_await(struct durable_queue *d, const struct publish_origin *origin,
                           uint32_t worker);

/* The definition could not be written, and still is not. */
bool undefined_queue_refuses(struct durable_queue *d);

/* The queue is deleted: who waits is told of success, as those who publish from now on are. */
void undefined_queue_forget(struct durable_queue *d);

/* After the definitions are closed: frees what waits. */
void undefined_queue_discard(struct durable_queue *d);

#endif
