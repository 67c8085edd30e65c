/* A message: what was published, once, shared by every queue that holds it. One allocation:
 * header, exchange name, routing key, properties as they came on the wire, body.
 *
 * Reference-counted; the last unref frees it. References may be taken and dropped on any thread.
 * Its content does not change once it is shared. */
#ifndef LEVERET_BROKER_MESSAGE_H
#define LEVERET_BROKER_MESSAGE_H

#include "base/bytes.h"
#include "base/slab.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

enum message_flag {
    MESSAGE_PERSISTENT = 1 << 0,     /* delivery-mode 2 */
    MESSAGE_HAS_EXPIRATION = 1 << 1, /* the expiration property is set */
    MESSAGE_HAS_HEADERS = 1 << 2,    /* the headers property is set */
    MESSAGE_HAS_EXTRA_KEYS = 1 << 3, /* the headers have CC or BCC */
};

struct message {
    atomic_uint references;
    uint32_t body_size;
    uint32_t properties_size;
    uint8_t exchange_size;
    uint8_t routing_key_size;
    uint8_t priority; /* the priority property, 0 when absent */
    uint8_t flags;    /* enum message_flag */
    uint8_t data[];   /* exchange, routing key, properties, body */
};

static_assert(sizeof(struct message) == 16, "the fixed cost of each message in memory");

/* A message with one reference, its body uninitialised (message_body() tells where it goes).
 * Exchange and routing key are at most 255 bytes. The bytes are copied. Returns NULL when memory
 * is refused. */
struct message *message_create(struct bytes exchange, struct bytes routing_key,
                               struct bytes properties, uint32_t body_size);

static inline uint8_t *message_body(struct message *m)
{
    return m->data + m->exchange_size + m->routing_key_size + m->properties_size;
}

static inline struct bytes message_exchange(const struct message *m)
{
    return bytes_of(m->data, m->exchange_size);
}

static inline struct bytes message_routing_key(const struct message *m)
{
    return bytes_of(m->data + m->exchange_size, m->routing_key_size);
}

static inline struct bytes message_properties(const struct message *m)
{
    return bytes_of(m->data + m->exchange_size + m->routing_key_size, m->properties_size);
}

static inline struct bytes message_body_bytes(const struct message *m)
{
    return bytes_of(m->data + m->exchange_size + m->routing_key_size + m->properties_size,
                    m->body_size);
}

/* The bytes of memory the message takes, without the allocator's overhead. */
static inline size_t message_footprint(const struct message *m)
{
    return sizeof(*m) + m->exchange_size + m->routing_key_size + m->properties_size + m->body_size;
}

/* Takes one more reference. Who holds the only one is alone with it, so that needs no atomic
 * read-modify-write. */
static inline struct message *message_ref(struct message *m)
{
    if (atomic_load_explicit(&m->references, memory_order_relaxed) == 1)
        atomic_store_explicit(&m->references, 2, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
    return m;
}

/* Drops one reference. A sole owner frees without an atomic read-modify-write. */
static inline void message_unref(struct message *m)
{
    if (atomic_load_explicit(&m->references, memory_order_acquire) == 1 ||
        atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) == 1)
        slab_free(m, message_footprint(m));
}

#endif
