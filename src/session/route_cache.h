/* Routes a worker found lately, by virtual host, exchange and routing key. A route holds for one
 * epoch of the topology, so the steady state takes no lock and looks nothing up. Bounded; holds
 * references to the queues, to deleted ones until the routes found since have had it looked
 * through. No route gives way to one that is asked for once: keys that are never used again cost no
 * more than their look-up. One thread: its worker. */
#ifndef LEVERET_SESSION_ROUTE_CACHE_H
#define LEVERET_SESSION_ROUTE_CACHE_H

#include "base/bytes.h"
#include "broker/topology.h"

#include <stdbool.h>
#include <stdint.h>

struct permission_set;
struct vhost;

enum {
    ROUTE_CACHE_SLOTS = 1024,
    /* Routes to more queues are found anew each time: finding them is the lesser part. */
    ROUTE_CACHE_MAX_QUEUES = 64,
};

enum route_status {
    ROUTE_FOUND,       /* to `count` queues, perhaps none */
    ROUTE_NO_EXCHANGE, /* 404 */
    ROUTE_INTERNAL,    /* 403: clients may not publish to it */
};

struct cached_route {
    struct vhost *vhost; /* NULL: empty */
    uint64_t epoch;
    uint64_t hash;
    uint8_t *names; /* exchange, then routing key */
    uint8_t exchange_size;
    uint8_t routing_key_size;
    uint8_t status; /* enum route_status */
    uint32_t count;
    struct queue_handle **queues;
    /* Who was allowed to write here with this key last, and by which version of the permissions. */
    const struct permission_set *permitted;
    uint64_t permitted_version;
};

struct route_cache {
    struct cached_route slots[ROUTE_CACHE_SLOTS];
    uint32_t turned_away[ROUTE_CACHE_SLOTS]; /* of the hash that last found the slot taken */
    uint32_t filled;                         /* since route_cache_tidy() */
    uint32_t tidy_next;                      /* it goes on here */
};

void route_cache_init(struct route_cache *c);
void route_cache_release(struct route_cache *c);

/* The slot for this route. `*hit` says whether it holds the route as of the topology's present
 * epoch; if not, the caller may fill it with route_cache_fill(). NULL, and no hit, when another
 * route has the slot and this one was not turned away by it just before. */
struct cached_route *route_cache_find(struct route_cache *c, struct vhost *vhost,
                                      struct bytes exchange, struct bytes routing_key, bool *hit);

/* Fills the slot that route_cache_find() gave for the same arguments; takes references to the
 * queues. `epoch` was read under the lock under which the route was found. */
void route_cache_fill(struct route_cache *c, struct cached_route *slot, struct vhost *vhost,
                      struct bytes exchange, struct bytes routing_key, uint64_t epoch,
                      enum route_status status, struct queue_handle **queues, uint32_t count);

/* Gives up routes to deleted queues, in a few slots for each that was filled since the last call:
 * to be called when no slot is in use. */
void route_cache_tidy(struct route_cache *c);

#endif
