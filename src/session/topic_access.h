/* Topic permissions of a channel's user (auth/topic_permissions.h). On the channel's worker. */
#ifndef LEVERET_SESSION_TOPIC_ACCESS_H
#define LEVERET_SESSION_TOPIC_ACCESS_H

#include "auth/permissions.h"
#include "base/bytes.h"

struct channel;
struct message;

/* Checks whether the user may publish to (PERMISSION_WRITE) or bind from (PERMISSION_READ) the
 * exchange with this routing key. What is no topic exchange allows every key. Returns 0, or -EPROTO
 * after refusing with RabbitMQ's 403. */
int channel_check_topic(struct channel *ch, enum permission_kind kind, struct bytes exchange,
                        struct bytes routing_key);

/* Checks whether the user may publish the message to the exchange: its routing key, and those of CC
 * and BCC. Returns as channel_check_topic() does. */
int channel_check_message_topics(struct channel *ch, struct bytes exchange,
                                 const struct message *msg);

#endif
