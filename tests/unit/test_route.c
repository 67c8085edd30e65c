#include "base/memory.h"
#include "tests/unit/topology_helpers.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 1

/* Every allocation of the program is counted: these take malloc's place. */
static unsigned long allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    allocations++;
    return __libc_realloc(p, size);
}
#endif

START_TEST(default_exchange_routes_by_queue_name)
{
    struct world w;

    world_begin(&w);
    add_queue(&w, "a");
    expect_route(&w, "", "a", NULL, "a");
    expect_route(&w, "", "b", NULL, "");
    remove_queue(&w, "a");
    expect_route(&w, "", "a", NULL, "");
    world_end(&w);
}
END_TEST

START_TEST(fanout_reaches_every_bound_queue)
{
    struct world w;

    world_begin(&w);
    add_queue(&w, "a");
    add_queue(&w, "b");
    add_queue(&w, "c");
    bind(&w, "amq.fanout", "a", "", NULL);
    bind(&w, "amq.fanout", "b", "ignored", NULL);
    expect_route(&w, "amq.fanout", "any", NULL, "a b");
    unbind(&w, "amq.fanout", "a", "", NULL);
    expect_route(&w, "amq.fanout", "any", NULL, "b");
    world_end(&w);
}
END_TEST

START_TEST(one_copy_per_queue_however_many_bindings_match)
{
    struct world w;

    world_begin(&w);
    add_queue(&w, "a");
    bind(&w, "amq.topic", "a", "#", NULL);
    bind(&w, "amq.topic", "a", "k", NULL);
    bind(&w, "amq.topic", "a", "*", NULL);
    bind(&w, "amq.fanout", "a", "1", NULL);
    bind(&w, "amq.fanout", "a", "2", NULL);
    bind(&w, "amq.fanout", "x:amq.topic", "", NULL);
    expect_route(&w, "amq.topic", "k", NULL, "a");
    expect_route(&w, "amq.fanout", "k", NULL, "a");
    world_end(&w);
}
END_TEST

/* More queues than are compared one by one. */
START_TEST(many_queues_are_told_apart)
{
    enum { QUEUES = 500 };
    struct world w;

    world_begin(&w);
    for (int i = 0; i < QUEUES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "q%03d", i);
        add_queue(&w, name);
        bind(&w, "amq.fanout", name, "1", NULL);
        bind(&w, "amq.fanout", name, "2", NULL);
    }
    for (int round = 0; round < 3; round++) {
        route_names(&w, "amq.fanout", "", NULL);
        ck_assert_uint_eq(w.route.count, QUEUES);
        for (uint32_t i = 1; i < w.route.count; i++)
            ck_assert_ptr_ne(w.route.queues[i - 1], w.route.queues[i]);
    }
    world_end(&w);
}
END_TEST

START_TEST(exchanges_lead_to_exchanges)
{
    struct world w;

    world_begin(&w);
    declare(&w, "in", "topic", NULL);
    declare(&w, "out", "direct", NULL);
    add_queue(&w, "a");
    bind(&w, "in", "x:out", "order.#", NULL);
    bind(&w, "out", "a", "order.new", NULL);
    expect_route(&w, "in", "order.new", NULL, "a");
    expect_route(&w, "in", "order.old", NULL, "");
    expect_route(&w, "in", "new", NULL, "");
    unbind(&w, "in", "x:out", "order.#", NULL);
    expect_route(&w, "in", "order.new", NULL, "");
    world_end(&w);
}
END_TEST

START_TEST(cycles_of_exchanges_end)
{
    struct world w;

    world_begin(&w);
    add_queue(&w, "a");
    add_queue(&w, "b");
    for (int i = 0; i < 100; i++) {
        char name[16];

        snprintf(name, sizeof(name), "x%d", i);
        declare(&w, name, "fanout", NULL);
    }
    for (int i = 0; i < 100; i++) {
        char from[16];
        char to[16];

        snprintf(from, sizeof(from), "x%d", i);
        snprintf(to, sizeof(to), "x:x%d", (i + 1) % 100);
        bind(&w, from, to, "", NULL);
        bind(&w, from, "x:x50", "", NULL);
    }
    bind(&w, "x7", "x:x7", "", NULL);
    bind(&w, "x99", "a", "", NULL);
    bind(&w, "x3", "b", "", NULL);
    for (int round = 0; round < 3; round++) {
        expect_route(&w, "x0", "", NULL, "a b");
        expect_route(&w, "x42", "", NULL, "a b");
    }
    world_end(&w);
}
END_TEST

