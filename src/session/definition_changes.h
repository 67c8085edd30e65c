/* From changes of the topology to changes of the definitions on disk: everything durable that is
 * declared, bound or deleted, by whatever means, in the order in which it happened. And the
 * channels that wait for it to be committed before they answer. */
#ifndef LEVERET_SESSION_DEFINITION_CHANGES_H
#define LEVERET_SESSION_DEFINITION_CHANGES_H

#include "amqp/method.h"
#include "broker/topology.h"
#include "store/definitions.h"

#include <stdatomic.h>
#include <stdint.h>

struct broker;
struct channel;
struct vhost;

/* Records the changes of one virtual host. Owned by it (struct vhost). */
struct definition_recorder {
    struct topology_observer observer;
    struct broker *broker;
    struct definitions *definitions;
    struct vhost *vhost;
    atomic_uint_fast64_t changes; /* durable ones so far */
};

/* Has the changes of `vhost` recorded from now on. */
void definition_recorder_start(struct definition_recorder *r, struct vhost *vhost,
                               struct broker *broker);

/* How many durable changes there were in a virtual host. Compared before and after an operation
 * under its lock, it says whether the operation has something to be committed. */
uint64_t definition_changes_of(const struct vhost *vhost);

/* Answers the method at hand with `ok`: at once, or, when `changed`, after everything recorded so
 * far is committed; the channel waits. With `no_wait` nothing is sent and nobody waits. */
void channel_answer_committed(struct channel *ch, const struct amqp_method *ok, bool changed,
                              bool no_wait);

#endif
