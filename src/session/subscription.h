/* A channel's end of a consumer (or of its basic.gets) on one queue. Lives on the channel's worker;
 * the queue's end, struct consumer_link, on the queue's home. Each side holds a pointer to the
 * other and may put it in mail, because neither is freed before the other has said that it will
 * send nothing more: the channel's side sends a release and waits for the answer. */
#ifndef LEVERET_SESSION_SUBSCRIPTION_H
#define LEVERET_SESSION_SUBSCRIPTION_H

#include "base/bytes.h"
#include "base/list.h"
#include "broker/topology.h"
#include "session/expired_tags.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct consumer_link;
struct message;
struct shard;

enum subscription_state {
    SUBSCRIPTION_OPENING, /* the queue's home has not answered yet */
    SUBSCRIPTION_OPEN,
    SUBSCRIPTION_ENDED,     /* cancelled or without queue; unacked deliveries live on */
    SUBSCRIPTION_RELEASING, /* waits for the last answer */
};

struct subscription {
    struct list_node in_channel;
    struct list_node congested; /* in the connection's list: credit or resumption is held back */
    struct channel *channel;
    struct queue_handle *queue; /* a reference */
    struct consumer_link *link; /* the home's; NULL until it answered */
    enum subscription_state state;
    bool no_ack;
    bool getter;
    bool counts_deliveries; /* the client is told in x-delivery-count */
    bool asked;             /* the home has not answered a question about it */
    bool abandoned;         /* to be released when it is open, and answered for */
    uint16_t prefetch;      /* its limit on unacked deliveries, 0: none; for whoever lists */
    uint32_t unacked;       /* entries of the channel's ring that point here */
    uint32_t unreturned;    /* deliveries from another worker that were taken, not told to it yet */
    uint64_t unreturned_bytes;
    struct number_runs taken_back; /* of its deliveries, by their numbers */
    struct bytes tag;              /* owned */
    struct bytes arguments;        /* owned; as basic.consume encoded them, for whoever lists */
};

/* A subscription in state opening, linked into its channel; takes a reference to `queue`. */
struct subscription *subscription_create(struct channel *ch, struct queue_handle *queue,
                                         struct bytes tag, bool no_ack, bool getter);

/* Unlinks and frees it; no other worker knows of it. */
void subscription_free(struct subscription *s);

/* No more deliveries. Frees it, in the end, if nothing of it is unacked; else the last settled
 * delivery does. Idempotent. */
void subscription_end(struct subscription *s);

/* The channel is about to end: what others of its consumers give back is not for this one. */
void subscription_stop(struct subscription *s);

/* The channel ends: everything unacked goes back to the queue, and it is freed in the end. */
void subscription_release(struct subscription *s);

/* `count` of its entries left the channel's unacked ring. May free it. */
void subscription_settled(struct subscription *s, uint32_t count);

/* Sends the message to the client. `delivery_count` is how often it was delivered before. With
 * `owned` it drops the reference it was given. */
void subscription_deliver(struct subscription *s, uint64_t number, struct message *msg,
                          uint32_t delivery_count, bool owned);

/* The connection takes output again. */
void subscription_resume(struct subscription *s);

#endif
