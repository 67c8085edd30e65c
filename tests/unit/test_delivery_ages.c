#include "broker/delivery_ages.h"

#include "tests/unit/unit.h"

#include <stdlib.h>

enum { STEP_MS = 10 };

static struct delivery_ages ages;

static void note(uint64_t number, uint64_t oldest, int64_t now_ms)
{
    if (delivery_ages_due(&ages, now_ms))
        delivery_ages_note(&ages, number, oldest, now_ms, STEP_MS);
}

START_TEST(age_is_known_within_a_step)
{
    for (uint64_t n = 1; n <= 300; n++)
        note(n, 1, (int64_t)n);
    for (uint64_t n = 1; n <= 300; n++) {
        ck_assert_int_ge(delivery_ages_until(&ages, n), (int64_t)n);
        ck_assert_int_le(delivery_ages_until(&ages, n), (int64_t)n + STEP_MS);
    }
    delivery_ages_free(&ages);
}
END_TEST

START_TEST(what_was_made_by_a_time_is_old_enough)
{
    for (uint64_t n = 1; n <= 300; n++)
        note(n, 1, (int64_t)n);
    ck_assert_uint_eq(delivery_ages_made_by(&ages, 0), 0);
    ck_assert_uint_eq(delivery_ages_made_by(&ages, 400), UINT64_MAX);
    for (int64_t time_ms = 20; time_ms <= 300; time_ms++) {
        ck_assert_uint_le(delivery_ages_made_by(&ages, time_ms), (uint64_t)time_ms + 1);
        ck_assert_uint_ge(delivery_ages_made_by(&ages, time_ms), (uint64_t)time_ms - STEP_MS);
    }
    delivery_ages_free(&ages);
}
END_TEST

START_TEST(consumer_that_settles_needs_few_marks)
{
    for (uint64_t n = 1; n <= 100000; n++)
        note(n, n, (int64_t)n);
    ck_assert_uint_le(ages.count, 2);
    ck_assert_uint_le(ages.capacity, 4);
    delivery_ages_free(&ages);
}
END_TEST

/* One that is never settled among many that are: less exact with time, and never too early. */
START_TEST(marks_are_bounded)
{
    for (uint64_t n = 1; n <= 100000; n++)
        note(n, 1, (int64_t)n);
    ck_assert_uint_le(ages.count, 64);
    for (uint64_t n = 1; n <= 100000; n += 7)
        ck_assert_int_ge(delivery_ages_until(&ages, n), (int64_t)n);
    delivery_ages_free(&ages);
}
END_TEST

START_TEST(delivery_from_before_the_first_mark_counts_as_old_as_that)
{
    note(50, 1, 1000);
    ck_assert_int_eq(delivery_ages_until(&ages, 1), 1000 + STEP_MS);
    delivery_ages_forget(&ages);
    ck_assert(delivery_ages_due(&ages, 1001));
    ck_assert_uint_eq(delivery_ages_made_by(&ages, 5000), 0);
    delivery_ages_free(&ages);
}
END_TEST

START_TEST(marks_of_a_longer_step_count_from_a_new_beginning_on)
{
    delivery_ages_note(&ages, 1, 1, 100, 10000);
    ck_assert(!delivery_ages_due(&ages, 200));
    delivery_ages_begin_anew(&ages, 200);
    ck_assert_int_eq(delivery_ages_until(&ages, 1), 200);
    ck_assert(delivery_ages_due(&ages, 200));
    delivery_ages_free(&ages);
}
END_TEST

UNIT_MAIN("delivery_ages", age_is_known_within_a_step, what_was_made_by_a_time_is_old_enough,
          consumer_that_settles_needs_few_marks, marks_are_bounded,
          delivery_from_before_the_first_mark_counts_as_old_as_that,
          marks_of_a_longer_step_count_from_a_new_beginning_on)
