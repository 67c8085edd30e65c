/* Messages that a read from the disk finds damaged: each is told with its place, of many some each
 * second and the number of the others. On the shard's worker. */
#ifndef LEVERET_SESSION_LOST_MESSAGES_H
#define LEVERET_SESSION_LOST_MESSAGES_H

#include "base/log_quota.h"
#include "broker/store_location.h"
#include "net/timer_wheel.h"

#include <stdint.h>

struct queue_handle;
struct shard;

struct lost_messages {
    struct log_quota quota;
    struct timer tell; /* of those that were left out */
    uint64_t count;    /* since the start */
};

void lost_messages_init(struct lost_messages *l);

/* The message is damaged on the disk, and lost. */
void lost_messages_report(struct shard *s, const struct queue_handle *queue, uint64_t sequence,
                          struct store_location location);

#endif
