/* The direct exchange: bindings whose key is the routing key match (AMQP 0-9-1 §3.1.3.1). */
#include "broker/binding.h"
#include "broker/binding_key.h"
#include "broker/exchange_router.h"
#include "broker/route.h"

static void direct_add(void *state, struct binding *b)
{
    binding_key_add(state, b);
}

static void direct_remove(void *state, struct binding *b)
{
    binding_key_remove(state, b);
}

static void direct_match(const void *state, struct route_search *s)
{
    for (uint32_t i = 0; i < s->request->routing_key_count; i++)
        binding_key_match(state, s->request->routing_keys[i], s);
}

static void direct_look_ahead(const void *state, struct bytes routing_key, struct route_hint *hint)
{
    route_hint_add(hint, state, binding_key_hash(routing_key));
}

const struct exchange_router exchange_direct = {
    .type = "direct",
    .state_size = sizeof(struct key_index),
    .add = direct_add,
    .remove = direct_remove,
    .match = direct_match,
    .look_ahead = direct_look_ahead,
};
