/* Direct replies (RabbitMQ "Direct Reply-to"): answers that go to the channel that asked, through
 * no queue.
 *
 * A reply is handed to the asker's worker and written there. While the asker's connection does not
 * read, its replies are held for it, and whoever published them is not read from once more than
 * DIRECT_REPLY_WINDOW_BYTES of its replies are on their way: memory is bounded by what publishers
 * there are, and nothing is dropped. A publish is confirmed when the asker's connection has taken
 * the reply or the asker is gone. An asker that takes nothing at all for
 * limits.direct_reply_timeout_ms loses its replies, which are refused (nacked under confirms), so
 * that one client cannot stop for good who serves many. */
#ifndef LEVERET_SESSION_DIRECT_REPLY_H
#define LEVERET_SESSION_DIRECT_REPLY_H

#include "base/bytes.h"
#include "base/list.h"
#include "net/timer_wheel.h"
#include "session/queue_publish.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct message;

enum {
    /* Replies of one connection that nobody has taken yet, beyond which it is not read. */
    DIRECT_REPLY_WINDOW_BYTES = 16 * 1024 * 1024,
};

/* ---- Who asked; on its channel's worker ---- */

/* A channel's consumer of amq.rabbitmq.reply-to. The channel owns it. */
struct reply_consumer {
    struct channel *channel;
    uint64_t key;             /* what its reply-to name carries, > 0 */
    struct bytes tag;         /* owned */
    struct list held;         /* replies that wait for the connection to take output */
    struct list_node waits;   /* in the connection's list, while there are any */
    struct timer patience;    /* set while there are any */
    int64_t waiting_since_ms; /* when the first of them came */
    bool given_up;            /* its replies were refused, and it has taken nothing since */
};

/* Registers a consumer; its channel has none. */
struct reply_consumer *reply_consumer_create(struct channel *ch, struct bytes tag);

/* Forgets the consumer. What is held for it counts as taken: the late reply to an asker that is
 * gone is accepted. NULL is nothing to do. */
void reply_consumer_free(struct reply_consumer *c);

/* The connection takes output again: writes what is held, until it takes no more. */
void reply_consumer_resume(struct reply_consumer *c);

/* ---- Who answers; on its channel's worker ---- */

/* The direct reply addresses among a message's keys, each once. */
struct reply_keys {
    uint64_t *items; /* allocated, or `one`: not to be copied */
    uint64_t one;
    uint32_t count;
};

/* Whether a message may have any: published through the default exchange, to such a name or with
 * further keys (CC, BCC). */
bool reply_keys_possible(const struct message *msg);

/* Collects them, BCC included. reply_keys_free() afterwards. */
void reply_keys_collect(const struct message *msg, struct reply_keys *out);
void reply_keys_free(struct reply_keys *keys);

/* Sends the message to the asker that `key` names, if there is one in the channel's virtual host.
 * Pending is what the asker has not taken: channel_on_confirm() will be called for `number`, unless
 * that is 0. */
enum publish_outcome direct_reply_publish(struct channel *ch, struct message *msg, uint64_t key,
                                          uint64_t number);

#endif
