#include "broker/topology.h"

#include "base/memory.h"
#include "broker/binding.h"
#include "broker/exchange.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* Exchanges that follow changed policies in one go. */
#define FOLLOW_BUDGET 16

struct topology {
    _Atomic uint64_t epoch;
    void *vhost;
    struct hash_map exchanges; /* struct exchange by name */
    struct hash_map queues;    /* struct queue_handle by name */
    struct hash_map bindings;  /* struct binding by identity */
    struct list doomed;        /* exchanges that are being deleted */
    const struct topology_observer *observer;
    struct topology_totals *totals; /* or NULL */
    struct policy_set policies;
    struct bytes name; /* in the same allocation */
};

static const struct {
    const char *name;
    const struct exchange_router *router;
} predeclared[] = {
    {"", NULL},
    {"amq.direct", &exchange_direct},
    {"amq.fanout", &exchange_fanout},
    {"amq.headers", &exchange_headers},
    {TOPOLOGY_LEASE_EXCHANGE, &exchange_direct},
    {"amq.match", &exchange_headers},
    {"amq.topic", &exchange_topic},
};

static bool exchange_has_name(const struct hash_node *n, const void *name)
{
    const struct bytes *key = name;
    const struct exchange *e =
        (const struct exchange *)((uintptr_t)n - offsetof(struct exchange, by_name));

    return bytes_equal(e->name, *key);
}

static bool queue_has_name(const struct hash_node *n, const void *name)
{
    const struct bytes *key = name;
    const struct queue_handle *h =
        (const struct queue_handle *)((uintptr_t)n - offsetof(struct queue_handle, by_name));

    return bytes_equal(h->name, *key);
}

static void raise_epoch(struct topology *t)
{
    atomic_fetch_add_explicit(&t->epoch, 1, memory_order_release);
}

static struct exchange *find_exchange(const struct topology *t, struct bytes name)
{
    struct hash_node *n = hash_map_find(&t->exchanges, bytes_hash(name), exchange_has_name, &name);

    return n != NULL ? container_of(n, struct exchange, by_name) : NULL;
}

static void count_exchange(struct topology *t, int change)
{
    if (t->totals != NULL)
        atomic_fetch_add_explicit(&t->totals->exchanges, (unsigned)change, memory_order_relaxed);
}

static void count_binding(struct topology *t, int change)
{
    if (t->totals != NULL)
        atomic_fetch_add_explicit(&t->totals->bindings, (unsigned)change, memory_order_relaxed);
}

static void set_delays(struct topology *t, struct exchange *e, struct queue_handle *h)
{
    h->vhost = t->vhost;
    e->delays = h;
}

static void add_exchange(struct topology *t, const struct exchange_router *router,
                         const struct exchange_declaration *d, struct queue_handle *delays)
{
    struct exchange *e = exchange_create(router, d);

    exchange_follow(e, &t->policies);
    if (delays != NULL)
        set_delays(t, e, delays);
    hash_map_insert(&t->exchanges, &e->by_name, bytes_hash(e->name));
    count_exchange(t, 1);
    raise_epoch(t);
    if (t->observer != NULL)
        t->observer->exchange_added(t->observer->context, e);
}

void topology_count_in(struct topology *t, struct topology_totals *totals)
{
    t->totals = totals;
}

void topology_observe(struct topology *t, const struct topology_observer *observer)
{
    t->observer = observer;
}

struct topology *topology_create(struct bytes name, void *vhost)
{
    struct topology *t = memory_alloc_zeroed(1, sizeof(*t) + name.size);

    if (name.size != 0)
        memcpy(t + 1, name.data, name.size);
    t->name = bytes_of(t + 1, name.size);
    t->vhost = vhost;
    atomic_init(&t->epoch, 1);
    hash_map_init(&t->exchanges);
    hash_map_init(&t->queues);
    hash_map_init(&t->bindings);
    list_init(&t->doomed);
    policy_set_init(&t->policies);
    for (size_t i = 0; i < sizeof(predeclared) / sizeof(predeclared[0]); i++) {
        struct exchange_declaration d = {
            .name = bytes_from_string(predeclared[i].name),
            .durable = true,
        };

        add_exchange(t, predeclared[i].router, &d, NULL);
    }
    return t;
}

