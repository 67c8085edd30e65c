/* A virtual host: a topology and the lock under which workers share it. Once made they
 * live until the broker ends. */
#ifndef LEVERET_SERVER_VHOST_H
#define LEVERET_SERVER_VHOST_H

#include "base/bytes.h"
#include "base/hash_map.h"
#include "broker/topology.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct vhost {
    struct hash_node by_name;
    struct bytes name; /* owned */
    pthread_rwlock_t lock;
    struct topology *topology; /* under `lock`, apart from its epoch */
    void *state;               /* the layer above's own; it frees it */

    /* Below 0: no limit (session/vhost_limits.h). */
    atomic_int_least64_t max_connections;
    atomic_int_least64_t max_queues;
    atomic_int_least64_t connection_count;
    atomic_bool limits_are_configured; /* by the configuration file; changed under `lock` */
    atomic_bool deleted;               /* nobody finds it any more */
};

/* The virtual hosts of a broker, by name. Any thread. */
struct vhost_registry {
    pthread_rwlock_t lock;
    struct hash_map by_name;
    struct hash_map deleted; /* those too live until the broker ends: queues and routes name them */
    struct topology_totals totals; /* of them all */
};

void vhost_registry_init(struct vhost_registry *r);

/* Frees every virtual host; no worker runs any more. */
void vhost_registry_release(struct vhost_registry *r);

/* NULL when there is none of that name. Valid until the broker ends. */
struct vhost *vhost_find(struct vhost_registry *r, struct bytes name);

/* The virtual host of that name, made when there is none. */
struct vhost *vhost_ensure(struct vhost_registry *r, struct bytes name);

/* The same; one that is made goes through `prepare` (or NULL) before any thread can find it.
 * `*made` says whether it was. */
struct vhost *vhost_ensure_prepared(struct vhost_registry *r, struct bytes name,
                                    void (*prepare)(struct vhost *v, void *context), void *context,
                                    bool *made);

/* Takes the virtual host of that name out of the registry, so that nobody finds it any more, and
 * marks it deleted. Returns it, or NULL when there is none. What is in it is the caller's business.
 */
struct vhost *vhost_take_out(struct vhost_registry *r, struct bytes name);

/* Calls `visit` for each that was taken out. The broker ends. */
void vhost_registry_each_deleted(struct vhost_registry *r,
                                 void (*visit)(struct vhost *v, void *context), void *context);

/* Calls `visit` for each; virtual hosts may not be made meanwhile. */
void vhost_registry_each(struct vhost_registry *r, void (*visit)(struct vhost *v, void *context),
                         void *context);

static inline void vhost_lock_read(struct vhost *v)
{
    pthread_rwlock_rdlock(&v->lock);
}

static inline void vhost_lock_write(struct vhost *v)
{
    pthread_rwlock_wrlock(&v->lock);
}

static inline void vhost_unlock(struct vhost *v)
{
    pthread_rwlock_unlock(&v->lock);
}

#endif
