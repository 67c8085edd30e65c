/* A message on its way into one queue: added on the queue's home worker, at once when that is this
 * one, else by mail, and what became of it told to who published when it is known. */
#ifndef LEVERET_SESSION_QUEUE_PUBLISH_H
#define LEVERET_SESSION_QUEUE_PUBLISH_H

#include "broker/message.h"
#include "broker/topology.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct held_settle;
struct shard;

enum publish_outcome {
    PUBLISH_ACCEPTED,
    PUBLISH_REFUSED, /* by the queue's limits, or a dead letter because the queue is deleted */
    PUBLISH_UNKEPT,  /* refused because it cannot be made durable now */
    PUBLISH_PENDING, /* what becomes of it is told later */
};

/* Who is told what becomes of a publish. */
struct publish_origin {
    enum {
        ORIGIN_NONE,        /* nobody */
        ORIGIN_CONFIRM,     /* a channel, as of its confirm `number` */
        ORIGIN_PLAIN,       /* the channel with the serial `number`: channel_on_unkept() */
        ORIGIN_DEAD_LETTER, /* held_settle_answer(), with `number` as the target */
    } kind;
    union {
        struct channel *channel;
        struct held_settle *held;
        uint64_t connection; /* its id */
    };
    uint64_t number;
};

/* Adds `msg` to the queue (a reference is taken). Pending is what another worker or the disk has to
 * answer for: channel_on_confirm() or held_settle_answer() will be called. The caller runs the
 * shard's effects when it has published to every queue of a route. */
enum publish_outcome queue_publish(struct shard *s, struct queue_handle *queue, struct message *msg,
                                   const struct publish_origin *origin);

/* Tells who published, on any worker, that one of the queues it waits for has taken the message or
 * could not keep it, and drops the hold that the publish took on a channel. */
void queue_answer_publish(struct shard *s, uint32_t worker, const struct publish_origin *origin,
                          bool accepted);

#endif
