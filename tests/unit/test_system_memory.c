#include "base/clock.h"
#include "base/system_memory.h"
#include "tests/unit/unit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define MIB ((uint64_t)1 << 20)

START_TEST(rests_once_after_much_was_done)
{
    struct system_memory_rest r = {.seen_ns = 0};
    int64_t now = 100 * SECOND;
    int64_t ran = SECOND;

    ck_assert(!system_memory_rests(&r, now, ran)); /* how much of it just now cannot be told */
    now += SECOND;
    ran += SECOND / 2;
    ck_assert(!system_memory_rests(&r, now, ran)); /* at work */
    now += SECOND;
    ran += SECOND / 200;
    ck_assert(system_memory_rests(&r, now, ran));
    for (int i = 0; i < 50; i++) {
        now += SECOND;
        ran += SECOND / 200;
        ck_assert(!system_memory_rests(&r, now, ran)); /* nothing was done since */
    }
    now += SECOND;
    ran += SECOND;
    ck_assert(!system_memory_rests(&r, now, ran));
    now += SECOND;
    ck_assert(system_memory_rests(&r, now, ran));
}
END_TEST

START_TEST(a_long_way_between_two_looks_counts_as_it_is)
{
    struct system_memory_rest r = {.seen_ns = 0};

    system_memory_rests(&r, SECOND, SECOND);
    ck_assert(!system_memory_rests(&r, 11 * SECOND, SECOND + SECOND / 5)); /* a fiftieth */
    ck_assert(system_memory_rests(&r, 21 * SECOND, SECOND + SECOND / 5 + SECOND / 20));
}
END_TEST

START_TEST(the_clock_of_the_process_counts_work)
{
    int64_t before = clock_process_ns();
    volatile uint64_t sum = 0;

    while (clock_process_ns() - before < SECOND / 100)
        sum = sum + 1;
    ck_assert_uint_gt(sum, 0);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) /* with allocators of their own */
START_TEST(what_is_free_between_what_is_not_is_given_back)
{
    enum { BLOCKS = 20000, BLOCK_BYTES = 4000 };
    static char *blocks[BLOCKS];
    uint64_t held;

    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        ck_assert_ptr_nonnull(blocks[i]);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    for (int i = 0; i < BLOCKS; i++) {
        if (i % 16 != 0) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
    }
    held = system_memory_resident();
    system_memory_give_back();
    ck_assert_uint_lt(system_memory_resident(), held - 50 * MIB);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}
END_TEST
#define GIVEN_BACK , what_is_free_between_what_is_not_is_given_back
#else
#define GIVEN_BACK
#endif

UNIT_MAIN("system memory", rests_once_after_much_was_done,
          a_long_way_between_two_looks_counts_as_it_is,
          the_clock_of_the_process_counts_work GIVEN_BACK)
