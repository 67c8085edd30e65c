#include "base/memory.h"
#include "tests/unit/topology_helpers.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void set_up(struct world *w)
{
    world_begin(w);
    declare(w, "t", "topic", NULL);
    add_queue(w, "q");
}

/* What RabbitMQ 3.10.8 does with each. */
static const struct {
    const char *pattern;
    const char *key;
    bool matches;
} rules[] = {
    {"", "", true},
    {"", "a", false},
    {"#", "", true},
    {"#", "a", true},
    {"#", "a.b.c", true},
    {"#", "..", true},
    {"#.#", "", true},
    {"#.#", "a", true},
    {"*", "", false},
    {"*", "a", true},
    {"*", ".", false},
    {"*", "a.", false},
    {"*", "a.b", false},
    {"*.*", "a", false},
    {"*.*", "a.", true},
    {"*.*", ".", true},
    {"*.*", "a.b", true},
    {"#.*", "", false},
    {"#.*", "a", true},
    {"*.#", "", false},
    {"*.#", "a.b", true},
    {"a.b", "a.b", true},
    {"a.b", "a.c", false},
    {"a.b", "a", false},
    {"a.b", "a.b.c", false},
    {"a.*.b", "a.x.b", true},
    {"a.*.b", "a..b", true},
    {"a.*.b", "a.b", false},
    {"a.#.b", "a.b", true},
    {"a.#.b", "a..b", true},
    {"a.#.b", "a.x.y.b", true},
    {"a.#.b", "a.b.x", false},
    {"a.#", "a", true},
    {"a.#", "a.", true},
    {"a.#", "a.b.c", true},
    {"a.#", "b", false},
    {"a.*.#", "a", false},
    {"a.*.#", "a.b", true},
    {"#.a", "a", true},
    {"#.a", "b.a", true},
    {"#.a", "a.b", false},
    {"#.a.#", "a", true},
    {"#.a.#", "b.a.b", true},
    {"#.a.#", "b.b", false},
    {"#.*.#", "", false},
    {"#.*.#", "x", true},
    {"#.b.*", "b.b", true},
    {"#.b.*", "b", false},
    {"#.b.*", "b.b.b", true},
    {".", ".", true},
    {".", "..", false},
    {"..", "..", true},
    {"#.", "", false},
    {"#.", "a", false},
    {"#.", ".", true},
    {"#.", "a.", true},
    {"*.", "a.", true},
    {"*.", ".", true},
    {"**", "a", false},
    {"**", "**", true},
    {"##", "a", false},
    {"a*", "ab", false},
    {"a.##", "a.b", false},
    {"*", "*", true},
    {"a", "*", false},
    {"a.b", "a.#", false},
};

START_TEST(patterns_match_as_in_rabbitmq)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct world w;
        const char *expected = rules[i].matches ? "q" : "";

        set_up(&w);
        bind(&w, "t", "q", rules[i].pattern, NULL);
        ck_assert_msg(strcmp(route_names(&w, "t", rules[i].key, NULL), expected) == 0,
                      "'%s' and '%s'", rules[i].pattern, rules[i].key);
        unbind(&w, "t", "q", rules[i].pattern, NULL);
        expect_route(&w, "t", rules[i].key, NULL, "");
        world_end(&w);
    }
}
END_TEST

START_TEST(naive_matcher_obeys_the_same_rules)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        ck_assert_msg(naive_topic_match(rules[i].pattern, rules[i].key) == rules[i].matches,
                      "'%s' and '%s'", rules[i].pattern, rules[i].key);
}
END_TEST

START_TEST(all_patterns_of_an_exchange_count)
{
    struct world w;

    world_begin(&w);
    declare(&w, "t", "topic", NULL);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        char name[16];

        snprintf(name, sizeof(name), "q%02zu", i);
        add_queue(&w, name);
        bind(&w, "t", name, rules[i].pattern, NULL);
    }
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        char expected[1024] = "";

        for (size_t j = 0; j < sizeof(rules) / sizeof(rules[0]); j++) {
            if (naive_topic_match(rules[j].pattern, rules[i].key))
                sprintf(expected + strlen(expected), "%sq%02zu", expected[0] != '\0' ? " " : "", j);
        }
        expect_route(&w, "t", rules[i].key, NULL, expected);
    }
    world_end(&w);
}
END_TEST

/* Bindings come and go at random; after each change some keys are routed and held against a scan
 * of all bindings. */
