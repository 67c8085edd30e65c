/* A channel: its state machine, what it publishes, consumes and has to settle. Lives on its
 * connection's worker.
 *
 * A method that another worker has to answer parks the channel: what comes for it meanwhile waits
 * in its backlog; other channels go on. A channel whose connection is gone lives on, orphaned,
 * until no other worker will speak of it any more. */
#ifndef LEVERET_SESSION_CHANNEL_H
#define LEVERET_SESSION_CHANNEL_H

#include "amqp/frame.h"
#include "amqp/method.h"
#include "auth/permissions.h"
#include "base/buffer.h"
#include "base/list.h"
#include "broker/credit_pool.h"
#include "broker/refusal.h"
#include "session/confirms.h"
#include "session/connection.h"
#include "session/delivery_tags.h"
#include "session/expired_tags.h"
#include "session/queue_home.h"

#include <stdbool.h>
#include <stdint.h>

struct content;
struct reply_consumer;
struct subscription;
struct transaction;

enum channel_state {
    CHANNEL_OPEN,
    CHANNEL_CLOSE_SENT,     /* by us, for an error: everything but close-ok is discarded */
    CHANNEL_CLOSE_RECEIVED, /* by the peer: close-ok goes when the subscriptions are gone */
    CHANNEL_ORPHANED,       /* no connection any more */
};

enum channel_mode {
    CHANNEL_PLAIN,
    CHANNEL_CONFIRM,
    CHANNEL_TRANSACTION,
};

struct channel {
    struct connection *connection; /* NULL when orphaned */
    struct shard *shard;
    struct list_node dirty; /* in the shard's list: confirms to report, or expired tags to sweep */
    uint16_t number;
    uint64_t serial; /* unique on its connection; ends in `number` */
    enum channel_state state;
    enum channel_mode mode;
    bool waiting;                       /* parked: for an answer, or for a commit's publishes */
    bool replaying;                     /* its backlog is being handled */
    bool ending;                        /* its subscriptions are being released */
    enum amqp_method_id waiting_method; /* the one it is parked for */
    uint32_t holds;                     /* mail on its way that names this channel */
    struct buffer backlog;              /* whole frames that came while it waited */
    struct buffer kept; /* the frame of the method it waits for (channel_keep_method) */
    struct bytes frame; /* the method frame at hand, whole; borrowed */

    struct content *content; /* of the publish that is coming in, or NULL */
    struct confirms confirms;
    struct transaction *transaction;

    uint64_t last_delivery_tag;
    struct delivery_tags unacked;
    struct expired_tags expired; /* of deliveries that were taken back */
    struct list subscriptions;   /* by .in_channel; getters too */
    uint32_t consumer_count;     /* of them, those with a consumer tag in use */
    uint16_t prefetch;           /* for consumers to come (basic.qos, global = false) */
    struct credit_pool *pool;    /* the channel's common limit, or NULL */

    struct bytes last_queue;               /* the name last declared; owned */
    struct reply_consumer *reply_consumer; /* of direct replies; NULL: none */
};

/* Handles a frame of an existing channel. `frame` is whole; bodies come by channel_on_body. */
int channel_on_frame(struct channel *ch, const struct amqp_frame *frame);

/* Handles channel.open on a free number. */
int channel_open(struct connection *c, uint16_t number);

/* Whether a body frame of this channel may be streamed: content is under way and it is not
 * parked. Checks that `size` more bytes belong to the body; an error is reported. */
bool channel_streams_body(struct channel *ch);
int channel_on_body_frame(struct channel *ch, uint32_t size);
void channel_on_body(struct channel *ch, const uint8_t *data, size_t size);
int channel_on_body_end(struct channel *ch);

/* The answer to a queue_ask() (session/queue_home.h). */
void channel_on_answer(struct channel *ch, struct queue_command *answer);

/* The subscription's queue was deleted. */
void channel_on_queue_gone(struct channel *ch, struct subscription *s);

