#include "base/random.h"
#include "broker/entries.h"
#include "broker/entry_list.h"
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
    ck_assert_ptr_null(entries.delivered);
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

static uint64_t take_sequence(void)
{
    struct entry taken = take();

    message_unref(taken.message);
    return taken.sequence;
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
        taken[i].delivery_count = taken[i].sequence & ENTRY_DELIVERIES_MAX;
        entries_return(&entries, &taken[i], 0);
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
        entries_return(&entries, &taken[i], 0);
    take_and_drop(COUNT);
    ck_assert_ptr_null(entries.delivered);
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
        entries_return(&entries, &taken[i], 0);
        if (i >= 3)
            take_and_drop(1);
    }
    ck_assert_uint_eq(entries_count(&entries), 3);
    ck_assert_uint_eq(entries.delivered->block_count, 1);
    ck_assert_uint_le(entries.delivered->blocks[entries.delivered->blocks_begin].capacity, 8);
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

static uint32_t count_chunks(void)
{
    uint32_t count = 0;

    for (const struct entry_chunk *chunk = entries.head; chunk != NULL; chunk = chunk->next)
        count++;
    return count;
}

static void take_out(uint64_t sequence)
{
    struct entry taken;

    ck_assert(entries_has(&entries, sequence));
    ck_assert(entries_take(&entries, sequence, &taken));
    ck_assert_uint_eq(taken.sequence, sequence);
    ck_assert(!entries_has(&entries, sequence));
    ck_assert(!entries_take(&entries, sequence, &taken));
    message_unref(taken.message);
}

START_TEST(entries_are_taken_from_anywhere)
{
    start();
    append(1000);
    for (uint64_t s = 2; s <= 1000; s += 2)
        take_out(s);
    ck_assert_uint_eq(entries_count(&entries), 500);
    for (uint64_t s = 1; s <= 1000; s += 2) {
        struct entry taken = take();

        ck_assert_uint_eq(taken.sequence, s);
        message_unref(taken.message);
    }
    ck_assert_ptr_null(entries.depth);
    finish();
}
END_TEST

START_TEST(what_was_taken_behind_one_that_stays_costs_nothing)
{
    start();
    append(1);
    for (uint64_t s = 2; s <= 100000; s++) {
        append(1);
        take_out(s);
        ck_assert_uint_le(count_chunks(), 32);
    }
    ck_assert_uint_eq(take_sequence(), 1);
    finish();
}
END_TEST

START_TEST(returned_entries_are_taken_from_anywhere)
{
    struct entry taken[100];

    start();
    append(100);
    for (uint32_t i = 0; i < 100; i++)
        taken[i] = take();
    for (uint32_t i = 100; i-- != 0;)
        entries_return(&entries, &taken[i], 0);
    take_out(50);
    take_out(1);
    take_out(100);
    ck_assert_uint_eq(take_sequence(), 2);
    /* It comes back amid the others. */
    taken[0] = take();
    ck_assert_uint_eq(take_sequence(), 4);
    entries_return(&entries, &taken[0], 0);
    for (uint64_t s = 3; s < 100; s++) {
        if (s != 4 && s != 50)
            ck_assert_uint_eq(take_sequence(), s);
    }
    finish();
}
END_TEST

UNIT_MAIN("entries", sequence_numbers_are_those_given_at_the_tail, numbers_go_on_after_a_clear,
          empty_holds_no_memory, returned_in_any_order_they_come_lowest_first,
          memory_of_many_returned_goes_with_the_last,
          few_that_come_and_go_in_order_need_little_memory, ended_thread_leaves_no_spare_memory,
          entries_are_taken_from_anywhere, what_was_taken_behind_one_that_stays_costs_nothing,
          returned_entries_are_taken_from_anywhere)
