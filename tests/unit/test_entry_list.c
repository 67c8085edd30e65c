#include "base/random.h"
#include "broker/entry_list.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

enum { NUMBERS = 4000 };

/* A list, and beside it what is to be in it, by number. */
struct fixture {
    struct entry_list list;
    bool there[NUMBERS];
    bool paged[NUMBERS];
    uint32_t count;
    struct random_sequence random;
};

static struct fixture f;
static struct message *message; /* one stands for all: the list does not count references */

static void start(uint64_t seed)
{
    memset(&f, 0, sizeof(f));
    entry_list_init(&f.list);
    random_sequence_seed(&f.random, seed);
    message = message_create(bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0), 0);
}

static void finish(void)
{
    entry_list_free(&f.list);
    message_unref(message);
}

static uint32_t below(uint32_t limit)
{
    return (uint32_t)random_sequence_below(&f.random, limit);
}

static void add(uint32_t number, bool in_memory)
{
    const struct entry entry = {.message = in_memory ? message : NULL,
                                .sequence = number,
                                .location = {.segment = 1, .offset = number}};

    entry_list_add(&f.list, &entry);
    f.there[number] = true;
    f.paged[number] = !in_memory;
    f.count++;
}

static void check_taken(const struct entry *taken, uint32_t number)
{
    ck_assert(taken->sequence == number);
    ck_assert(taken->location.offset == number);
    ck_assert(taken->message == (f.paged[number] ? NULL : message));
    f.there[number] = false;
    f.count--;
}

static void take(uint32_t number)
{
    struct entry_cursor at;
    struct entry taken;

    ck_assert(entry_list_find(&f.list, number, &at) != NULL);
    entry_list_take(&f.list, at, &taken);
    check_taken(&taken, number);
    ck_assert(entry_list_find(&f.list, number, &at) == NULL);
}

static uint32_t first_number(void)
{
    uint32_t number = 0;

    while (!f.there[number])
        number++;
    return number;
}

static void take_first(void)
{
    struct entry taken;

    ck_assert(entry_list_first(&f.list)->sequence == first_number());
    entry_list_take_first(&f.list, &taken);
    check_taken(&taken, first_number());
}

/* Everything that the list tells of itself. */
static void check(void)
{
    struct entry_cursor at = {.block = 0};
    uint64_t first_paged = UINT64_MAX;
    uint32_t rank = 0;
    uint32_t paged = 0;
    uint32_t loaded = 0;

    for (uint32_t number = 0; number < NUMBERS; number++) {
        struct entry_cursor sought = entry_list_seek(&f.list, number);
        struct entry_cursor behind;

        ck_assert(sought.block == at.block);
        ck_assert(sought.index == at.index);
        if (!f.there[number])
            continue;
        behind = entry_list_behind(&f.list, rank);
        ck_assert(behind.block == at.block);
        ck_assert(behind.index == at.index);
        ck_assert(entry_list_at(&f.list, at)->sequence == number);
        if (f.paged[number] && paged++ == 0)
            first_paged = number;
        loaded += paged == 0;
        entry_list_next(&f.list, &at);
        rank++;
    }
    ck_assert(entry_list_at(&f.list, at) == NULL);
    ck_assert(f.list.count == f.count);
    ck_assert(f.list.paged == paged);
    ck_assert(f.list.loaded == loaded);
    ck_assert(f.list.first_paged == first_paged);
}

static uint64_t places(void)
{
    uint64_t capacity = 0;

    for (uint32_t i = 0; i < f.list.block_count; i++)
        capacity += f.list.blocks[f.list.blocks_begin + i].capacity;
    return capacity;
}

START_TEST(in_order_or_backwards_places_are_full)
{
    start(1);
    for (uint32_t n = 0; n < NUMBERS; n++)
        add(n, true);
    check();
    ck_assert(places() <= NUMBERS + 128);
    while (f.count != 0)
        take_first();
    check();
    for (uint32_t n = NUMBERS; n-- != 0;)
        add(n, true);
    check();
    ck_assert(places() <= NUMBERS + 128);
    for (uint32_t n = NUMBERS; n-- != 0;)
        take(n);
    check();
    finish();
}
END_TEST

