#include "broker/unacked.h"
#include "tests/unit/unit.h"

/* The entries are told apart by their sequence; all share one message that nobody looks into. */
static struct message *message;
static struct unacked unacked;

static void start(void)
{
    message = message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), 0);
    unacked_init(&unacked);
}

static void add(uint64_t count)
{
    while (count-- != 0)
        unacked_add(&unacked,
                    &(struct entry){.message = message, .sequence = 1000 + unacked.next_number});
}

/* Whether the number was not settled; settles it. */
static bool take(uint64_t number)
{
    uint32_t at = unacked_find(&unacked, number);
    struct unacked_slot *slot;

    if (at == unacked.span)
        return false;
    slot = unacked_at(&unacked, at);
    if (slot->number != number || unacked_is_settled(slot))
        return false;
    ck_assert_uint_eq(unacked_take(&unacked, slot).sequence, 1000 + number);
    unacked_tidy(&unacked);
    return true;
}

static void finish(void)
{
    for (uint32_t i = 0; i < unacked.span; i++) {
        if (!unacked_is_settled(unacked_at(&unacked, i)))
            unacked_take(&unacked, unacked_at(&unacked, i));
    }
    unacked_tidy(&unacked);
    unacked_free(&unacked);
    message_unref(message);
}

START_TEST(numbers_start_at_one_and_ascend)
{
    start();
    ck_assert_uint_eq(unacked_add(&unacked, &(struct entry){.message = message, .sequence = 1}), 1);
    ck_assert_uint_eq(unacked_add(&unacked, &(struct entry){.message = message, .sequence = 1}), 2);
    ck_assert_uint_eq(unacked.count, 2);
    finish();
}
END_TEST

START_TEST(each_number_is_taken_once_in_any_order)
{
    start();
    add(100);
    for (uint64_t n = 1; n <= 100; n++)
        ck_assert(take(n * 37 % 101));
    for (uint64_t n = 0; n <= 101; n++)
        ck_assert(!take(n));
    ck_assert_uint_eq(unacked.count, 0);
    finish();
}
END_TEST

START_TEST(find_gives_the_number_or_the_next_higher)
{
    start();
    ck_assert_uint_eq(unacked_find(&unacked, 0), 0);
    ck_assert_uint_eq(unacked_find(&unacked, 5), 0);
    add(10);
    ck_assert_uint_eq(unacked_find(&unacked, 0), 0);
    ck_assert_uint_eq(unacked_find(&unacked, 1), 0);
    ck_assert_uint_eq(unacked_find(&unacked, 10), 9);
    ck_assert_uint_eq(unacked_find(&unacked, 11), unacked.span);
    ck_assert_uint_eq(unacked_find(&unacked, UINT64_MAX), unacked.span);
    ck_assert(take(1));
    ck_assert_uint_eq(unacked_find(&unacked, 2), 0);
    finish();
}
END_TEST

START_TEST(one_kept_back_does_not_hold_memory_for_those_settled_since)
{
    start();
    add(1);
    for (uint64_t n = 2; n < 100000; n++) {
        add(1);
        ck_assert_msg(take(n), "%llu", (unsigned long long)n);
    }
    ck_assert_uint_le(unacked.capacity, 16);
    ck_assert(take(1));
    finish();
}
END_TEST

START_TEST(sparse_remains_are_found_after_the_gaps_are_closed)
{
    start();
    add(1000);
    for (uint64_t n = 1; n <= 1000; n++) {
        if (n % 10 != 5)
            ck_assert(take(n));
    }
    ck_assert_uint_eq(unacked.count, 100);
    ck_assert_uint_le(unacked.span, 400);
    add(1);
    for (uint64_t n = 5; n <= 1000; n += 10) {
        ck_assert(!take(n + 1));
        ck_assert(take(n));
    }
    ck_assert(take(1001));
    finish();
}
END_TEST

START_TEST(large_ring_is_freed_when_it_runs_empty)
{
    start();
    add(5000);
    for (uint64_t n = 1; n <= 5000; n++)
        ck_assert(take(n));
    ck_assert_ptr_null(unacked.slots);
    add(3);
    ck_assert(take(5002));
    finish();
}
END_TEST

UNIT_MAIN("unacked", numbers_start_at_one_and_ascend, each_number_is_taken_once_in_any_order,
          find_gives_the_number_or_the_next_higher,
          one_kept_back_does_not_hold_memory_for_those_settled_since,
          sparse_remains_are_found_after_the_gaps_are_closed,
          large_ring_is_freed_when_it_runs_empty)
