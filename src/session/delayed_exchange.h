/* Exchanges of the type x-delayed-message: what is delayed waits in a queue that no client sees,
 * one an exchange, where it expires when its time is over and is then routed by the exchange's
 * bindings. So it is kept, paged and recovered as the messages of other queues are, and settled
 * when the queues that it went to have it. */
#ifndef LEVERET_SESSION_DELAYED_EXCHANGE_H
#define LEVERET_SESSION_DELAYED_EXCHANGE_H

#include "broker/message.h"
#include "broker/topology.h"

#include <stdint.h>

struct durable_log;
struct held_settle;
struct recovered;
struct shard;
struct vhost;

/* topology_declare_exchange() for whoever declares on the shard's worker: a new delayed exchange
 * keeps what it delays there. The caller holds the virtual host's lock for writing. Also for a
 * shard whose worker does not run yet. */
int delayed_exchange_declare(struct shard *s, struct topology *t, struct exchange_declaration *d,
                             struct refusal *r);

/* Gives an exchange found at start its queue, with the id and in the log of its definition. */
void delayed_exchange_restore(struct shard *s, struct vhost *vhost, struct exchange *e,
                              struct durable_log *log, uint64_t id,
                              const struct recovered *recovered);

/* The exchange is being deleted; any worker: what it delays is dropped where it is. */
void delayed_exchange_removed(struct vhost *vhost, const struct exchange *e);

/* How long a message that was routed to the queue of a delayed exchange stays there, in
 * milliseconds. */
int64_t delayed_message_ms(const struct message *msg);

#endif
