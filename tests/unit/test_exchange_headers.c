#include "tests/unit/topology_helpers.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static void set_up(struct world *w)
{
    world_begin(w);
    declare(w, "h", "headers", NULL);
    add_queue(w, "q");
}

/* What RabbitMQ 3.10.8 does with each. */
static const struct {
    const char *arguments;
    const char *headers;
    bool matches;
} rules[] = {
    /* no terms */
    {NULL, NULL, true},
    {NULL, "a=1", true},
    {"x-match=all", "a=1", true},
    {"x-match=all-with-x", NULL, true},
    {"x-match=all-with-x", "a=1", true},
    {"x-match=any", NULL, false},
    {"x-match=any", "a=1", false},
    {"x-match=any-with-x", "a=1", false},
    {"x-match=any-with-x", "x-match=any-with-x", false},

    /* all and any */
    {"a=1", "a=1", true},
    {"a=1", "a=2", false},
    {"a=1", NULL, false},
    {"A=1", "a=1", false},
    {"a=1 b=2", "b=2 a=1 c=3", true},
    {"a=1 b=2", "a=1", false},
    {"a=1 b=2", "a=1 b=3", false},
    {"a=1 b=2 x-match=any", "a=1", true},
    {"a=1 b=2 x-match=any", "a=2 b=2", true},
    {"a=1 b=2 x-match=any", "a=2 b=1", false},
    {"a=1 b=2 x-match=any", "c=1", false},
    {"a=1 b=2 x-match=any", NULL, false},

    /* keys that begin with x- */
    {"x-match=all x-a=1", "x-a=2", true},
    {"x-match=all x-a=1", NULL, true},
    {"x-a=1", "x-a=2", true},
    {"x-match=all-with-x x-a=1", "x-a=1", true},
    {"x-match=all-with-x x-a=1", "x-a=2", false},
    {"x-match=any x-a=1", "x-a=1", false},
    {"x-match=any-with-x x-a=1", "x-a=1", true},
    {"x-match=any-with-x x-a=1", "x-match=any-with-x", false},
    {"x-match=all-with-x a=1", "a=1", true},
    {"x-match=all-with-x a=1", "a=1 x-match=all-with-x", true},

    /* void in the binding means present */
    {"a=void", "a=1", true},
    {"a=void", "a=void", true},
    {"a=void", "b=1", false},
    {"a=void", NULL, false},
    {"a=1", "a=void", false},
    {"x-match=any a=void", "a=5", true},
    {"x-match=any a=void b=1", "b=1", true},
    {"x-match=any a=void", "b=5", false},
    {"a=void b=1", "a=s b=1", true},
    {"a=void b=1", "a=s b=2", false},

    /* values */
    {"a=1", "a=l1", true},
    {"a=s8:1", "a=l1", true},
    {"a=1", "a=1.0", true},
    {"a=1.0", "a=1", true},
    {"a=1.5", "a=1.5", true},
    {"a=1", "a=1.5", false},
    {"a=0.0", "a=-0.0", true},
    {"a=1", "a=l1099511627776", false},
    {"a=1", "a=T1", true},
    {"a=T1", "a=T1", true},
    {"a=T1", "a=T2", false},
    {"a=1", "a=true", false},
    {"a=true", "a=1", false},
    {"a=true", "a=true", true},
    {"a=true", "a=false", false},
    {"a=word", "a=word", true},
    {"a=word", "a=words", false},
    {"a=x:word", "a=word", true},
    {"a=word", "a=x:word", true},

    /* of repeated headers the first counts */
    {"a=1", "a=1 a=2", true},
    {"a=2", "a=1 a=2", false},
    {"x-match=any a=2", "a=1 a=2", false},

    /* many headers, which are found by an index */
    {"n=14 a=1", "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9 j=10 k=11 l=12 m=13 n=14", true},
    {"n=15 a=1", "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9 j=10 k=11 l=12 m=13 n=14", false},
    {"o=void", "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9 j=10 k=11 l=12 m=13 n=14", false},
    {"m=2", "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9 j=10 k=11 l=12 m=1 m=2", false},
};

