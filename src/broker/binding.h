/* A binding: from an exchange to a queue or to another exchange. Internal to the topology, which
 * owns it; the functions need its lock as the topology's do. */
#ifndef LEVERET_BROKER_BINDING_H
#define LEVERET_BROKER_BINDING_H

#include "base/bytes.h"
#include "base/hash_map.h"
#include "base/list.h"
#include "base/table.h"
#include "broker/key_index.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exchange;
struct queue_handle;

/* The arguments of a binding in their normal form: fields sorted by key, the first of repeated
 * ones (as RabbitMQ sorts them), in nested tables too. */
struct binding_arguments {
    struct arena arena;
    struct table table;
    uint64_t hash;
    void *compiled; /* what the source's router made of them, in `arena` */
};

struct binding {
    struct exchange *source;
    struct hash_node by_identity;
    struct list_node by_source;
    struct list_node by_destination;
    struct binding_arguments *arguments; /* NULL when there are none */
    struct key_link link; /* the router's; `value` is the destination; read with the key */
    uint8_t key_size;
    uint8_t key[];
};

/* A destination in one word: the pointer, and in its lowest bit whether it is an exchange. */
static inline uintptr_t destination_of_queue(const struct queue_handle *h)
{
    return (uintptr_t)h;
}

static inline uintptr_t destination_of_exchange(const struct exchange *e)
{
    return (uintptr_t)e | 1;
}

static inline bool destination_is_exchange(uintptr_t destination)
{
    return (destination & 1) != 0;
}

static inline struct exchange *destination_exchange(uintptr_t destination)
{
    return (struct exchange *)(destination & ~(uintptr_t)1);
}

static inline struct queue_handle *destination_queue(uintptr_t destination)
{
    return (struct queue_handle *)destination;
}

static inline struct bytes binding_key(const struct binding *b)
{
    return bytes_of(b->key, b->key_size);
}

static inline struct binding *binding_from_link(const struct key_link *link)
{
    return (struct binding *)((uintptr_t)link - offsetof(struct binding, link));
}

/* Normalises a copy of `table`; NULL when it has no fields. Freed with
 * binding_arguments_free(). */
struct binding_arguments *binding_arguments_create(const struct table *table);
void binding_arguments_free(struct binding_arguments *a);

/* What makes two bindings one: both ends, the key and the arguments. */
struct binding_identity {
    const struct exchange *source;
    uintptr_t destination;
    struct bytes key;
    const struct binding_arguments *arguments;
};

uint64_t binding_identity_hash(const struct binding_identity *i);

/* For hash_map_find() over `by_identity`. */
bool binding_has_identity(const struct hash_node *n, const void *identity);

/* An unlinked binding; takes over `arguments`. The key has at most 255 bytes. */
struct binding *binding_create(struct exchange *source, uintptr_t destination, struct bytes key,
                               struct binding_arguments *arguments);
void binding_free(struct binding *b);

#endif
