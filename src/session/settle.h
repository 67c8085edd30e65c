/* Settling a channel's deliveries by tag. On the channel's worker. */
#ifndef LEVERET_SESSION_SETTLE_H
#define LEVERET_SESSION_SETTLE_H

#include "broker/queue.h"

#include <stdint.h>

struct channel;

/* Settles the unsettled deliveries with tags from `first` to `last`. Credit comes back, and the
 * queues hear of it in runs. */
void settle_tags(struct channel *ch, uint64_t first, uint64_t last, enum settle_outcome outcome);

#endif
