/* The topology of one virtual host: its exchanges, its bindings and the names of its queues.
 *
 * Shared by all workers, read by every publish that is not in a route cache and written rarely.
 * The functions do not lock: whoever calls one that takes a `const struct topology *` holds the
 * virtual host's lock for reading, else for writing. Reading functions change nothing, so any
 * number of workers may route at once. Every change that may alter a route raises `epoch` before
 * the lock is released: a route found at an epoch holds as long as the epoch does. */
#ifndef LEVERET_BROKER_TOPOLOGY_H
#define LEVERET_BROKER_TOPOLOGY_H

#include "base/bytes.h"
#include "base/hash_map.h"
#include "base/list.h"
#include "base/table.h"
#include "broker/policy_set.h"
#include "broker/queue_options.h"
#include "broker/refusal.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct key_index;
struct topology;
struct exchange;
struct binding;
struct binding_declaration;

/* A queue as all workers know it. Reference-counted, any thread; the topology holds one while the
 * name exists. The name, options, home and owner do not change while it lives. */
struct queue_handle {
    atomic_uint references;
    atomic_bool deleted;  /* the name is gone; messages for it are dropped */
    uint32_t home_worker; /* the worker that owns `queue` */
    uint32_t home_index;  /* the home worker's alone: its place in a list of the queues there */
    struct queue *queue;  /* the home worker's alone */
    void *durable;        /* likewise: what a durable queue has beside it, or NULL */
    void *letters;        /* likewise: dead letters that wait to be confirmed, or NULL */
    void *vhost;          /* what topology_create was given; outlives the handle */
    uint64_t owner;       /* exclusive: the connection's id, else 0 */
    struct queue_options options;
    struct bytes name;         /* lives in the handle */
    struct hash_node by_name;  /* the topology's */
    struct list bindings;      /* the topology's: bindings that lead here */
    struct list_node by_owner; /* for the home worker: the exclusive queues of one connection */
    struct list_node paging;   /* likewise: the long queues */
    /* The home worker's alone: what policies make of the options, or NULL when none applies. */
    struct queue_effective *effective;
};

struct queue_effective {
    struct queue_options options;
    const struct policy *policy; /* a reference each, or NULL */
    const struct policy *operator_policy;
};

/* A handle with one reference (the caller's) that no topology knows yet. Takes over `options`
 * (the caller must not free them any more). */
struct queue_handle *queue_handle_create(struct bytes name, const struct queue_options *options,
                                         uint32_t home_worker, uint64_t owner);
struct queue_handle *queue_handle_ref(struct queue_handle *h);
void queue_handle_unref(struct queue_handle *h);

/* What rules the queue now: the options that it was declared with, merged with the policies that
 * apply to it. Redeclarations are compared with h->options instead. At home only. */
static inline const struct queue_options *queue_handle_options(const struct queue_handle *h)
{
    return h->effective != NULL ? &h->effective->options : &h->options;
}

/* Has the queue follow the policies as they are now. Returns false when the same apply to it as
 * before; else `*former` is what was effective, to be given to queue_effective_free() when nothing
 * looks at its options any more. At home, under the lock of the virtual host. */
bool queue_handle_follow(struct queue_handle *h, const struct policy_set *s,
                         struct queue_effective **former);

/* NULL is fine. */
void queue_effective_free(struct queue_effective *e);

/* Not an exchange that routes (session/lease.h): it cannot be bound. */
#define TOPOLOGY_LEASE_EXCHANGE "amq.lease"

/* A virtual host's topology with the default exchange and the predeclared amq.direct, amq.fanout,
 * amq.topic, amq.headers, amq.match and amq.lease. `name` is copied; `vhost` is stored for handles.
 */
struct topology *topology_create(struct bytes name, void *vhost);
void topology_destroy(struct topology *t);
struct bytes topology_name(const struct topology *t);

/* What several topologies hold together: of the exchanges without the predeclared ones, of the
 * bindings without those of the default exchange. Any thread. */
struct topology_totals {
    atomic_uint exchanges;
    atomic_uint bindings;
};

/* Has what is declared from now on counted in `totals` (borrowed), until it goes; not by
 * topology_destroy(). Before anything is declared. */
void topology_count_in(struct topology *t, struct topology_totals *totals);

/* Who is told of every change, while it is made and under the lock that it is made under: so the
 * order of the calls is the order of the changes, whatever worker makes them. Removing an exchange
 * or a queue takes its bindings with it without a call for each. */
