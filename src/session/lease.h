/* The pseudo-exchange amq.lease: a client that holds a delivery under a visibility timeout
 * publishes to it, on the delivery's channel, to have more time, or less. Headers say which and how
 * much: `delivery-tag` (0: all that the channel holds) and `visibility-timeout` (milliseconds from
 * now; 0: the message goes back at once). Under confirms an ack says that the delivery was held,
 * and is, a nack that it was not; with `mandatory` what was not comes back by basic.return, 312
 * with a text.
 *
 * Takes effect at once, also on a transactional channel, needs no permission, and is no publish:
 * alarms do not hold it back. On the channel's worker. */
#ifndef LEVERET_SESSION_LEASE_H
#define LEVERET_SESSION_LEASE_H

#include "base/bytes.h"
#include "broker/message.h"
#include "broker/topology.h"

#include <stdbool.h>

struct channel;

static inline bool lease_is_exchange(struct bytes exchange)
{
    return exchange.size == sizeof(TOPOLOGY_LEASE_EXCHANGE) - 1 &&
           bytes_equal_string(exchange, TOPOLOGY_LEASE_EXCHANGE);
}

/* Carries out what was published. The message stays the caller's. Returns 0, or -EPROTO after
 * refusing headers that say nothing or nonsense with a 406 that names the header. */
int lease_publish(struct channel *ch, struct message *msg, bool mandatory);

#endif
