#include "base/hash_map.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>

#define HASH_MAP_MIN_BUCKETS 8u

void hash_map_init(struct hash_map *m)
{
    *m = (struct hash_map){.buckets = NULL, .bucket_count = 0, .count = 0};
}

void hash_map_clear(struct hash_map *m)
{
    free(m->buckets);
    hash_map_init(m);
}

static struct hash_node **bucket_of(const struct hash_map *m, uint64_t hash)
{
    return &m->buckets[hash & (m->bucket_count - 1)];
}

struct hash_node *hash_map_find(const struct hash_map *m, uint64_t hash, hash_match match,
                                const void *key)
{
    if (m->count == 0)
        return NULL;
    for (struct hash_node *n = *bucket_of(m, hash); n != NULL; n = n->next) {
        if (n->hash == hash && match(n, key))
            return n;
    }
    return NULL;
}

static void rebuild(struct hash_map *m, size_t bucket_count)
{
    struct hash_map resized = {
        .buckets = memory_alloc_zeroed(bucket_count, sizeof(struct hash_node *)),
        .bucket_count = bucket_count,
        .count = m->count,
    };

    for (size_t i = 0; i < m->bucket_count; i++) {
        struct hash_node *n = m->buckets[i];

        while (n != NULL) {
            struct hash_node *next = n->next;
            struct hash_node **bucket = bucket_of(&resized, n->hash);

            n->next = *bucket;
            *bucket = n;
            n = next;
        }
    }
    free(m->buckets);
    *m = resized;
}

void hash_map_insert(struct hash_map *m, struct hash_node *node, uint64_t hash)
{
    struct hash_node **bucket;

    if (m->count >= m->bucket_count)
        rebuild(m, m->bucket_count != 0 ? 2 * m->bucket_count : HASH_MAP_MIN_BUCKETS);
    bucket = bucket_of(m, hash);
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    m->count++;
}

void hash_map_remove(struct hash_map *m, struct hash_node *node)
{
    struct hash_node **link = bucket_of(m, node->hash);

    while (*link != node) {
        assert(*link != NULL);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    m->count--;
    if (m->bucket_count > 2 * HASH_MAP_MIN_BUCKETS && m->count < m->bucket_count / 8)
        rebuild(m, m->bucket_count / 4);
}

static struct hash_node *first_from(const struct hash_map *m, size_t bucket)
{
    for (size_t i = bucket; i < m->bucket_count; i++) {
        if (m->buckets[i] != NULL)
            return m->buckets[i];
    }
    return NULL;
}

struct hash_node *hash_map_first(const struct hash_map *m)
{
    return first_from(m, 0);
}

struct hash_node *hash_map_next(const struct hash_map *m, const struct hash_node *node)
{
    if (node->next != NULL)
        return node->next;
    return first_from(m, (size_t)(node->hash & (m->bucket_count - 1)) + 1);
}

static size_t reverse_bits(size_t v)
{
    size_t reversed = 0;

    for (size_t i = 0; i < 8 * sizeof(v); i++, v >>= 1)
        reversed = reversed << 1 | (v & 1);
    return reversed;
}

/* Counts from the highest bit of the bucket's number down: what a resize makes of a bucket differs
 * from it in bits above those in use, so the buckets behind the cursor are those that were visited
 * before, whatever the size. */
static size_t next_cursor(size_t cursor, size_t mask)
{
    return reverse_bits(reverse_bits(cursor | ~mask) + 1);
}

size_t hash_map_scan(const struct hash_map *m, size_t cursor, size_t count,
                     void (*visit)(struct hash_node *node, void *context), void *context)
{
    size_t visited = 0;

    if (m->count == 0)
        return 0;
    do {
        for (struct hash_node *n = m->buckets[cursor & (m->bucket_count - 1)]; n != NULL;
             n = n->next) {
            visit(n, context);
            visited++;
        }
        cursor = next_cursor(cursor, m->bucket_count - 1);
    } while (cursor != 0 && visited < count);
    return cursor;
}
