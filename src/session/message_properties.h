/* What a publisher says of its message: checked, and made into the message's own. On the channel's
 * worker. */
#ifndef LEVERET_SESSION_MESSAGE_PROPERTIES_H
#define LEVERET_SESSION_MESSAGE_PROPERTIES_H

#include "amqp/properties.h"
#include "base/bytes.h"
#include "broker/expiry.h"
#include "broker/message.h"
#include "broker/topology.h"

struct channel;

/* Checks user-id, expiration, the headers' size and depth, CC and BCC. Returns 0 or -EPROTO after
 * refusing. */
int message_properties_check(struct channel *ch, const struct amqp_properties *p);

/* The message of a publish, its body still to come. The pseudo-queue of a direct reply-to becomes
 * the channel's own name for it. NULL without memory. */
struct message *message_properties_create(struct channel *ch, struct bytes exchange,
                                          struct bytes routing_key,
                                          const struct amqp_content_header *header,
                                          const struct amqp_properties *p);

/* How long the message may wait in a queue, by its expiration property, in milliseconds;
 * EXPIRY_NEVER without one. The message was checked when it was published. */
int64_t message_expiration_ms(const struct message *msg);

/* A property that exchanges route by, false without it. A timestamp is written out in `text`. */
#define ROUTE_PROPERTY_TEXT_SIZE 24
bool message_route_property(const struct amqp_properties *p, enum route_property which,
                            char text[ROUTE_PROPERTY_TEXT_SIZE], struct bytes *value);

/* The message as consumers may see it: without the header BCC. Takes over the reference, and gives
 * it back when there is nothing to remove. NULL without memory, the reference is dropped then. */
struct message *message_without_bcc(struct message *msg);

#endif
