#include "base/bytes.h"
#include "base/hash_map.h"
#include "base/memory.h"
#include "base/random.h"
#include "tests/unit/unit.h"

struct item {
    struct hash_node node;
    uint64_t key;
    bool linked;
    unsigned visits;
};

static bool item_has_key(const struct hash_node *node, const void *key)
{
    return container_of(node, struct item, node)->key == *(const uint64_t *)key;
}

static bool never_equal(const struct hash_node *node, const void *key)
{
    (void)node;
    (void)key;
    ck_abort_msg("compared although no hash is equal");
}

static struct item *find(const struct hash_map *m, uint64_t hash, uint64_t key)
{
    struct hash_node *node = hash_map_find(m, hash, item_has_key, &key);

    return node != NULL ? container_of(node, struct item, node) : NULL;
}

START_TEST(empty_map_allocates_nothing_and_finds_nothing)
{
    struct hash_map m;

    hash_map_init(&m);
    ck_assert_ptr_null(m.buckets);
    ck_assert_ptr_null(find(&m, 1, 1));
    ck_assert_ptr_null(hash_map_first(&m));
    hash_map_clear(&m);
}
END_TEST

START_TEST(equal_hashes_are_told_apart_by_key)
{
    struct item a = {.key = 1}, b = {.key = 2};
    struct hash_map m;

    hash_map_init(&m);
    hash_map_insert(&m, &a.node, 7);
    hash_map_insert(&m, &b.node, 7);
    ck_assert_ptr_eq(find(&m, 7, 1), &a);
    ck_assert_ptr_eq(find(&m, 7, 2), &b);
    ck_assert_ptr_null(find(&m, 7, 3));
    hash_map_remove(&m, &a.node);
    ck_assert_ptr_null(find(&m, 7, 1));
    ck_assert_ptr_eq(find(&m, 7, 2), &b);
    hash_map_clear(&m);
}
END_TEST

START_TEST(keys_are_compared_on_equal_hashes_only)
{
    struct item a = {.key = 1};
    struct hash_map m;
    uint64_t key = 1;

    hash_map_init(&m);
    hash_map_insert(&m, &a.node, 8);
    ck_assert_ptr_null(hash_map_find(&m, 16, never_equal, &key)); /* the same bucket */
    hash_map_clear(&m);
}
END_TEST

/* Walks the map and expects each linked item once, and nothing else. */
static void expect_walk_visits_all(const struct hash_map *m, struct item *items, size_t count)
{
    size_t visited = 0;

    for (size_t i = 0; i < count; i++)
        items[i].visits = 0;
    for (struct hash_node *n = hash_map_first(m); n != NULL; n = hash_map_next(m, n)) {
        struct item *item = container_of(n, struct item, node);

        ck_assert(item->linked);
        ck_assert_uint_eq(item->visits++, 0);
        visited++;
    }
    ck_assert_uint_eq(visited, m->count);
}

/* Random insertions and removals against a plain array as the oracle. */
START_TEST(map_holds_exactly_what_was_inserted)
{
    enum { ITEMS = 2000, STEPS = 50000 };
    static struct item items[ITEMS];
    struct random_sequence r;
    struct hash_map m;
    size_t linked = 0;

    random_sequence_seed(&r, 1);
    hash_map_init(&m);
    for (size_t i = 0; i < ITEMS; i++)
        items[i].key = i;
    for (size_t step = 0; step < STEPS; step++) {
        struct item *item = &items[random_sequence_below(&r, ITEMS)];
        uint64_t hash = item->key / 3 * 0x9e3779b97f4a7c15u; /* three keys share each hash */
        bool fill = step % 20000 < 10000;

        ck_assert_ptr_eq(find(&m, hash, item->key), item->linked ? item : NULL);
        if (!item->linked && fill) {
            hash_map_insert(&m, &item->node, hash);
            item->linked = true;
            linked++;
        } else if (item->linked && !fill) {
            hash_map_remove(&m, &item->node);
            item->linked = false;
            linked--;
        }
        ck_assert_uint_eq(m.count, linked);
        if (step % 1000 == 0)
            expect_walk_visits_all(&m, items, ITEMS);
    }
    hash_map_clear(&m);
    ck_assert_uint_eq(m.count, 0);
    ck_assert_ptr_null(hash_map_first(&m));
}
END_TEST

