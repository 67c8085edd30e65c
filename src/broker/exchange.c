#include "broker/exchange.h"

#include "base/memory.h"
#include "broker/value_text.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>

#define ALTERNATE_EXCHANGE "alternate-exchange"

static const struct exchange_router *const routers[] = {
    &exchange_consistent_hash, &exchange_delayed,      &exchange_direct, &exchange_fanout,
    &exchange_headers,         &exchange_modulus_hash, &exchange_random, &exchange_topic,
};

const struct exchange_router *exchange_router_find(struct bytes type)
{
    for (size_t i = 0; i < sizeof(routers) / sizeof(routers[0]); i++) {
        if (bytes_equal_string(type, routers[i]->type))
            return routers[i];
    }
    return NULL;
}

static struct bytes exchange_type_of(const struct exchange_router *router)
{
    return bytes_from_string(router != NULL ? router->type : exchange_direct.type);
}

/* The argument counts before the policy. */
static void find_alternate(struct exchange *e)
{
    const struct value *alternate = table_get(&e->arguments, ALTERNATE_EXCHANGE);

    if (alternate == NULL || alternate->type != VALUE_STRING)
        alternate = policy_value(e->policy, ALTERNATE_EXCHANGE);
    e->has_alternate = alternate != NULL;
    e->alternate = alternate != NULL ? alternate->bytes : bytes_of(NULL, 0);
}

void exchange_follow(struct exchange *e, const struct policy_set *s)
{
    const struct policy *policy = policy_set_match(s, POLICY_EXCHANGE, e->name).policy;

    if (policy == e->policy)
        return;
    policy_unref(e->policy);
    e->policy = policy != NULL ? policy_ref(policy) : NULL;
    find_alternate(e);
}

struct exchange *exchange_create(const struct exchange_router *declared,
                                 const struct exchange_declaration *d)
{
    const struct exchange_router *router =
        declared == &exchange_delayed ? exchange_delayed_inner(d->arguments) : declared;
    size_t state_size = router != NULL ? router->state_size : 0;
    struct exchange *e = memory_alloc_zeroed(1, sizeof(*e) + state_size + d->name.size);
    uint8_t *name = (uint8_t *)(e + 1) + state_size;

    static_assert(sizeof(struct exchange) % alignof(uint64_t) == 0, "the state is aligned");
    if (d->name.size != 0)
        memcpy(name, d->name.data, d->name.size);
    e->router = router;
    e->declared = declared;
    e->state = e + 1;
    e->name = bytes_of(name, d->name.size);
    list_init(&e->bindings);
    list_init(&e->incoming);
    list_node_init(&e->doomed);
    arena_init(&e->arena);
    if (d->arguments != NULL)
        e->arguments = table_copy(&e->arena, d->arguments);
    find_alternate(e);
    e->durable = d->durable;
    e->auto_delete = d->auto_delete;
    e->internal = d->internal;
    if (router != NULL && router->init != NULL)
        router->init(e->state, &e->arguments);
    return e;
}

void exchange_free(struct exchange *e)
{
    assert(list_empty(&e->bindings) && list_empty(&e->incoming));
    if (e->router != NULL && e->router->clear != NULL)
        e->router->clear(e->state);
    if (e->delays != NULL)
        queue_handle_unref(e->delays);
    policy_unref(e->policy);
    arena_free(&e->arena);
    free(e);
}

struct bytes exchange_name(const struct exchange *e)
{
    return e->name;
}

struct bytes exchange_type(const struct exchange *e)
{
    return exchange_type_of(e->declared);
}

const struct policy *exchange_policy(const struct exchange *e)
{
    return e->policy;
}

bool exchange_durable(const struct exchange *e)
{
    return e->durable;
}

bool exchange_auto_delete(const struct exchange *e)
{
    return e->auto_delete;
}

bool exchange_internal(const struct exchange *e)
{
    return e->internal;
}

struct queue_handle *exchange_delays(const struct exchange *e)
{
    return e->delays;
}

const struct table *exchange_arguments(const struct exchange *e)
{
    return &e->arguments;
}

static int inequivalent(const struct exchange *e, const char *field, const char *received,
                        const char *current, struct bytes vhost, struct refusal *r)
{
    return refuse(r, REFUSAL_PRECONDITION_FAILED,
                  "inequivalent arg '%s' for exchange '%.*s' in vhost '%.*s': "
                  "received %s but current is %s",
                  field, BYTES_ARGS(e->name), BYTES_ARGS(vhost), received, current);
}

static int flag_equivalent(const struct exchange *e, const char *field, bool current, bool received,
                           struct bytes vhost, struct refusal *r)
{
    if (current == received)
        return 0;
    return inequivalent(e, field, received ? "'true'" : "'false'", current ? "'true'" : "'false'",
                        vhost, r);
}

static int alternate_equivalent(const struct exchange *e, const struct table *arguments,
                                struct bytes vhost, struct refusal *r)
{
    const struct value *current = table_get(&e->arguments, ALTERNATE_EXCHANGE);
    const struct value *received =
        arguments != NULL ? table_get(arguments, ALTERNATE_EXCHANGE) : NULL;
    char current_text[VALUE_TEXT_SIZE];
    char received_text[VALUE_TEXT_SIZE];

    if (current == NULL && received == NULL)
        return 0;
    if (current != NULL && received != NULL && value_equal(current, received))
        return 0;
    value_text_pair(received, current, received_text, current_text);
    return inequivalent(e, ALTERNATE_EXCHANGE, received_text, current_text, vhost, r);
}

/* Types are atoms to RabbitMQ, and those that are no plain words come in quotes of their own. */
static const char *quote_of(struct bytes type)
{
    return memchr(type.data, '-', type.size) != NULL ? "'" : "";
}

static int type_inequivalent(const struct exchange *e, struct bytes received, struct bytes vhost,
                             struct refusal *r)
{
    struct bytes current = exchange_type(e);

    return refuse(r, REFUSAL_PRECONDITION_FAILED,
                  "inequivalent arg 'type' for exchange '%.*s' in vhost '%.*s': "
                  "received '%s%.*s%s' but current is '%s%.*s%s'",
                  BYTES_ARGS(e->name), BYTES_ARGS(vhost), quote_of(received), BYTES_ARGS(received),
                  quote_of(received), quote_of(current), BYTES_ARGS(current), quote_of(current));
}

int exchange_equivalent(const struct exchange *e, const struct exchange_router *router,
                        const struct exchange_declaration *d, struct bytes vhost, struct refusal *r)
{
    int rc;

    if (router != e->declared)
        return type_inequivalent(e, exchange_type_of(router), vhost, r);
    rc = flag_equivalent(e, "durable", e->durable, d->durable, vhost, r);
    if (rc == 0)
        rc = flag_equivalent(e, "auto_delete", e->auto_delete, d->auto_delete, vhost, r);
    if (rc == 0)
        rc = flag_equivalent(e, "internal", e->internal, d->internal, vhost, r);
    if (rc == 0)
        rc = alternate_equivalent(e, d->arguments, vhost, r);
    return rc;
}
