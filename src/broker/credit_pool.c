#include "broker/credit_pool.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>

struct credit_pool *credit_pool_create(void)
{
    struct credit_pool *p = memory_alloc_zeroed(1, sizeof(*p));

    atomic_init(&p->references, 1);
    return p;
}

struct credit_pool *credit_pool_ref(struct credit_pool *p)
{
    atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
    return p;
}

void credit_pool_unref(struct credit_pool *p)
{
    if (atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) == 1)
        free(p);
}

static bool take_if_any(struct credit_pool *p)
{
    unsigned int in_use = atomic_load(&p->in_use);

    for (;;) {
        unsigned int limit = atomic_load(&p->limit);

        if (limit != 0 && in_use >= limit)
            return false;
        if (atomic_compare_exchange_weak(&p->in_use, &in_use, in_use + 1))
            return true;
    }
}

/* Taker: mark, then look again. Giver: give, then look for the mark. Both are sequentially
 * consistent, so one of them sees the other and no consumer stays starved beside free credit. */
bool credit_pool_take(struct credit_pool *p)
{
    if (take_if_any(p))
        return true;
    atomic_store(&p->starved, true);
    return take_if_any(p);
}

void credit_pool_add(struct credit_pool *p, uint32_t count)
{
    atomic_fetch_add(&p->in_use, count);
}

void credit_pool_give(struct credit_pool *p, uint32_t count)
{
    unsigned int before = atomic_fetch_sub(&p->in_use, count);

    assert(before >= count);
    (void)before;
}

bool credit_pool_take_starved(struct credit_pool *p)
{
    unsigned int limit;

    if (!atomic_load(&p->starved))
        return false;
    limit = atomic_load(&p->limit);
    if (limit != 0 && atomic_load(&p->in_use) >= limit)
        return false;
    return atomic_exchange(&p->starved, false);
}
