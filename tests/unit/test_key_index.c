#include "base/memory.h"
#include "broker/key_index.h"
#include "tests/unit/topology_helpers.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

struct item {
    struct key_link link; /* `value` is the key */
    bool filed;
};

static bool has_key(const struct key_link *link, const void *key)
{
    return link->value == *(const uintptr_t *)key;
}

/* Hashes from few to force collisions. */
static uint32_t hash_of(uintptr_t key, uint32_t hashes)
{
    return (uint32_t)(key % hashes) * 0x9e3779b9u;
}

static void file(struct key_index *x, struct item *item, uint32_t hashes)
{
    key_index_add(x, &item->link, hash_of(item->link.value, hashes), has_key, &item->link.value);
    item->filed = true;
}

static void take_out(struct key_index *x, struct item *item, uint32_t hashes)
{
    uintptr_t key = item->link.value;
    struct key_set *found = key_index_find(x, hash_of(key, hashes), has_key, &key);
    uint32_t left = found->count - 1;

    ck_assert_int_eq(key_index_remove(x, found, &item->link), left == 0);
    item->filed = false;
}

static bool holds(const struct key_set *s, const struct key_link *link)
{
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        if (key_set_link(s, i) == link)
            return key_set_value(s, i) == link->value;
    }
    return false;
}

START_TEST(empty_index_owns_nothing_and_finds_nothing)
{
    struct key_index x = {.slots = NULL};
    struct item item = {.link.value = 7};
    uintptr_t key = 7;

    ck_assert_ptr_null(key_index_find(&x, 1, has_key, &key));
    file(&x, &item, 1);
    take_out(&x, &item, 1);
    ck_assert_ptr_null(x.slots);
    ck_assert_uint_eq(x.used, 0);
}
END_TEST

START_TEST(set_loses_the_one_that_is_removed)
{
    struct item items[5];
    struct key_set s = {.count = 0};

    for (uintptr_t i = 0; i < 5; i++) {
        items[i].link.value = i;
        key_set_add(&s, &items[i].link);
    }
    key_set_remove(&s, &items[0].link);
    key_set_remove(&s, &items[4].link);
    key_set_remove(&s, &items[2].link);
    ck_assert_uint_eq(s.count, 2);
    ck_assert(holds(&s, &items[1].link) && holds(&s, &items[3].link));
    key_set_remove(&s, &items[1].link);
    ck_assert_ptr_eq(key_set_link(&s, 0), &items[3].link);
    key_set_remove(&s, &items[3].link);
    ck_assert_uint_eq(s.count, 0);
}
END_TEST

static void expect_all_found(const struct key_index *x, const struct item *items, int count,
                             uintptr_t keys, uint32_t hashes)
{
    for (uintptr_t key = 0; key < keys; key++) {
        const struct key_set *s = key_index_find(x, hash_of(key, hashes), has_key, &key);
        uint32_t expected = 0;

        for (int i = 0; i < count; i++) {
            if (items[i].filed && items[i].link.value == key) {
                ck_assert(holds(s, &items[i].link));
                expected++;
            }
        }
        ck_assert_uint_eq(s != NULL ? s->count : 0, expected);
    }
}

/* From no collisions at all to nothing else. */
START_TEST(what_is_filed_is_found_whatever_came_and_went)
{
    enum { ITEMS = 200, KEYS = 60 };
    static const uint32_t hash_counts[] = {KEYS, 7, 1};

    for (uint64_t seed = 0; seed < 30; seed++) {
        uint32_t hashes = hash_counts[seed % 3];
        struct item items[ITEMS] = {{.filed = false}};
        struct key_index x = {.slots = NULL};
        struct random_sequence r;

        random_sequence_seed(&r, seed);
        for (int step = 0; step < 1000; step++) {
            struct item *item = &items[random_sequence_below(&r, ITEMS)];

            if (item->filed) {
                take_out(&x, item, hashes);
            } else {
                item->link.value = (uintptr_t)random_sequence_below(&r, KEYS);
                file(&x, item, hashes);
            }
            if (step % 25 == 0)
                expect_all_found(&x, items, ITEMS, KEYS, hashes);
        }
        for (int i = 0; i < ITEMS; i++) {
            if (items[i].filed)
                take_out(&x, &items[i], hashes);
        }
        ck_assert_ptr_null(x.slots);
    }
}
END_TEST

/* Its slots are more than a huge page. */
START_TEST(large_index_finds_what_is_there_and_nothing_else)
{
    enum { ITEMS = 150000 };
    struct item *items = memory_alloc_zeroed(ITEMS, sizeof(*items));
    struct key_index x = {.slots = NULL};

    for (uintptr_t i = 0; i < ITEMS; i++) {
        items[i].link.value = 2 * i;
        file(&x, &items[i], UINT32_MAX);
    }
    ck_assert_uint_eq(x.used, ITEMS);
    for (uintptr_t key = 0; key < 2 * (uintptr_t)ITEMS; key++) {
        const struct key_set *s = key_index_find(&x, hash_of(key, UINT32_MAX), has_key, &key);

        ck_assert(key % 2 == 0 ? holds(s, &items[key / 2].link) : s == NULL);
    }
    for (uintptr_t i = 0; i < ITEMS; i++)
        take_out(&x, &items[i], UINT32_MAX);
    ck_assert_ptr_null(x.slots);
    free(items);
}
END_TEST

UNIT_MAIN("key_index", empty_index_owns_nothing_and_finds_nothing,
          set_loses_the_one_that_is_removed, what_is_filed_is_found_whatever_came_and_went,
          large_index_finds_what_is_there_and_nothing_else)
