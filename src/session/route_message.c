/* From a message to the queues it goes to. */
#include "session/publish.h"

#include "amqp/properties.h"
#include "broker/dead_letter.h"
#include "server/vhost.h"
#include "session/message_properties.h"
#include "session/route_ahead.h"
#include "session/shard.h"

/* The headers of one message, decoded when an exchange asks for them. */
struct lazy_headers {
    const struct message *message;
    struct arena arena;
    struct table table;
    bool decoded;
    char text[ROUTE_PROPERTY_TEXT_SIZE]; /* of a property */
};

static const struct table *decode_headers(void *context)
{
    struct lazy_headers *lazy = context;
    struct amqp_properties properties;
    struct amqp_error e;

    if (lazy->decoded)
        return &lazy->table;
    lazy->decoded = true;
    if ((lazy->message->flags & MESSAGE_HAS_HEADERS) != 0 &&
        amqp_properties_view(message_properties(lazy->message), &properties) &&
        amqp_table_decode(&lazy->arena, properties.headers.encoded, &lazy->table, &e) < 0)
        lazy->table = table_empty();
    return &lazy->table;
}

static bool read_property(void *context, enum route_property which, struct bytes *value)
{
    struct lazy_headers *lazy = context;
    struct amqp_properties properties;

    return amqp_properties_view(message_properties(lazy->message), &properties) &&
           message_route_property(&properties, which, lazy->text, value);
}

/* `rare` tells that this key is not one that is asked for again and again. */
static enum route_status find_route(struct shard *s, struct vhost *vhost, struct bytes exchange,
                                    const struct route_request *request, uint64_t epoch, bool rare)
{
    const struct exchange *e = topology_find_exchange(vhost->topology, exchange);

    s->route.count = 0;
    s->route.beyond_key = false;
    if (e == NULL)
        return ROUTE_NO_EXCHANGE;
    if (exchange_internal(e))
        return ROUTE_INTERNAL;
    if (rare)
        route_ahead(&s->next_route, e, epoch, s->ahead);
    topology_route(vhost->topology, e, request, &s->route);
    return ROUTE_FOUND;
}

/* A route that was found anew: cached, or held by references of its own. */
static void route_anew(struct shard *s, struct vhost *vhost, struct bytes exchange,
                       const struct route_request *request, struct routed *out)
{
    bool cacheable;
    uint64_t epoch;

    vhost_lock_read(vhost);
    epoch = topology_epoch(vhost->topology);
    out->status = find_route(s, vhost, exchange, request, epoch, out->slot == NULL);
    out->count = s->route.count;
    out->queues = s->route.queues;
    cacheable = out->slot != NULL && request->routing_key_count == 1 && !s->route.beyond_key &&
                s->route.count <= ROUTE_CACHE_MAX_QUEUES;
    if (cacheable) {
        route_cache_fill(&s->routes, out->slot, vhost, exchange, request->routing_keys[0], epoch,
                         out->status, s->route.queues, s->route.count);
        out->queues = out->slot->queues;
    } else {
        out->slot = NULL;
        out->held = true;
        for (uint32_t i = 0; i < out->count; i++)
            queue_handle_ref(out->queues[i]);
    }
    vhost_unlock(vhost);
}

static void take_cached(struct routed *out)
{
    out->status = (enum route_status)out->slot->status;
    out->count = out->slot->count;
    out->queues = out->slot->queues;
}

static void route_by_key(struct shard *s, struct vhost *vhost, struct bytes exchange,
                         const struct message *msg, struct routed *out)
{
    struct lazy_headers lazy = {.message = msg, .table = table_empty()};
    struct bytes routing_key = message_routing_key(msg);
    const struct route_request request = {
        .routing_keys = &routing_key,
        .routing_key_count = 1,
        .headers = decode_headers,
        .property = read_property,
        .context = &lazy,
    };
    bool hit;

    out->slot = route_cache_find(&s->routes, vhost, exchange, routing_key, &hit);
    if (hit) {
        take_cached(out);
        return;
    }
    arena_init(&lazy.arena);
    route_anew(s, vhost, exchange, &request, out);
    arena_free(&lazy.arena);
}

/* CC and BCC add keys (RabbitMQ "Sender-selected Distribution"). */
static void route_by_keys(struct shard *s, struct vhost *vhost, struct bytes exchange,
                          const struct message *msg, struct routed *out)
{
    struct lazy_headers lazy = {.message = msg, .table = table_empty()};
    struct routing_keys keys;
    struct route_request request = {
        .headers = decode_headers, .property = read_property, .context = &lazy};
    bool hit;

    arena_init(&lazy.arena);
    keys = routing_keys_collect(&lazy.arena, message_routing_key(msg), decode_headers(&lazy),
                                ROUTING_KEYS_ALL);
    request.routing_keys = keys.items;
    request.routing_key_count = keys.count;
    out->slot = route_cache_find(&s->routes, vhost, exchange, message_routing_key(msg), &hit);
    route_anew(s, vhost, exchange, &request, out);
    arena_free(&lazy.arena);
}

void route_names(struct shard *s, struct vhost *vhost, struct bytes exchange,
                 struct bytes routing_key, struct routed *out)
{
    const struct route_request request = {.routing_keys = &routing_key, .routing_key_count = 1};
    bool hit;

    *out = (struct routed){.status = ROUTE_NO_EXCHANGE};
    out->slot = route_cache_find(&s->routes, vhost, exchange, routing_key, &hit);
    if (hit)
        take_cached(out);
    else
        route_anew(s, vhost, exchange, &request, out);
}

void route_message(struct shard *s, struct vhost *vhost, struct bytes exchange,
                   const struct message *msg, struct routed *out)
{
    *out = (struct routed){.status = ROUTE_NO_EXCHANGE};
    if ((msg->flags & MESSAGE_HAS_EXTRA_KEYS) != 0)
        route_by_keys(s, vhost, exchange, msg, out);
    else
        route_by_key(s, vhost, exchange, msg, out);
}

void routed_release(struct routed *r)
{
    if (!r->held)
        return;
    for (uint32_t i = 0; i < r->count; i++)
        queue_handle_unref(r->queues[i]);
}
