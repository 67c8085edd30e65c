#include "session/broker.h"

#include "amqp/table.h"
#include "base/arena.h"
#include "base/memory.h"
#include "broker/queue.h"
#include "session/broker_policies.h"
#include "session/broker_store.h"
#include "session/broker_users.h"
#include "session/broker_vhosts.h"
#include "session/connection.h"
#include "session/delayed_exchange.h"
#include "session/durable_log.h"
#include "session/queue_home.h"
#include "session/vhost_limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

/* ---- What the workers do ---- */

static void on_start(struct worker *w)
{
    struct shard *s = shard_of(w);

    for (uint32_t i = 0; i < s->log_count; i++)
        durable_log_start(s->logs[i]);
    if (w->id == 0)
        alarms_start(&s->broker->alarms);
}

static void on_stop(struct worker *w)
{
    (void)w;
}

static void on_accept(struct worker *w, int fd, const struct socket_address *peer,
                      struct server_listener *at)
{
    connection_accept(shard_of(w), fd, peer, at);
}

static bool on_end_turn(struct worker *w)
{
    return shard_end_turn(shard_of(w));
}

static void on_shut_down(struct worker *w)
{
    shard_shut_down(shard_of(w));
}

const struct worker_ops BROKER_WORKER_OPS = {
    .start = on_start,
    .stop = on_stop,
    .accept = on_accept,
    .end_turn = on_end_turn,
    .shut_down = on_shut_down,
};

/* ---- connection.start's server-properties ---- */

static const char *const CAPABILITIES[] = {
    "publisher_confirms",           "exchange_exchange_bindings", "basic.nack",
    "consumer_cancel_notify",       "connection.blocked",         "consumer_priorities",
    "authentication_failure_close", "per_consumer_qos",           "direct_reply_to",
};

static void set_string(struct arena *a, struct table *t, const char *key, const char *value)
{
    table_set(a, t, key, value_string(arena_copy(a, bytes_from_string(value))));
}

static void encode_server_properties(struct broker *b, const char *version)
{
    const struct config_server *server = &b->server->config->server;
    struct table capabilities = table_empty();
    struct table properties = table_empty();
    struct utsname system;
    char cluster[sizeof(system.nodename) + 16];
    struct arena a;

    arena_init(&a);
    for (size_t i = 0; i < sizeof(CAPABILITIES) / sizeof(CAPABILITIES[0]); i++)
        table_set(&a, &capabilities, CAPABILITIES[i], value_boolean(true));
    if (uname(&system) < 0)
        snprintf(system.nodename, sizeof(system.nodename), "localhost");
    snprintf(cluster, sizeof(cluster), "leveret@%s", system.nodename);

    table_set(&a, &properties, "capabilities", value_table(capabilities));
    set_string(&a, &properties, "cluster_name",
               server->cluster_name != NULL ? server->cluster_name : cluster);
    set_string(&a, &properties, "copyright", "The leveret authors");
    set_string(&a, &properties, "information", "Licensed under the Apache License 2.0");
    set_string(&a, &properties, "platform", "C");
    set_string(&a, &properties, "product", server->product);
    set_string(&a, &properties, "version", server->version != NULL ? server->version : version);
    buffer_init(&b->server_properties);
    amqp_table_encode_fields(&properties, &b->server_properties);
    arena_free(&a);
}

/* ---- The configuration's topology ---- */

static bool same_name(struct bytes vhost, const struct vhost *v)
{
    return bytes_equal(vhost, v->name);
}

static void declare_exchange(struct shard *s, struct vhost *v, const struct config *config,
                             const struct config_exchange *x, struct config_problems *problems)
{
    struct exchange_declaration d = {
        .name = x->name,
        .type = x->type,
        .durable = x->durable,
        .auto_delete = x->auto_delete,
        .internal = x->internal,
        .arguments = &x->arguments,
    };
    struct refusal r;

    if (delayed_exchange_declare(s, v->topology, &d, &r) < 0)
        config_problems_add(problems, config->file, x->line, "%s", r.text);
}

static void declare_queue(struct shard *s, struct vhost *v, const struct config *config,
                          const struct config_queue *q, struct config_problems *problems)
{
    struct queue_handle *existing = topology_find_queue(v->topology, q->name);
    struct queue_options options;
    struct refusal r;

    if (queue_options_parse(&options, q->durable, false, q->auto_delete, &q->arguments, q->name,
                            v->name, &r) < 0) {
        config_problems_add(problems, config->file, q->line, "%s", r.text);
        return;
    }
    if (existing == NULL) {
        if (queue_home_create(s, v, q->name, &options, 0) != NULL)
            return;
        config_problems_add(problems, config->file, q->line,
                            "queue '%.*s' in vhost '%.*s' cannot be made durable: the definitions "
                            "cannot be written",
                            BYTES_ARGS(q->name), BYTES_ARGS(v->name));
        queue_options_free(&options);
        return;
    }
    if (queue_options_equivalent(&existing->options, &options, q->name, v->name, &r) < 0)
        config_problems_add(problems, config->file, q->line, "%s", r.text);
    queue_options_free(&options);
}

static void declare_binding(struct vhost *v, const struct config *config,
                            const struct config_binding *b, struct config_problems *problems)
{
    const struct binding_declaration d = {
        .source = b->source,
        .destination = b->destination,
        .to_exchange = b->destination_type == CONFIG_DESTINATION_EXCHANGE,
        .routing_key = b->routing_key,
        .arguments = &b->arguments,
    };
    struct refusal r;

    if (topology_bind(v->topology, &d, &r) < 0)
        config_problems_add(problems, config->file, b->line, "%s", r.text);
}

