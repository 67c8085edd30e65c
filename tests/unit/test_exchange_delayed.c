/* What of the delayed exchange is the topology's: where a message goes, and whose it is. */
#include "tests/unit/topology_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>

/* What is asked for exchanges that delay: named "held" all, and `refuses` gives none. */
struct keeper {
    uint32_t made;
    bool durable;
    bool refuses;
};

static struct queue_handle *make(void *context, struct bytes exchange, bool durable)
{
    struct keeper *k = context;
    struct queue_options options;

    ck_assert(exchange.size != 0);
    k->made++;
    k->durable = durable;
    if (k->refuses)
        return NULL;
    queue_options_for_delays(&options, durable);
    return queue_handle_create(bytes_from_string("held"), &options, 0, 0);
}

static int declare_delayed(struct world *w, struct keeper *k, const char *name, const char *options)
{
    const struct delays_maker maker = {.make = make, .context = k};
    struct exchange_declaration d = declaration(w, name, "x-delayed-message", options);

    d.delays = &maker;
    return topology_declare_exchange(w->topology, &d, &w->refusal);
}

START_TEST(delayed_message_goes_to_what_keeps_it_alone)
{
    struct keeper k = {.made = 0};
    struct world w;

    world_begin(&w);
    ck_assert_int_eq(declare_delayed(&w, &k, "x", "|x-delayed-type=topic"), 0);
    add_queue(&w, "q");
    bind(&w, "x", "q", "a.#", NULL);
    expect_route(&w, "x", "a.b", NULL, "q");
    expect_route(&w, "x", "a.b", "x-delay=5", "held");
    expect_route(&w, "x", "b", "x-delay=5", "held");
    expect_route(&w, "x", "a.b", "x-delay=-5", "q");
    expect_route(&w, "x", "b", "x-delay=0", "");
    ck_assert(w.route.beyond_key);
    world_end(&w);
}
END_TEST

START_TEST(each_delayed_exchange_on_the_way_keeps_for_itself)
{
    struct keeper k = {.made = 0};
    struct world w;

    world_begin(&w);
    declare(&w, "all", "fanout", NULL);
    ck_assert_int_eq(declare_delayed(&w, &k, "x", "|x-delayed-type=fanout"), 0);
    add_queue(&w, "behind");
    add_queue(&w, "beside");
    bind(&w, "all", "x:x", "", NULL);
    bind(&w, "all", "beside", "", NULL);
    bind(&w, "x", "behind", "", NULL);
    expect_route(&w, "all", "k", NULL, "behind beside");
    expect_route(&w, "all", "k", "x-delay=5", "beside held");
    world_end(&w);
}
END_TEST

START_TEST(alternate_exchange_waits_as_well)
{
    struct keeper k = {.made = 0};
    struct world w;

    world_begin(&w);
    declare(&w, "other", "fanout", NULL);
    add_queue(&w, "q");
    bind(&w, "other", "q", "", NULL);
    ck_assert_int_eq(
        declare_delayed(&w, &k, "x", "|x-delayed-type=direct alternate-exchange=other"), 0);
    expect_route(&w, "x", "k", "x-delay=5", "held");
    expect_route(&w, "x", "k", "x-delay=-5", "q");
    world_end(&w);
}
END_TEST

START_TEST(declaring_again_makes_nothing)
{
    struct keeper k = {.made = 0};
    struct world w;

    world_begin(&w);
    ck_assert_int_eq(declare_delayed(&w, &k, "x", "durable|x-delayed-type=direct"), 0);
    ck_assert_int_eq(declare_delayed(&w, &k, "x", "durable|x-delayed-type=direct"), 0);
    ck_assert_int_eq(declare_delayed(&w, &k, "x", "passive|"), 0);
    ck_assert_uint_eq(k.made, 1);
    ck_assert(k.durable);
    expect_refusal(&w, declare_delayed(&w, &k, "x", "|x-delayed-type=direct"),
                   REFUSAL_PRECONDITION_FAILED,
                   "inequivalent arg 'durable' for exchange 'x' in vhost '" VHOST
                   "': received 'false' but current is 'true'");
    expect_refusal(&w, declare_delayed(&w, &k, "y", NULL), REFUSAL_PRECONDITION_FAILED,
                   "Invalid argument, 'x-delayed-type' must be an existing exchange type");
    ck_assert_uint_eq(k.made, 1);
    world_end(&w);
}
END_TEST

START_TEST(exchange_is_not_made_when_nothing_can_keep_for_it)
{
    struct keeper k = {.refuses = true};
    struct world w;

    world_begin(&w);
    expect_refusal(&w, declare_delayed(&w, &k, "x", "durable|x-delayed-type=direct"),
                   REFUSAL_RESOURCE_ERROR,
                   "exchange 'x' cannot be made durable: the definitions cannot be written");
    ck_assert(!exchange_exists(&w, "x"));
    world_end(&w);
}
END_TEST

START_TEST(exchange_takes_what_keeps_for_it_along)
{
    struct keeper k = {.made = 0};
    struct queue_handle *held;
    struct world w;

    world_begin(&w);
    ck_assert_int_eq(declare_delayed(&w, &k, "x", "|x-delayed-type=direct"), 0);
    held = queue_handle_ref(
        exchange_delays(topology_find_exchange(w.topology, bytes_from_string("x"))));
    ck_assert_ptr_eq(held->vhost, &w);
    ck_assert_ptr_null(topology_find_queue(w.topology, bytes_from_string("held")));
    ck_assert_uint_eq(atomic_load(&held->references), 2);
    delete_exchange(&w, "x");
    ck_assert_uint_eq(atomic_load(&held->references), 1);
    queue_handle_unref(held);
    world_end(&w);
}
END_TEST

START_TEST(exchange_without_a_keeper_may_get_it_later)
{
    struct queue_options options;
    struct exchange *e;
    struct world w;

    world_begin(&w);
    declare(&w, "x", "x-delayed-message", "|x-delayed-type=direct");
    add_queue(&w, "q");
    bind(&w, "x", "q", "k", NULL);
    expect_route(&w, "x", "k", "x-delay=5", "q");
    e = topology_find_exchange(w.topology, bytes_from_string("x"));
    queue_options_for_delays(&options, true);
    topology_set_delays(w.topology, e,
                        queue_handle_create(bytes_from_string("held"), &options, 0, 0));
    expect_route(&w, "x", "k", "x-delay=5", "held");
    ck_assert(bytes_equal_string(exchange_type(e), "x-delayed-message"));
    world_end(&w);
}
END_TEST

UNIT_MAIN("exchange_delayed", delayed_message_goes_to_what_keeps_it_alone,
          each_delayed_exchange_on_the_way_keeps_for_itself, alternate_exchange_waits_as_well,
          declaring_again_makes_nothing, exchange_is_not_made_when_nothing_can_keep_for_it,
          exchange_takes_what_keeps_for_it_along, exchange_without_a_keeper_may_get_it_later)