#define MODEL_BINDINGS 40

struct model_binding {
    bool there;
    char queue[8];
    char pattern[64];
};

static void change(struct world *w, struct model_binding *b, struct random_sequence *r)
{
    if (b->there) {
        unbind(w, "t", b->queue, b->pattern, NULL);
        b->there = false;
        return;
    }
    snprintf(b->queue, sizeof(b->queue), "q%d", (int)random_sequence_below(r, 6));
    snprintf(b->pattern, sizeof(b->pattern), "%s", random_key(r, 6, true));
    bind(w, "t", b->queue, b->pattern, NULL);
    b->there = true;
}

/* Two entries of the model may be one binding; then they go together. */
static void drop_equals(struct model_binding *bindings, const struct model_binding *b)
{
    for (int i = 0; i < MODEL_BINDINGS; i++) {
        if (&bindings[i] != b && bindings[i].there && strcmp(bindings[i].queue, b->queue) == 0 &&
            strcmp(bindings[i].pattern, b->pattern) == 0)
            bindings[i].there = false;
    }
}

static void expect_model_route(struct world *w, const struct model_binding *bindings,
                               const char *key, uint64_t seed)
{
    char expected[64] = "";
    const char *got;

    for (int q = 0; q < 6; q++) {
        for (int i = 0; i < MODEL_BINDINGS; i++) {
            if (!bindings[i].there || bindings[i].queue[1] != '0' + q ||
                !naive_topic_match(bindings[i].pattern, key))
                continue;
            sprintf(expected + strlen(expected), "%sq%d", expected[0] != '\0' ? " " : "", q);
            break;
        }
    }
    got = route_names(w, "t", key, NULL);
    ck_assert_msg(strcmp(got, expected) == 0, "seed %llu: '%s' goes to '%s', not to '%s'",
                  (unsigned long long)seed, key, got, expected);
}

static void run_model(uint64_t seed)
{
    struct model_binding bindings[MODEL_BINDINGS] = {{.there = false}};
    struct random_sequence r;
    struct world w;

    random_sequence_seed(&r, seed);
    world_begin(&w);
    declare(&w, "t", "topic", NULL);
    for (int q = 0; q < 6; q++)
        add_queue(&w, (char[]){'q', (char)('0' + q), '\0'});
    for (int step = 0; step < 200; step++) {
        struct model_binding *b = &bindings[random_sequence_below(&r, MODEL_BINDINGS)];

        change(&w, b, &r);
        drop_equals(bindings, b);
        for (int i = 0; i < 3; i++)
            expect_model_route(&w, bindings, random_key(&r, 7, false), seed);
    }
    world_end(&w);
}

START_TEST(trie_agrees_with_a_scan_whatever_was_bound_and_unbound)
{
    uint64_t seed = first_seed();

    for (uint64_t i = 0; i < 200; i++)
        run_model(seed + i);
}
END_TEST

static int64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* As long as a key may be: `unit` again and again, `last` at the end. */
static void long_key(char key[256], const char *unit, const char *last)
{
    key[0] = '\0';
    while (strlen(key) + strlen(unit) + strlen(last) < 255)
        strcat(key, unit);
    strcat(key, last);
}

START_TEST(hostile_patterns_cost_words_times_nodes)
{
    static const char *const units[] = {"#.", "#.a.", "#.*.", "*.#.", "#.#.a.", "a.#.", "#.a.*."};
    char pattern[256];
    char key[256];
    struct world w;
    int64_t start;

    set_up(&w);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        long_key(pattern, units[i], "b");
        bind(&w, "t", "q", pattern, NULL);
    }
    long_key(key, "a.", "c");
    start = cpu_ns();
    expect_route(&w, "t", key, NULL, "");
    /* Below 128 words times 7 * 128 nodes; trying all ways would take longer than there is time. */
    ck_assert_int_lt(cpu_ns() - start, INT64_C(2000000000));
    long_key(key, "a.", "b");
    expect_route(&w, "t", key, NULL, "q");
    world_end(&w);
}
END_TEST

