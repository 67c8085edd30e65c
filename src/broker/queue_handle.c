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
    h->home_index = 0;
    h->queue = NULL;
    h->letters = NULL;
    h->vhost = NULL;
    h->owner = owner;
    h->options = *options;
    h->name = bytes_of(handle_name(h), name.size);
    h->by_name = (struct hash_node){.next = NULL, .hash = bytes_hash(name)};
    list_init(&h->bindings);
    list_node_init(&h->by_owner);
    h->effective = NULL;
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
    queue_effective_free(h->effective);
    queue_options_free(&h->options);
    free(h);
}

static struct queue_effective *merge(const struct queue_handle *h, const struct policy_match *match)
{
    struct queue_effective *e;

    if (match->policy == NULL && match->operator_policy == NULL)
        return NULL;
    e = memory_alloc(sizeof(*e));
    policy_merge_options(&e->options, &h->options, match);
    e->policy = match->policy != NULL ? policy_ref(match->policy) : NULL;
    e->operator_policy = match->operator_policy != NULL ? policy_ref(match->operator_policy) : NULL;
    return e;
}

bool queue_handle_follow(struct queue_handle *h, const struct policy_set *s,
                         struct queue_effective **former)
{
    enum policy_object object =
        queue_options_is_quorum(&h->options) ? POLICY_QUORUM_QUEUE : POLICY_CLASSIC_QUEUE;
    struct policy_match match = policy_set_match(s, object, h->name);
    const struct policy *policy = h->effective != NULL ? h->effective->policy : NULL;
    const struct policy *operator_policy =
        h->effective != NULL ? h->effective->operator_policy : NULL;

    if (match.policy == policy && match.operator_policy == operator_policy)
        return false;
    *former = h->effective;
    h->effective = merge(h, &match);
    return true;
}

void queue_effective_free(struct queue_effective *e)
{
    if (e == NULL)
        return;
    policy_unref(e->policy);
    policy_unref(e->operator_policy);
    queue_options_free(&e->options);
    free(e);
}