static void declare_vhost(struct shard *s, struct vhost *v, const struct config *config,
                          struct config_problems *problems)
{
    const struct config_topology *t = &config->topology;

    vhost_lock_write(v);
    for (size_t i = 0; i < t->exchanges.count; i++) {
        if (same_name(t->exchanges.items[i].vhost, v))
            declare_exchange(s, v, config, &t->exchanges.items[i], problems);
    }
    for (size_t i = 0; i < t->queues.count; i++) {
        if (same_name(t->queues.items[i].vhost, v))
            declare_queue(s, v, config, &t->queues.items[i], problems);
    }
    for (size_t i = 0; i < t->bindings.count; i++) {
        if (same_name(t->bindings.items[i].vhost, v))
            declare_binding(v, config, &t->bindings.items[i], problems);
    }
    vhost_unlock(v);
}

/* Queues of the configuration are at home on the first worker. */
static void declare_topology(struct broker *b, const struct config *config,
                             struct config_problems *problems)
{
    for (size_t i = 0; i < config->vhosts.count; i++) {
        bool made;
        struct vhost *v = broker_vhost_put(b, config->vhosts.items[i].name, &made);

        broker_store_watch(b, v);
        declare_vhost(&b->shards[0], v, config, problems);
    }
}

/* ---- Life ---- */

int broker_init(struct broker *b, struct server *server, const char *version, const char *data_path,
                struct config_problems *problems)
{
    int rc;

    *b = (struct broker){.server = server, .limits = &server->config->limits};
    server->shared = b;
    server->version = version;
    encode_server_properties(b, version);
    reply_registry_init(&b->replies);
    accounts_init(&b->accounts);
    broker_parameters_init(&b->parameters);
    b->shards = memory_alloc_zeroed(server->worker_count, sizeof(*b->shards));
    for (uint32_t i = 0; i < server->worker_count; i++)
        shard_init(&b->shards[i], &server->workers[i], b);
    broker_policies_load(b, server->config, problems);
    vhost_limits_configure(b, server->config);
    rc = broker_store_open(b, data_path);
    if (rc < 0)
        return rc;
    broker_users_configure(b, server->config, auth_database_current());
    rc = logins_start(&b->logins, &server->config->login,
                      (struct logins_upgrade){.call = broker_users_upgrade_hash, .context = b});
    if (rc < 0)
        return rc;
    alarms_init(&b->alarms, b, b->data.path);
    declare_topology(b, server->config, problems);
    return 0;
}

/* Reloads declare on the first worker, which owns what they make. */
struct reload {
    struct mail_record head;
    struct broker *broker;
    const struct config *config;
    struct config_problems *problems;
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool done;
};

static void handle_reload(struct worker *w, struct mail_record *r)
{
    struct reload *reload = *(struct reload **)(void *)(r + 1);

    (void)w;
    declare_topology(reload->broker, reload->config, reload->problems);
    pthread_mutex_lock(&reload->lock);
    reload->done = true;
    pthread_cond_signal(&reload->finished);
    pthread_mutex_unlock(&reload->lock);
}

static void handle_refresh_auth(struct worker *w, struct mail_record *r)
{
    (void)r;
    list_for_each_safe(&shard_of(w)->connections, node)
        connection_refresh_auth(container_of(node, struct connection, in_shard));
}

void broker_refresh_auth(struct broker *b)
{
    for (uint32_t i = 0; i < b->server->worker_count; i++)
        worker_post(&b->server->workers[i], handle_refresh_auth, NULL, 0);
}

void broker_reload(struct broker *b, const struct config *config, struct config_problems *problems)
{
    struct reload reload = {
        .broker = b,
        .config = config,
        .problems = problems,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .finished = PTHREAD_COND_INITIALIZER,
    };
    struct reload *pointer = &reload;

    broker_policies_reload(b, config, problems);
    vhost_limits_configure(b, config);
    worker_post(&b->server->workers[0], handle_reload, &pointer, sizeof(pointer));
    pthread_mutex_lock(&reload.lock);
    while (!reload.done)
        pthread_cond_wait(&reload.finished, &reload.lock);
    pthread_mutex_unlock(&reload.lock);
}

/* Connections are gone, and with them every consumer; the journals are closed. */
static bool free_queue(struct queue_handle *h, void *context)
{
    (void)context;
    free(queue_clock(h->queue));
    if (h->durable != NULL)
        durable_queue_discard(h->durable);
    h->durable = NULL;
    queue_destroy(h->queue, NULL, NULL);
    h->queue = NULL;
    return true;
}

static bool free_delays(const struct exchange *e, void *context)
{
    struct queue_handle *delays = exchange_delays(e);

    return delays == NULL || free_queue(delays, context);
}

static void free_vhost_queues(struct vhost *v, void *context)
{
    topology_each_queue(v->topology, free_queue, context);
    topology_each_exchange(v->topology, free_delays, context);
}

void broker_release(struct broker *b)
{
    logins_stop(b->logins);
    broker_store_close(b);
    vhost_registry_each(&b->server->vhosts, free_vhost_queues, NULL);
    vhost_registry_each_deleted(&b->server->vhosts, free_vhost_queues, NULL);
    for (uint32_t i = 0; i < b->server->worker_count; i++)
        shard_release(&b->shards[i]);
    free(b->shards);
    reply_registry_release(&b->replies);
    accounts_release(&b->accounts);
    broker_parameters_release(&b->parameters);
    buffer_free(&b->server_properties);
}