START_TEST(buckets_follow_the_number_of_nodes)
{
    enum { ITEMS = 10000 };
    static struct item items[ITEMS];
    struct hash_map m;

    hash_map_init(&m);
    for (uint64_t i = 0; i < ITEMS; i++) {
        items[i].key = i;
        hash_map_insert(&m, &items[i].node, bytes_hash_seeded(bytes_of(&i, sizeof(i)), 1));
    }
    ck_assert_uint_ge(m.bucket_count, ITEMS);
    ck_assert_uint_lt(m.bucket_count, 4 * ITEMS);
    for (uint64_t i = 1; i < ITEMS; i++)
        hash_map_remove(&m, &items[i].node);
    ck_assert_uint_le(m.bucket_count, 16);
    ck_assert_ptr_eq(find(&m, items[0].node.hash, 0), &items[0]);
    hash_map_clear(&m);
}
END_TEST

START_TEST(walk_can_empty_the_map)
{
    enum { ITEMS = 300 };
    static struct item items[ITEMS];
    struct hash_map m;
    size_t removed = 0;
    struct hash_node *n;

    hash_map_init(&m);
    for (uint64_t i = 0; i < ITEMS; i++)
        hash_map_insert(&m, &items[i].node, i * 0x9e3779b97f4a7c15u);
    while ((n = hash_map_first(&m)) != NULL) {
        hash_map_remove(&m, n);
        removed++;
    }
    ck_assert_uint_eq(removed, ITEMS);
    hash_map_clear(&m);
}
END_TEST

static void count_visit(struct hash_node *node, void *context)
{
    ++*(size_t *)context;
    container_of(node, struct item, node)->visits++;
}

/* Items 0 to STAYING - 1 are there all the time; others come and go between the pieces, enough of
 * them to grow the map and to shrink it. */
START_TEST(scan_in_pieces_misses_nothing_that_stays)
{
    enum { STAYING = 500, OTHERS = 5000 };
    static struct item staying[STAYING];
    static struct item others[OTHERS];

    for (int growing = 0; growing < 2; growing++) {
        struct hash_map m;
        size_t visits = 0;
        size_t cursor = 0;
        unsigned pieces = 0;

        hash_map_init(&m);
        for (uint64_t i = 0; i < STAYING; i++) {
            staying[i] = (struct item){.key = i};
            hash_map_insert(&m, &staying[i].node, bytes_hash(bytes_of(&i, sizeof(i))));
        }
        for (uint64_t i = 0; i < OTHERS; i++) {
            uint64_t key = STAYING + i;

            others[i] = (struct item){.key = key};
            if (growing == 0)
                hash_map_insert(&m, &others[i].node, bytes_hash(bytes_of(&key, sizeof(key))));
        }
        do {
            cursor = hash_map_scan(&m, cursor, 100, count_visit, &visits);
            pieces++;
            if (pieces == 3) {
                for (uint64_t i = 0; i < OTHERS; i++) {
                    uint64_t key = STAYING + i;

                    if (growing == 0)
                        hash_map_remove(&m, &others[i].node);
                    else
                        hash_map_insert(&m, &others[i].node,
                                        bytes_hash(bytes_of(&key, sizeof(key))));
                }
            }
        } while (cursor != 0);
        for (uint64_t i = 0; i < STAYING; i++)
            ck_assert_uint_ge(staying[i].visits, 1);
        ck_assert_uint_gt(pieces, 3);
        hash_map_clear(&m);
    }
}
END_TEST

START_TEST(scan_of_a_map_that_does_not_change_visits_each_once)
{
    enum { COUNT = 1000 };
    static struct item items[COUNT];
    struct hash_map m;
    size_t visits = 0;
    size_t cursor = 0;

    hash_map_init(&m);
    ck_assert_uint_eq(hash_map_scan(&m, 0, 10, count_visit, &visits), 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        items[i] = (struct item){.key = i};
        hash_map_insert(&m, &items[i].node, bytes_hash(bytes_of(&i, sizeof(i))));
    }
    do {
        size_t before = visits;

        cursor = hash_map_scan(&m, cursor, 10, count_visit, &visits);
        ck_assert_uint_le(visits - before, 64);
    } while (cursor != 0);
    ck_assert_uint_eq(visits, COUNT);
    for (uint64_t i = 0; i < COUNT; i++)
        ck_assert_uint_eq(items[i].visits, 1);
    hash_map_clear(&m);
}
END_TEST

UNIT_MAIN("hash_map", empty_map_allocates_nothing_and_finds_nothing,
          equal_hashes_are_told_apart_by_key, keys_are_compared_on_equal_hashes_only,
          map_holds_exactly_what_was_inserted, buckets_follow_the_number_of_nodes,
          walk_can_empty_the_map, scan_in_pieces_misses_nothing_that_stays,
          scan_of_a_map_that_does_not_change_visits_each_once)
