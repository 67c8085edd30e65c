/* What the topology methods of a channel have in common. On the channel's worker. */
#ifndef LEVERET_SESSION_CHANNEL_TOPOLOGY_H
#define LEVERET_SESSION_CHANNEL_TOPOLOGY_H

#include "amqp/method.h"
#include "amqp/table.h"
#include "base/bytes.h"
#include "broker/topology.h"

#include <stdbool.h>

struct channel;

/* Checks the arguments of the method at hand against the limits. Returns 0 or -EPROTO after
 * refusing what is too large (limits.max_header_table_size) or nested too deep
 * (limits.max_table_depth). */
int channel_check_arguments(struct channel *ch, struct amqp_table encoded);

/* Decodes the arguments of the method at hand into `a`, after checking them. Returns 0 or -EPROTO
 * after refusing. */
int channel_decode_arguments(struct channel *ch, struct arena *a, struct amqp_table encoded,
                             struct table *out);

/* Binds or unbinds, after checking permissions: write on the destination, read on the source and on
 * the routing key where that is a topic exchange.
 * Fills the rest of `b`; answers with `ok` when it is done, unless `no_wait`. Returns 0 or -EPROTO
 * after refusing. */
int channel_bind(struct channel *ch, struct binding_declaration *b, struct amqp_table encoded,
                 bool bind, const struct amqp_method *ok, bool no_wait);

/* The queue a method means: the empty name is the one the channel declared last. Returns 0 or
 * -EPROTO after refusing with 404 `no previously declared queue`. */
int channel_queue_name(struct channel *ch, struct bytes name, struct bytes *out);

/* The queue of that name, if the connection may use it. Returns a reference, or NULL after refusing
 * with 404 or 405. */
struct queue_handle *channel_find_queue(struct channel *ch, struct bytes name);

/* Refuses with 404 `no queue 'q' in vhost '/'`. Returns -EPROTO. */
int channel_refuse_no_queue(struct channel *ch, struct bytes name);

#endif
