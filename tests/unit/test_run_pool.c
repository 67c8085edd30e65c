#include "base/memory.h"
#include "base/random.h"
#include "base/run_pool.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REGION_BYTES ((size_t)2 << 20)
#define SPARE_REGIONS_MAX 4u

/* ---- A system that takes nothing back: linked with --wrap ---- */

static bool unmapping_is_refused;

int __wrap_munmap(void *begin, size_t size);

int __wrap_munmap(void *begin, size_t size)
{
    if (unmapping_is_refused) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_munmap, begin, size);
}

/* ---- Runs ---- */

struct run {
    uint8_t *bytes; /* NULL: none */
    uint32_t units;
    uint8_t mark;
};

static void fill(struct run *r, uint32_t units, uint8_t mark)
{
    void *bytes;

    ck_assert_uint_eq(run_pool_take(units, &bytes, 1), 1);
    ck_assert_uint_eq((uintptr_t)bytes % RUN_UNIT_BYTES, 0);
    *r = (struct run){.bytes = bytes, .units = units, .mark = mark};
    memset(bytes, mark, units * RUN_UNIT_BYTES);
}

static void check(const struct run *r)
{
    for (size_t i = 0; i < r->units * RUN_UNIT_BYTES; i++) {
        if (r->bytes[i] != r->mark)
            ck_abort_msg("byte %zu of a run of %u units was overwritten", i, r->units);
    }
}

static void empty(struct run *r)
{
    void *bytes = r->bytes;

    check(r);
    run_pool_put(r->units, &bytes, 1);
    r->bytes = NULL;
}

/* Of the region around an address: its bytes that are in memory. */
static size_t resident_bytes(uint8_t *inside)
{
    static unsigned char pages[REGION_BYTES / 4096];
    size_t page = (size_t)getpagesize();
    size_t count = 0;

    ck_assert_int_eq(mincore(inside - (uintptr_t)inside % REGION_BYTES, REGION_BYTES, pages), 0);
    for (size_t i = 0; i < REGION_BYTES / page; i++)
        count += pages[i] & 1u;
    return count * page;
}

/* Mostly small ones, now and then one of any length. */
static uint32_t draw_units(struct random_sequence *r)
{
    uint64_t most = random_sequence_below(r, 20) == 0 ? RUN_UNITS_MAX : 40;

    return 1 + (uint32_t)random_sequence_below(r, most);
}

START_TEST(runs_of_any_length_are_apart_and_keep_what_they_hold)
{
    enum { PLACES = 3000, STEPS = 100000 };
    static struct run runs[PLACES];
    struct random_sequence random;
    uint64_t live = 0;

    random_sequence_seed(&random, 11);
    for (uint32_t i = 0; i < STEPS; i++) {
        struct run *r = &runs[random_sequence_below(&random, PLACES)];

        if (r->bytes == NULL) {
            fill(r, draw_units(&random), (uint8_t)(1 + i % 251));
            live += r->units;
        } else {
            live -= r->units;
            empty(r);
        }
        if (i % 10000 == 0)
            run_pool_trim();
        ck_assert_uint_eq(run_pool_usage().live_units, live);
    }
    for (uint32_t i = 0; i < PLACES; i++) {
        if (runs[i].bytes != NULL)
            empty(&runs[i]);
    }
    ck_assert_uint_eq(run_pool_usage().live_units, 0);
    ck_assert_uint_le(run_pool_usage().regions, SPARE_REGIONS_MAX);
    run_pool_trim();
    ck_assert_uint_eq(run_pool_usage().regions, 0);
}
END_TEST

/* 16 MiB of runs of one length leave no more room between them than a region's end and head. */
START_TEST(regions_are_filled)
{
    static const uint32_t LENGTHS[] = {1, 6, 32, 100, 256};
    static void *runs[65536];

    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        uint32_t units = LENGTHS[i];
        uint32_t count = (uint32_t)(8 * REGION_BYTES / RUN_UNIT_BYTES) / units;

        ck_assert_uint_eq(run_pool_take(units, runs, count), count);
        ck_assert_uint_le(run_pool_usage().regions, 9);
        for (uint32_t k = 0; k < count; k += 16)
            run_pool_put(units, runs + k, count - k < 16 ? count - k : 16);
    }
}
END_TEST

START_TEST(room_between_runs_is_used_again)
{
    static void *runs[4096];
    void *again[1024];
    uint64_t regions;

    ck_assert_uint_eq(run_pool_take(8, runs, 4096), 4096);
    regions = run_pool_usage().regions;
    for (uint32_t i = 0; i < 4096; i += 4)
        run_pool_put(8, &runs[i], 1);
    ck_assert_uint_eq(run_pool_take(8, again, 1024), 1024);
    ck_assert_uint_eq(run_pool_usage().regions, regions);
}
END_TEST

