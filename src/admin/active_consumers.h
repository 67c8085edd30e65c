/* Which consumers are the active ones of queues with a single active consumer. Only a queue's home
 * knows, and the rest of a consumer is known to its channel alone: the one is asked first, the
 * other held against it. */
#ifndef LEVERET_ADMIN_ACTIVE_CONSUMERS_H
#define LEVERET_ADMIN_ACTIVE_CONSUMERS_H

#include "admin/api.h"

#include <stdbool.h>
#include <stddef.h>

struct subscription;

struct active_consumers {
    const struct subscription **items; /* sorted; to be compared, and nothing else */
    size_t count;
    size_t capacity;
};

/* Asks for those of the virtual host that the request names, or of all. Returns false after failing
 * the answer. */
bool active_consumers_find(struct active_consumers *a, const struct api_request *r,
                           struct api_answer *answer);
void active_consumers_free(struct active_consumers *a);

/* Whether the consumer gets messages: it is the active one, or its queue has no such. On the
 * consumer's worker. */
bool active_consumers_have(const struct active_consumers *a, const struct subscription *s);

#endif
