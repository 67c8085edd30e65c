#include "base/memory.h"
#include "base/slab.h"
#include "base/slab_pool.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

/* The objects that a thread keeps of a size may each lie in another slab. */
#define OWN_SLABS_MAX 33u

/* A number from a row that is the same each time. */
static uint32_t next_number(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static void mark(uint8_t *object, size_t size)
{
    memset(object, (int)(size % 251) + 1, size);
}

static void check_mark(const uint8_t *object, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (object[i] != size % 251 + 1)
            ck_abort_msg("byte %zu of an object of %zu was overwritten", i, size);
    }
}

/* Whether slabs are used at all: under AddressSanitizer they are not. */
static bool slabs_are_used(void)
{
    void *object = slab_alloc(1);
    bool used = slab_pool_usage().live_slabs != 0;

    slab_free(object, 1);
    return used;
}

/* Every size around which objects are made in another way, and all those up to LAST. */
static size_t size_number(size_t i)
{
    static const size_t LARGER[] = {65536, 262143, 262144, 262145, (size_t)1 << 20};
    enum { LAST = 8400 };

    if (i < LAST)
        return i + 1;
    return i - LAST < sizeof(LARGER) / sizeof(LARGER[0]) ? LARGER[i - LAST] : 0;
}

START_TEST(objects_of_any_size_are_aligned_and_apart)
{
    enum { SIZES_MAX = 9000, EACH = 3 };
    static uint8_t *objects[EACH][SIZES_MAX];

    for (size_t k = 0; k < EACH; k++) {
        for (size_t i = 0; size_number(i) != 0; i++) {
            ck_assert_uint_lt(i, SIZES_MAX);
            objects[k][i] = slab_alloc(size_number(i));
            ck_assert_ptr_nonnull(objects[k][i]);
            ck_assert_uint_eq((uintptr_t)objects[k][i] % alignof(max_align_t), 0);
            mark(objects[k][i], size_number(i));
        }
    }
    for (size_t k = 0; k < EACH; k++) {
        for (size_t i = 0; size_number(i) != 0; i++) {
            check_mark(objects[k][i], size_number(i));
            slab_free(objects[k][i], size_number(i));
        }
    }
}
END_TEST

static void come_and_go(uint32_t steps, uint32_t places, size_t size_max)
{
    static uint8_t *objects[5000];
    static size_t sizes[5000];
    uint64_t state = 1;

    for (uint32_t i = 0; i < steps; i++) {
        uint32_t place = next_number(&state) % places;

        if (objects[place] != NULL) {
            check_mark(objects[place], sizes[place]);
            slab_free(objects[place], sizes[place]);
            objects[place] = NULL;
            continue;
        }
        sizes[place] = 1 + next_number(&state) % size_max;
        objects[place] = slab_alloc(sizes[place]);
        ck_assert_ptr_nonnull(objects[place]);
        mark(objects[place], sizes[place]);
    }
    for (uint32_t place = 0; place < places; place++) {
        if (objects[place] == NULL)
            continue;
        check_mark(objects[place], sizes[place]);
        slab_free(objects[place], sizes[place]);
        objects[place] = NULL;
    }
}

START_TEST(objects_that_come_and_go_in_any_order_keep_what_they_hold)
{
    come_and_go(400000, 5000, 300);
    come_and_go(40000, 2000, 12000);
    come_and_go(2000, 200, 400000);
}
END_TEST

/* The limit on addresses is so far above what is in use. */
static void limit_addresses(uint64_t more_bytes)
{
    struct rlimit limit;
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
    fclose(f);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + more_bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

/* 64 MiB of objects, which then die as `shuffled` says. */
static void fill_and_free(bool shuffled)
{
    enum { OBJECTS = 524288, SIZE = 128 };
    static void *objects[OBJECTS];
    uint64_t state = 7;

    for (uint32_t i = 0; i < OBJECTS; i++) {
        objects[i] = slab_alloc(SIZE);
        if (objects[i] == NULL)
            ck_abort_msg("no memory for object %u", i);
        memset(objects[i], 1, SIZE);
    }
    for (uint32_t i = OBJECTS - 1; shuffled && i > 0; i--) {
        uint32_t other = next_number(&state) % (i + 1);
        void *swapped = objects[i];

        objects[i] = objects[other];
        objects[other] = swapped;
    }
    for (uint32_t i = 0; i < OBJECTS; i++)
        slab_free(objects[i], SIZE);
}

START_TEST(what_dies_in_any_order_returns_to_the_system)
{
    struct slab_usage usage;

    if (!slabs_are_used())
        return;
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        fill_and_free(shuffled);
        usage = slab_pool_usage();
        ck_assert_uint_gt(usage.warm_slabs, 0);
        ck_assert_uint_le(usage.live_slabs, OWN_SLABS_MAX);
        ck_assert_uint_le((usage.live_slabs + usage.warm_slabs) * SLAB_BYTES,
                          (4 + 2 * OWN_SLABS_MAX) * MIB);
        slab_pool_trim();
        ck_assert_uint_eq(slab_pool_usage().warm_slabs, 0);
    }
}
END_TEST

/* ---- Threads ---- */

enum { RING = 1024, PASSED = 1000000, PASSED_SIZE = 200 };