START_TEST(bindings_match_as_in_rabbitmq)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct world w;
        const char *expected = rules[i].matches ? "q" : "";

        set_up(&w);
        bind(&w, "h", "q", "", rules[i].arguments);
        ck_assert_msg(strcmp(route_names(&w, "h", "", rules[i].headers), expected) == 0,
                      "'%s' and '%s'", rules[i].arguments, rules[i].headers);
        unbind(&w, "h", "q", "", rules[i].arguments);
        expect_route(&w, "h", "", rules[i].headers, "");
        world_end(&w);
    }
}
END_TEST

START_TEST(routing_key_does_not_matter)
{
    struct world w;

    set_up(&w);
    bind(&w, "h", "q", "key", "a=1");
    expect_route(&w, "h", "other", "a=1", "q");
    unbind(&w, "h", "q", "other", "a=1");
    expect_route(&w, "h", "other", "a=1", "q");
    unbind(&w, "h", "q", "key", "a=1");
    expect_route(&w, "h", "key", "a=1", "");
    world_end(&w);
}
END_TEST

/* {"list": ["x", {"k": n}]} */
static const struct table *nested_table(struct world *w, int32_t n)
{
    struct table *outer = arena_alloc(&w->arena, sizeof(*outer));
    struct value_array list = {.items = NULL};
    struct table inner = table_empty();

    table_append(&w->arena, &inner, bytes_from_string("k"), value_int32(n));
    value_array_append(&w->arena, &list, value_string(bytes_from_string("x")));
    value_array_append(&w->arena, &list, value_table(inner));
    *outer = table_empty();
    table_append(&w->arena, outer, bytes_from_string("list"), value_array(list));
    return outer;
}

static const struct table *given_headers(void *context)
{
    return context;
}

static uint32_t route_count(struct world *w, const struct table *headers)
{
    struct exchange *e = topology_find_exchange(w->topology, bytes_from_string("h"));
    struct route_request request = {
        .headers = given_headers,
        .context = (void *)(uintptr_t)headers,
    };

    topology_route(w->topology, e, &request, &w->route);
    return w->route.count;
}

START_TEST(nested_values_are_compared)
{
    struct binding_declaration b;
    struct world w;

    set_up(&w);
    b = binding_of(&w, "h", "q", "", NULL);
    b.arguments = nested_table(&w, 1);
    ck_assert_int_eq(topology_bind(w.topology, &b, &w.refusal), 0);
    ck_assert_uint_eq(route_count(&w, nested_table(&w, 1)), 1);
    ck_assert_uint_eq(route_count(&w, nested_table(&w, 2)), 0);

    b.arguments = nested_table(&w, 2);
    ck_assert_int_eq(topology_unbind(w.topology, &b, &w.refusal), 0);
    ck_assert_uint_eq(route_count(&w, nested_table(&w, 1)), 1);
    b.arguments = nested_table(&w, 1);
    ck_assert_int_eq(topology_unbind(w.topology, &b, &w.refusal), 0);
    ck_assert_uint_eq(route_count(&w, nested_table(&w, 1)), 0);
    world_end(&w);
}
END_TEST

static const struct {
    const char *arguments;
    const char *text;
} refused[] = {
    {"x-match=foo", "Invalid x-match field value <<\"foo\">>; expected all, any, all-with-x, or "
                    "any-with-x"},
    {"x-match=", "Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x"},
    {"x-match=ALL", "Invalid x-match field value <<\"ALL\">>; expected all, any, all-with-x, or "
                    "any-with-x"},
    {"x-match=5", "Invalid x-match field type signedint (value 5); expected longstr"},
    {"x-match=true", "Invalid x-match field type bool (value true); expected longstr"},
    {"x-match=void", "Invalid x-match field type void (value undefined); expected longstr"},
    {"x-match=1.5", "Invalid x-match field type double (value 1.5); expected longstr"},
};

START_TEST(invalid_x_match_is_refused)
{
    struct world w;

    set_up(&w);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct binding_declaration b = binding_of(&w, "h", "q", "", refused[i].arguments);

        expect_refusal(&w, topology_bind(w.topology, &b, &w.refusal), REFUSAL_PRECONDITION_FAILED,
                       refused[i].text);
        expect_route(&w, "h", "", NULL, "");
    }
    world_end(&w);
}
END_TEST

