#include "base/random.h"
#include "session/delivery_tags.h"
#include "tests/unit/unit.h"

#include <string.h>

/* Subscriptions are told apart by address; nobody looks into them. */
static char subscriptions[3];

static struct subscription *subscription(uint64_t i)
{
    return (struct subscription *)(void *)&subscriptions[i % 3];
}

static struct delivery_tags tags;

static void start(void)
{
    delivery_tags_init(&tags);
}

static void add(uint64_t tag)
{
    delivery_tags_add(&tags, tag, subscription(tag), 10 * tag);
}

static void expect_there(uint64_t tag)
{
    const struct delivery_tag_entry *entry = delivery_tags_find(&tags, tag);

    ck_assert_msg(entry != NULL, "tag %llu is not there", (unsigned long long)tag);
    ck_assert_ptr_eq(entry->subscription, subscription(tag));
    ck_assert_uint_eq(entry->number, 10 * tag);
}

START_TEST(empty_holds_nothing)
{
    start();
    ck_assert_ptr_null(tags.ring);
    for (uint64_t tag = 0; tag < 3; tag++)
        ck_assert_ptr_null(delivery_tags_find(&tags, tag));
    ck_assert_ptr_null(delivery_tags_find(&tags, UINT64_MAX));
    ck_assert_uint_eq(delivery_tags_first(&tags), 0);
    ck_assert_uint_eq(delivery_tags_next(&tags, 0), 0);
    ck_assert_uint_eq(delivery_tags_next(&tags, UINT64_MAX), 0);
    delivery_tags_free(&tags);
}
END_TEST

START_TEST(each_tag_is_found_until_it_is_settled)
{
    start();
    for (uint64_t tag = 1; tag <= 100; tag++)
        add(tag);
    for (uint64_t i = 1; i <= 100; i++) {
        uint64_t tag = i * 37 % 101;

        expect_there(tag);
        delivery_tags_remove(&tags, tag);
        ck_assert_ptr_null(delivery_tags_find(&tags, tag));
    }
    ck_assert_uint_eq(tags.count, 0);
    ck_assert_uint_eq(delivery_tags_first(&tags), 0);
    ck_assert_ptr_null(delivery_tags_find(&tags, 101));
    delivery_tags_free(&tags);
}
END_TEST

START_TEST(tags_left_out_count_as_settled)
{
    start();
    add(3);
    add(4);
    add(1000000);
    ck_assert_ptr_null(delivery_tags_find(&tags, 1));
    ck_assert_ptr_null(delivery_tags_find(&tags, 5));
    expect_there(1000000);
    ck_assert_uint_eq(delivery_tags_first(&tags), 3);
    ck_assert_uint_eq(delivery_tags_next(&tags, 0), 3);
    ck_assert_uint_eq(delivery_tags_next(&tags, 3), 4);
    ck_assert_uint_eq(delivery_tags_next(&tags, 4), 1000000);
    ck_assert_uint_eq(delivery_tags_next(&tags, 1000000), 0);
    ck_assert_uint_eq(delivery_tags_next(&tags, UINT64_MAX), 0);
    delivery_tags_free(&tags);
}
END_TEST

START_TEST(mark_of_a_transaction_stays_when_the_ring_grows)
{
    start();
    add(1);
    add(2);
    delivery_tags_find(&tags, 1)->in_transaction = 1;
    for (uint64_t tag = 3; tag < 100; tag++)
        add(tag);
    ck_assert_uint_eq(delivery_tags_find(&tags, 1)->in_transaction, 1);
    ck_assert_uint_eq(delivery_tags_find(&tags, 2)->in_transaction, 0);
    delivery_tags_free(&tags);
}
END_TEST

/* A slow message among fast ones, or a consumer with and one without acks on one channel. */
START_TEST(one_kept_back_does_not_hold_memory_for_those_settled_since)
{
    start();
    add(1);
    for (uint64_t tag = 2; tag < 100000; tag++) {
        add(tag);
        delivery_tags_remove(&tags, tag);
    }
    ck_assert_uint_le(tags.capacity, 16);
    add(UINT64_C(1) << 40);
    ck_assert_uint_le(tags.capacity, 16);
    expect_there(1);
    expect_there(UINT64_C(1) << 40);
    delivery_tags_free(&tags);
}
END_TEST

START_TEST(memory_of_a_large_ring_is_given_up_when_it_empties)
{
    start();
    for (uint64_t tag = 1; tag <= 5000; tag++)
        add(tag);
    for (uint64_t tag = 5000; tag >= 1; tag--)
        delivery_tags_remove(&tags, tag);
    ck_assert_ptr_null(tags.ring);
    add(5001);
    expect_there(5001);
    delivery_tags_free(&tags);
}
END_TEST

/* ---- Random operations beside a plain array ---- */

enum { MODEL_TAGS = 3000 };

static void expect_same(const bool *there, uint64_t last, struct random_sequence *r, uint64_t seed)
{
    uint64_t tag = random_sequence_below(r, last + 2);
    uint64_t next = tag + 1;
    uint64_t first = 1;

    ck_assert_msg((delivery_tags_find(&tags, tag) != NULL) == there[tag], "seed %llu, tag %llu",
                  (unsigned long long)seed, (unsigned long long)tag);
    if (there[tag])
        expect_there(tag);
    while (next <= last && !there[next])
        next++;
    ck_assert_uint_eq(delivery_tags_next(&tags, tag), next <= last ? next : 0);
    while (first <= last && !there[first])
        first++;
    ck_assert_uint_eq(delivery_tags_first(&tags), first <= last ? first : 0);
}

static void run_random(uint64_t seed)
{
    static bool there[MODEL_TAGS + 100];
    struct random_sequence r;
    uint64_t last = 0;
    uint32_t count = 0;
    uint64_t patience = 2 + seed % 7; /* how much is left unsettled */

    start();
    memset(there, 0, sizeof(there));
    random_sequence_seed(&r, seed);
    while (last < MODEL_TAGS) {
        uint64_t tag = random_sequence_below(&r, last + 1);

        if (random_sequence_below(&r, patience) != 0) {
            last += 1 + (random_sequence_below(&r, 8) == 0 ? random_sequence_below(&r, 50) : 0);
            add(last);
            there[last] = true;
            count++;
        } else if (random_sequence_below(&r, 4) == 0) { /* a multiple */
            for (uint64_t t = delivery_tags_next(&tags, 0); t != 0 && t <= tag;
                 t = delivery_tags_next(&tags, t)) {
                ck_assert(there[t]);
                delivery_tags_remove(&tags, t);
                there[t] = false;
                count--;
            }
        }
        for (int i = 0; i < 3 && (tag = delivery_tags_next(&tags, tag)) != 0; i++) {
            if (random_sequence_below(&r, 2) == 0) {
                delivery_tags_remove(&tags, tag);
                there[tag] = false;
                count--;
            }
        }
        expect_same(there, last, &r, seed);
        ck_assert_uint_eq(tags.count, count);
    }
    delivery_tags_free(&tags);
}

START_TEST(tags_are_those_that_a_plain_array_holds)
{
    for (uint64_t seed = 1; seed <= 100; seed++)
        run_random(seed);
}
END_TEST

UNIT_MAIN("delivery_tags", empty_holds_nothing, each_tag_is_found_until_it_is_settled,
          tags_left_out_count_as_settled, mark_of_a_transaction_stays_when_the_ring_grows,
          one_kept_back_does_not_hold_memory_for_those_settled_since,
          memory_of_a_large_ring_is_given_up_when_it_empties,
          tags_are_those_that_a_plain_array_holds)
