#include "tests/unit/topology_helpers.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static void set_up(struct world *w)
{
    world_begin(w);
    declare(w, "d", "direct", NULL);
    add_queue(w, "a");
    add_queue(w, "b");
}

START_TEST(only_the_equal_key_matches)
{
    struct world w;

    set_up(&w);
    bind(&w, "d", "a", "key", NULL);
    bind(&w, "d", "b", "", NULL);
    expect_route(&w, "d", "key", NULL, "a");
    expect_route(&w, "d", "", NULL, "b");
    expect_route(&w, "d", "ke", NULL, "");
    expect_route(&w, "d", "keys", NULL, "");
    expect_route(&w, "d", "Key", NULL, "");
    world_end(&w);
}
END_TEST

START_TEST(wildcards_are_plain_words)
{
    struct world w;

    set_up(&w);
    bind(&w, "d", "a", "#", NULL);
    expect_route(&w, "d", "x", NULL, "");
    expect_route(&w, "d", "#", NULL, "a");
    world_end(&w);
}
END_TEST

START_TEST(binding_twice_is_one_binding)
{
    struct world w;

    set_up(&w);
    bind(&w, "d", "a", "k", "n=1 s=x");
    bind(&w, "d", "a", "k", "s=x n=1");
    expect_route(&w, "d", "k", NULL, "a");
    unbind(&w, "d", "a", "k", "n=1 s=x");
    expect_route(&w, "d", "k", NULL, "");
    world_end(&w);
}
END_TEST

START_TEST(other_arguments_make_another_binding)
{
    static const char *const arguments[] = {NULL,      "n=1",   "n=l1",  "n=2",
                                            "n=1 m=1", "n=1.0", "n=void"};
    const size_t count = sizeof(arguments) / sizeof(arguments[0]);
    struct world w;

    set_up(&w);
    for (size_t i = 0; i < count; i++)
        bind(&w, "d", "a", "k", arguments[i]);
    for (size_t i = 0; i < count; i++) {
        expect_route(&w, "d", "k", NULL, "a");
        unbind(&w, "d", "a", "k", arguments[i]);
    }
    expect_route(&w, "d", "k", NULL, "");
    world_end(&w);
}
END_TEST

START_TEST(of_a_repeated_argument_the_first_counts)
{
    struct world w;

    set_up(&w);
    bind(&w, "d", "a", "k", "n=1 n=2");
    unbind(&w, "d", "a", "k", "n=2");
    expect_route(&w, "d", "k", NULL, "a");
    unbind(&w, "d", "a", "k", "n=1");
    expect_route(&w, "d", "k", NULL, "");
    world_end(&w);
}
END_TEST

START_TEST(unbinding_what_differs_changes_nothing)
{
    struct world w;

    set_up(&w);
    bind(&w, "d", "a", "k", "n=1");
    unbind(&w, "d", "a", "k", NULL);
    unbind(&w, "d", "a", "k", "n=2");
    unbind(&w, "d", "a", "other", "n=1");
    unbind(&w, "d", "b", "k", "n=1");
    unbind(&w, "d", "missing", "k", "n=1");
    unbind(&w, "missing", "a", "k", "n=1");
    expect_route(&w, "d", "k", NULL, "a");
    world_end(&w);
}
END_TEST

/* Unbinding in the middle of many with one key must neither lose nor confuse the others. */
START_TEST(many_queues_share_a_key)
{
    enum { QUEUES = 300 };
    struct world w;

    world_begin(&w);
    declare(&w, "d", "direct", NULL);
    for (int i = 0; i < QUEUES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "q%03d", i);
        add_queue(&w, name);
        bind(&w, "d", name, "k", NULL);
    }
    for (int i = 0; i < QUEUES; i += 2) {
        char name[16];

        snprintf(name, sizeof(name), "q%03d", i);
        unbind(&w, "d", name, "k", NULL);
    }
    route_names(&w, "d", "k", NULL);
    ck_assert_uint_eq(w.route.count, QUEUES / 2);
    for (uint32_t i = 0; i < w.route.count; i++)
        ck_assert_int_eq((w.route.queues[i]->name.data[3] - '0') % 2, 1);
    world_end(&w);
}
END_TEST

START_TEST(many_keys_are_found_and_go_again)
{
    enum { KEYS = 5000 };
    struct world w;
    size_t before;

    set_up(&w);
    before = heap_in_use();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < KEYS; i++) {
            char key[32];

            snprintf(key, sizeof(key), "key-%d", i);
            if (round == 0)
                bind(&w, "d", i % 2 == 0 ? "a" : "b", key, NULL);
            else if (round == 1)
                expect_route(&w, "d", key, NULL, i % 2 == 0 ? "a" : "b");
            else
                unbind(&w, "d", i % 2 == 0 ? "a" : "b", key, NULL);
        }
    }
    expect_route(&w, "d", "key-17", NULL, "");
    ck_assert_uint_le(heap_in_use(), before + 16384);
    world_end(&w);
}
END_TEST

UNIT_MAIN("exchange_direct", only_the_equal_key_matches, wildcards_are_plain_words,
          binding_twice_is_one_binding, other_arguments_make_another_binding,
          of_a_repeated_argument_the_first_counts, unbinding_what_differs_changes_nothing,
          many_queues_share_a_key, many_keys_are_found_and_go_again)
