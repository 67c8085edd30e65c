/* The exchanges that choose one of their bindings: how evenly they choose, and what moves when
 * bindings come and go. Which queue a key leads to is tested in tests/wire/test_hash_exchanges.c.
 */
#include "tests/unit/topology_helpers.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define QUEUES 10
#define KEYS 20000

/* Chi-square of 9 degrees of freedom is above this once in 1,000. */
#define CHI_SQUARE_LIMIT 27.88

struct places {
    uint8_t of[KEYS]; /* the number of the queue that each key leads to */
};

static void queue_name(char name[16], unsigned number)
{
    snprintf(name, 16, "q%u", number);
}

static unsigned number_of(const char *name)
{
    unsigned number = 0;

    ck_assert_int_eq(sscanf(name, "q%u", &number), 1);
    return number;
}

static void set_up(struct world *w, const char *type)
{
    char name[16];

    world_begin(w);
    route_seed(&w->route, 1);
    declare(w, "x", type, NULL);
    for (unsigned i = 0; i < QUEUES; i++) {
        queue_name(name, i);
        add_queue(w, name);
    }
}

static void bind_number(struct world *w, unsigned number, const char *key)
{
    char name[16];

    queue_name(name, number);
    bind(w, "x", name, key, NULL);
}

static void bind_all(struct world *w, const char *key)
{
    for (unsigned i = 0; i < QUEUES; i++)
        bind_number(w, i, key);
}

static void find_places(struct world *w, struct places *p)
{
    char key[32];

    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "customer.%u", i);
        p->of[i] = (uint8_t)number_of(route_names(w, "x", key, NULL));
    }
}