struct bytes topology_name(const struct topology *t)
{
    return t->name;
}

uint64_t topology_epoch(const struct topology *t)
{
    return atomic_load_explicit(&t->epoch, memory_order_acquire);
}

/* Bindings and what goes with them */

static void doom_exchange(struct topology *t, struct exchange *e)
{
    if (!list_linked(&e->doomed))
        list_append(&t->doomed, &e->doomed);
}

/* Removes one binding. An auto-delete exchange goes with the last that leads from it. */
static void remove_binding(struct topology *t, struct binding *b)
{
    struct exchange *source = b->source;

    source->router->remove(source->state, b);
    hash_map_remove(&t->bindings, &b->by_identity);
    count_binding(t, -1);
    list_remove(&b->by_source);
    list_remove(&b->by_destination);
    binding_free(b);
    if (source->auto_delete && list_empty(&source->bindings))
        doom_exchange(t, source);
}

static void remove_bindings_to(struct topology *t, struct list *incoming)
{
    struct list_node *n;

    while ((n = list_first(incoming)) != NULL)
        remove_binding(t, container_of(n, struct binding, by_destination));
}

/* Deletes the doomed and whatever auto-delete exchanges lose their last binding by it. */
static void delete_doomed(struct topology *t)
{
    struct list_node *n;

    while ((n = list_first(&t->doomed)) != NULL) {
        struct exchange *e = container_of(n, struct exchange, doomed);

        while (!list_empty(&e->bindings))
            remove_binding(t, container_of(list_first(&e->bindings), struct binding, by_source));
        remove_bindings_to(t, &e->incoming);
        list_remove(&e->doomed);
        hash_map_remove(&t->exchanges, &e->by_name);
        count_exchange(t, -1);
        if (t->observer != NULL)
            t->observer->exchange_removed(t->observer->context, e);
        exchange_free(e);
    }
}

static void destroy_exchanges(struct topology *t)
{
    struct hash_node *n;
    struct hash_node *next;

    for (n = hash_map_first(&t->exchanges); n != NULL; n = hash_map_next(&t->exchanges, n)) {
        struct exchange *e = container_of(n, struct exchange, by_name);

        while (!list_empty(&e->bindings))
            remove_binding(t, container_of(list_first(&e->bindings), struct binding, by_source));
    }
    for (n = hash_map_first(&t->exchanges); n != NULL; n = next) {
        next = hash_map_next(&t->exchanges, n);
        exchange_free(container_of(n, struct exchange, by_name));
    }
}

static void destroy_queues(struct topology *t)
{
    struct hash_node *next;

    for (struct hash_node *n = hash_map_first(&t->queues); n != NULL; n = next) {
        struct queue_handle *h = container_of(n, struct queue_handle, by_name);

        next = hash_map_next(&t->queues, n);
        atomic_store_explicit(&h->deleted, true, memory_order_release);
        queue_handle_unref(h);
    }
}

void topology_destroy(struct topology *t)
{
    t->totals = NULL;
    destroy_exchanges(t);
    destroy_queues(t);
    assert(t->bindings.count == 0);
    hash_map_clear(&t->queues);
    hash_map_clear(&t->exchanges);
    hash_map_clear(&t->bindings);
    policy_set_clear(&t->policies);
    free(t);
}

/* Queues */

struct queue_handle *topology_find_queue(const struct topology *t, struct bytes name)
{
    struct hash_node *n = hash_map_find(&t->queues, bytes_hash(name), queue_has_name, &name);

    return n != NULL ? container_of(n, struct queue_handle, by_name) : NULL;
}

void topology_add_queue(struct topology *t, struct queue_handle *h)
{
    assert(topology_find_queue(t, h->name) == NULL);
    queue_handle_ref(h);
    h->vhost = t->vhost;
    hash_map_insert(&t->queues, &h->by_name, bytes_hash(h->name));
    raise_epoch(t);
    if (t->observer != NULL)
        t->observer->queue_added(t->observer->context, h);
}