START_TEST(alternate_takes_what_finds_no_binding)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "direct", "|alternate-exchange=other");
    add_queue(&w, "a");
    add_queue(&w, "b");
    bind(&w, "x", "a", "k", NULL);
    expect_route(&w, "x", "lost", NULL, "");
    declare(&w, "other", "fanout", NULL);
    bind(&w, "other", "b", "", NULL);
    expect_route(&w, "x", "k", NULL, "a");
    expect_route(&w, "x", "lost", NULL, "b");
    delete_exchange(&w, "other");
    expect_route(&w, "x", "lost", NULL, "");
    world_end(&w);
}
END_TEST

START_TEST(alternates_form_chains_and_cycles)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "direct", "|alternate-exchange=y");
    declare(&w, "y", "topic", "|alternate-exchange=z");
    declare(&w, "z", "headers", "|alternate-exchange=x");
    add_queue(&w, "a");
    expect_route(&w, "x", "k", NULL, "");
    bind(&w, "z", "a", "", "n=1");
    expect_route(&w, "x", "k", "n=1", "a");
    expect_route(&w, "x", "k", "n=2", "");
    world_end(&w);
}
END_TEST

/* A binding that matches is a match, also when nothing comes of it (RabbitMQ). */
START_TEST(alternate_is_not_asked_when_a_bound_exchange_routes_nothing)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "direct", "|alternate-exchange=amq.fanout");
    declare(&w, "empty", "fanout", NULL);
    add_queue(&w, "a");
    bind(&w, "amq.fanout", "a", "", NULL);
    bind(&w, "x", "x:empty", "k", NULL);
    expect_route(&w, "x", "k", NULL, "");
    expect_route(&w, "x", "other", NULL, "a");
    world_end(&w);
}
END_TEST

START_TEST(bound_exchange_has_an_alternate_of_its_own)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "fanout", NULL);
    declare(&w, "y", "direct", "|alternate-exchange=amq.fanout");
    add_queue(&w, "a");
    bind(&w, "amq.fanout", "a", "", NULL);
    bind(&w, "x", "x:y", "", NULL);
    expect_route(&w, "x", "k", NULL, "a");
    world_end(&w);
}
END_TEST

START_TEST(default_exchange_as_alternate_routes_nothing)
{
    struct world w;

    world_begin(&w);
    declare(&w, "x", "direct", "|alternate-exchange=");
    add_queue(&w, "a");
    expect_route(&w, "x", "a", NULL, "");
    world_end(&w);
}
END_TEST

START_TEST(every_routing_key_counts)
{
    struct bytes keys[] = {bytes_from_string("k1"), bytes_from_string("k2"),
                           bytes_from_string("nowhere"), bytes_from_string("k1")};
    struct route_request request = {.routing_keys = keys, .routing_key_count = 4};
    static const char *const exchanges[] = {"amq.direct", "amq.topic", ""};
    struct world w;

    world_begin(&w);
    add_queue(&w, "k1");
    add_queue(&w, "k2");
    for (int i = 0; i < 2; i++) {
        bind(&w, exchanges[i], "k1", "k1", NULL);
        bind(&w, exchanges[i], "k2", "k2", NULL);
    }
    for (int i = 0; i < 3; i++) {
        topology_route(w.topology,
                       topology_find_exchange(w.topology, bytes_from_string(exchanges[i])),
                       &request, &w.route);
        ck_assert_uint_eq(w.route.count, 2);
    }
    request.routing_key_count = 0;
    topology_route(w.topology, topology_find_exchange(w.topology, bytes_from_string("")), &request,
                   &w.route);
    ck_assert_uint_eq(w.route.count, 0);
    world_end(&w);
}
END_TEST

struct publisher {
    const struct table *headers;
    unsigned asked;
};

static const struct table *headers_of(void *context)
{
    struct publisher *p = context;

    p->asked++;
    return p->headers;
}

static void route_published(struct world *w, const char *exchange, struct publisher *p)
{
    struct bytes keys[] = {bytes_from_string("k")};
    struct route_request request = {
        .routing_keys = keys,
        .routing_key_count = 1,
        .headers = headers_of,
        .context = p,
    };

    p->asked = 0;
    topology_route(w->topology, topology_find_exchange(w->topology, bytes_from_string(exchange)),
                   &request, &w->route);
}