struct topology_observer {
    void *context;
    void (*exchange_added)(void *context, const struct exchange *e);
    void (*exchange_removed)(void *context, const struct exchange *e);
    void (*queue_added)(void *context, const struct queue_handle *h);
    void (*queue_removed)(void *context, const struct queue_handle *h);
    /* `durable` when both ends are. */
    void (*binding_added)(void *context, const struct binding_declaration *b, bool durable);
    void (*binding_removed)(void *context, const struct binding_declaration *b, bool durable);
};

/* Tells `observer` (borrowed; NULL ends it) of changes from now on; not of topology_destroy(). */
void topology_observe(struct topology *t, const struct topology_observer *observer);

/* Rises with every change that may alter a route. May be read without the lock. */
uint64_t topology_epoch(const struct topology *t);

/* Queues. Find returns a borrowed handle or NULL. Add takes a reference and sets `vhost`; the
 * name must be free. Remove unlinks the name and every binding that leads to it, deletes
 * auto-delete exchanges that lose their last binding by it, marks the handle deleted and drops
 * the topology's reference. */
struct queue_handle *topology_find_queue(const struct topology *t, struct bytes name);
void topology_add_queue(struct topology *t, struct queue_handle *h);
void topology_remove_queue(struct topology *t, struct queue_handle *h);
size_t topology_queue_count(const struct topology *t);

/* Makes what an exchange of the type x-delayed-message keeps in: a queue that is in no topology.
 * Returns a reference for the exchange, or NULL when the disk refuses a durable one. */
struct delays_maker {
    struct queue_handle *(*make)(void *context, struct bytes exchange, bool durable);
    void *context;
};

struct exchange_declaration {
    struct bytes name;
    struct bytes type; /* "direct", "fanout", "topic", "headers", "x-consistent-hash", … */
    bool passive;
    bool durable;
    bool auto_delete;
    bool internal;
    const struct table *arguments;     /* or NULL */
    uint32_t exchanges_max;            /* with so many in the totals it is refused; 0: never */
    const struct delays_maker *delays; /* asked for a new delayed exchange; NULL: delays nothing */
};

/* exchange.declare as RabbitMQ does it: passive, reserved names, unknown types, equivalence with
 * what is there; and the limit. Returns 0 or -EPROTO with `r` filled. Whether the declaration would
 * create the exchange can be asked first with topology_find_exchange. */
int topology_declare_exchange(struct topology *t, const struct exchange_declaration *d,
                              struct refusal *r);

/* Gives a delayed exchange that has none what it keeps in; takes over the reference. */
void topology_set_delays(struct topology *t, struct exchange *e, struct queue_handle *delays);

/* exchange.delete. An exchange that is not there is no error. */
int topology_delete_exchange(struct topology *t, struct bytes name, bool if_unused,
                             struct refusal *r);

/* NULL when there is none. The default exchange has the empty name. Borrowed under the lock. */
struct exchange *topology_find_exchange(const struct topology *t, struct bytes name);
struct bytes exchange_name(const struct exchange *e);
struct bytes exchange_type(const struct exchange *e);
bool exchange_durable(const struct exchange *e);
bool exchange_auto_delete(const struct exchange *e);
bool exchange_internal(const struct exchange *e);
const struct table *exchange_arguments(const struct exchange *e);

/* The queue in which messages wait that the exchange delays (broker/delay.h); NULL: it delays none.
 * No client sees it. Borrowed. */
struct queue_handle *exchange_delays(const struct exchange *e);

struct binding_declaration {
    struct bytes source; /* the exchange that messages come through */
    struct bytes destination;
    bool to_exchange; /* the destination is an exchange, else a queue */
    struct bytes routing_key;
    const struct table *arguments; /* or NULL */
    uint32_t bindings_max;         /* with so many in the totals it is refused; 0: never */
    uint64_t connection; /* for the 405 on another connection's exclusive queue; 0 = the broker */
};

/* queue.bind, exchange.bind: binding twice is one binding. Returns 0 or -EPROTO with `r` filled
 * (404 for missing ends, 403 for the default exchange, 405, 406 for arguments and the limit). */
int topology_bind(struct topology *t, const struct binding_declaration *b, struct refusal *r);