void topology_remove_queue(struct topology *t, struct queue_handle *h)
{
    assert(topology_find_queue(t, h->name) == h);
    atomic_store_explicit(&h->deleted, true, memory_order_release);
    remove_bindings_to(t, &h->bindings);
    delete_doomed(t);
    hash_map_remove(&t->queues, &h->by_name);
    raise_epoch(t);
    if (t->observer != NULL)
        t->observer->queue_removed(t->observer->context, h);
    queue_handle_unref(h);
}

size_t topology_queue_count(const struct topology *t)
{
    return t->queues.count;
}

/* Exchanges */

struct exchange *topology_find_exchange(const struct topology *t, struct bytes name)
{
    return find_exchange(t, name);
}

static int refuse_default_exchange(struct refusal *r)
{
    return refuse(r, REFUSAL_ACCESS_REFUSED, "operation not permitted on the default exchange");
}

/* Nothing is routed through it. */
static bool is_lease(struct bytes exchange)
{
    return bytes_equal_string(exchange, TOPOLOGY_LEASE_EXCHANGE);
}

static int refuse_lease_exchange(const struct topology *t, struct refusal *r)
{
    return refuse(r, REFUSAL_ACCESS_REFUSED,
                  "operation not permitted on exchange '" TOPOLOGY_LEASE_EXCHANGE
                  "' in vhost '%.*s'",
                  BYTES_ARGS(t->name));
}

static int refuse_missing(const struct topology *t, const char *kind, struct bytes name,
                          struct refusal *r)
{
    return refuse(r, REFUSAL_NOT_FOUND, "no %s '%.*s' in vhost '%.*s'", kind, BYTES_ARGS(name),
                  BYTES_ARGS(t->name));
}

static int check_new_exchange(const struct topology *t, const struct exchange_declaration *d,
                              const struct exchange_router *router, struct refusal *r)
{
    const struct table none = table_empty();
    const struct value *alternate;

    if (bytes_starts_with(d->name, "amq."))
        return refuse(r, REFUSAL_ACCESS_REFUSED,
                      "exchange name '%.*s' contains reserved prefix 'amq.*'", BYTES_ARGS(d->name));
    alternate = d->arguments != NULL ? table_get(d->arguments, "alternate-exchange") : NULL;
    if (alternate != NULL && alternate->type != VALUE_STRING)
        return refuse(r, REFUSAL_PRECONDITION_FAILED,
                      "invalid type '%s' for arg 'alternate-exchange' in exchange '%.*s' in "
                      "vhost '%.*s'",
                      value_type_name(alternate->type), BYTES_ARGS(d->name), BYTES_ARGS(t->name));
    if (router->check_declaration != NULL)
        return router->check_declaration(d->arguments != NULL ? d->arguments : &none, r);
    return 0;
}

static int check_exchange_limit(const struct topology *t, const struct exchange_declaration *d,
                                struct refusal *r)
{
    if (d->exchanges_max == 0 || t->totals == NULL ||
        atomic_load_explicit(&t->totals->exchanges, memory_order_relaxed) < d->exchanges_max)
        return 0;
    return refuse(r, REFUSAL_PRECONDITION_FAILED,
                  "cannot declare exchange '%.*s' in vhost '%.*s': the limit of %" PRIu32
                  " exchanges is reached (limits.max_exchanges)",
                  BYTES_ARGS(d->name), BYTES_ARGS(t->name), d->exchanges_max);
}

static int make_delays(const struct exchange_declaration *d, struct queue_handle **delays,
                       struct refusal *r)
{
    *delays = d->delays->make(d->delays->context, d->name, d->durable);
    if (*delays != NULL)
        return 0;
    return refuse(r, REFUSAL_RESOURCE_ERROR,
                  "exchange '%.*s' cannot be made durable: the definitions cannot be written",
                  BYTES_ARGS(d->name));
}

int topology_declare_exchange(struct topology *t, const struct exchange_declaration *d,
                              struct refusal *r)
{
    const struct exchange_router *router = NULL;
    struct queue_handle *delays = NULL;
    const struct exchange *e;
    int rc;