/* Deliveries of the subscription went back to the queue: they are not the channel's any more. */
void channel_on_taken_back(struct channel *ch, struct subscription *s, uint64_t first,
                           uint64_t last);

/* Deliveries of the subscription were not settled in time: closes the channel, unless a transaction
 * at hand settles them. */
void channel_on_overdue(struct channel *ch, struct subscription *s,
                        const struct consumer_overdue *overdue);

/* One of the queues that confirm `number` waits for has answered. */
void channel_on_confirm(struct channel *ch, uint64_t number, bool accepted);

/* Tells the client which publishes are settled. The end of a turn. */
void channel_report_confirms(struct channel *ch);

/* Has channel_report_confirms() called at the end of the turn. */
void channel_touch(struct channel *ch);

/* Refuses what the method at hand asks for: closes the channel, or the connection where the code
 * says so (AMQP 0-9-1 §1.2). Returns -EPROTO. */
int channel_refuse(struct channel *ch, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int channel_refuse_with(struct channel *ch, const struct refusal *r);

/* Refuses a publish because `queue` cannot keep it now: closes the channel, and it alone, with
 * internal-error. Returns -EPROTO. */
int channel_refuse_unkept(struct channel *ch, const struct queue_handle *queue);

/* The same for a publish that another worker had to refuse, of the channel with this serial. */
void channel_on_unkept(struct shard *s, uint64_t connection, uint64_t serial,
                       const struct queue_handle *queue);

/* The connection ends, and this channel in a moment: its consumers get nothing more. */
void channel_stop_deliveries(struct channel *ch);

/* The connection ends: everything unacked goes back, subscriptions end, and the channel is freed
 * when no answer is outstanding. */
void channel_orphan(struct channel *ch);

/* The peer closes the connection: as if it had closed the channel, without an answer. The channel
 * is gone (connection_on_channel_gone) when its subscriptions are. */
void channel_close_for_connection(struct channel *ch);

/* Mail names the channel, until channel_drop(). */
void channel_hold(struct channel *ch);
void channel_drop(struct channel *ch);

/* A subscription was freed. May finish a close. */
void channel_on_subscription_gone(struct channel *ch);

/* Checks the user's permission on an exchange or queue. Returns 0, or -EPROTO after refusing with
 * RabbitMQ's 403. */
int channel_check_permission(struct channel *ch, enum permission_kind kind, const char *what,
                             struct bytes name);

/* Parks the channel for the method at hand. */
void channel_wait(struct channel *ch);

/* The answered method is done: handles what came meanwhile. */
void channel_go_on(struct channel *ch);

/* Keeps the frame of the method at hand, in case its answer says that it has to be handled again;
 * and has that done before anything else that waits. Repeating returns false when none was kept. */
void channel_keep_method(struct channel *ch);
bool channel_repeat_method(struct channel *ch);

/* Whether it waits, or has not worked off what came while it did. */
bool channel_is_parked(const struct channel *ch);

/* Sends a method on the channel. */
void channel_send(struct channel *ch, const struct amqp_method *m);

/* Another worker found that the channel's credit pool has credit again. */
void channel_on_pool_refilled(struct channel *ch);

/* ---- Methods, by topic; each returns 0 or -EPROTO after refusing ---- */

int channel_on_exchange_method(struct channel *ch, const struct amqp_method *m);
int channel_on_queue_method(struct channel *ch, const struct amqp_method *m);
int channel_on_consume_method(struct channel *ch, const struct amqp_method *m);
int channel_on_settle_method(struct channel *ch, const struct amqp_method *m);
int channel_on_transaction_method(struct channel *ch, const struct amqp_method *m);

/* Answers to the methods above. */
void channel_on_queue_answer(struct channel *ch, struct queue_command *answer);
void channel_on_consume_answer(struct channel *ch, struct queue_command *answer);

#endif
