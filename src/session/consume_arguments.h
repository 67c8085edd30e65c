/* The arguments of basic.consume. On the channel's worker. */
#ifndef LEVERET_SESSION_CONSUME_ARGUMENTS_H
#define LEVERET_SESSION_CONSUME_ARGUMENTS_H

#include "amqp/table.h"

struct channel;
struct consumer_options;
struct queue_handle;

/* Checks what is known of the arguments of a consumer of `queue` (the others mean nothing) and
 * takes its priority (0 when there is none, the nearest that there is when it is beyond 32 bits)
 * and its own visibility and consumer timeout (0 without one) from them. Returns 0, or -EPROTO
 * after refusing with RabbitMQ's 406. */
int consume_arguments_read(struct channel *ch, const struct queue_handle *queue,
                           struct amqp_table arguments, struct consumer_options *options);

#endif