START_TEST(cost_does_not_depend_on_bindings_that_do_not_match)
{
    enum { BINDINGS = 20000, ROUTES = 20000 };
    int64_t few = 0;
    int64_t many = 0;
    struct world w;

    set_up(&w);
    bind(&w, "t", "q", "site.*.temperature", NULL);
    for (int round = 0; round < 2; round++) {
        int64_t start = cpu_ns();

        for (int i = 0; i < ROUTES; i++)
            expect_route(&w, "t", "site.x.temperature", NULL, "q");
        *(round == 0 ? &few : &many) = cpu_ns() - start;
        for (int i = 0; i < BINDINGS && round == 0; i++) {
            char pattern[64];

            snprintf(pattern, sizeof(pattern), i % 2 == 0 ? "site.%d.#" : "other.*.%d", i);
            bind(&w, "t", "q", pattern, NULL);
            snprintf(pattern, sizeof(pattern), "literal.%d", i);
            bind(&w, "t", "q", pattern, NULL);
        }
    }
    /* A scan would be thousands of times slower. */
    ck_assert_int_lt(many, 20 * few);
    world_end(&w);
}
END_TEST

START_TEST(nodes_go_with_their_last_pattern)
{
    struct world w;
    size_t before;

    set_up(&w);
    bind(&w, "t", "q", "a.#", NULL);
    unbind(&w, "t", "q", "a.#", NULL);
    before = heap_in_use();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++) {
            char pattern[64];

            snprintf(pattern, sizeof(pattern), "a%d.b.*.c%d.#.d", i % 7, i);
            if (round == 0)
                bind(&w, "t", "q", pattern, NULL);
            else
                unbind(&w, "t", "q", pattern, NULL);
        }
        ck_assert(round == 1 || heap_in_use() == 0 || heap_in_use() > before + 100000);
    }
    /* The allocator keeps some chunks at hand, and hash tables may stay larger than they were. */
    ck_assert_uint_le(heap_in_use(), before + 16384);
    world_end(&w);
}
END_TEST

START_TEST(same_pattern_leads_to_many_queues)
{
    char expected[1024] = "";
    struct world w;

    set_up(&w);
    for (int i = 0; i < 50; i++) {
        char name[16];

        snprintf(name, sizeof(name), "q%02d", i);
        add_queue(&w, name);
        bind(&w, "t", name, "a.*", NULL);
        sprintf(expected + strlen(expected), "%s%s", i != 0 ? " " : "", name);
    }
    expect_route(&w, "t", "a.b", NULL, expected);
    for (int i = 0; i < 49; i++) {
        char name[16];

        snprintf(name, sizeof(name), "q%02d", i);
        unbind(&w, "t", name, "a.*", NULL);
    }
    expect_route(&w, "t", "a.b", NULL, "q49");
    world_end(&w);
}
END_TEST

/* One pattern is one leaf for many queues; others that begin like it part them from it. */
START_TEST(patterns_part_from_many_of_one_and_go_again)
{
    static const char *const others[] = {"a.b.c.*", "a.*",     "a.b.#.c", "a.b.*.d", "a.#",
                                         "a.b.x.*", "a.b.*.#", "*.b",     "a.b.*"};
    struct world w;

    set_up(&w);
    for (int i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof(name), "many%02d", i);
        add_queue(&w, name);
        bind(&w, "t", name, "a.b.*.c", NULL);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        bind(&w, "t", "q", others[i], NULL);
        route_names(&w, "t", "a.b.z.c", NULL);
        ck_assert_uint_ge(w.route.count, 40);
    }
    expect_route(&w, "t", "a.z.z.c", NULL, "q");
    expect_route(&w, "t", "z.b", NULL, "q");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        unbind(&w, "t", "q", others[i], NULL);
        route_names(&w, "t", "a.b.z.c", NULL);
        ck_assert_uint_ge(w.route.count, 40);
    }
    ck_assert_uint_eq(w.route.count, 40);
    expect_route(&w, "t", "a.b.z.d", NULL, "");
    for (int i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof(name), "many%02d", i);
        unbind(&w, "t", name, "a.b.*.c", NULL);
    }
    expect_route(&w, "t", "a.b.z.c", NULL, "");
    world_end(&w);
}
END_TEST

UNIT_MAIN("exchange_topic", patterns_match_as_in_rabbitmq, naive_matcher_obeys_the_same_rules,
          all_patterns_of_an_exchange_count, trie_agrees_with_a_scan_whatever_was_bound_and_unbound,
          hostile_patterns_cost_words_times_nodes,
          cost_does_not_depend_on_bindings_that_do_not_match, nodes_go_with_their_last_pattern,
          same_pattern_leads_to_many_queues, patterns_part_from_many_of_one_and_go_again)
