#include "base/run_pool.h"

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

#define REGION_BYTES ((size_t)2 << 20)
#define REGION_UNITS ((uint32_t)(REGION_BYTES / RUN_UNIT_BYTES))
#define WORDS (REGION_UNITS / 64)

/* Regions with nothing in them that are kept. */
#define SPARE_REGIONS_MAX 4u

/* How many regions are searched for a run, and how many are looked at, before there is a new one.
 */
#define SEARCHED_MAX 8u
#define SEEN_MAX 64u

/* The head of REGION_BYTES that are aligned to their size. A bit stands for a unit; those of the
 * head are taken. */
struct run_region {
    struct list_node node; /* in a list of the pool, unless it is full */
    uint32_t free;         /* units */
    uint32_t longest;      /* no run of free units is longer */
    uint32_t lowest;       /* no unit below is free */
    bool cool; /* the memory of free pages went back, and nothing was taken or freed since: huge
                * pages may make memory of what is beside a run that is taken */
    uint64_t taken[WORDS];
};

#define FIRST_UNIT ((uint32_t)((sizeof(struct run_region) + RUN_UNIT_BYTES - 1) / RUN_UNIT_BYTES))
#define UNITS_THERE (REGION_UNITS - FIRST_UNIT)

static_assert(RUN_UNITS_MAX <= UNITS_THERE, "the longest run fits a region");

/* The lock is held for a few runs, or for a region that is cooled. */
static struct {
    struct region_lists lists;
    struct run_usage usage;
} pool = {.lists = {.lock = PTHREAD_MUTEX_INITIALIZER}};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_up(void)
{
    region_lists_init(&pool.lists);
}

static struct run_region *region_of(void *run)
{
    return (struct run_region *)(void *)((char *)run - (uintptr_t)run % REGION_BYTES);
}

static struct run_region *region_of_node(struct list_node *node)
{
    return container_of(node, struct run_region, node);
}

/* ---- Units ---- */

/* The lowest run that is long enough; REGION_UNITS when there is none. */
static uint32_t find_run(struct run_region *r, uint32_t units)
{
    uint32_t longest = 0;
    uint32_t at = bits_find(r->taken, r->lowest, REGION_UNITS, false);

    r->lowest = at;
    while (at + units <= REGION_UNITS) {
        uint32_t end = bits_find(r->taken, at, at + units, true);

        if (end >= at + units)
            return at;
        longest = end - at > longest ? end - at : longest;
        at = bits_find(r->taken, end, REGION_UNITS, false);
    }
    if (at < REGION_UNITS && REGION_UNITS - at > longest)
        longest = REGION_UNITS - at;
    r->longest = longest;
    return REGION_UNITS;
}

/* ---- Regions ---- */

static struct run_region *region_create(void)
{
    struct run_region *r = system_memory_map(REGION_BYTES);

    if (r == NULL)
        return NULL;
    r->free = UNITS_THERE;
    r->longest = UNITS_THERE;
    r->lowest = FIRST_UNIT;
    r->cool = true;
    bits_mark(r->taken, 0, FIRST_UNIT, true);
    pool.usage.regions++;
    return r;
}

/* Gives the memory of the pages in which nothing is back to the system. Under the pool's lock. */
static void region_cool(struct list_node *node)
{
    struct run_region *r = region_of_node(node);
    size_t page = (size_t)getpagesize();
    uint32_t at = bits_find(r->taken, r->lowest, REGION_UNITS, false);

    if (r->cool)
        return;
    r->cool = true;
    while (at < REGION_UNITS) {
        uint32_t end = bits_find(r->taken, at, REGION_UNITS, true);
        size_t first = (at * RUN_UNIT_BYTES + page - 1) / page * page;
        size_t behind = end * RUN_UNIT_BYTES / page * page;

        if (first < behind)
            madvise((char *)r + first, behind - first, MADV_DONTNEED);
        at = bits_find(r->taken, end, REGION_UNITS, false);
    }
}

/* The system may refuse to take part of a mapping (vm.max_map_count): then it gets the memory. */
static void region_destroy(struct list_node *node)
{
    bool gone = munmap(region_of_node(node), REGION_BYTES) == 0;

    pthread_mutex_lock(&pool.lists.lock);
    if (gone) {
        pool.usage.regions--;
    } else {
        region_cool(node);
        region_lists_add_refused(&pool.lists, node);
    }
    pthread_mutex_unlock(&pool.lists.lock);
}

