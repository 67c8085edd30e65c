#include "base/memory.h"
#include "base/random.h"
#include "perf/sequence.h"

#include <check.h>
#include <stdlib.h>

static struct sequence s;

static void setup(void)
{
    s = (struct sequence){0};
}

static void teardown(void)
{
    sequence_free(&s);
}

START_TEST(a_stream_in_order_misses_nothing)
{
    for (uint64_t n = 0; n < 1000; n++)
        ck_assert_int_eq(sequence_arrive(&s, n), SEQUENCE_EXPECTED);

    ck_assert_uint_eq(sequence_missing(&s, 1000), 0);
    ck_assert_uint_eq(sequence_missing(&s, 1003), 3);
    ck_assert_uint_eq(s.duplicates, 0);
}
END_TEST

START_TEST(a_gap_is_missing_until_it_is_filled)
{
    sequence_arrive(&s, 0);
    ck_assert_int_eq(sequence_arrive(&s, 3), SEQUENCE_AHEAD);
    ck_assert_uint_eq(sequence_missing(&s, 4), 2);

    ck_assert_int_eq(sequence_arrive(&s, 2), SEQUENCE_LATE);
    ck_assert_uint_eq(sequence_missing(&s, 4), 1);
    ck_assert_int_eq(sequence_arrive(&s, 1), SEQUENCE_LATE);
    ck_assert_uint_eq(sequence_missing(&s, 4), 0);
    ck_assert_int_eq(sequence_arrive(&s, 4), SEQUENCE_EXPECTED);
}
END_TEST

START_TEST(a_number_seen_again_is_a_duplicate)
{
    sequence_arrive(&s, 0);
    sequence_arrive(&s, 2);

    ck_assert_int_eq(sequence_arrive(&s, 0), SEQUENCE_DUPLICATE);
    ck_assert_int_eq(sequence_arrive(&s, 2), SEQUENCE_DUPLICATE);
    ck_assert_uint_eq(s.duplicates, 2);
    ck_assert_uint_eq(sequence_missing(&s, 3), 1);
}
END_TEST

START_TEST(what_leaves_the_window_unseen_is_lost)
{
    sequence_arrive(&s, 5);
    sequence_arrive(&s, 5 + (uint64_t)3 * SEQUENCE_WINDOW);

    ck_assert_uint_eq(sequence_missing(&s, 6 + (uint64_t)3 * SEQUENCE_WINDOW),
                      4 + (uint64_t)3 * SEQUENCE_WINDOW);
    ck_assert_int_eq(sequence_arrive(&s, 1), SEQUENCE_DUPLICATE);
}
END_TEST

/* Any order within the window, with some dropped and some doubled, is counted exactly. */
START_TEST(shuffled_streams_are_counted_exactly)
{
    enum { COUNT = 200000, BLOCK = 20000 };
    static uint32_t order[COUNT];
    uint64_t dropped = 0;
    uint64_t doubled = 0;
    struct random_sequence r;

    random_sequence_seed(&r, (uint64_t)_i + 1);
    for (uint32_t n = 0; n < COUNT; n++)
        order[n] = n;
    for (uint32_t start = 0; start < COUNT; start += BLOCK) {
        for (uint32_t n = BLOCK - 1; n > 0; n--) {
            uint32_t other = start + (uint32_t)random_sequence_below(&r, n + 1);
            uint32_t held = order[start + n];

            order[start + n] = order[other];
            order[other] = held;
        }
    }

    for (uint32_t n = 0; n < COUNT; n++) {
        uint64_t dice = random_sequence_below(&r, 10);

        if (dice == 0) {
            dropped++;
            continue;
        }
        if (sequence_arrive(&s, order[n]) == SEQUENCE_DUPLICATE)
            ck_abort_msg("%u was taken for a duplicate", order[n]);
        if (dice != 1)
            continue;
        doubled++;
        if (sequence_arrive(&s, order[n]) != SEQUENCE_DUPLICATE)
            ck_abort_msg("%u was not taken for a duplicate", order[n]);
    }

    ck_assert_uint_eq(sequence_missing(&s, COUNT), dropped);
    ck_assert_uint_eq(s.duplicates, doubled);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("perf_sequence");
    TCase *tc = tcase_create("sequence");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_stream_in_order_misses_nothing);
    tcase_add_test(tc, a_gap_is_missing_until_it_is_filled);
    tcase_add_test(tc, a_number_seen_again_is_a_duplicate);
    tcase_add_test(tc, what_leaves_the_window_unseen_is_lost);
    tcase_add_loop_test(tc, shuffled_streams_are_counted_exactly, 0, 5);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
