#include "server/vhost.h"
#include "session/route_cache.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

static struct vhost_registry vhosts;
static struct vhost *vhost;
static struct route_cache *cache;

static struct queue_handle *make_queue(const char *name)
{
    const struct queue_options options = {.durable = false};

    return queue_handle_create(bytes_from_string(name), &options, 0, 0);
}

static unsigned references(struct queue_handle *h)
{
    return atomic_load(&h->references);
}

static void start(void)
{
    vhost_registry_init(&vhosts);
    vhost = vhost_ensure(&vhosts, bytes_from_string("/"));
    cache = malloc(sizeof(*cache));
    route_cache_init(cache);
}

static void finish(void)
{
    route_cache_release(cache);
    free(cache);
    vhost_registry_release(&vhosts);
}

static struct cached_route *find_in(struct vhost *v, const char *exchange, const char *key)
{
    bool hit;
    struct cached_route *slot =
        route_cache_find(cache, v, bytes_from_string(exchange), bytes_from_string(key), &hit);

    return hit ? slot : NULL;
}

/* The route that the cache holds, or NULL. */
static struct cached_route *find(const char *exchange, const char *key)
{
    return find_in(vhost, exchange, key);
}

/* Asks a second time when the first was turned away. */
static void fill_as(struct vhost *v, const char *exchange, const char *key,
                    enum route_status status, struct queue_handle **queues, uint32_t count)
{
    bool hit;
    struct cached_route *slot =
        route_cache_find(cache, v, bytes_from_string(exchange), bytes_from_string(key), &hit);

    if (slot == NULL)
        slot =
            route_cache_find(cache, v, bytes_from_string(exchange), bytes_from_string(key), &hit);
    route_cache_fill(cache, slot, v, bytes_from_string(exchange), bytes_from_string(key),
                     topology_epoch(v->topology), status, queues, count);
}

static void fill(const char *exchange, const char *key, struct queue_handle **queues,
                 uint32_t count)
{
    fill_as(vhost, exchange, key, ROUTE_FOUND, queues, count);
}

START_TEST(empty_cache_has_no_route)
{
    start();
    ck_assert_ptr_null(find("", ""));
    ck_assert_ptr_null(find("x", "k"));
    finish();
}
END_TEST

START_TEST(route_is_found_with_its_queues)
{
    struct queue_handle *queues[] = {make_queue("a"), make_queue("b")};
    const struct cached_route *route;

    start();
    fill("x", "k", queues, 2);
    ck_assert_uint_eq(references(queues[0]), 2);
    route = find("x", "k");
    ck_assert_ptr_nonnull(route);
    ck_assert_int_eq(route->status, ROUTE_FOUND);
    ck_assert_uint_eq(route->count, 2);
    ck_assert_ptr_eq(route->queues[0], queues[0]);
    ck_assert_ptr_eq(route->queues[1], queues[1]);
    finish();
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(references(queues[i]), 1);
        queue_handle_unref(queues[i]);
    }
}
END_TEST

START_TEST(route_to_nowhere_and_refusals_are_kept_too)
{
    start();
    fill_as(vhost, "", "", ROUTE_FOUND, NULL, 0);
    ck_assert_uint_eq(find("", "")->count, 0);
    fill_as(vhost, "gone", "k", ROUTE_NO_EXCHANGE, NULL, 0);
    ck_assert_int_eq(find("gone", "k")->status, ROUTE_NO_EXCHANGE);
    finish();
}
END_TEST

START_TEST(where_the_exchange_ends_and_the_key_begins_matters)
{
    start();
    fill("ab", "c", NULL, 0);
    ck_assert_ptr_nonnull(find("ab", "c"));
    ck_assert_ptr_null(find("a", "bc"));
    ck_assert_ptr_null(find("abc", ""));
    ck_assert_ptr_null(find("", "abc"));
    finish();
}
END_TEST

/* Even where the hash would put them in one slot, names decide. */
START_TEST(no_other_name_hits)
{
    enum { NAMES = 5000 };
    char name[32];

    start();
    fill("x", "k", NULL, 0);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "k%d", i);
        ck_assert_ptr_null(find("x", name));
    }
    finish();
}
END_TEST

START_TEST(route_of_another_virtual_host_does_not_hit)
{
    struct vhost *other;

    start();
    other = vhost_ensure(&vhosts, bytes_from_string("other"));
    fill("x", "k", NULL, 0);
    ck_assert_ptr_null(find_in(other, "x", "k"));
    fill_as(other, "x", "k", ROUTE_NO_EXCHANGE, NULL, 0);
    ck_assert_int_eq(find_in(other, "x", "k")->status, ROUTE_NO_EXCHANGE);
    finish();
}
END_TEST

START_TEST(change_of_the_topology_ends_every_route)
{
    struct queue_handle *q = make_queue("q");
    struct queue_handle *other = make_queue("other");

    start();
    fill("", "q", &other, 1);
    ck_assert_ptr_nonnull(find("", "q"));
    topology_add_queue(vhost->topology, q);
    ck_assert_ptr_null(find("", "q"));
    fill("", "q", &q, 1);
    ck_assert_uint_eq(references(other), 1);
    ck_assert_ptr_eq(find("", "q")->queues[0], q);
    topology_remove_queue(vhost->topology, q);
    ck_assert_ptr_null(find("", "q"));
    finish();
    ck_assert_uint_eq(references(q), 1);
    queue_handle_unref(q);
    queue_handle_unref(other);
}
END_TEST

