/* The arguments of basic.consume. On the channel's worker. */
#ifndef LEVERET_SESSION_CONSUME_ARGUMENTS_H
#define LEVERET_SESSION_CONSUME_ARGUMENTS_H

#include "amqp/table.h"

#include <stdint.h>

struct channel;
struct queue_handle;

/* Checks what is known of the arguments of a consumer of `queue` (the others mean nothing) and
 * takes its priority from them: 0 when there is none, the nearest that there is when it is beyond
 * 32 bits. Returns 0, or -EPROTO after refusing with RabbitMQ's 406. */
int consume_arguments_read(struct channel *ch, const struct queue_handle *queue,
                           struct amqp_table arguments, int32_t *priority);

#endif
