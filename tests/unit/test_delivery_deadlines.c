#include "broker/delivery_deadlines.h"

#include "base/random.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

static struct unacked unacked;
static struct delivery_deadlines deadlines;
static struct message *message;

static void start(void)
{
    message = message_create(bytes_of(NULL, 0), bytes_from_string("q"), bytes_of(NULL, 0), 0);
    unacked_init(&unacked);
    deadlines = (struct delivery_deadlines){.next = 0};
}

static uint64_t add(int64_t due_ms)
{
    uint64_t number =
        unacked_add(&unacked, &(struct entry){.message = message_ref(message), .sequence = 1});

    if (due_ms != EXPIRY_NEVER)
        delivery_deadlines_add(&deadlines, &unacked, due_ms);
    return number;
}

static void settle_at(uint32_t distance)
{
    struct entry entry = unacked_take(&unacked, unacked_at(&unacked, distance));

    message_unref(entry.message);
    unacked_tidy(&unacked);
    delivery_deadlines_tidy(&deadlines, &unacked);
}

static void settle(uint64_t number)
{
    settle_at(unacked_find(&unacked, number));
}

static void finish(void)
{
    while (unacked.count != 0)
        settle_at(0);
    unacked_free(&unacked);
    delivery_deadlines_free(&deadlines);
    ck_assert_uint_eq(atomic_load(&message->references), 1);
    message_unref(message);
}

/* The next deadline, and whose it is. */
static void expect_first(int64_t due_ms, uint64_t number)
{
    uint32_t distance;

    ck_assert_int_eq(delivery_deadlines_first(&deadlines, &unacked, &distance), due_ms);
    if (due_ms != EXPIRY_NEVER)
        ck_assert_uint_eq(unacked_at(&unacked, distance)->number, number);
}

START_TEST(deadlines_come_in_the_order_of_deliveries)
{
    start();
    for (int64_t i = 1; i <= 100; i++)
        add(100 + i / 10);
    for (uint64_t n = 1; n <= 100; n++) {
        expect_first(100 + (int64_t)n / 10, n);
        settle(n);
    }
    expect_first(EXPIRY_NEVER, 0);
    ck_assert_uint_eq(deadlines.heap.capacity, 0);
    finish();
}
END_TEST

START_TEST(settled_deliveries_have_no_deadline)
{
    start();
    for (int i = 0; i < 10; i++)
        add(100 + i);
    settle(1);
    settle(3);
    settle(2);
    expect_first(103, 4);
    finish();
}
END_TEST

START_TEST(shorter_timeout_comes_first)
{
    start();
    add(100);
    add(50);
    add(70);
    add(100);
    expect_first(50, 2);
    settle(2);
    expect_first(70, 3);
    settle(3);
    expect_first(100, 1);
    settle(1);
    expect_first(100, 4);
    finish();
}
END_TEST

START_TEST(moved_deadline_counts_and_the_old_one_does_not)
{
    start();
    add(100);
    add(101);
    ck_assert_uint_eq(delivery_deadlines_move(&deadlines, &unacked, 1, 1, 200), 1);
    expect_first(101, 2);
    ck_assert_uint_eq(delivery_deadlines_move(&deadlines, &unacked, 1, 1, 50), 1);
    expect_first(50, 1);
    ck_assert_uint_eq(delivery_deadlines_move(&deadlines, &unacked, 1, 1, 300), 1);
    expect_first(101, 2);
    settle(2);
    expect_first(300, 1);
    settle(1);
    ck_assert_uint_eq(delivery_deadlines_move(&deadlines, &unacked, 1, 1, 300), 0);
    finish();
}
END_TEST

START_TEST(delivery_without_a_deadline_gets_none)
{
    start();
    add(EXPIRY_NEVER);
    ck_assert_uint_eq(delivery_deadlines_move(&deadlines, &unacked, 1, 1, 50), 1);
    expect_first(EXPIRY_NEVER, 0);
    add(100);
    ck_assert_uint_eq(delivery_deadlines_move(&deadlines, &unacked, 0, UINT64_MAX, 50), 2);
    expect_first(50, 2);
    ck_assert_uint_eq(delivery_deadlines_move(&deadlines, &unacked, 1, 1, 20), 1);
    expect_first(50, 2);
    finish();
}
END_TEST

START_TEST(all_moved_at_once_are_in_order_again)
{
    start();
    for (int i = 0; i < 1000; i++)
        add(1000 - i);
    ck_assert_uint_ne(deadlines.heap.count, 0);
    ck_assert_uint_eq(delivery_deadlines_move(&deadlines, &unacked, 0, UINT64_MAX, 500), 1000);
    ck_assert_uint_eq(deadlines.heap.count, 0);
    for (uint64_t n = 1; n <= 1000; n++) {
        expect_first(500, n);
        settle(n);
    }
    finish();
}
END_TEST

