#include "base/random.h"
#include "perf/histogram.h"

#include <check.h>
#include <stdlib.h>

static struct histogram h;

static void setup(void)
{
    histogram_reset(&h);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void expect_within(uint64_t got, uint64_t wanted, double share)
{
    double off = (double)got - (double)wanted;

    if (off < 0)
        off = -off;
    ck_assert_msg(off <= share * (double)wanted, "got %llu, wanted %llu", (unsigned long long)got,
                  (unsigned long long)wanted);
}

START_TEST(empty_histogram_answers_zero)
{
    ck_assert_uint_eq(histogram_count(&h), 0);
    ck_assert_uint_eq(histogram_min(&h), 0);
    ck_assert_uint_eq(histogram_max(&h), 0);
    ck_assert_uint_eq(histogram_percentile(&h, 50), 0);
    ck_assert_double_eq(histogram_mean(&h), 0);
}
END_TEST

START_TEST(small_values_are_exact)
{
    for (int v = 1; v <= 200; v++)
        histogram_record(&h, v);

    ck_assert_uint_eq(histogram_percentile(&h, 0.5), 1);
    ck_assert_uint_eq(histogram_percentile(&h, 50), 100);
    ck_assert_uint_eq(histogram_percentile(&h, 99), 198);
    ck_assert_uint_eq(histogram_percentile(&h, 99.9), 200);
    ck_assert_double_eq(histogram_mean(&h), 100.5);
}
END_TEST

START_TEST(every_single_value_is_within_four_per_mille)
{
    /* Two values, so that neither minimum nor maximum bounds the answer for the middle one. */
    for (uint64_t v = 1; v < (uint64_t)1 << 41; v += 1 + v / 37) {
        histogram_reset(&h);
        histogram_record(&h, 0);
        histogram_record(&h, (int64_t)v);
        histogram_record(&h, INT64_MAX);
        expect_within(histogram_percentile(&h, 60), v, 0.004);
    }
}
END_TEST

START_TEST(percentiles_match_sorted_values)
{
    enum { COUNT = 100000 };
    static uint64_t values[COUNT];
    static const double percents[] = {1, 10, 50, 90, 95, 99, 99.9, 99.99};
    struct random_sequence r;

    random_sequence_seed(&r, 7);
    for (int i = 0; i < COUNT; i++) {
        values[i] = 1 + (random_sequence_next(&r) >> (24 + random_sequence_below(&r, 38)));
        histogram_record(&h, (int64_t)values[i]);
    }
    qsort(values, COUNT, sizeof(values[0]), compare_u64);

    for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        unsigned rank = (unsigned)(percents[i] / 100 * COUNT);

        expect_within(histogram_percentile(&h, percents[i]), values[rank - 1], 0.004);
    }
    ck_assert_uint_eq(histogram_percentile(&h, 100), values[COUNT - 1]);
    ck_assert_uint_eq(histogram_percentile(&h, 0), values[0]);
}
END_TEST

START_TEST(out_of_range_values_are_clamped)
{
    histogram_record(&h, -5);
    histogram_record(&h, INT64_MAX);

    ck_assert_uint_eq(histogram_count(&h), 2);
    ck_assert_uint_eq(histogram_min(&h), 0);
    ck_assert_uint_eq(histogram_max(&h), ((uint64_t)1 << HISTOGRAM_MAX_BITS) - 1);
}
END_TEST

START_TEST(merge_equals_recording_into_one)
{
    static struct histogram a;
    static struct histogram b;
    struct random_sequence r;

    histogram_reset(&a);
    histogram_reset(&b);
    random_sequence_seed(&r, 11);
    for (int i = 0; i < 10000; i++) {
        int64_t v = (int64_t)random_sequence_below(&r, 1000000);

        histogram_record(&h, v);
        histogram_record(i % 3 == 0 ? &a : &b, v);
    }
    histogram_merge(&a, &b);

    ck_assert_mem_eq(&a, &h, sizeof(h));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("perf_histogram");
    TCase *tc = tcase_create("histogram");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, empty_histogram_answers_zero);
    tcase_add_test(tc, small_values_are_exact);
    tcase_add_test(tc, every_single_value_is_within_four_per_mille);
    tcase_add_test(tc, percentiles_match_sorted_values);
    tcase_add_test(tc, out_of_range_values_are_clamped);
    tcase_add_test(tc, merge_equals_recording_into_one);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