    if (!d->passive) {
        router = exchange_router_find(d->type);
        if (router == NULL)
            return refuse(r, REFUSAL_COMMAND_INVALID, "unknown exchange type '%.*s'",
                          BYTES_ARGS(d->type));
    }
    if (d->name.size == 0)
        return refuse_default_exchange(r);

    e = find_exchange(t, d->name);
    if (d->passive)
        return e != NULL ? 0 : refuse_missing(t, "exchange", d->name, r);
    if (e != NULL)
        return exchange_equivalent(e, router, d, t->name, r);

    assert(router != NULL);
    rc = check_new_exchange(t, d, router, r);
    if (rc == 0)
        rc = check_exchange_limit(t, d, r);
    if (rc == 0 && router == &exchange_delayed && d->delays != NULL)
        rc = make_delays(d, &delays, r);
    if (rc == 0)
        add_exchange(t, router, d, delays);
    return rc;
}

void topology_set_delays(struct topology *t, struct exchange *e, struct queue_handle *delays)
{
    assert(e->declared == &exchange_delayed && e->delays == NULL);
    set_delays(t, e, delays);
    raise_epoch(t);
}

int topology_delete_exchange(struct topology *t, struct bytes name, bool if_unused,
                             struct refusal *r)
{
    struct exchange *e;

    if (name.size == 0)
        return refuse_default_exchange(r);
    if (bytes_starts_with(name, "amq."))
        return refuse(r, REFUSAL_ACCESS_REFUSED,
                      "deletion of system exchange '%.*s' in vhost '%.*s' not allowed",
                      BYTES_ARGS(name), BYTES_ARGS(t->name));
    e = find_exchange(t, name);
    if (e == NULL)
        return 0;
    if (if_unused && !list_empty(&e->bindings))
        return refuse(r, REFUSAL_PRECONDITION_FAILED, "exchange '%.*s' in vhost '%.*s' in use",
                      BYTES_ARGS(name), BYTES_ARGS(t->name));
    doom_exchange(t, e);
    delete_doomed(t);
    raise_epoch(t);
    return 0;
}

/* Binding */

/* The two ends of a binding that is declared; NULL and 0 where there is none. */
struct binding_ends {
    struct exchange *source;
    uintptr_t destination;
    struct queue_handle *queue;   /* the destination when it is a queue */
    struct exchange *to_exchange; /* the destination when it is an exchange */
};

static int find_ends(const struct topology *t, const struct binding_declaration *b,
                     struct binding_ends *ends, struct refusal *r)
{
    *ends = (struct binding_ends){.source = NULL};
    if (b->source.size == 0 || (b->to_exchange && b->destination.size == 0))
        return refuse_default_exchange(r);
    if (is_lease(b->source) || (b->to_exchange && is_lease(b->destination)))
        return refuse_lease_exchange(t, r);

    ends->source = find_exchange(t, b->source);
    if (b->to_exchange) {
        ends->to_exchange = find_exchange(t, b->destination);
        if (ends->to_exchange != NULL)
            ends->destination = destination_of_exchange(ends->to_exchange);
    } else {
        ends->queue = topology_find_queue(t, b->destination);
        if (ends->queue != NULL)
            ends->destination = destination_of_queue(ends->queue);
    }
    return 0;
}

static int check_owner(const struct topology *t, const struct queue_handle *h, uint64_t connection,
                       struct refusal *r)
{
    if (h == NULL || h->owner == 0 || connection == 0 || h->owner == connection)
        return 0;
    return refuse(r, REFUSAL_RESOURCE_LOCKED,
                  "cannot obtain exclusive access to locked queue '%.*s' in vhost '%.*s'. It could "
                  "be originally declared on another connection or the exclusive property value "
                  "does not match that of the original declaration.",
                  BYTES_ARGS(h->name), BYTES_ARGS(t->name));
}

static struct binding *find_binding(const struct topology *t, const struct binding_identity *i)
{
    struct hash_node *n =
        hash_map_find(&t->bindings, binding_identity_hash(i), binding_has_identity, i);