/* That each queue has its share of the keys, which are `weights` of their sum. */
static void expect_shares(const struct places *p, const unsigned weights[QUEUES])
{
    unsigned counts[QUEUES] = {0};
    double chi_square = 0;
    double sum = 0;

    for (unsigned i = 0; i < KEYS; i++)
        counts[p->of[i]]++;
    for (unsigned i = 0; i < QUEUES; i++)
        sum += weights[i];
    for (unsigned i = 0; i < QUEUES; i++) {
        double expected = KEYS * weights[i] / sum;

        chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    ck_assert_double_lt(chi_square, CHI_SQUARE_LIMIT);
}

static const unsigned equal_weights[QUEUES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

START_TEST(random_is_even)
{
    struct world w;
    struct places p;

    set_up(&w, "x-random");
    bind_all(&w, "any");
    find_places(&w, &p);
    expect_shares(&p, equal_weights);
    world_end(&w);
}
END_TEST

START_TEST(random_does_not_go_by_key)
{
    struct world w;
    unsigned changes = 0;
    unsigned last = 0;

    set_up(&w, "x-random");
    bind_all(&w, "k");
    for (unsigned i = 0; i < 1000; i++) {
        unsigned now = number_of(route_names(&w, "x", "k", NULL));

        changes += now != last;
        last = now;
    }
    ck_assert_uint_gt(changes, 800);
    ck_assert(w.route.beyond_key);
    world_end(&w);
}
END_TEST

START_TEST(random_counts_a_queue_for_each_of_its_bindings)
{
    static const unsigned weights[QUEUES] = {2, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct world w;
    struct places p;

    set_up(&w, "x-random");
    bind_all(&w, "any");
    bind_number(&w, 0, "other");
    find_places(&w, &p);
    expect_shares(&p, weights);
    world_end(&w);
}
END_TEST

START_TEST(modulus_hash_is_even)
{
    struct world w;
    struct places p;

    set_up(&w, "x-modulus-hash");
    bind_all(&w, "");
    find_places(&w, &p);
    expect_shares(&p, equal_weights);
    ck_assert(!w.route.beyond_key);
    world_end(&w);
}
END_TEST

START_TEST(modulus_hash_does_not_ask_in_which_order_bindings_came)
{
    struct world w;
    struct places forward;
    struct places backward;

    set_up(&w, "x-modulus-hash");
    bind_all(&w, "");
    find_places(&w, &forward);
    delete_exchange(&w, "x");
    declare(&w, "x", "x-modulus-hash", NULL);
    for (unsigned i = QUEUES; i-- != 0;)
        bind_number(&w, i, "");
    find_places(&w, &backward);
    ck_assert_mem_eq(&forward, &backward, sizeof(forward));
    world_end(&w);
}
END_TEST

START_TEST(consistent_hash_follows_the_weights)
{
    static const unsigned weights[QUEUES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    struct world w;
    struct places p;
    char weight[16];

    set_up(&w, "x-consistent-hash");
    for (unsigned i = 0; i < QUEUES; i++) {
        snprintf(weight, sizeof(weight), "%u", weights[i]);
        bind_number(&w, i, weight);
    }
    find_places(&w, &p);
    expect_shares(&p, weights);
    ck_assert(!w.route.beyond_key);
    world_end(&w);
}
END_TEST

START_TEST(consistent_hash_moves_keys_to_a_new_queue_only)
{
    struct world w;
    struct places before;
    struct places after;
    unsigned moved = 0;

    set_up(&w, "x-consistent-hash");
    for (unsigned i = 0; i < QUEUES - 1; i++)
        bind_number(&w, i, "3");
    find_places(&w, &before);
    bind_number(&w, QUEUES - 1, "3");
    find_places(&w, &after);
    for (unsigned i = 0; i < KEYS; i++) {
        ck_assert(after.of[i] == before.of[i] || after.of[i] == QUEUES - 1);
        moved += after.of[i] != before.of[i];
    }
    ck_assert_uint_gt(moved, KEYS / QUEUES * 9 / 10);
    ck_assert_uint_lt(moved, KEYS / QUEUES * 11 / 10);
    world_end(&w);
}
END_TEST

START_TEST(consistent_hash_moves_only_the_keys_of_the_last_that_goes)
{
    struct world w;
    struct places before;
    struct places after;

    set_up(&w, "x-consistent-hash");
    bind_all(&w, "3");
    find_places(&w, &before);
    remove_queue(&w, "q9");
    find_places(&w, &after);
    for (unsigned i = 0; i < KEYS; i++)
        ck_assert(after.of[i] == before.of[i] || before.of[i] == QUEUES - 1);
    world_end(&w);
}
END_TEST

/* As with the plugin: those that came later move up. What comes before stays. */
START_TEST(consistent_hash_keeps_the_buckets_before_one_that_goes)
{
    struct world w;
    struct places before;
    struct places after;

    set_up(&w, "x-consistent-hash");
    bind_all(&w, "1");
    find_places(&w, &before);
    unbind(&w, "x", "q4", "1", NULL);
    find_places(&w, &after);
    for (unsigned i = 0; i < KEYS; i++) {
        if (before.of[i] < 4)
            ck_assert_uint_eq(after.of[i], before.of[i]);
        else if (before.of[i] < QUEUES - 1)
            ck_assert_uint_eq(after.of[i], before.of[i] + 1u);
    }
    world_end(&w);
}
END_TEST

START_TEST(consistent_hash_by_header_does_not_go_by_key)
{
    struct world w;
    char one[16];

    set_up(&w, "x-consistent-hash");
    delete_exchange(&w, "x");
    declare(&w, "x", "x-consistent-hash", "|hash-header=h");
    bind_all(&w, "5");
    snprintf(one, sizeof(one), "%s", route_names(&w, "x", "k", "h=v1"));
    ck_assert(w.route.beyond_key);
    for (unsigned i = 0; i < 100; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%u", i);
        expect_route(&w, "x", key, "h=v1", one);
    }
    world_end(&w);
}
END_TEST

/* Bindings come and go in any order; at each step the route is that of a fresh exchange with the
 * bindings that are left, in the order in which they came. */
START_TEST(consistent_hash_remembers_nothing_of_what_went)
{
    struct random_sequence r;
    unsigned order[QUEUES] = {0};
    unsigned count = 0;
    struct world w;

    random_sequence_seed(&r, 3);
    set_up(&w, "x-consistent-hash");
    for (unsigned step = 0; step < 300; step++) {
        unsigned number = (unsigned)random_sequence_below(&r, QUEUES);
        unsigned place = 0;
        char name[16];
        char weight[16];
        char got[16];

        while (place < count && order[place] != number)
            place++;
        queue_name(name, number);
        snprintf(weight, sizeof(weight), "%u", number + 1);
        if (place == count) {
            bind(&w, "x", name, weight, NULL);
            order[count++] = number;
        } else {
            unbind(&w, "x", name, weight, NULL);
            memmove(&order[place], &order[place + 1], (count - place - 1) * sizeof(order[0]));
            count--;
        }
        declare(&w, "fresh", "x-consistent-hash", NULL);
        for (unsigned i = 0; i < count; i++) {
            queue_name(name, order[i]);
            snprintf(weight, sizeof(weight), "%u", order[i] + 1);
            bind(&w, "fresh", name, weight, NULL);
        }
        for (unsigned i = 0; i < 20; i++) {
            snprintf(name, sizeof(name), "key%u", i);
            snprintf(got, sizeof(got), "%s", route_names(&w, "x", name, NULL));
            expect_route(&w, "fresh", name, NULL, got);
        }
        delete_exchange(&w, "fresh");
    }
    world_end(&w);
}
END_TEST

UNIT_MAIN("exchange_choice", random_is_even, random_does_not_go_by_key,
          random_counts_a_queue_for_each_of_its_bindings, modulus_hash_is_even,
          modulus_hash_does_not_ask_in_which_order_bindings_came,
          consistent_hash_follows_the_weights, consistent_hash_moves_keys_to_a_new_queue_only,
          consistent_hash_moves_only_the_keys_of_the_last_that_goes,
          consistent_hash_keeps_the_buckets_before_one_that_goes,
          consistent_hash_by_header_does_not_go_by_key,
          consistent_hash_remembers_nothing_of_what_went)
