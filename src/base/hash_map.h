/* Intrusive chained hash map: the node sits inside the object, the map owns only its bucket
 * array. Doubles when there are more nodes than buckets and halves when it is mostly empty.
 * Not synchronised. Aborts when bucket memory is refused. */
#ifndef LEVERET_BASE_HASH_MAP_H
#define LEVERET_BASE_HASH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};

struct hash_map {
    struct hash_node **buckets; /* NULL while nothing was ever inserted */
    size_t bucket_count;        /* a power of two, or 0 */
    size_t count;
};

/* Whether the object around `node` has the key at `key`. Called on equal hashes only. */
typedef bool (*hash_match)(const struct hash_node *node, const void *key);

/* An empty map; allocates nothing. */
void hash_map_init(struct hash_map *m);

/* Frees the buckets. The objects are their owners' business; the map is empty again. */
void hash_map_clear(struct hash_map *m);

/* The node with this hash and key, or NULL. */
struct hash_node *hash_map_find(const struct hash_map *m, uint64_t hash, hash_match match,
                                const void *key);

/* Links `node` under `hash`. Does not look for an equal key: find first. */
void hash_map_insert(struct hash_map *m, struct hash_node *node, uint64_t hash);

/* Unlinks `node`, which must be in the map. */
void hash_map_remove(struct hash_map *m, struct hash_node *node);

/* Any first node, or NULL; and the one behind `node` in the map's (arbitrary) order, or NULL.
 * To remove while walking, fetch the next node before removing the present one; hash_map_remove
 * may rebuild the buckets, so walk with removal by taking hash_map_first again. */
struct hash_node *hash_map_first(const struct hash_map *m);
struct hash_node *hash_map_next(const struct hash_map *m, const struct hash_node *node);

/* Walks in pieces, between which the map may change. `cursor` is 0 in the first call, then what the
 * last one returned; 0 is the end. Calls `visit` for the nodes of whole buckets, until it has been
 * called `count` times or more (a bucket holds about one); it must not change the map. A node that
 * is in the map from the first call to the last is visited: once, or more often when the map was
 * resized in between. */
size_t hash_map_scan(const struct hash_map *m, size_t cursor, size_t count,
                     void (*visit)(struct hash_node *node, void *context), void *context);

#endif