    return n != NULL ? container_of(n, struct binding, by_identity) : NULL;
}

static void add_binding(struct topology *t, const struct binding_ends *ends,
                        const struct binding_identity *i, struct binding_arguments *arguments)
{
    struct binding *b = binding_create(ends->source, ends->destination, i->key, arguments);
    struct list *incoming =
        ends->queue != NULL ? &ends->queue->bindings : &ends->to_exchange->incoming;

    list_append(&ends->source->bindings, &b->by_source);
    list_append(incoming, &b->by_destination);
    hash_map_insert(&t->bindings, &b->by_identity, binding_identity_hash(i));
    count_binding(t, 1);
    ends->source->router->add(ends->source->state, b);
    raise_epoch(t);
}

static int check_binding_limit(const struct topology *t, const struct binding_declaration *b,
                               struct refusal *r)
{
    if (b->bindings_max == 0 || t->totals == NULL ||
        atomic_load_explicit(&t->totals->bindings, memory_order_relaxed) < b->bindings_max)
        return 0;
    return refuse(r, REFUSAL_PRECONDITION_FAILED,
                  "cannot bind %s '%.*s' to exchange '%.*s' in vhost '%.*s': the limit of %" PRIu32
                  " bindings is reached (limits.max_bindings)",
                  b->to_exchange ? "exchange" : "queue", BYTES_ARGS(b->destination),
                  BYTES_ARGS(b->source), BYTES_ARGS(t->name), b->bindings_max);
}

static bool ends_are_durable(const struct binding_ends *ends)
{
    return exchange_durable(ends->source) &&
           (ends->queue != NULL ? ends->queue->options.durable
                                : exchange_durable(ends->to_exchange));
}

int topology_bind(struct topology *t, const struct binding_declaration *b, struct refusal *r)
{
    struct binding_arguments *arguments;
    struct binding_identity identity;
    struct binding_ends ends;
    int rc;

    rc = find_ends(t, b, &ends, r);
    if (rc < 0)
        return rc;
    if (ends.source == NULL)
        return refuse_missing(t, "exchange", b->source, r);
    if (ends.destination == 0)
        return refuse_missing(t, b->to_exchange ? "exchange" : "queue", b->destination, r);
    if (ends.source->router->check != NULL) {
        rc = ends.source->router->check(b->routing_key, b->arguments, r);
        if (rc < 0)
            return rc;
    }
    rc = check_owner(t, ends.queue, b->connection, r);
    if (rc < 0)
        return rc;

    arguments = binding_arguments_create(b->arguments);
    identity = (struct binding_identity){
        .source = ends.source,
        .destination = ends.destination,
        .key = b->routing_key,
        .arguments = arguments,
    };
    if (find_binding(t, &identity) != NULL) {
        binding_arguments_free(arguments);
        return 0;
    }
    rc = check_binding_limit(t, b, r);
    if (rc < 0) {
        binding_arguments_free(arguments);
        return rc;
    }
    add_binding(t, &ends, &identity, arguments);
    if (t->observer != NULL)
        t->observer->binding_added(t->observer->context, b, ends_are_durable(&ends));
    return 0;
}

int topology_unbind(struct topology *t, const struct binding_declaration *b, struct refusal *r)
{
    struct binding_arguments *arguments;
    struct binding_identity identity;
    struct binding_ends ends;
    struct binding *found;
    int rc;

    rc = find_ends(t, b, &ends, r);
    if (rc < 0)
        return rc;
    if (ends.source == NULL || ends.destination == 0)
        return 0;

    arguments = binding_arguments_create(b->arguments);
    identity = (struct binding_identity){
        .source = ends.source,
        .destination = ends.destination,
        .key = b->routing_key,
        .arguments = arguments,
    };
    found = find_binding(t, &identity);
    binding_arguments_free(arguments);
    if (found == NULL)
        return 0;
    rc = check_owner(t, ends.queue, b->connection, r);
    if (rc < 0)
        return rc;
    if (t->observer != NULL)
        t->observer->binding_removed(t->observer->context, b, ends_are_durable(&ends));
    remove_binding(t, found);
    delete_doomed(t);
    raise_epoch(t);
    return 0;
}

