#include "base/random.h"
#include "broker/expiry.h"
#include "tests/unit/unit.h"

static struct expiry_runs runs;
static struct expiry_heap heap;

static void start(void)
{
    runs = (struct expiry_runs){.items = NULL};
    heap = (struct expiry_heap){.items = NULL};
}

static void finish(void)
{
    expiry_runs_clear(&runs);
    expiry_heap_clear(&heap);
}

static void add(uint64_t sequence, int64_t time_ms)
{
    if (expiry_runs_add(&runs, sequence, expiry_encode(time_ms)))
        expiry_heap_add(&heap, sequence, expiry_encode(time_ms));
}

static int64_t at_head(uint64_t sequence)
{
    return expiry_decode(expiry_runs_at_head(&runs, sequence));
}

START_TEST(times_are_kept_to_the_millisecond)
{
    static const int64_t times[] = {0, 1, -1, 123456789, -123456789, INT64_C(315360000000)};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        ck_assert_int_eq(expiry_decode(expiry_encode(times[i])), times[i]);
        ck_assert_uint_lt(expiry_encode(times[i]), expiry_encode(times[i] + 1));
    }
    ck_assert_int_eq(expiry_decode(expiry_encode(EXPIRY_NEVER)), EXPIRY_NEVER);
    ck_assert_uint_eq(expiry_encode(EXPIRY_NEVER), 0);
    ck_assert_uint_eq(expiry_encode(INT64_MIN), 1);
    ck_assert_uint_eq(expiry_encode(INT64_MAX - 1), EXPIRY_CODE_MAX);
}
END_TEST

START_TEST(messages_of_one_moment_are_one_run)
{
    start();
    for (uint64_t s = 1; s <= 1000; s++)
        add(s, 5 + (int64_t)s / 100);
    ck_assert_uint_eq(runs.count, 11);
    ck_assert_uint_eq(heap.count, 0);
    ck_assert_int_eq(at_head(1), 5);
    ck_assert_int_eq(at_head(99), 5);
    ck_assert_int_eq(at_head(100), 6);
    ck_assert_uint_eq(runs.count, 10);
    ck_assert_int_eq(at_head(1001), EXPIRY_NEVER);
    ck_assert_uint_eq(runs.count, 0);
    finish();
}
END_TEST

/* A run counts in 23 bits. */
START_TEST(moment_of_more_messages_than_a_run_holds_takes_two)
{
    const uint64_t most = (1u << 23) - 1;

    start();
    for (uint64_t s = 1; s <= most + 10; s++)
        add(s, 5);
    ck_assert_uint_eq(runs.count, 2);
    ck_assert_uint_eq(heap.count, 0);
    ck_assert_int_eq(at_head(1), 5);
    ck_assert_int_eq(at_head(most), 5);
    ck_assert_int_eq(at_head(most + 1), 5);
    ck_assert_uint_eq(runs.count, 1);
    ck_assert_int_eq(at_head(most + 10), 5);
    ck_assert_int_eq(at_head(most + 11), EXPIRY_NEVER);
    finish();
}
END_TEST

START_TEST(messages_that_never_expire_are_told_from_others)
{
    start();
    add(2, 10);
    add(3, 10);
    add(6, 20);
    ck_assert_int_eq(at_head(1), EXPIRY_NEVER);
    ck_assert_int_eq(at_head(2), 10);
    ck_assert_int_eq(at_head(3), 10);
    ck_assert_int_eq(at_head(5), EXPIRY_NEVER);
    ck_assert_int_eq(at_head(6), 20);
    ck_assert_int_eq(at_head(7), EXPIRY_NEVER);
    finish();
}
END_TEST

START_TEST(next_in_order_passes_over_what_is_gone_or_out_of_order)
{
    start();
    add(1, 10);
    add(2, 5);
    add(3, 10);
    add(4, 30);
    ck_assert_uint_eq(heap.count, 1);
    ck_assert_uint_eq(expiry_runs_next(&runs)->sequence, 1);
    expiry_runs_drop_next(&runs);
    ck_assert_uint_eq(expiry_runs_next(&runs)->sequence, 3);
    expiry_runs_drop(&runs, 2);
    expiry_runs_drop(&runs, 4); /* is in order */
    expiry_runs_drop_next(&runs);
    ck_assert_uint_eq(expiry_runs_next(&runs)->sequence, 4);
    expiry_runs_drop_next(&runs);
    ck_assert_ptr_null(expiry_runs_next(&runs));
    finish();
}
END_TEST

START_TEST(heap_gives_times_in_order)
{
    struct random_sequence random;
    struct expiry_run last = {.sequence = 0};

    start();
    random_sequence_seed(&random, 1);
    for (uint64_t s = 1; s <= 1000; s++)
        expiry_heap_add(&heap, s, 1 + random_sequence_below(&random, 100));
    while (heap.count != 0) {
        ck_assert(expiry_run_before(&last, &heap.items[0]));
        last = heap.items[0];
        expiry_heap_drop_first(&heap);
    }
    ck_assert_ptr_null(heap.items);
    finish();
}
END_TEST

static bool is_even(void *context, const struct expiry_run *run)
{
    (void)context;
    return run->sequence % 2 == 0;
}

START_TEST(filtered_heap_has_what_is_needed_once)
{
    uint64_t code = 0;

    start();
    for (uint64_t s = 1; s <= 100; s++) {
        expiry_heap_add(&heap, s, 1000 - s);
        expiry_heap_add(&heap, s, 1000 - s);
    }
    expiry_heap_filter(&heap, is_even, NULL);
    ck_assert_uint_eq(heap.count, 50);
    while (heap.count != 0) {
        ck_assert_uint_lt(code, heap.items[0].code);
        code = heap.items[0].code;
        expiry_heap_drop_first(&heap);
    }
    finish();
}
END_TEST

START_TEST(message_with_a_time_of_its_own_costs_48_bytes_at_most)
{
    struct random_sequence random;

    start();
    random_sequence_seed(&random, 2);
    for (uint64_t s = 1; s <= 1000000; s++) {
        add(s, (int64_t)random_sequence_below(&random, 1000000));
        if (s >= 1000)
            ck_assert_uint_le((runs.capacity + heap.capacity) * sizeof(struct expiry_run), 48 * s);
    }
    finish();
}
END_TEST

START_TEST(what_is_gone_behind_one_that_stays_costs_nothing)
{
    start();
    add(1, INT64_C(1000000000));
    for (uint64_t s = 2; s <= 1000000; s++) {
        add(s, (int64_t)s);
        expiry_heap_drop_first(&heap);
        expiry_runs_drop(&runs, s);
        ck_assert_int_eq(at_head(1), 1000000000);
    }
    ck_assert_uint_le(runs.capacity, 256);
    ck_assert_ptr_null(heap.items);
    finish();
}
END_TEST

UNIT_MAIN("expiry", times_are_kept_to_the_millisecond, messages_of_one_moment_are_one_run,
          moment_of_more_messages_than_a_run_holds_takes_two,
          messages_that_never_expire_are_told_from_others,
          next_in_order_passes_over_what_is_gone_or_out_of_order, heap_gives_times_in_order,
          filtered_heap_has_what_is_needed_once,
          message_with_a_time_of_its_own_costs_48_bytes_at_most,
          what_is_gone_behind_one_that_stays_costs_nothing)
