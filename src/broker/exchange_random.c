/* The random exchange: one of the bindings, each as likely as the others, whatever the routing key
 * (RabbitMQ's rabbitmq_random_exchange). A queue that is bound twice is twice as likely. */
#include "broker/binding.h"
#include "broker/exchange_router.h"
#include "broker/route.h"

static void random_add(void *state, struct binding *b)
{
    key_set_add(state, &b->link);
}

static void random_remove(void *state, struct binding *b)
{
    key_set_remove(state, &b->link);
}

static void random_match(const void *state, struct route_search *s)
{
    const struct key_set *all = state;
    uint32_t chosen;

    s->out->beyond_key = true;
    if (all->count == 0)
        return;
    chosen = (uint32_t)random_sequence_below(&s->random, all->count);
    route_search_found(s, key_set_value(all, chosen));
}

const struct exchange_router exchange_random = {
    .type = "x-random",
    .state_size = sizeof(struct key_set),
    .add = random_add,
    .remove = random_remove,
    .match = random_match,
};
