#include "server/vhost.h"

#include "base/memory.h"

#include <stdlib.h>

/* Declares must get in while publishers keep reading. */
static void lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;

    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

void vhost_registry_init(struct vhost_registry *r)
{
    lock_init(&r->lock);
    hash_map_init(&r->by_name);
    hash_map_init(&r->deleted);
    atomic_init(&r->totals.exchanges, 0);
    atomic_init(&r->totals.bindings, 0);
}

static void free_all(struct hash_map *m)
{
    struct hash_node *node;

    while ((node = hash_map_first(m)) != NULL) {
        struct vhost *v = container_of(node, struct vhost, by_name);

        hash_map_remove(m, node);
        topology_destroy(v->topology);
        pthread_rwlock_destroy(&v->lock);
        free((void *)(uintptr_t)v->name.data);
        free(v);
    }
    hash_map_clear(m);
}

void vhost_registry_release(struct vhost_registry *r)
{
    free_all(&r->by_name);
    free_all(&r->deleted);
    pthread_rwlock_destroy(&r->lock);
}

static bool name_matches(const struct hash_node *node, const void *key)
{
    return bytes_equal(container_of(node, const struct vhost, by_name)->name,
                       *(const struct bytes *)key);
}

static struct vhost *find_locked(struct vhost_registry *r, struct bytes name)
{
    struct hash_node *node = hash_map_find(&r->by_name, bytes_hash(name), name_matches, &name);

    return node == NULL ? NULL : container_of(node, struct vhost, by_name);
}

struct vhost *vhost_find(struct vhost_registry *r, struct bytes name)
{
    struct vhost *v;

    pthread_rwlock_rdlock(&r->lock);
    v = find_locked(r, name);
    pthread_rwlock_unlock(&r->lock);
    return v;
}

static struct vhost *vhost_create(struct vhost_registry *r, struct bytes name)
{
    struct vhost *v = memory_alloc_zeroed(1, sizeof(*v));

    v->name = bytes_from_string(bytes_to_string(name));
    lock_init(&v->lock);
    v->topology = topology_create(name, v);
    topology_count_in(v->topology, &r->totals);
    atomic_init(&v->max_connections, -1);
    atomic_init(&v->max_queues, -1);
    atomic_init(&v->connection_count, 0);
    atomic_init(&v->deleted, false);
    return v;
}

struct vhost *vhost_ensure(struct vhost_registry *r, struct bytes name)
{
    bool made;

    return vhost_ensure_prepared(r, name, NULL, NULL, &made);
}

struct vhost *vhost_ensure_prepared(struct vhost_registry *r, struct bytes name,
                                    void (*prepare)(struct vhost *v, void *context), void *context,
                                    bool *made)
{
    struct vhost *v;

    pthread_rwlock_wrlock(&r->lock);
    v = find_locked(r, name);
    *made = v == NULL;
    if (v == NULL) {
        v = vhost_create(r, name);
        if (prepare != NULL)
            prepare(v, context);
        hash_map_insert(&r->by_name, &v->by_name, bytes_hash(name));
    }
    pthread_rwlock_unlock(&r->lock);
    return v;
}

struct vhost *vhost_take_out(struct vhost_registry *r, struct bytes name)
{
    struct vhost *v;

    pthread_rwlock_wrlock(&r->lock);
    v = find_locked(r, name);
    if (v != NULL) {
        hash_map_remove(&r->by_name, &v->by_name);
        hash_map_insert(&r->deleted, &v->by_name, bytes_hash(name));
        atomic_store(&v->deleted, true);
    }
    pthread_rwlock_unlock(&r->lock);
    return v;
}

static void each(const struct hash_map *m, void (*visit)(struct vhost *v, void *context),
                 void *context)
{
    for (struct hash_node *node = hash_map_first(m); node != NULL; node = hash_map_next(m, node))
        visit(container_of(node, struct vhost, by_name), context);
}

void vhost_registry_each(struct vhost_registry *r, void (*visit)(struct vhost *v, void *context),
                         void *context)
{
    pthread_rwlock_rdlock(&r->lock);
    each(&r->by_name, visit, context);
    pthread_rwlock_unlock(&r->lock);
}

void vhost_registry_each_deleted(struct vhost_registry *r,
                                 void (*visit)(struct vhost *v, void *context), void *context)
{
    each(&r->deleted, visit, context);
}
