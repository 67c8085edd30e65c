/* Which worker a connection lives on. The kernel's choice is blind; a connection that begins to
 * consume from, or to publish to, a queue at home elsewhere moves there while it has nothing that
 * ties it to its worker, so that its messages need no mail. It moves at most once, and not to a
 * worker that has more than its share of the connections already. */
#ifndef LEVERET_SESSION_CONNECTION_PLACE_H
#define LEVERET_SESSION_CONNECTION_PLACE_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;

/* The connection's first dealings are with a queue at home on worker `home`. Returns whether the
 * connection moves there: the frame at hand then counts as not handled, and is handled there. */
bool connection_place(struct connection *c, uint32_t home);

/* Sends the connection, whose `moving_to` is set, to its new worker with the input that has not
 * been handled. It is not this worker's any more. */
void connection_depart(struct connection *c, struct bytes input);

#endif
