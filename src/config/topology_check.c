#include "config/topology_check.h"

#include "base/hash_map.h"
#include "base/memory.h"
#include "broker/queue_options.h"
#include "broker/refusal.h"
#include "broker/topology.h"

#include <stdlib.h>

/* A vhost of the trial. */
struct trial_vhost {
    struct hash_node by_name;
    struct bytes name;
    struct topology *topology;
};

struct trial {
    const struct config *config;
    struct config_problems *problems;
    struct trial_vhost *vhosts;
    struct hash_map by_name;
};

static bool vhost_matches(const struct hash_node *node, const void *key)
{
    const struct trial_vhost *v = container_of(node, struct trial_vhost, by_name);
    const struct bytes *name = key;

    return bytes_equal(v->name, *name);
}

static struct topology *find_topology(const struct trial *t, struct bytes vhost)
{
    struct hash_node *found = hash_map_find(&t->by_name, bytes_hash(vhost), vhost_matches, &vhost);

    return found != NULL ? container_of(found, struct trial_vhost, by_name)->topology : NULL;
}

static void create_vhosts(struct trial *t)
{
    const struct config_vhosts *all = &t->config->vhosts;

    t->vhosts = memory_alloc_zeroed(all->count, sizeof(*t->vhosts));
    for (size_t i = 0; i < all->count; i++) {
        struct trial_vhost *v = &t->vhosts[i];

        v->name = all->items[i].name;
        v->topology = topology_create(v->name, NULL);
        hash_map_insert(&t->by_name, &v->by_name, bytes_hash(v->name));
    }
}

static void destroy_vhosts(struct trial *t)
{
    for (size_t i = 0; i < t->config->vhosts.count; i++)
        topology_destroy(t->vhosts[i].topology);
    hash_map_clear(&t->by_name);
    free(t->vhosts);
}

static void refused(struct trial *t, unsigned line, const struct refusal *r)
{
    config_problems_add(t->problems, t->config->file, line, "%s", r->text);
}

/* What is refused, or named twice, is a problem once: what refers to it finds something there. */
static void declare_exchange(struct trial *t, const struct config_exchange *e)
{
    struct topology *topology = find_topology(t, e->vhost);
    struct exchange_declaration d = {
        .name = e->name,
        .type = e->type,
        .durable = e->durable,
        .auto_delete = e->auto_delete,
        .internal = e->internal,
        .arguments = &e->arguments,
    };
    struct refusal r;

    if (topology == NULL || e->name.size == 0 ||
        (topology_find_exchange(topology, e->name) != NULL && !bytes_starts_with(e->name, "amq.")))
        return;
    if (topology_declare_exchange(topology, &d, &r) == 0)
        return;
    refused(t, e->line, &r);
    d = (struct exchange_declaration){.name = e->name, .type = bytes_from_string("direct")};
    topology_declare_exchange(topology, &d, &r);
}

static void declare_queue(struct trial *t, const struct config_queue *q)
{
    struct topology *topology = find_topology(t, q->vhost);
    struct queue_options options;
    struct queue_handle *handle;
    struct refusal r;

    if (topology == NULL || q->name.size == 0 || topology_find_queue(topology, q->name) != NULL)
        return;
    if (bytes_starts_with(q->name, "amq.")) {
        config_problems_add(t->problems, t->config->file, q->line,
                            "queue name '%.*s' contains reserved prefix 'amq.*'",
                            BYTES_ARGS(q->name));
        return;
    }
    if (queue_options_parse(&options, q->durable, false, q->auto_delete, &q->arguments, q->name,
                            q->vhost, &r) < 0) {
        refused(t, q->line, &r);
        options = (struct queue_options){.durable = q->durable};
    }
    handle = queue_handle_create(q->name, &options, 0, 0);
    topology_add_queue(topology, handle);
    queue_handle_unref(handle);
}

static void declare_binding(struct trial *t, const struct config_binding *b)
{
    struct binding_declaration d = {
        .source = b->source,
        .destination = b->destination,
        .to_exchange = b->destination_type == CONFIG_DESTINATION_EXCHANGE,
        .routing_key = b->routing_key,
        .arguments = &b->arguments,
    };
    struct topology *topology = find_topology(t, b->vhost);
    struct refusal r;

    if (topology == NULL || b->source.size == 0 || b->destination.size == 0)
        return;
    if (topology_bind(topology, &d, &r) < 0)
        refused(t, b->line, &r);
}

void config_check_topology(const struct config *c, bool check_bindings,
                           struct config_problems *problems)
{
    struct trial t = {.config = c, .problems = problems};

    if (c->topology.exchanges.count + c->topology.queues.count + c->topology.bindings.count == 0)
        return;
    hash_map_init(&t.by_name);
    create_vhosts(&t);
    for (size_t i = 0; i < c->topology.exchanges.count; i++)
        declare_exchange(&t, &c->topology.exchanges.items[i]);
    for (size_t i = 0; i < c->topology.queues.count; i++)
        declare_queue(&t, &c->topology.queues.items[i]);
    for (size_t i = 0; check_bindings && i < c->topology.bindings.count; i++)
        declare_binding(&t, &c->topology.bindings.items[i]);
    destroy_vhosts(&t);
}
