/* An exchange. Internal to the topology, which owns it. */
#ifndef LEVERET_BROKER_EXCHANGE_H
#define LEVERET_BROKER_EXCHANGE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/hash_map.h"
#include "base/list.h"
#include "base/table.h"
#include "broker/exchange_router.h"
#include "broker/topology.h"

#include <stdbool.h>

struct exchange {
    struct hash_node by_name;
    const struct exchange_router *router;   /* NULL: the default exchange, bound by queue name */
    const struct exchange_router *declared; /* as `router`, but for a delayed exchange */
    void *state;                            /* the router's, in the same allocation */
    struct bytes name;                      /* in the same allocation */
    struct list bindings;                   /* from here */
    struct list incoming;                   /* bindings that lead here */
    struct list_node doomed;                /* while it is being deleted */
    struct queue_handle *delays;            /* where messages wait that are delayed here; or NULL */
    struct arena arena;                     /* of the arguments */
    struct table arguments;
    struct bytes alternate;      /* of the arguments, else of the policy */
    const struct policy *policy; /* what applies to it, a reference, or NULL */
    bool has_alternate;
    bool durable;
    bool auto_delete;
    bool internal;
};

/* The router of a type, or NULL. An exchange_delayed routes by that of its argument. */
const struct exchange_router *exchange_router_find(struct bytes type);

/* The router that an exchange_delayed with these arguments, which were checked, routes by. */
const struct exchange_router *exchange_delayed_inner(const struct table *arguments);

/* An exchange without bindings, in no topology. `declared` is NULL for the default exchange. */
struct exchange *exchange_create(const struct exchange_router *declared,
                                 const struct exchange_declaration *d);

/* Frees it. All its bindings must have been removed. */
void exchange_free(struct exchange *e);

/* Has it follow the policies as they are now. */
void exchange_follow(struct exchange *e, const struct policy_set *s);

/* Whether `d` declares what `e` is: 0, or -EPROTO with `r` filled (406, RabbitMQ's texts). */
int exchange_equivalent(const struct exchange *e, const struct exchange_router *router,
                        const struct exchange_declaration *d, struct bytes vhost,
                        struct refusal *r);

#endif
