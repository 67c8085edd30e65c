/* One limit on unacknowledged deliveries for all consumers of a channel (basic.qos with
 * global = true; RabbitMQ "Consumer Prefetch"). The consumers' queues may live on different
 * workers, so the pool is the one thing they share: two atomics, no lock. */
#ifndef LEVERET_BROKER_CREDIT_POOL_H
#define LEVERET_BROKER_CREDIT_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct credit_pool {
    atomic_uint references;
    atomic_uint limit;   /* 0 = unlimited */
    atomic_uint in_use;  /* deliveries that are not settled yet */
    atomic_bool starved; /* a consumer was refused since credit_pool_take_starved() */
};

/* A pool with one reference and no limit. */
struct credit_pool *credit_pool_create(void);
struct credit_pool *credit_pool_ref(struct credit_pool *p);
void credit_pool_unref(struct credit_pool *p);

/* Takes one credit. When there is none, marks the pool starved and returns false; the channel's
 * owner then resumes the consumers once credit comes back. Any worker. */
bool credit_pool_take(struct credit_pool *p);

/* Counts `count` deliveries that were made under another limit, even beyond this one. Any
 * worker. */
void credit_pool_add(struct credit_pool *p, uint32_t count);

/* Gives `count` credits back. Any worker. */
void credit_pool_give(struct credit_pool *p, uint32_t count);

/* Whether a consumer was refused since the last call (and there is credit again); clears the
 * mark. The channel's owner calls it after giving or after raising the limit. */
bool credit_pool_take_starved(struct credit_pool *p);

#endif