START_TEST(headers_are_asked_for_once_and_only_when_needed)
{
    struct publisher p;
    struct world w;

    world_begin(&w);
    p.headers = table_of(&w, "a=1");
    declare(&w, "h1", "headers", NULL);
    declare(&w, "h2", "headers", NULL);
    declare(&w, "f", "fanout", NULL);
    add_queue(&w, "q");
    bind(&w, "h1", "q", "", "a=1");
    bind(&w, "h2", "q", "", "a=2");
    bind(&w, "f", "q", "", NULL);

    route_published(&w, "f", &p);
    ck_assert_uint_eq(p.asked, 0);
    ck_assert(!w.route.beyond_key);

    bind(&w, "f", "x:h1", "", NULL);
    bind(&w, "f", "x:h2", "", NULL);
    route_published(&w, "f", &p);
    ck_assert_uint_eq(p.asked, 1);
    ck_assert(w.route.beyond_key);

    route_published(&w, "amq.direct", &p);
    ck_assert(!w.route.beyond_key);
    p.headers = NULL;
    route_published(&w, "h1", &p);
    ck_assert_uint_eq(w.route.count, 0);
    world_end(&w);
}
END_TEST

START_TEST(alternate_that_reads_headers_is_told)
{
    struct publisher p = {.headers = NULL};
    struct world w;

    world_begin(&w);
    declare(&w, "x", "direct", "|alternate-exchange=amq.headers");
    route_published(&w, "x", &p);
    ck_assert(w.route.beyond_key);
    world_end(&w);
}
END_TEST

/* One exchange of each kind that leads on to the next, with enough behind them that every
 * scratch memory of the router is in use. */
static void build_everything(struct world *w)
{
    world_begin(w);
    for (int i = 0; i < 60; i++) {
        char name[16];

        snprintf(name, sizeof(name), "q%02d", i);
        add_queue(w, name);
        bind(w, "amq.topic", name, i % 3 == 0 ? "#.b.#" : "a.*.#", NULL);
        bind(w, "amq.direct", name, "a.b.c", NULL);
        bind(w, "amq.headers", name, "", i % 2 == 0 ? "x-match=any a=1 b=2" : "a=1");
    }
    bind(w, "amq.fanout", "x:amq.topic", "", NULL);
    bind(w, "amq.fanout", "x:amq.direct", "", NULL);
    bind(w, "amq.fanout", "x:amq.headers", "", NULL);
    bind(w, "amq.topic", "x:amq.fanout", "#", NULL);
}

#ifdef COUNTS_ALLOCATIONS
START_TEST(steady_state_allocates_nothing)
{
    struct publisher p;
    unsigned long before;
    struct world w;

    build_everything(&w);
    p.headers = table_of(&w, "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9 j=10 k=11 l=12 m=13");
    route_published(&w, "amq.fanout", &p);
    before = allocations;
    for (int i = 0; i < 1000; i++) {
        route_published(&w, "amq.fanout", &p);
        route_published(&w, "amq.topic", &p);
        route_published(&w, "", &p);
    }
    ck_assert_uint_eq(allocations, before);
    ck_assert_uint_gt(before, 0);
    world_end(&w);
}
END_TEST

#define ALLOCATION_TESTS steady_state_allocates_nothing,
#else
#define ALLOCATION_TESTS
#endif

static void *route_often(void *context)
{
    struct world *shared = context;
    struct world mine = *shared;
    unsigned long wrong = 0;

    route_init(&mine.route);
    for (int i = 0; i < 300; i++) {
        struct bytes keys[] = {bytes_from_string("a.b.c")};
        struct publisher p = {.headers = NULL};
        struct route_request request = {
            .routing_keys = keys,
            .routing_key_count = 1,
            .headers = headers_of,
            .context = &p,
        };

        topology_route(mine.topology,
                       topology_find_exchange(mine.topology, bytes_from_string("amq.fanout")),
                       &request, &mine.route);
        wrong += mine.route.count != 60;
    }
    route_free(&mine.route);
    return (void *)wrong;
}

/* The thread sanitizer sees whoever changes what is shared. */
START_TEST(threads_route_at_once)
{
    pthread_t threads[4];
    struct world w;

    build_everything(&w);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, route_often, &w), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;

        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    world_end(&w);
}
END_TEST

UNIT_MAIN("route", default_exchange_routes_by_queue_name, fanout_reaches_every_bound_queue,
          one_copy_per_queue_however_many_bindings_match, many_queues_are_told_apart,
          exchanges_lead_to_exchanges, cycles_of_exchanges_end,
          alternate_takes_what_finds_no_binding, alternates_form_chains_and_cycles,
          alternate_is_not_asked_when_a_bound_exchange_routes_nothing,
          bound_exchange_has_an_alternate_of_its_own, default_exchange_as_alternate_routes_nothing,
          every_routing_key_counts, headers_are_asked_for_once_and_only_when_needed,
          alternate_that_reads_headers_is_told, ALLOCATION_TESTS threads_route_at_once)
