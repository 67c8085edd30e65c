#include "base/slab_pool.h"

#include "base/bits.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/region_lists.h"
#include "base/system_memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

/* What is asked of the system at once and returned at once: a call costs the more a byte the less
 * it is for, and one for few pages costs most of all where the machine is a virtual one. */
#define REGION_SLABS 256u
#define WORDS (REGION_SLABS / 64)
#define REGION_BYTES (REGION_SLABS * SLAB_BYTES)

/* Regions with nothing in them that are kept. */
#define SPARE_REGIONS_MAX 2u

/* REGION_SLABS slabs in a row. A bit stands for a slab. */
struct slab_region {
    struct list_node node; /* in a list while a slab is free */
    char *base;
    uint32_t free_count;
    uint64_t free[WORDS];
    uint64_t touched[WORDS]; /* in memory, as far as we know */
};

/* The lock is held for a slab, or for a region that is cooled, and never around another. */
static struct {
    struct region_lists lists;
    struct slab_usage usage;
} pool = {.lists = {.lock = PTHREAD_MUTEX_INITIALIZER}};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_up(void)
{
    region_lists_init(&pool.lists);
}

static struct slab_region *region_of_node(struct list_node *node)
{
    return container_of(node, struct slab_region, node);
}

/* A new region, or NULL. */
static struct slab_region *region_create(void)
{
    struct slab_region *r = malloc(sizeof(*r));
    char *mapped;

    if (r == NULL)
        return NULL;
    mapped = system_memory_map(REGION_BYTES);
    if (mapped == NULL) {
        free(r);
        return NULL;
    }
    *r = (struct slab_region){.base = mapped, .free_count = REGION_SLABS};
    bits_mark(r->free, 0, REGION_SLABS, true);
    return r;
}

/* A slab that is free: one that is in memory before one that is not. There is one. */
static uint32_t region_find(const struct slab_region *r)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        uint64_t warm = r->free[i] & r->touched[i];

        if (warm != 0)
            return i * 64 + (uint32_t)__builtin_ctzll(warm);
    }
    return bits_find(r->free, 0, REGION_SLABS, true);
}

static bool bit_is_set(const uint64_t *words, uint32_t i)
{
    return (words[i / 64] >> i % 64 & 1) != 0;
}

/* A region with a free slab, first in the list of partial ones, or NULL. Under the pool's lock. */
static struct slab_region *pool_find(void)
{
    struct list_node *node = list_first(&pool.lists.partial);
    struct slab_region *r;

    if (node != NULL)
        return region_of_node(node);
    node = region_lists_take_spare(&pool.lists);
    if (node != NULL) {
        r = region_of_node(node);
    } else {
        r = region_create();
        if (r == NULL)
            return NULL;
        pool.usage.cold_slabs += REGION_SLABS;
    }
    region_lists_use(&pool.lists, &r->node);
    return r;
}

void *slab_pool_take(struct slab_region **region)
{
    struct slab_region *r;
    void *taken = NULL;
    uint32_t i;

    pthread_once(&once, set_up);
    pthread_mutex_lock(&pool.lists.lock);
    r = pool_find();
    if (r != NULL) {
        i = region_find(r);
        taken = r->base + i * SLAB_BYTES;
        *(bit_is_set(r->touched, i) ? &pool.usage.warm_slabs : &pool.usage.cold_slabs) -= 1;
        pool.usage.live_slabs++;
        bits_mark(r->free, i, 1, false);
        bits_mark(r->touched, i, 1, true);
        r->free_count--;
        if (r->free_count == 0) {
            region_lists_remove_partial(&pool.lists, &r->node);
        }
    }
    pthread_mutex_unlock(&pool.lists.lock);
    *region = r;
    return taken;
}

static uint32_t warm_slabs(const struct slab_region *r)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < WORDS; i++)
        count += (uint32_t)__builtin_popcountll(r->free[i] & r->touched[i]);
    return count;
}

/* Gives the memory of the slabs that are free back to the system, in runs of whole pages, which may
 * be larger than a slab: of those that were not touched as well, as huge pages may have filled the
 * gaps. Under the pool's lock. */
static void region_cool(struct list_node *node)
{
    struct slab_region *r = region_of_node(node);
    uint32_t page = (uint32_t)((size_t)getpagesize() / SLAB_BYTES);
    uint32_t step = page != 0 ? page : 1;
    uint32_t at = bits_find(r->free, 0, REGION_SLABS, true);
    uint32_t cooled = warm_slabs(r);

    while (at < REGION_SLABS) {
        uint32_t end = bits_find(r->free, at, REGION_SLABS, false);
        uint32_t first = (at + step - 1) / step * step;
        uint32_t behind = end / step * step;

        if (first < behind) {
            bits_mark(r->touched, first, behind - first, false);
            madvise(r->base + first * SLAB_BYTES, (behind - first) * SLAB_BYTES, MADV_DONTNEED);
        }
        at = bits_find(r->free, end, REGION_SLABS, true);
    }
    cooled -= warm_slabs(r);
    pool.usage.warm_slabs -= cooled;
    pool.usage.cold_slabs += cooled;
}

/* Gives a region in no list, all of it free, back to the system with its addresses: where those
 * are limited or accounted for (RLIMIT_AS, vm.overcommit_memory) other things need them. The
 * system may refuse to take part of a mapping (vm.max_map_count): then it gets the memory. */
static void region_destroy(struct list_node *node)
{
    struct slab_region *r = region_of_node(node);
    bool gone = munmap(r->base, REGION_BYTES) == 0;

    pthread_mutex_lock(&pool.lists.lock);
    if (gone) {
        pool.usage.warm_slabs -= warm_slabs(r);
        pool.usage.cold_slabs -= REGION_SLABS - warm_slabs(r);
    } else {
        region_cool(node);
        region_lists_add_refused(&pool.lists, node);
    }
    pthread_mutex_unlock(&pool.lists.lock);
    if (gone)
        free(r);
}

void slab_pool_put(void *slab, struct slab_region *r)
{
    struct slab_region *to_destroy = NULL;

    pthread_mutex_lock(&pool.lists.lock);
    if (r->free_count == 0) {
        region_lists_add_partial(&pool.lists, &r->node);
    }
    bits_mark(r->free, (uint32_t)((size_t)((char *)slab - r->base) / SLAB_BYTES), 1, true);
    r->free_count++;
    pool.usage.live_slabs--;
    pool.usage.warm_slabs++;
    if (r->free_count == REGION_SLABS) {
        region_lists_remove_partial(&pool.lists, &r->node);
        if (pool.lists.spare_count < SPARE_REGIONS_MAX) {
            region_lists_add_spare(&pool.lists, &r->node);
        } else {
            to_destroy = r;
        }
    }
    pthread_mutex_unlock(&pool.lists.lock);
    if (to_destroy != NULL)
        region_destroy(&to_destroy->node);
}

void slab_pool_trim(void)
{
    pthread_once(&once, set_up);
    region_lists_trim(&pool.lists, region_destroy, region_cool);
}

struct slab_usage slab_pool_usage(void)
{
    struct slab_usage usage;

    pthread_mutex_lock(&pool.lists.lock);
    usage = pool.usage;
    pthread_mutex_unlock(&pool.lists.lock);
    return usage;
}
