/* Writing content to a client: a method, its header frame and its body in frames. */
#ifndef LEVERET_SESSION_DELIVERY_H
#define LEVERET_SESSION_DELIVERY_H

#include "base/bytes.h"
#include "broker/message.h"

#include <stdbool.h>
#include <stdint.h>

struct amqp_method;
struct connection;

enum {
    /* Larger bodies are written from the message itself instead of being copied. */
    DELIVERY_COPY_MAX = 4096,
};

/* basic.deliver. */
void delivery_write(struct connection *c, uint16_t channel, struct bytes consumer_tag,
                    uint64_t delivery_tag, bool redelivered, struct message *msg);

/* basic.get-ok or basic.return with the message as content. */
void delivery_write_method(struct connection *c, uint16_t channel, const struct amqp_method *m,
                           struct message *msg);

/* The same, with how often the message was delivered before in the header x-delivery-count: for
 * queues that count deliveries. */
void delivery_write_counted(struct connection *c, uint16_t channel, struct bytes consumer_tag,
                            uint64_t delivery_tag, uint32_t delivery_count, struct message *msg);
void delivery_write_method_counted(struct connection *c, uint16_t channel,
                                   const struct amqp_method *m, uint32_t delivery_count,
                                   struct message *msg);

#endif