START_TEST(gap_is_filled_from_either_side)
{
    for (int backwards = 0; backwards < 2; backwards++) {
        start(2);
        for (uint32_t n = 0; n < 1000; n++)
            add(n, true);
        for (uint32_t n = 3000; n < NUMBERS; n++)
            add(n, true);
        for (uint32_t n = 1000; n < 3000; n++)
            add(backwards ? 3999 - n : n, true);
        check();
        ck_assert(places() <= 2 * NUMBERS);
        finish();
    }
}
END_TEST

START_TEST(what_is_left_after_much_was_taken_costs_in_proportion)
{
    start(3);
    for (uint32_t n = 0; n < NUMBERS; n++)
        add(n, true);
    for (uint32_t n = 0; n < NUMBERS; n++) {
        if (n % 40 != 0)
            take(n);
    }
    check();
    ck_assert(places() <= 3 * f.count + 128);
    finish();
}
END_TEST

static void page_some(void)
{
    struct entry_cursor at = entry_list_seek(&f.list, below(NUMBERS));
    const struct entry *entry;

    for (uint32_t left = below(300); left != 0; left--) {
        entry_list_skip_paged(&f.list, &at);
        entry = entry_list_at(&f.list, at);
        if (entry == NULL)
            return;
        ck_assert(entry_list_page(&f.list, at) == message);
        f.paged[entry->sequence] = true;
        entry_list_next(&f.list, &at);
    }
}

static void put_some(void)
{
    struct entry_cursor at = entry_list_seek(&f.list, below(2) != 0 ? 0 : below(NUMBERS));
    const struct entry *entry;

    for (uint32_t left = below(300); left != 0; left--) {
        entry = entry_list_at(&f.list, at);
        if (entry == NULL)
            break;
        if (entry->message == NULL) {
            entry_list_put(&f.list, at, message);
            f.paged[entry->sequence] = false;
        }
        entry_list_next(&f.list, &at);
    }
    entry_list_tidy(&f.list);
}

/* Where messages skip what is paged, none that is in memory is passed. */
static void check_skip(void)
{
    uint32_t number = below(NUMBERS);
    struct entry_cursor at = entry_list_seek(&f.list, number);
    const struct entry *entry;

    while (number < NUMBERS && (!f.there[number] || f.paged[number]))
        number++;
    entry_list_skip_paged(&f.list, &at);
    entry = entry_list_at(&f.list, at);
    if (number == NUMBERS)
        ck_assert(entry == NULL);
    else
        ck_assert(entry->sequence == number);
}

/* Runs up, runs down and single ones, some of them not in memory. */
static void add_some(void)
{
    uint32_t number = below(NUMBERS);
    uint32_t step = below(3); /* NUMBERS - 1 is -1 */
    bool in_memory = below(4) != 0;

    for (uint32_t left = 1 + below(200); left != 0; left--) {
        if (!f.there[number])
            add(number, in_memory);
        number = (number + (step == 0 ? 1 : step == 1 ? NUMBERS - 1 : below(NUMBERS))) % NUMBERS;
    }
}

static void take_some(void)
{
    uint32_t left = 1 + below(200);
    uint32_t step = below(3);

    if (step == 0) {
        for (; left != 0 && f.count != 0; left--)
            take_first();
        return;
    }
    for (uint32_t number = below(NUMBERS); left != 0; left--) {
        if (f.there[number])
            take(number);
        number = (number + (step == 1 ? 1 : below(NUMBERS))) % NUMBERS;
    }
}

START_TEST(whatever_comes_and_goes_the_order_is_kept)
{
    start(7);
    for (int i = 0; i < 500; i++) {
        switch (below(5)) {
        case 0:
        case 1:
            add_some();
            break;
        case 2:
            take_some();
            break;
        case 3:
            page_some();
            break;
        default:
            put_some();
            break;
        }
        check();
        check_skip();
    }
    finish();
}
END_TEST

UNIT_MAIN("entry_list", in_order_or_backwards_places_are_full, gap_is_filled_from_either_side,
          what_is_left_after_much_was_taken_costs_in_proportion,
          whatever_comes_and_goes_the_order_is_kept)