/* A consumer that works on one message for long, or on few. */
START_TEST(deadline_that_is_moved_again_and_again_leaves_nothing_behind)
{
    start();
    add(1);
    add(2);
    for (int64_t i = 3; i < 100000; i++)
        delivery_deadlines_move(&deadlines, &unacked, 1, 1, i);
    ck_assert_uint_le(deadlines.heap.capacity, 256);
    expect_first(2, 2);
    finish();
}
END_TEST

START_TEST(times_of_what_is_settled_go)
{
    start();
    for (int i = 0; i < 10000; i++)
        add(20000 - i);
    for (uint64_t n = 1; n <= 9990; n++)
        settle(n);
    ck_assert_uint_le(deadlines.heap.count, 128);
    finish();
    ck_assert_ptr_null(deadlines.heap.items);
}
END_TEST

/* What a million of them costs: no deadline of theirs was moved, or each was. */
START_TEST(deadline_costs_48_bytes_at_most)
{
    enum { COUNT = 1000000 };
    uint64_t bytes;

    start();
    for (int i = 0; i < COUNT; i++)
        add(i);
    bytes = unacked.capacity * sizeof(*unacked.deadlines);
    ck_assert_uint_le(bytes / COUNT, 16);
    for (uint64_t n = 1; n <= COUNT; n++)
        delivery_deadlines_move(&deadlines, &unacked, n, n, COUNT + (int64_t)n);
    bytes += deadlines.heap.capacity * sizeof(*deadlines.heap.items);
    ck_assert_uint_le(bytes / COUNT, 48);
    finish();
}
END_TEST

/* ---- Beside a model that looks at all ---- */

enum { MODEL = 400 };

static int64_t model_due[MODEL + 1]; /* by number; 0: settled */

static int64_t model_first(uint64_t count)
{
    int64_t first = EXPIRY_NEVER;

    for (uint64_t n = 1; n <= count; n++) {
        if (model_due[n] != 0 && model_due[n] < first)
            first = model_due[n];
    }
    return first;
}

static void check_first(uint64_t count)
{
    int64_t expected = model_first(count);
    uint32_t distance;

    ck_assert_int_eq(delivery_deadlines_first(&deadlines, &unacked, &distance), expected);
    if (expected != EXPIRY_NEVER)
        ck_assert_int_eq(model_due[unacked_at(&unacked, distance)->number], expected);
}

static void move_some(struct random_sequence *random, uint64_t count, int64_t due_ms)
{
    uint64_t first = 1 + random_sequence_below(random, count);
    uint64_t last = random_sequence_below(random, 10) == 0 ? UINT64_MAX : first;
    uint32_t moved = 0;

    if (last != first)
        first = 0;
    for (uint64_t n = first; n <= count && n <= last; n++) {
        if (n == 0 || model_due[n] == 0)
            continue;
        moved++;
        if (model_due[n] != EXPIRY_NEVER)
            model_due[n] = due_ms;
    }
    ck_assert_uint_eq(delivery_deadlines_move(&deadlines, &unacked, first, last, due_ms), moved);
}

static void settle_some(struct random_sequence *random, uint64_t count)
{
    uint64_t number = 1 + random_sequence_below(random, count);

    if (model_due[number] == 0)
        return;
    model_due[number] = 0;
    settle(number);
}

START_TEST(any_order_of_things_is_that_of_the_model)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct random_sequence random;
        uint64_t count = 0;

        random_sequence_seed(&random, seed);
        start();
        while (count < MODEL) {
            uint32_t what = (uint32_t)random_sequence_below(&random, 10);
            int64_t due_ms = 1 + (int64_t)random_sequence_below(&random, 1000);

            if (what < 4) {
                count++;
                model_due[count] = what == 0 ? EXPIRY_NEVER : due_ms / 4 + (int64_t)count;
                ck_assert_uint_eq(add(model_due[count]), count);
            } else if (count != 0 && what < 7) {
                settle_some(&random, count);
            } else if (count != 0) {
                move_some(&random, count, due_ms);
            }
            check_first(count);
        }
        finish();
    }
}
END_TEST

UNIT_MAIN("delivery_deadlines", deadlines_come_in_the_order_of_deliveries,
          settled_deliveries_have_no_deadline, shorter_timeout_comes_first,
          moved_deadline_counts_and_the_old_one_does_not, delivery_without_a_deadline_gets_none,
          all_moved_at_once_are_in_order_again,
          deadline_that_is_moved_again_and_again_leaves_nothing_behind, times_of_what_is_settled_go,
          deadline_costs_48_bytes_at_most, any_order_of_things_is_that_of_the_model)