bool topology_remove_bindings(struct topology *t, size_t count)
{
    struct hash_node *n;

    while (count-- != 0 && (n = hash_map_first(&t->bindings)) != NULL)
        remove_binding(t, container_of(n, struct binding, by_identity));
    delete_doomed(t);
    raise_epoch(t);
    return t->bindings.count != 0;
}

/* Policies */

struct policy_set *topology_policies(struct topology *t)
{
    return &t->policies;
}

static void follow_policies(struct hash_node *n, void *context)
{
    struct topology *t = context;

    exchange_follow(container_of(n, struct exchange, by_name), &t->policies);
}

size_t topology_follow_policies(struct topology *t, size_t cursor)
{
    size_t next = hash_map_scan(&t->exchanges, cursor, FOLLOW_BUDGET, follow_policies, t);

    raise_epoch(t);
    return next;
}

/* Walking */

void topology_each_exchange(const struct topology *t,
                            bool (*visit)(const struct exchange *e, void *context), void *context)
{
    struct hash_node *n = hash_map_first(&t->exchanges);

    while (n != NULL && visit(container_of(n, struct exchange, by_name), context))
        n = hash_map_next(&t->exchanges, n);
}

void topology_each_queue(const struct topology *t,
                         bool (*visit)(struct queue_handle *h, void *context), void *context)
{
    struct hash_node *n = hash_map_first(&t->queues);

    while (n != NULL && visit(container_of(n, struct queue_handle, by_name), context))
        n = hash_map_next(&t->queues, n);
}

/* What a scan's caller wants called, and with what. */
struct scan {
    union {
        void (*exchange)(const struct exchange *e, void *context);
        void (*queue)(struct queue_handle *h, void *context);
        void (*binding)(const struct binding_declaration *b, bool durable, void *context);
    } visit;
    void *context;
};

static void scan_exchange(struct hash_node *n, void *context)
{
    const struct scan *s = context;

    s->visit.exchange(container_of(n, struct exchange, by_name), s->context);
}

static void scan_queue(struct hash_node *n, void *context)
{
    const struct scan *s = context;

    s->visit.queue(container_of(n, struct queue_handle, by_name), s->context);
}

static void scan_binding(struct hash_node *n, void *context)
{
    const struct scan *s = context;
    const struct binding *b = container_of(n, struct binding, by_identity);
    bool to_exchange = destination_is_exchange(b->link.value);
    struct binding_declaration d = {
        .source = b->source->name,
        .to_exchange = to_exchange,
        .routing_key = binding_key(b),
        .arguments = b->arguments != NULL ? &b->arguments->table : NULL,
    };
    bool durable;

    if (to_exchange) {
        d.destination = destination_exchange(b->link.value)->name;
        durable = destination_exchange(b->link.value)->durable;
    } else {
        d.destination = destination_queue(b->link.value)->name;
        durable = destination_queue(b->link.value)->options.durable;
    }
    s->visit.binding(&d, durable && b->source->durable, s->context);
}

size_t topology_scan_exchanges(const struct topology *t, size_t cursor, size_t count,
                               void (*visit)(const struct exchange *e, void *context),
                               void *context)
{
    struct scan s = {.visit.exchange = visit, .context = context};

    return hash_map_scan(&t->exchanges, cursor, count, scan_exchange, &s);
}

size_t topology_scan_queues(const struct topology *t, size_t cursor, size_t count,
                            void (*visit)(struct queue_handle *h, void *context), void *context)
{
    struct scan s = {.visit.queue = visit, .context = context};

    return hash_map_scan(&t->queues, cursor, count, scan_queue, &s);
}

size_t topology_scan_bindings(const struct topology *t, size_t cursor, size_t count,
                              void (*visit)(const struct binding_declaration *b, bool durable,
                                            void *context),
                              void *context)
{
    struct scan s = {.visit.binding = visit, .context = context};

    return hash_map_scan(&t->bindings, cursor, count, scan_binding, &s);
}