START_TEST(pages_between_live_runs_return_again_and_again)
{
    enum { COUNT = 500, UNITS = 16, KEPT_EVERY = 50 };
    struct run runs[COUNT];

    if ((size_t)getpagesize() > UNITS * RUN_UNIT_BYTES)
        return;
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            if (round == 0 || i % KEPT_EVERY != 0)
                fill(&runs[i], UNITS, (uint8_t)(i % 251 + 1));
        }
        ck_assert_uint_ge(resident_bytes(runs[0].bytes), COUNT * UNITS * RUN_UNIT_BYTES);
        for (uint32_t i = 0; i < COUNT; i++) {
            if (i % KEPT_EVERY != 0)
                empty(&runs[i]);
        }
        run_pool_trim();
        /* Each that is kept lies on two pages, and so does the region's head. */
        ck_assert_uint_le(resident_bytes(runs[0].bytes),
                          2 * (COUNT / KEPT_EVERY + 1) * (size_t)getpagesize());
        for (uint32_t i = 0; i < COUNT; i += KEPT_EVERY)
            check(&runs[i]);
    }
}
END_TEST

START_TEST(region_that_cannot_be_unmapped_leaves_memory_and_is_used_again)
{
    enum { COUNT = 80 };
    struct run runs[COUNT];
    uint64_t regions;

    for (uint32_t i = 0; i < COUNT; i++)
        fill(&runs[i], RUN_UNITS_MAX, (uint8_t)(i + 1));
    regions = run_pool_usage().regions;
    unmapping_is_refused = true;
    for (int round = 0; round < 3; round++) {
        uint8_t *inside = runs[COUNT / 2].bytes;

        for (uint32_t i = 0; i < COUNT; i++)
            empty(&runs[i]);
        run_pool_trim();
        ck_assert_uint_eq(run_pool_usage().regions, regions);
        ck_assert_uint_le(resident_bytes(inside), (size_t)getpagesize());
        for (uint32_t i = 0; i < COUNT; i++)
            fill(&runs[i], RUN_UNITS_MAX, (uint8_t)(i + 1));
        ck_assert_uint_eq(run_pool_usage().regions, regions);
    }
    unmapping_is_refused = false;
    for (uint32_t i = 0; i < COUNT; i++)
        empty(&runs[i]);
    run_pool_trim();
    ck_assert_uint_eq(run_pool_usage().regions, 0);
}
END_TEST

START_TEST(refused_memory_is_told_and_later_asked_for_again)
{
    static void *runs[4096];
    struct rlimit limit;
    rlim_t former;
    uint32_t count;

    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    former = limit.rlim_cur;
    limit.rlim_cur = 64u << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    count = run_pool_take(RUN_UNITS_MAX, runs, 4096);
    ck_assert_uint_lt(count, 4096);
    limit.rlim_cur = former;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    ck_assert_uint_eq(run_pool_take(RUN_UNITS_MAX, runs + count, 100), 100);
    run_pool_put(RUN_UNITS_MAX, runs, count + 100);
    run_pool_trim();
    ck_assert_uint_eq(run_pool_usage().regions, 0);
}
END_TEST

/* ---- Threads ---- */

enum { THREADS = 4, HANDED_ON = 20000 };

struct hand_over {
    pthread_mutex_t lock;
    struct run runs[64];
    uint32_t count;
};

static struct hand_over hand_over = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Puts back what others took, and takes for others. */
static void *take_and_put(void *seed)
{
    struct random_sequence random;

    random_sequence_seed(&random, (uint64_t)(uintptr_t)seed);
    for (uint32_t i = 0; i < HANDED_ON; i++) {
        struct run mine;
        struct run other = {.bytes = NULL};

        fill(&mine, draw_units(&random), (uint8_t)(1 + random_sequence_below(&random, 255)));
        pthread_mutex_lock(&hand_over.lock);
        if (hand_over.count == 64) {
            struct run *place = &hand_over.runs[random_sequence_below(&random, 64)];

            other = *place;
            *place = mine;
        } else {
            hand_over.runs[hand_over.count++] = mine;
        }
        pthread_mutex_unlock(&hand_over.lock);
        if (other.bytes != NULL)
            empty(&other);
        if (i % 1000 == 0)
            run_pool_trim();
    }
    return NULL;
}

START_TEST(runs_are_put_back_on_other_threads)
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_put, (void *)(i + 1)), 0);
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    while (hand_over.count != 0)
        empty(&hand_over.runs[--hand_over.count]);
    run_pool_trim();
    ck_assert_uint_eq(run_pool_usage().regions, 0);
}
END_TEST

UNIT_MAIN("run_pool", runs_of_any_length_are_apart_and_keep_what_they_hold, regions_are_filled,
          room_between_runs_is_used_again, pages_between_live_runs_return_again_and_again,
          region_that_cannot_be_unmapped_leaves_memory_and_is_used_again,
          refused_memory_is_told_and_later_asked_for_again, runs_are_put_back_on_other_threads)
