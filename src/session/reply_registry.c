#include "session/reply_registry.h"

#include "base/memory.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct registered {
    struct hash_node node;
    uint64_t key;
    struct reply_address address;
};

void reply_registry_init(struct reply_registry *r)
{
    pthread_rwlock_init(&r->lock, NULL);
    hash_map_init(&r->by_key);
}

void reply_registry_release(struct reply_registry *r)
{
    struct hash_node *node;

    while ((node = hash_map_first(&r->by_key)) != NULL) {
        hash_map_remove(&r->by_key, node);
        free(container_of(node, struct registered, node));
    }
    hash_map_clear(&r->by_key);
    pthread_rwlock_destroy(&r->lock);
}

static bool key_matches(const struct hash_node *node, const void *key)
{
    return container_of(node, const struct registered, node)->key == *(const uint64_t *)key;
}

static struct registered *find(const struct reply_registry *r, uint64_t key)
{
    struct hash_node *node = hash_map_find(&r->by_key, key, key_matches, &key);

    return node == NULL ? NULL : container_of(node, struct registered, node);
}

uint64_t reply_registry_add(struct reply_registry *r, const struct reply_address *address)
{
    struct registered *entry = memory_alloc_zeroed(1, sizeof(*entry));

    entry->address = *address;
    pthread_rwlock_wrlock(&r->lock);
    do {
        random_bytes(&entry->key, sizeof(entry->key));
    } while (entry->key == 0 || find(r, entry->key) != NULL);
    hash_map_insert(&r->by_key, &entry->node, entry->key);
    pthread_rwlock_unlock(&r->lock);
    return entry->key;
}

void reply_registry_remove(struct reply_registry *r, uint64_t key)
{
    struct registered *entry;

    pthread_rwlock_wrlock(&r->lock);
    entry = find(r, key);
    if (entry != NULL)
        hash_map_remove(&r->by_key, &entry->node);
    pthread_rwlock_unlock(&r->lock);
    free(entry);
}

bool reply_registry_find(struct reply_registry *r, uint64_t key, struct reply_address *out)
{
    const struct registered *entry;

    pthread_rwlock_rdlock(&r->lock);
    entry = find(r, key);
    if (entry != NULL)
        *out = entry->address;
    pthread_rwlock_unlock(&r->lock);
    return entry != NULL;
}

void reply_queue_name(uint64_t key, char out[REPLY_QUEUE_NAME_SIZE])
{
    snprintf(out, REPLY_QUEUE_NAME_SIZE, REPLY_QUEUE_PREFIX "%016" PRIx64, key);
}

static int hexadecimal(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

uint64_t reply_queue_key(struct bytes name)
{
    uint64_t key = 0;

    if (name.size != REPLY_QUEUE_NAME_SIZE - 1 || !bytes_starts_with(name, REPLY_QUEUE_PREFIX))
        return 0;
    for (size_t i = sizeof(REPLY_QUEUE_PREFIX) - 1; i < name.size; i++) {
        int digit = hexadecimal(name.data[i]);

        if (digit < 0)
            return 0;
        key = key << 4 | (uint64_t)digit;
    }
    return key;
}