/* ---- Taking ---- */

/* A region that has such a run, which is at `*at`, or NULL. Under the pool's lock. */
static struct run_region *pool_find(uint32_t units, uint32_t *at)
{
    struct list_node *node = list_first(&pool.lists.partial);
    uint32_t searched = 0;

    for (uint32_t seen = 0; node != NULL && seen < SEEN_MAX && searched < SEARCHED_MAX; seen++) {
        struct run_region *r = region_of_node(node);

        node = list_next(&pool.lists.partial, node);
        if (r->longest < units)
            continue;
        searched++;
        *at = find_run(r, units);
        if (*at != REGION_UNITS)
            return r;
    }
    return NULL;
}

/* A region all of which is free, first in the list of partial ones, or NULL. Under the pool's
 * lock. */
static struct run_region *pool_add_region(void)
{
    struct list_node *spare = region_lists_take_spare(&pool.lists);
    struct run_region *r = spare != NULL ? region_of_node(spare) : region_create();

    if (r == NULL)
        return NULL;
    region_lists_use(&pool.lists, &r->node);
    return r;
}

/* Under the pool's lock. */
static void *pool_take(uint32_t units)
{
    uint32_t at;
    struct run_region *r = pool_find(units, &at);

    if (r == NULL) {
        r = pool_add_region();
        at = FIRST_UNIT;
    }
    if (r == NULL)
        return NULL;
    bits_mark(r->taken, at, units, true);
    pool.usage.live_units += units;
    r->cool = false;
    r->free -= units;
    r->longest = r->longest < r->free ? r->longest : r->free;
    if (r->lowest == at)
        r->lowest = at + units;
    if (r->free == 0) {
        region_lists_remove_partial(&pool.lists, &r->node);
    }
    return (char *)r + at * RUN_UNIT_BYTES;
}

uint32_t run_pool_take(uint32_t units, void **runs, uint32_t count)
{
    uint32_t taken = 0;

    assert(units != 0 && units <= RUN_UNITS_MAX);
    pthread_once(&once, set_up);
    pthread_mutex_lock(&pool.lists.lock);
    while (taken < count && (runs[taken] = pool_take(units)) != NULL)
        taken++;
    pthread_mutex_unlock(&pool.lists.lock);
    return taken;
}

/* ---- Putting back ---- */

/* Returns the region when all of it is free and it is not to be kept, in no list. Under the pool's
 * lock. */
static struct run_region *pool_put(uint32_t units, void *run)
{
    struct run_region *r = region_of(run);
    uint32_t at = (uint32_t)((size_t)((char *)run - (char *)r) / RUN_UNIT_BYTES);

    if (r->free == 0) {
        region_lists_add_partial(&pool.lists, &r->node);
    }
    bits_mark(r->taken, at, units, false);
    pool.usage.live_units -= units;
    r->free += units;
    r->longest = r->free;
    r->lowest = at < r->lowest ? at : r->lowest;
    r->cool = false;
    if (r->free != UNITS_THERE)
        return NULL;
    region_lists_remove_partial(&pool.lists, &r->node);
    if (pool.lists.spare_count >= SPARE_REGIONS_MAX)
        return r;
    region_lists_add_spare(&pool.lists, &r->node);
    return NULL;
}

void run_pool_put(uint32_t units, void *const *runs, uint32_t count)
{
    struct list empty;

    list_init(&empty);
    pthread_mutex_lock(&pool.lists.lock);
    for (uint32_t i = 0; i < count; i++) {
        struct run_region *r = pool_put(units, runs[i]);

        if (r != NULL)
            list_append(&empty, &r->node);
    }
    pthread_mutex_unlock(&pool.lists.lock);
    for (struct list_node *node; (node = list_take_first(&empty)) != NULL;)
        region_destroy(node);
}

/* ---- Trimming ---- */

void run_pool_trim(void)
{
    pthread_once(&once, set_up);
    region_lists_trim(&pool.lists, region_destroy, region_cool);
}

struct run_usage run_pool_usage(void)
{
    struct run_usage usage;

    pthread_mutex_lock(&pool.lists.lock);
    usage = pool.usage;
    pthread_mutex_unlock(&pool.lists.lock);
    return usage;
}
