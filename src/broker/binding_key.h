/* An index of bindings by their whole key, for exchange types that compare keys. */
#ifndef LEVERET_BROKER_BINDING_KEY_H
#define LEVERET_BROKER_BINDING_KEY_H

#include "broker/binding.h"
#include "broker/key_index.h"
#include "broker/route.h"

static inline uint32_t binding_key_hash(struct bytes key)
{
    return (uint32_t)bytes_hash(key);
}

static inline bool binding_key_same(const struct key_link *link, const void *key)
{
    const struct bytes *k = key;

    return bytes_equal(binding_key(binding_from_link(link)), *k);
}

static inline void binding_key_add(struct key_index *x, struct binding *b)
{
    struct bytes key = binding_key(b);

    key_index_add(x, &b->link, binding_key_hash(key), binding_key_same, &key);
}

static inline void binding_key_remove(struct key_index *x, struct binding *b)
{
    struct bytes key = binding_key(b);

    key_index_remove(x, key_index_find(x, binding_key_hash(key), binding_key_same, &key), &b->link);
}

/* The bindings with this key, whose hash is at hand, match. */
static inline void binding_key_match_hashed(const struct key_index *x, struct bytes key,
                                            uint32_t hash, struct route_search *s)
{
    const struct key_set *set = key_index_find(x, hash, binding_key_same, &key);

    if (set != NULL)
        route_search_found_set(s, set);
}

/* The bindings with this key match. */
static inline void binding_key_match(const struct key_index *x, struct bytes key,
                                     struct route_search *s)
{
    if (x->used != 0)
        binding_key_match_hashed(x, key, binding_key_hash(key), s);
}

#endif
