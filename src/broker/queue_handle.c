#include "base/memory.h"
#include "broker/topology.h"

#include <stdlib.h>

/* The name stands right behind the struct. */
static uint8_t *handle_name(struct queue_handle *h)
{
    return (uint8_t *)(h + 1);
}

struct queue_handle *queue_handle_create(struct bytes name, const struct queue_options *options,
                                         uint32_t home_worker, uint64_t owner)
{
    struct queue_handle *h = memory_alloc(sizeof(*h) + name.size);

    if (name.size != 0)
        memcpy(handle_name(h), name.data, name.size);
    atomic_init(&h->references, 1);
    atomic_init(&h->deleted, false);
    h->home_worker = home_worker;
    h->queue = NULL;
    h->vhost = NULL;
    h->owner = owner;
    h->options = *options;
    h->name = bytes_of(handle_name(h), name.size);
    h->by_name = (struct hash_node){.next = NULL, .hash = bytes_hash(name)};
    list_init(&h->bindings);
    list_node_init(&h->by_owner);
    return h;
}

struct queue_handle *queue_handle_ref(struct queue_handle *h)
{
    atomic_fetch_add_explicit(&h->references, 1, memory_order_relaxed);
    return h;
}

void queue_handle_unref(struct queue_handle *h)
{
    if (atomic_fetch_sub_explicit(&h->references, 1, memory_order_acq_rel) != 1)
        return;
    queue_options_free(&h->options);
    free(h);
}
