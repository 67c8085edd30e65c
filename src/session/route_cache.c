#include "session/route_cache.h"

#include "base/memory.h"
#include "server/vhost.h"

#include <stdlib.h>

/* How many slots are looked at for each that is filled. */
#define TIDY_SLOTS 8u

void route_cache_init(struct route_cache *c)
{
    memset(c, 0, sizeof(*c));
}

static void slot_clear(struct cached_route *slot)
{
    for (uint32_t i = 0; i < slot->count; i++)
        queue_handle_unref(slot->queues[i]);
    free(slot->queues);
    free(slot->names);
    *slot = (struct cached_route){.vhost = NULL};
}

void route_cache_release(struct route_cache *c)
{
    for (uint32_t i = 0; i < ROUTE_CACHE_SLOTS; i++)
        slot_clear(&c->slots[i]);
}

static uint64_t route_hash(const struct vhost *vhost, struct bytes exchange,
                           struct bytes routing_key)
{
    return bytes_hash_seeded(routing_key, bytes_hash(exchange) ^ (uint64_t)(uintptr_t)vhost);
}

/* Whether a route that the slot does not hold may have it. */
static bool may_have(const struct cached_route *slot, uint32_t *turned_away, uint64_t hash,
                     const struct vhost *vhost, uint64_t epoch)
{
    bool free_or_stale = slot->vhost == NULL || (slot->vhost == vhost && slot->epoch != epoch);

    if (free_or_stale || *turned_away == (uint32_t)(hash >> 32))
        return true;
    *turned_away = (uint32_t)(hash >> 32);
    return false;
}

struct cached_route *route_cache_find(struct route_cache *c, struct vhost *vhost,
                                      struct bytes exchange, struct bytes routing_key, bool *hit)
{
    uint64_t hash = route_hash(vhost, exchange, routing_key);
    size_t i = hash % ROUTE_CACHE_SLOTS;
    struct cached_route *slot = &c->slots[i];
    uint64_t epoch = topology_epoch(vhost->topology);

    *hit = slot->vhost == vhost && slot->hash == hash && slot->epoch == epoch &&
           slot->exchange_size == exchange.size && slot->routing_key_size == routing_key.size &&
           (exchange.size == 0 || memcmp(slot->names, exchange.data, exchange.size) == 0) &&
           (routing_key.size == 0 ||
            memcmp(slot->names + exchange.size, routing_key.data, routing_key.size) == 0);
    if (*hit || may_have(slot, &c->turned_away[i], hash, vhost, epoch))
        return slot;
    return NULL;
}

void route_cache_fill(struct route_cache *c, struct cached_route *slot, struct vhost *vhost,
                      struct bytes exchange, struct bytes routing_key, uint64_t epoch,
                      enum route_status status, struct queue_handle **queues, uint32_t count)
{
    slot_clear(slot);
    c->filled++;
    slot->vhost = vhost;
    slot->epoch = epoch;
    slot->hash = route_hash(vhost, exchange, routing_key);
    slot->names = memory_alloc(exchange.size + routing_key.size);
    if (exchange.size != 0)
        memcpy(slot->names, exchange.data, exchange.size);
    if (routing_key.size != 0)
        memcpy(slot->names + exchange.size, routing_key.data, routing_key.size);
    slot->exchange_size = (uint8_t)exchange.size;
    slot->routing_key_size = (uint8_t)routing_key.size;
    slot->status = (uint8_t)status;
    slot->count = count;
    if (count != 0)
        slot->queues = memory_alloc(count * sizeof(struct queue_handle *));
    for (uint32_t i = 0; i < count; i++)
        slot->queues[i] = queue_handle_ref(queues[i]);
}

static bool leads_to_deleted(const struct cached_route *slot)
{
    for (uint32_t i = 0; i < slot->count; i++) {
        if (atomic_load_explicit(&slot->queues[i]->deleted, memory_order_relaxed))
            return true;
    }
    return false;
}

void route_cache_tidy(struct route_cache *c)
{
    uint32_t left =
        c->filled < ROUTE_CACHE_SLOTS / TIDY_SLOTS ? c->filled * TIDY_SLOTS : ROUTE_CACHE_SLOTS;

    c->filled = 0;
    for (; left != 0; left--) {
        struct cached_route *slot = &c->slots[c->tidy_next++ % ROUTE_CACHE_SLOTS];

        if (leads_to_deleted(slot))
            slot_clear(slot);
    }
}
