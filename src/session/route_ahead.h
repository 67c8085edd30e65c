/* Looking ahead in a connection's input: where routes come from memory and not from the cache, what
 * the next publishes will need is fetched while this one is at work. */
#ifndef LEVERET_SESSION_ROUTE_AHEAD_H
#define LEVERET_SESSION_ROUTE_AHEAD_H

#include "base/bytes.h"
#include "broker/topology.h"

/* Follows the hint, which is of the publish that comes next, and fills it for the one after that.
 * `input` is what follows the present publish, perhaps nothing, unchecked: what is not one more
 * publish to `exchange` ends the look. Under the topology's lock, for reading; `epoch` is of now.
 */
void route_ahead(struct route_hint *hint, const struct exchange *exchange, uint64_t epoch,
                 struct bytes input);

#endif