/* queue.unbind, exchange.unbind: what is not bound, or not there, is no error. */
int topology_unbind(struct topology *t, const struct binding_declaration *b, struct refusal *r);

/* Removes about so many bindings, of any kind, and tells no observer of them. Returns whether some
 * are left. For a virtual host that is deleted: those between predeclared exchanges go with nothing
 * else. */
bool topology_remove_bindings(struct topology *t, size_t count);

/* The properties that an exchange may route by. */
enum route_property {
    ROUTE_CORRELATION_ID,
    ROUTE_MESSAGE_ID,
    ROUTE_TIMESTAMP,
};

/* What is asked when a message is routed. */
struct route_request {
    const struct bytes *routing_keys; /* the routing key, then CC and BCC */
    uint32_t routing_key_count;
    /* The message's headers, called at most once per route and only when an exchange needs them.
     * NULL counts as an empty table. */
    const struct table *(*headers)(void *context);
    /* One of its properties, the timestamp in decimal; false when it has none. Called when an
     * exchange needs it; NULL: it has none. `value` lives as long as the route takes. */
    bool (*property)(void *context, enum route_property which, struct bytes *value);
    void *context;
};

/* Where it goes: each queue once, however many bindings match. Reused from route to route by one
 * worker, so that the steady state allocates nothing. */
struct route {
    struct queue_handle **queues; /* borrowed: valid under the lock, take references to keep */
    uint32_t count;
    uint32_t capacity;
    bool beyond_key; /* more than the key decided: not to be cached by it */
    void *scratch;   /* the router's own */
};

void route_init(struct route *r);

/* What the random exchange draws is decided by `seed` from now on. */
void route_seed(struct route *r, uint64_t seed);
void route_free(struct route *r);

/* Routes from `e`, through bindings to exchanges (cycles are safe) and, where an exchange finds
 * nothing, its alternate exchange. Replaces the content of `out`. */
void topology_route(const struct topology *t, const struct exchange *e,
                    const struct route_request *request, struct route *out);

/* Where a route to come will look: valid for the epoch in which it was made, under the lock. */
struct route_hint {
    uint64_t epoch; /* the caller's to set and to compare */
    uint32_t count;
    struct {
        const struct key_index *index;
        uint32_t hash;
    } places[4];
};

/* Among many bindings most of a route is waiting for memory. These have the processor fetch what
 * topology_route() will read for a key, and wait for none of it: the first fills the hint and
 * fetches the places in the indexes, the second, when those are at hand, the bindings. */
void exchange_look_ahead(const struct exchange *e, struct bytes routing_key,
                         struct route_hint *hint);
void route_hint_follow(const struct route_hint *hint);

/* ---- Policies ---- */

/* Those of this virtual host. Whoever has changed them has the exchanges follow, with
 * topology_follow_policies(); that queues follow is up to their homes (queue_handle_follow()). */
struct policy_set *topology_policies(struct topology *t);

/* Has some exchanges follow the policies, which may say their alternate exchange: a few a call, so
 * that the lock may be given back in between. `cursor` is 0 in the first call, then what the last
 * one returned; 0 is the end. */
size_t topology_follow_policies(struct topology *t, size_t cursor);

/* The policy that applies to the exchange, or NULL. */
const struct policy *exchange_policy(const struct exchange *e);

/* Walking, for whoever lists: calls `visit` for each until it returns false. */
void topology_each_exchange(const struct topology *t,
                            bool (*visit)(const struct exchange *e, void *context), void *context);
void topology_each_queue(const struct topology *t,
                         bool (*visit)(struct queue_handle *h, void *context), void *context);

/* Walking in pieces, the lock given back in between: about `count` of them a call. `cursor` and the
 * value returned, and what may be visited twice, are hash_map_scan()'s (base/hash_map.h). What is
 * visited is borrowed under the lock. Bindings: without those of the default exchange, which leads
 * to every queue by its name. */
size_t topology_scan_exchanges(const struct topology *t, size_t cursor, size_t count,
                               void (*visit)(const struct exchange *e, void *context),
                               void *context);
size_t topology_scan_queues(const struct topology *t, size_t cursor, size_t count,
                            void (*visit)(struct queue_handle *h, void *context), void *context);
size_t topology_scan_bindings(const struct topology *t, size_t cursor, size_t count,
                              void (*visit)(const struct binding_declaration *b, bool durable,
                                            void *context),
                              void *context);

#endif
