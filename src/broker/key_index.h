/* An index from keys to what is filed under them: an open-addressed hash table in which a slot
 * holds everything under one key, so that a look-up touches one slot and, when one thing alone
 * is filed there, nothing but that thing. Slots are in the order of their hashes' homes ("Robin
 * Hood"), so that a look-up for what is not there ends as soon as one for what is. Intrusive: a
 * struct key_link sits inside what is filed (the object is its owner's); the index owns its slots
 * and the arrays of keys that hold many.
 *
 * Reading changes nothing: any number of threads may read at once. Aborts without memory. */
#ifndef LEVERET_BROKER_KEY_INDEX_H
#define LEVERET_BROKER_KEY_INDEX_H

#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One thing filed. `value` is what readers want of it; the owner sets it before filing and does
 * not change it while it is filed. `tag` is the owner's alone, `position` the index's. */
struct key_link {
    uintptr_t value;
    uint32_t tag;
    uint32_t position;
};

struct key_slot {
    uintptr_t value;
    struct key_link *link;
};

struct key_array {
    uint32_t capacity;
    struct key_slot slots[];
};

/* All things under one key, in no particular order. Zeroed, it is empty. */
struct key_set {
    union {
        struct key_link *one;   /* count == 1 */
        struct key_array *many; /* count > 1 */
    };
    uint32_t count;
    uint32_t hash; /* of the key, in an index */
};

/* Adds and removes in O(1), whatever the set's size. */
void key_set_add(struct key_set *s, struct key_link *link);
void key_set_remove(struct key_set *s, struct key_link *link);

static inline struct key_link *key_set_link(const struct key_set *s, uint32_t i)
{
    return s->count == 1 ? s->one : s->many->slots[i].link;
}

static inline uintptr_t key_set_value(const struct key_set *s, uint32_t i)
{
    return s->count == 1 ? s->one->value : s->many->slots[i].value;
}

/* Zeroed, it is empty and owns nothing; so it is again when all links are removed. */
struct key_index {
    struct key_set *slots;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t used;     /* slots with something in them */
};

/* Whether `link` is filed under `key`. Called on equal hashes only. */
typedef bool (*key_same)(const struct key_link *link, const void *key);

/* Fetches what key_index_find() will read first, to spare it the wait. */
static inline void key_index_prefetch(const struct key_index *x, uint32_t hash)
{
    const struct key_set *home;

    if (x->used == 0)
        return;
    home = &x->slots[hash & (x->capacity - 1)];
    memory_prefetch(home);
    memory_prefetch(home + 2); /* a look-up reads two or three: often the next line as well */
}

/* Fetches what key_index_find() will read behind the slot, which is best fetched before. */
static inline void key_index_prefetch_filed(const struct key_index *x, uint32_t hash)
{
    uint32_t mask = x->capacity - 1;

    if (x->used == 0)
        return;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        const struct key_set *s = &x->slots[i];

        if (s->count == 0 || ((i - s->hash) & mask) < ((i - hash) & mask))
            return;
        if (s->hash == hash) {
            memory_prefetch(s->one);
            return;
        }
    }
}

/* What is filed under the key, or NULL when nothing is. Valid until the index changes. Who may
 * change the index may add to the set and remove from it, but not empty it. */
static inline struct key_set *key_index_find(const struct key_index *x, uint32_t hash,
                                             key_same same, const void *key)
{
    uint32_t mask = x->capacity - 1;

    if (x->used == 0)
        return NULL;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        struct key_set *s = &x->slots[i];

        if (s->count == 0 || ((i - s->hash) & mask) < ((i - hash) & mask))
            return NULL;
        if (s->hash == hash && same(key_set_link(s, 0), key))
            return s;
    }
}

/* Files `link` under the key. */
void key_index_add(struct key_index *x, struct key_link *link, uint32_t hash, key_same same,
                   const void *key);

/* Files all of `set` under a key that has nothing yet; the set is the index's from then on. */
void key_index_add_set(struct key_index *x, const struct key_set *set, uint32_t hash);

/* Takes `link` out, which must be in `found`, which must be what key_index_find() just found.
 * Returns whether the key has nothing any more; then `found` is invalid. */
bool key_index_remove(struct key_index *x, struct key_set *found, struct key_link *link);

#endif
