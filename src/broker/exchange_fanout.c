/* The fanout exchange: every binding matches (AMQP 0-9-1 §3.1.3.2). */
#include "broker/binding.h"
#include "broker/exchange_router.h"
#include "broker/route.h"

static void fanout_add(void *state, struct binding *b)
{
    key_set_add(state, &b->link);
}

static void fanout_remove(void *state, struct binding *b)
{
    key_set_remove(state, &b->link);
}

static void fanout_match(const void *state, struct route_search *s)
{
    route_search_found_set(s, state);
}

const struct exchange_router exchange_fanout = {
    .type = "fanout",
    .state_size = sizeof(struct key_set),
    .add = fanout_add,
    .remove = fanout_remove,
    .match = fanout_match,
};
