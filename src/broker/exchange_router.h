/* How an exchange type finds the bindings that match: one constant a type. A new type is one
 * more constant in the table of exchange.c.
 *
 * `state` is `state_size` zeroed bytes inside the exchange. Matching changes nothing but the
 * search; the rest is called under the topology's lock for writing. */
#ifndef LEVERET_BROKER_EXCHANGE_ROUTER_H
#define LEVERET_BROKER_EXCHANGE_ROUTER_H

#include "base/bytes.h"
#include "base/table.h"
#include "broker/refusal.h"

#include <stdbool.h>
#include <stddef.h>

struct binding;
struct route_hint;
struct route_search;

struct exchange_router {
    const char *type;
    size_t state_size;
    bool reads_headers; /* a route depends on more than the routing key */

    /* Whether an exchange may have these arguments: 0, or -EPROTO with `r` filled. NULL: any. */
    int (*check_declaration)(const struct table *arguments, struct refusal *r);

    /* Either may be NULL. The arguments live as long as the state. All bindings are removed before
     * `clear`. */
    void (*init)(void *state, const struct table *arguments);
    void (*clear)(void *state);

    /* Whether a binding may have this key and these arguments (or NULL): 0, or -EPROTO with `r`
     * filled. NULL: any. */
    int (*check)(struct bytes key, const struct table *arguments, struct refusal *r);

    void (*add)(void *state, struct binding *b);
    void (*remove)(void *state, struct binding *b);

    /* Tells the search of every binding that matches. */
    void (*match)(const void *state, struct route_search *s);

    /* As exchange_look_ahead(), for a hint that is empty. NULL: it is not worth it. */
    void (*look_ahead)(const void *state, struct bytes routing_key, struct route_hint *hint);
};

extern const struct exchange_router exchange_consistent_hash;
extern const struct exchange_router exchange_delayed;
extern const struct exchange_router exchange_direct;
extern const struct exchange_router exchange_fanout;
extern const struct exchange_router exchange_headers;
extern const struct exchange_router exchange_modulus_hash;
extern const struct exchange_router exchange_random;
extern const struct exchange_router exchange_topic;

#endif
