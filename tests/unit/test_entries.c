#include "base/random.h"
#include "broker/entries.h"
#include "tests/unit/unit.h"

#include <pthread.h>

static const struct store_location nowhere = {.segment = 0};
static struct entries entries;

static void start(void)
{
    entries_init(&entries);
}

static void finish(void)
{
    entries_clear(&entries, NULL, NULL);
    ck_assert_ptr_null(entries.head);
    ck_assert_ptr_null(entries.returned);
}

static void append(uint32_t count)
{
    while (count-- != 0)
        entries_append(&entries,
                       message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), 0),
                       nowhere);
}

static struct entry take(void)
{
    struct entry taken = {.message = NULL};

    ck_assert(entries_take_first(&entries, &taken));
    return taken;
}

static void take_and_drop(uint32_t count)
{
    while (count-- != 0)
        message_unref(take().message);
}

START_TEST(sequence_numbers_are_those_given_at_the_tail)
{
    struct message *m = message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), 0);
    struct entry taken;

    start();
    append(300);
    ck_assert_uint_eq(entries_append(&entries, m, nowhere), 301);
    for (uint64_t i = 1; i <= 300; i++) {
        taken = take();
        ck_assert_uint_eq(taken.sequence, i);
        ck_assert_uint_eq(taken.delivery_count, 0);
        message_unref(taken.message);
    }
    taken = take();
    ck_assert_uint_eq(taken.sequence, 301);
    ck_assert_ptr_eq(taken.message, m);
    ck_assert(!entries_take_first(&entries, &taken));
    message_unref(m);
    finish();
}
END_TEST

START_TEST(numbers_go_on_after_a_clear)
{
    start();
    append(200);
    ck_assert_uint_eq(entries_count(&entries), 200);
    entries_clear(&entries, NULL, NULL);
    ck_assert_uint_eq(entries_count(&entries), 0);
    append(1);
    ck_assert_uint_eq(entries.next_sequence, 202);
    finish();
}
END_TEST

START_TEST(empty_holds_no_memory)
{
    start();
    append(1000);
    take_and_drop(1000);
    ck_assert_ptr_null(entries.head);
    ck_assert_ptr_null(entries.tail);
    finish();
}
END_TEST

START_TEST(returned_in_any_order_they_come_lowest_first)
{
    enum { COUNT = 500 };
    struct entry taken[COUNT];
    struct random_sequence random;

    start();
    random_sequence_seed(&random, 7);
    append(COUNT + 10);
    for (uint32_t i = 0; i < COUNT; i++)
        taken[i] = take();
    for (uint32_t i = COUNT; i > 1; i--) {
        uint32_t j = (uint32_t)random_sequence_below(&random, i);
        struct entry swapped = taken[j];

        taken[j] = taken[i - 1];
        taken[i - 1] = swapped;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        taken[i].delivery_count = (uint32_t)taken[i].sequence;
        entries_return(&entries, &taken[i]);
    }
    ck_assert_uint_eq(entries_count(&entries), COUNT + 10);
    for (uint64_t i = 1; i <= COUNT + 10; i++) {
        struct entry first = take();

        ck_assert_uint_eq(first.sequence, i);
        ck_assert_uint_eq(first.delivery_count, i <= COUNT ? i : 0);
        message_unref(first.message);
    }
    finish();
}
END_TEST

START_TEST(memory_of_many_returned_goes_with_the_last)
{
    enum { COUNT = 100 };
    struct entry taken[COUNT];

    start();
    append(COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        taken[i] = take();
    for (uint32_t i = 0; i < COUNT; i++)
        entries_return(&entries, &taken[i]);
    take_and_drop(COUNT);
    ck_assert_uint_eq(entries.returned_capacity, 0);
    finish();
}
END_TEST

START_TEST(few_that_come_and_go_in_order_need_little_memory)
{
    enum { COUNT = 10000 };
    static struct entry taken[COUNT];

    start();
    append(COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        taken[i] = take();
    for (uint32_t i = 0; i < COUNT; i++) {
        entries_return(&entries, &taken[i]);
        if (i >= 3)
            take_and_drop(1);
    }
    ck_assert_uint_eq(entries_count(&entries), 3);
    ck_assert_uint_le(entries.returned_capacity, 8);
    ck_assert_uint_eq(take().sequence, COUNT - 2);
    message_unref(taken[COUNT - 3].message);
    finish();
}
END_TEST

static void *use_and_end(void *context)
{
    struct entries own;
    struct entry taken;

    (void)context;
    entries_init(&own);
    for (int i = 0; i < 1000; i++)
        entries_append(&own,
                       message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), 0),
                       nowhere);
    while (entries_take_first(&own, &taken))
        message_unref(taken.message);
    return NULL;
}

/* Fails where leaks are looked for (AddressSanitizer). */
START_TEST(ended_thread_leaves_no_spare_memory)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, use_and_end, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

UNIT_MAIN("entries", sequence_numbers_are_those_given_at_the_tail, numbers_go_on_after_a_clear,
          empty_holds_no_memory, returned_in_any_order_they_come_lowest_first,
          memory_of_many_returned_goes_with_the_last,
          few_that_come_and_go_in_order_need_little_memory, ended_thread_leaves_no_spare_memory)
