/* From changes of the topology to changes of the definitions on disk: everything durable that is
 * declared, bound or deleted, by whatever means, in the order in which it happened. And the
 * channels that wait for it to be committed before they answer. */
#ifndef LEVERET_SESSION_DEFINITION_CHANGES_H
#define LEVERET_SESSION_DEFINITION_CHANGES_H

#include "amqp/method.h"
#include "broker/topology.h"
#include "session/uncommitted.h"
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
    struct uncommitted uncommitted;
};

/* Has the changes of `vhost` recorded from now on. */
void definition_recorder_start(struct definition_recorder *r, struct vhost *vhost,
                               struct broker *broker);

/* Ends it, after the virtual host was told to forget its observer. */
void definition_recorder_free(struct definition_recorder *r);

/* How many durable changes there were in a virtual host. Compared before and after an operation
 * under its lock, it says whether the operation has something to be committed. */
uint64_t definition_changes_of(const struct vhost *vhost);

/* Whether what an operation found as it was asked for is that since a moment ago, and not committed
 * yet. Under the virtual host's lock, for reading or writing. */
bool definition_uncommitted_exchange(const struct vhost *vhost, struct bytes name);
bool definition_uncommitted_queue(const struct vhost *vhost, struct bytes name);
bool definition_uncommitted_binding(const struct vhost *vhost, const struct binding_declaration *b);

/* Answers the method at hand with `ok`: at once, or, when `changed`, after everything recorded so
 * far is committed; the channel waits. With `no_wait` nothing is sent and nobody waits. */
void channel_answer_committed(struct channel *ch, const struct amqp_method *ok, bool changed,
                              bool no_wait);

#endif
