/* What channels, wherever they live, ask of a queue, done on the queue's home worker: at once when
 * the channel lives there too, by mail otherwise. The asking functions are called on the channel's
 * worker; answers come back to it in order. */
#ifndef LEVERET_SESSION_QUEUE_HOME_H
#define LEVERET_SESSION_QUEUE_HOME_H

#include "broker/queue.h"
#include "broker/topology.h"
#include "server/mail.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct durable_log;
struct shard;
struct subscription;
struct vhost;

enum {
    /* Deliveries on their way to another worker's connection for one consumer, and their bytes
     * (the last one may exceed them). */
    CONSUMER_LINK_WINDOW = 1024,
    CONSUMER_LINK_WINDOW_BYTES = 1024 * 1024,
};

/* The queue's end of a subscription. Lives on the queue's home. */
struct consumer_link {
    struct consumer *consumer;         /* NULL once the queue is deleted */
    struct subscription *subscription; /* the other worker's, for mail only */
    struct queue_handle *queue;        /* a reference */
    uint32_t worker;                   /* where the subscription lives */
    uint32_t in_flight;                /* deliveries mailed and not taken yet */
    uint64_t in_flight_bytes;          /* of their bodies */
};

enum queue_operation {
    QUEUE_STATUS,  /* messages and consumers */
    QUEUE_CONSUME, /* open the subscription */
    QUEUE_CANCEL,  /* no more deliveries to the subscription */
    QUEUE_GET,     /* one message; with a subscription it opens as a getter when it has to */
    QUEUE_PURGE,
    QUEUE_DELETE,
};

enum queue_outcome {
    QUEUE_OK,
    QUEUE_GONE,          /* it was deleted meanwhile */
    QUEUE_EXCLUSIVE_USE, /* consume */
    QUEUE_IN_USE,        /* delete if-unused */
    QUEUE_NOT_EMPTY,     /* delete if-empty */
    QUEUE_EMPTY,         /* get */
    QUEUE_ON_DISK,       /* get; answered when the message has been read */
};

/* A question that its channel waits for the answer of. */
struct queue_command {
    struct mail_record head;
    enum queue_operation operation;
    enum queue_outcome outcome;
    struct channel *channel;           /* held (channel_hold) until the answer is handled */
    struct subscription *subscription; /* consume, cancel; get unless no_ack */
    struct queue_handle *queue;        /* a reference */
    struct consumer_options options;   /* consume; in the answer, `pool` is only a name */
    bool if_unused;                    /* delete */
    bool if_empty;
    bool no_wait;             /* the client wants no answer */
    bool definitions_changed; /* status, delete: there is something to be committed */

    uint64_t messages; /* ready, after the operation; purged or deleted by it */
    uint32_t consumers;
    struct consumer_link *link; /* consume, get */
    struct message *message;    /* get: a reference */
    uint64_t number;
    uint32_t delivery_count; /* get: how often it was delivered before */
};

/* Asks. Fills head and holds; takes a reference to the queue, and to options.pool. When the queue
 * is at home here, channel_on_answer() has been called on return. */
void queue_ask(struct shard *s, const struct queue_command *question);

/* Settles the subscription's deliveries numbered first to last, of which the channel holds `count`:
 * those of them that have gone back count as settled late. */
void queue_settle(struct shard *s, struct subscription *sub, uint64_t first, uint64_t last,
                  uint32_t count, enum settle_outcome outcome);

/* Counts settlements that came late (queue_count_late()), of deliveries that the channel knows to
 * have gone back. */
void queue_count_late_at_home(struct shard *s, struct queue_handle *queue, uint32_t count);

/* Has everything that this channel settled on queues at home on `worker` made durable.
 * channel_on_confirm() is called for `number` as often as the return value says (0: nothing is kept
 * there). */
uint32_t queue_sync(struct shard *s, uint32_t worker, struct channel *channel, uint64_t number);

/* The home sends the subscription nothing more that it has not sent yet. */
void queue_stop_link(struct shard *s, struct subscription *sub);

/* Ends the link; the home answers and the subscription is freed. */
void queue_release_link(struct shard *s, struct subscription *sub);

/* Gives the home `count` deliveries with `bytes` of bodies of its window back. */
void queue_return_window(struct shard *s, struct subscription *sub, uint32_t count, uint64_t bytes);

/* Puts the consumer under the channel's common limit, which it did not have when it began. */
void queue_set_pool(struct shard *s, struct subscription *sub, struct credit_pool *pool);

/* Tells the home that the channel's credit pool has credit again. */
void queue_pool_refilled(struct shard *s, struct subscription *sub);

/* ---- On the queue's home ---- */

/* Makes a queue at home on this shard and gives it its name, which must be free; a durable one gets
 * its place in a journal. The caller holds the virtual host's lock for writing. Takes over
 * `options`. The handle is borrowed. Also for a shard whose worker does not run yet. Returns NULL,
 * and takes nothing over, when the disk refuses a durable queue its id. */
struct queue_handle *queue_home_create(struct shard *s, struct vhost *vhost, struct bytes name,
                                       const struct queue_options *options, uint64_t owner);

/* Drops the ready messages of a queue that is there. Returns how many. */
uint64_t queue_home_purge(struct shard *s, struct queue_handle *queue);

/* Deletes the queue: out of the topology, its consumers told, its messages dropped. Returns how
 * many were ready. The handle stays while it is referenced. */
uint64_t queue_home_delete(struct shard *s, struct queue_handle *queue);

/* Restores a queue found at start, with the id and in the log of its definition; as
 * queue_home_create() otherwise. `recovered` finds what the journal had of it. */
struct recovered;
void queue_home_restore(struct shard *s, struct vhost *vhost, struct bytes name,
                        const struct queue_options *options, struct durable_log *log, uint64_t id,
                        const struct recovered *recovered);

/* The same for a queue that no topology has: a reference is returned, and the last is dropped after
 * it was deleted (what it holds is not sent anywhere). */
struct queue_handle *queue_home_create_hidden(struct shard *s, struct bytes name,
                                              const struct queue_options *options);
struct queue_handle *queue_home_restore_hidden(struct shard *s, struct bytes name,
                                               const struct queue_options *options,
                                               struct durable_log *log, uint64_t id,
                                               const struct recovered *recovered);
void queue_home_delete_hidden(struct shard *s, struct queue_handle *queue);

/* The queue wants to be called at `due_ms` (queue_on_time()). */
void queue_home_set_timer(struct shard *s, struct queue_handle *queue, int64_t due_ms);

/* Credit came back to the consumer's pool: the channel's other consumers, on whatever workers, may
 * go on. */
void queue_home_credit_came_back(struct shard *s, struct consumer_link *link);

/* Carries out one effect of the core each. */
struct effect;
void queue_home_deliver(struct shard *s, const struct effect *e);
void queue_home_settled(struct shard *s, struct queue_handle *queue, uint64_t sequence,
                        struct store_location location);

#endif