START_TEST(other_exchanges_do_not_mind_x_match)
{
    struct world w;

    set_up(&w);
    bind(&w, "amq.direct", "q", "k", "x-match=foo");
    expect_route(&w, "amq.direct", "k", NULL, "q");
    world_end(&w);
}
END_TEST

/* Bindings come and go at random; each route is held against a scan of all bindings. */
#define MODEL_BINDINGS 30

struct model_binding {
    bool there;
    char queue[8];
    char arguments[96];
};

static void random_table(struct random_sequence *r, char out[96], bool arguments)
{
    static const char *const modes[] = {"", "x-match=all ", "x-match=any ", "x-match=all-with-x ",
                                        "x-match=any-with-x "};
    static const char *const keys[] = {"a", "b", "c", "x-a", "x-b"};
    static const char *const values[] = {"1", "l1", "1.0", "2", "s", "true", "void"};

    strcpy(out, arguments ? modes[random_sequence_below(r, 5)] : "");
    for (int i = 0; i < 5; i++) {
        if (random_sequence_below(r, 2) == 0)
            continue;
        sprintf(out + strlen(out), "%s=%s ", keys[i], values[random_sequence_below(r, 7)]);
    }
}

static void change(struct world *w, struct model_binding *bindings, struct model_binding *b,
                   struct random_sequence *r)
{
    if (b->there) {
        unbind(w, "h", b->queue, "", b->arguments);
        b->there = false;
        return;
    }
    snprintf(b->queue, sizeof(b->queue), "q%d", (int)random_sequence_below(r, 4));
    random_table(r, b->arguments, true);
    for (int i = 0; i < MODEL_BINDINGS; i++) {
        if (bindings[i].there && strcmp(bindings[i].queue, b->queue) == 0 &&
            strcmp(bindings[i].arguments, b->arguments) == 0)
            return;
    }
    bind(w, "h", b->queue, "", b->arguments);
    b->there = true;
}

static void expect_model_route(struct world *w, const struct model_binding *bindings,
                               const char *headers, uint64_t seed)
{
    char expected[64] = "";
    const char *got;

    for (int q = 0; q < 4; q++) {
        for (int i = 0; i < MODEL_BINDINGS; i++) {
            if (!bindings[i].there || bindings[i].queue[1] != '0' + q ||
                !naive_headers_match(table_of(w, bindings[i].arguments), table_of(w, headers)))
                continue;
            sprintf(expected + strlen(expected), "%sq%d", expected[0] != '\0' ? " " : "", q);
            break;
        }
    }
    got = route_names(w, "h", "", headers);
    ck_assert_msg(strcmp(got, expected) == 0, "seed %llu: '%s' goes to '%s', not to '%s'",
                  (unsigned long long)seed, headers, got, expected);
}

static void run_model(uint64_t seed)
{
    struct model_binding bindings[MODEL_BINDINGS] = {{.there = false}};
    struct random_sequence r;
    struct world w;

    random_sequence_seed(&r, seed);
    world_begin(&w);
    declare(&w, "h", "headers", NULL);
    for (int q = 0; q < 4; q++)
        add_queue(&w, (char[]){'q', (char)('0' + q), '\0'});
    for (int step = 0; step < 100; step++) {
        char headers[96];

        change(&w, bindings, &bindings[random_sequence_below(&r, MODEL_BINDINGS)], &r);
        for (int i = 0; i < 2; i++) {
            random_table(&r, headers, false);
            expect_model_route(&w, bindings, headers, seed);
        }
    }
    world_end(&w);
}

START_TEST(index_agrees_with_a_scan_whatever_was_bound_and_unbound)
{
    uint64_t seed = first_seed();

    for (uint64_t i = 0; i < 40; i++)
        run_model(seed + i);
}
END_TEST

UNIT_MAIN("exchange_headers", bindings_match_as_in_rabbitmq, routing_key_does_not_matter,
          nested_values_are_compared, invalid_x_match_is_refused,
          other_exchanges_do_not_mind_x_match,
          index_agrees_with_a_scan_whatever_was_bound_and_unbound)