START_TEST(filling_again_drops_the_references_of_before)
{
    struct queue_handle *a = make_queue("a");
    struct queue_handle *b = make_queue("b");

    start();
    fill("x", "k", &a, 1);
    find("x", "k")->permitted_version = 7;
    fill("x", "k", &b, 1);
    ck_assert_uint_eq(references(a), 1);
    ck_assert_uint_eq(references(b), 2);
    ck_assert_ptr_eq(find("x", "k")->queues[0], b);
    ck_assert_uint_eq(find("x", "k")->permitted_version, 0);
    finish();
    queue_handle_unref(a);
    queue_handle_unref(b);
}
END_TEST

/* A full cache, and keys of which each is used once: it stays as it is. With sixteen routes for
 * each slot hardly one is left empty, whatever the process's hash seed. */
START_TEST(keys_used_once_push_nothing_out)
{
    enum { ROUTES = 16 * ROUTE_CACHE_SLOTS };
    unsigned before = 0;
    unsigned after = 0;
    char key[32];
    bool hit;

    start();
    for (int i = 0; i < ROUTES; i++) {
        snprintf(key, sizeof(key), "kept %d", i);
        fill("x", key, NULL, 0);
    }
    for (int i = 0; i < ROUTES; i++) {
        snprintf(key, sizeof(key), "kept %d", i);
        before += find("x", key) != NULL;
    }
    for (int i = 0; i < ROUTES; i++) {
        snprintf(key, sizeof(key), "once %d", i);
        after += route_cache_find(cache, vhost, bytes_from_string("x"), bytes_from_string(key),
                                  &hit) != NULL;
        ck_assert(!hit);
    }
    ck_assert_uint_ge(before, ROUTE_CACHE_SLOTS - ROUTE_CACHE_SLOTS / 100);
    ck_assert_uint_le(after, ROUTE_CACHE_SLOTS / 50);
    finish();
}
END_TEST

/* More routes than slots: some give way, none holds a reference twice or for ever. */
START_TEST(cache_is_bounded_and_evicted_routes_let_go)
{
    enum { ROUTES = 4 * ROUTE_CACHE_SLOTS };
    struct queue_handle *q = make_queue("q");
    unsigned hits = 0;
    char key[32];

    start();
    for (int i = 0; i < ROUTES; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        fill("x", key, &q, 1);
        ck_assert_ptr_nonnull(find("x", key));
    }
    for (int i = 0; i < ROUTES; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        hits += find("x", key) != NULL;
    }
    ck_assert_uint_le(hits, ROUTE_CACHE_SLOTS);
    ck_assert_uint_ge(hits, ROUTE_CACHE_SLOTS / 2);
    ck_assert_uint_eq(references(q), 1 + hits);
    finish();
    ck_assert_uint_eq(references(q), 1);
    queue_handle_unref(q);
}
END_TEST

/* Queues that come, are published to and go, each under a name of its own. */
START_TEST(deleted_queues_are_let_go_while_others_come)
{
    enum { QUEUES = 1000 };
    struct queue_handle *queues[QUEUES];
    unsigned held = 0;
    char name[32];

    start();
    for (int i = 0; i < QUEUES; i++) {
        snprintf(name, sizeof(name), "queue %d", i);
        queues[i] = make_queue(name);
        topology_add_queue(vhost->topology, queues[i]);
        fill("", name, &queues[i], 1);
        topology_remove_queue(vhost->topology, queues[i]);
        route_cache_tidy(cache);
    }
    for (int i = 0; i < QUEUES; i++)
        held += references(queues[i]) > 1;
    ck_assert_uint_le(held, ROUTE_CACHE_SLOTS / 8);
    finish();
    for (int i = 0; i < QUEUES; i++)
        queue_handle_unref(queues[i]);
}
END_TEST

/* Where nothing else is routed, the one there is stays. */
START_TEST(routes_to_queues_that_are_there_stay)
{
    struct queue_handle *q = make_queue("q");

    start();
    fill("", "q", &q, 1);
    for (int i = 0; i < ROUTE_CACHE_SLOTS; i++) {
        fill("x", "k", NULL, 0);
        route_cache_tidy(cache);
    }
    ck_assert_ptr_nonnull(find("", "q"));
    finish();
    queue_handle_unref(q);
}
END_TEST

START_TEST(longest_names_are_kept_whole)
{
    char exchange[256];
    char key[256];

    start();
    memset(exchange, 'e', 255);
    memset(key, 'k', 255);
    exchange[255] = key[255] = '\0';
    fill(exchange, key, NULL, 0);
    ck_assert_ptr_nonnull(find(exchange, key));
    key[254] = 'l';
    ck_assert_ptr_null(find(exchange, key));
    finish();
}
END_TEST

UNIT_MAIN("route_cache", empty_cache_has_no_route, route_is_found_with_its_queues,
          route_to_nowhere_and_refusals_are_kept_too,
          where_the_exchange_ends_and_the_key_begins_matters, no_other_name_hits,
          route_of_another_virtual_host_does_not_hit, change_of_the_topology_ends_every_route,
          filling_again_drops_the_references_of_before, keys_used_once_push_nothing_out,
          cache_is_bounded_and_evicted_routes_let_go, deleted_queues_are_let_go_while_others_come,
          routes_to_queues_that_are_there_stay, longest_names_are_kept_whole)
