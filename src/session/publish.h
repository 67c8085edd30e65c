/* basic.publish: taking content in, routing it, handing it to queues. On the channel's worker. */
#ifndef LEVERET_SESSION_PUBLISH_H
#define LEVERET_SESSION_PUBLISH_H

#include "amqp/method.h"
#include "broker/message.h"
#include "broker/topology.h"
#include "session/route_cache.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct connection;
struct shard;
struct vhost;

/* The content that follows a basic.publish. */
struct content {
    enum {
        CONTENT_NONE,
        CONTENT_EXPECT_HEADER,
        CONTENT_EXPECT_BODY,
    } expect;
    bool mandatory;
    uint8_t exchange_size;
    uint8_t routing_key_size;
    uint32_t received;       /* bytes of the body so far */
    struct message *message; /* once the header came */
    uint8_t exchange[255];
    uint8_t routing_key[255];
};

void content_free(struct content *content);

/* The method, its header's payload, and the end of its body. Return 0 or -EPROTO after
 * refusing. */
int publish_on_method(struct channel *ch, const struct amqp_basic_publish *m);
int publish_on_header(struct channel *ch, struct bytes payload);
int publish_on_complete(struct channel *ch);

/* Where a message goes. */
struct routed {
    enum route_status status;
    bool held; /* the queues are references of the array's, which is the route's */
    uint32_t count;
    struct queue_handle **queues;
    struct cached_route *slot; /* for remembering who may write to the exchange */
};

/* Routes the message to queues: from the shard's cache, or under the virtual host's lock. Valid
 * until the next routing on this shard, and to be released before it. */
void route_message(struct shard *s, struct vhost *vhost, struct bytes exchange,
                   const struct message *msg, struct routed *out);
/* As route_message, for a message with these names, no headers and no further keys. */
void route_names(struct shard *s, struct vhost *vhost, struct bytes exchange,
                 struct bytes routing_key, struct routed *out);

void routed_release(struct routed *r);

/* Publishes a message of a transaction that commits: an exchange that is gone by now routes to
 * nothing. Takes over the reference. Returns 0 or -EPROTO after refusing. */
int publish_committed(struct channel *ch, struct message *msg, bool mandatory);

#endif