struct ring {
    void *_Atomic objects[RING];
};

static void *make_objects(void *context)
{
    struct ring *ring = context;

    for (uint32_t i = 0; i < PASSED; i++) {
        uint32_t *object = slab_alloc(PASSED_SIZE);

        if (object == NULL)
            abort();
        *object = i;
        while (atomic_load(&ring->objects[i % RING]) != NULL)
            sched_yield();
        atomic_store(&ring->objects[i % RING], object);
    }
    return NULL;
}

static void *free_objects(void *context)
{
    struct ring *ring = context;

    for (uint32_t i = 0; i < PASSED; i++) {
        uint32_t *object;

        while ((object = atomic_load(&ring->objects[i % RING])) == NULL)
            sched_yield();
        if (*object != i)
            abort();
        atomic_store(&ring->objects[i % RING], NULL);
        slab_free(object, PASSED_SIZE);
    }
    return NULL;
}

/* Of a backlog of small messages one of 250 stays: that costs a slab each, which is small. */
START_TEST(object_that_stays_keeps_little_from_returning)
{
    enum { SIZE = 128, COUNT = 100000, STAYS_EVERY = 250 };
    static void *objects[COUNT];
    uint64_t kept_bytes;

    if (!slabs_are_used())
        return;
    for (uint32_t i = 0; i < COUNT; i++)
        objects[i] = slab_alloc(SIZE);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (i % STAYS_EVERY != 0)
            slab_free(objects[i], SIZE);
    }
    kept_bytes = slab_pool_usage().live_slabs * SLAB_BYTES;
    ck_assert_uint_le(kept_bytes, (uint64_t)COUNT * SIZE / 3);
    for (uint32_t i = 0; i < COUNT; i += STAYS_EVERY)
        slab_free(objects[i], SIZE);
}
END_TEST

START_TEST(objects_are_freed_on_another_thread)
{
    enum { PAIRS = 2 };
    static struct ring rings[PAIRS];
    pthread_t makers[PAIRS];
    pthread_t takers[PAIRS];
    uint64_t live;

    live = slab_pool_usage().live_slabs;
    for (int i = 0; i < PAIRS; i++) {
        ck_assert_int_eq(pthread_create(&makers[i], NULL, make_objects, &rings[i]), 0);
        ck_assert_int_eq(pthread_create(&takers[i], NULL, free_objects, &rings[i]), 0);
    }
    for (int i = 0; i < PAIRS; i++) {
        pthread_join(makers[i], NULL);
        pthread_join(takers[i], NULL);
    }
    /* Threads that ended keep nothing. */
    ck_assert_uint_eq(slab_pool_usage().live_slabs, live);
}
END_TEST

static void *free_one(void *object)
{
    slab_free(object, 48);
    return NULL;
}

START_TEST(thread_that_only_freed_keeps_nothing)
{
    uint64_t live = slab_pool_usage().live_slabs;
    uint64_t slabs = 2 * SLAB_BYTES / 48;

    for (uint64_t i = 0; i < slabs; i++) {
        pthread_t thread;
        void *object = slab_alloc(48);

        ck_assert_ptr_nonnull(object);
        ck_assert_int_eq(pthread_create(&thread, NULL, free_one, object), 0);
        pthread_join(thread, NULL);
    }
    ck_assert_uint_le(slab_pool_usage().live_slabs, live + 1); /* this thread's own objects */
}
END_TEST

START_TEST(without_a_key_of_its_own_no_one_elses_is_touched)
{
    const pthread_key_t first = 0;
    pthread_key_t key;
    void *before;
    void *object;

    while (pthread_key_create(&key, NULL) == 0)
        continue;
    before = pthread_getspecific(first);
    object = slab_alloc(48);
    ck_assert_ptr_nonnull(object);
    ck_assert_ptr_eq(pthread_getspecific(first), before);
    slab_free(object, 48);
}
END_TEST

/* ---- Without memory ---- */

START_TEST(refused_memory_is_told_and_later_asked_for_again)
{
    enum { OBJECTS = 200000, SIZE = 1000 };
    static void *objects[OBJECTS];
    void *one_more;
    struct rlimit before;
    uint32_t count = 0;

    if (!slabs_are_used())
        return;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    limit_addresses(64 * MIB);
    while (count < OBJECTS) {
        objects[count] = slab_alloc(SIZE);
        if (objects[count] == NULL)
            break;
        count++;
    }
    ck_assert_uint_lt(count, OBJECTS);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    one_more = slab_alloc(SIZE);
    ck_assert_ptr_nonnull(one_more);
    slab_free(one_more, SIZE);
    for (uint32_t i = 0; i < count; i++)
        slab_free(objects[i], SIZE);
    ck_assert_uint_le(slab_pool_usage().live_slabs, OWN_SLABS_MAX);
}
END_TEST

UNIT_MAIN("slab", objects_of_any_size_are_aligned_and_apart,
          objects_that_come_and_go_in_any_order_keep_what_they_hold,
          what_dies_in_any_order_returns_to_the_system, objects_are_freed_on_another_thread,
          object_that_stays_keeps_little_from_returning, thread_that_only_freed_keeps_nothing,
          without_a_key_of_its_own_no_one_elses_is_touched,
          refused_memory_is_told_and_later_asked_for_again)
