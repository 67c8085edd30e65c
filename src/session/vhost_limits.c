#include "session/vhost_limits.h"

#include "base/log.h"
#include "broker/topology.h"
#include "broker/value_text.h"
#include "server/vhost.h"
#include "session/audit.h"
#include "session/broker.h"
#include "session/connection.h"

#include <errno.h>
#include <inttypes.h>

static const char PARAMETER_NAME[] = "limits";
static const char MAX_CONNECTIONS[] = "max-connections";
static const char MAX_QUEUES[] = "max-queues";

/* ---- Setting ---- */

static int check(const struct table *limits, struct refusal *r)
{
    char text[VALUE_TEXT_SIZE];

    for (uint32_t i = 0; i < limits->count; i++) {
        const struct table_field *f = &limits->fields[i];

        if (!bytes_equal_string(f->key, MAX_CONNECTIONS) && !bytes_equal_string(f->key, MAX_QUEUES))
            return refuse(r, REFUSAL_PRECONDITION_FAILED, "'%.*s' is not a recognised limit",
                          BYTES_ARGS(f->key));
        if (value_is_integer(&f->value))
            continue;
        value_text_term(&f->value, text);
        return refuse(r, REFUSAL_PRECONDITION_FAILED, "%.*s should be a number, actually was %s",
                      BYTES_ARGS(f->key), text);
    }
    return 0;
}

static int64_t limit_of(const struct table *limits, const char *name)
{
    const struct value *v = table_get(limits, name);

    return v != NULL && v->integer >= 0 ? v->integer : -1;
}

static void apply(struct vhost *v, int64_t max_connections, int64_t max_queues)
{
    atomic_store(&v->max_connections, max_connections);
    atomic_store(&v->max_queues, max_queues);
}

static void call(struct definitions_done done)
{
    if (done.call != NULL)
        done.call(done.context, 0);
}

/* The virtual host, locked for writing, whose limits may be changed; or NULL, refused. */
static struct vhost *lock_for_change(struct broker *b, struct bytes name, struct refusal *r)
{
    struct vhost *v = vhost_find(&b->server->vhosts, name);

    if (v == NULL) {
        refuse(r, REFUSAL_NOT_FOUND, "vhost '%.*s' not found", BYTES_ARGS(name));
        return NULL;
    }
    vhost_lock_write(v);
    if (!v->limits_are_configured)
        return v;
    vhost_unlock(v);
    refuse(r, REFUSAL_ACCESS_REFUSED,
           "the limits of vhost '%.*s' are set in the configuration file", BYTES_ARGS(name));
    return NULL;
}

int vhost_limits_set(struct broker *b, struct bytes vhost, const struct table *limits,
                     struct definitions_done done, struct refusal *r)
{
    const struct value value = value_table(*limits);
    const struct parameter_definition p = {
        .vhost = vhost,
        .component = bytes_from_string(PARAMETER_VHOST_LIMITS),
        .name = bytes_from_string(PARAMETER_NAME),
        .value = &value,
    };
    struct vhost *v;

    if (check(limits, r) < 0)
        return -EPROTO;
    v = lock_for_change(b, vhost, r);
    if (v == NULL)
        return -EPROTO;
    apply(v, limit_of(limits, MAX_CONNECTIONS), limit_of(limits, MAX_QUEUES));
    if (b->definitions != NULL)
        definitions_add_parameter(b->definitions, &p, done);
    audit_log("vhost",
              "limits of vhost '%.*s' were set: max-connections %" PRId64 ", max-queues %" PRId64
              " (-1: none)",
              BYTES_ARGS(vhost), limit_of(limits, MAX_CONNECTIONS), limit_of(limits, MAX_QUEUES));
    vhost_unlock(v);
    if (b->definitions == NULL)
        call(done);
    return 0;
}

static void forget(struct broker *b, struct bytes vhost, struct definitions_done done)
{
    if (b->definitions != NULL)
        definitions_remove_parameter(b->definitions, vhost,
                                     bytes_from_string(PARAMETER_VHOST_LIMITS),
                                     bytes_from_string(PARAMETER_NAME), done);
}

int vhost_limits_clear(struct broker *b, struct bytes vhost, struct definitions_done done,
                       struct refusal *r)
{
    struct vhost *v = lock_for_change(b, vhost, r);

    if (v == NULL)
        return -EPROTO;
    apply(v, -1, -1);
    forget(b, vhost, done);
    audit_log("vhost", "limits of vhost '%.*s' were cleared", BYTES_ARGS(vhost));
    vhost_unlock(v);
    if (b->definitions == NULL)
        call(done);
    return 0;
}

struct vhost_limits vhost_limits_of(const struct vhost *v)
{
    return (struct vhost_limits){
        .max_connections = atomic_load(&v->max_connections),
        .max_queues = atomic_load(&v->max_queues),
    };
}

/* ---- The configuration's, and the stored ones ---- */

struct configuring {
    struct broker *broker;
    const struct config *config;
};

/* 0 is no limit there. */
static int64_t configured(uint32_t limit)
{
    return limit != 0 ? (int64_t)limit : -1;
}

static void configure(struct vhost *v, void *context)
{
    static const struct definitions_done nobody_waits = {.call = NULL};
    const struct configuring *c = context;
    const struct config_vhost_limits *all = &c->config->vhost_limits;
    const struct config_vhost_limit *found = NULL;

    for (size_t i = 0; i < all->count; i++) {
        if (bytes_equal(all->items[i].vhost, v->name))
            found = &all->items[i];
    }
    vhost_lock_write(v);
    if (found != NULL) {
        apply(v, configured(found->max_connections), configured(found->max_queues));
        if (!v->limits_are_configured)
            forget(c->broker, v->name, nobody_waits);
    } else if (v->limits_are_configured) {
        apply(v, -1, -1);
    }
    v->limits_are_configured = found != NULL;
    vhost_unlock(v);
}

void vhost_limits_configure(struct broker *b, const struct config *config)
{
    struct configuring c = {.broker = b, .config = config};

    for (size_t i = 0; i < config->vhosts.count; i++)
        vhost_ensure(&b->server->vhosts, config->vhosts.items[i].name);
    vhost_registry_each(&b->server->vhosts, configure, &c);
}

void vhost_limits_restore(struct broker *b, const struct parameter_definition *p)
{
    struct vhost *v;
    struct refusal r;

    if (p->vhost.size == 0 || !bytes_equal_string(p->component, PARAMETER_VHOST_LIMITS) ||
        !bytes_equal_string(p->name, PARAMETER_NAME))
        return;
    v = vhost_ensure(&b->server->vhosts, p->vhost);
    if (v->limits_are_configured) {
        forget(b, p->vhost, (struct definitions_done){.call = NULL});
        return;
    }
    if (p->value->type != VALUE_TABLE || check(&p->value->table, &r) < 0) {
        log_error("definitions", "the limits of vhost '%.*s' are not restored",
                  BYTES_ARGS(p->vhost));
        return;
    }
    apply(v, limit_of(&p->value->table, MAX_CONNECTIONS), limit_of(&p->value->table, MAX_QUEUES));
}

/* ---- For those who are limited ---- */

bool vhost_limits_enter(struct connection *c, int64_t *limit)
{
    struct vhost *v = c->vhost;
    int64_t before = atomic_fetch_add(&v->connection_count, 1);

    *limit = atomic_load(&v->max_connections);
    if (*limit >= 0 && before >= *limit) {
        atomic_fetch_sub(&v->connection_count, 1);
        return false;
    }
    c->counts_in_vhost = true;
    return true;
}

void vhost_limits_leave(struct connection *c)
{
    if (c->counts_in_vhost)
        atomic_fetch_sub(&c->vhost->connection_count, 1);
    c->counts_in_vhost = false;
}

bool vhost_limits_allow_queue(const struct vhost *v, int64_t *limit)
{
    *limit = atomic_load(&v->max_queues);
    return *limit < 0 || topology_queue_count(v->topology) < (uint64_t)*limit;
}

const char *vhost_limits_connections_key(const struct vhost *v)
{
    return v->limits_are_configured ? "vhost_limits.max_connections"
                                    : "max-connections of set_vhost_limits";
}

const char *vhost_limits_queues_key(const struct vhost *v)
{
    return v->limits_are_configured ? "vhost_limits.max_queues" : "max-queues of set_vhost_limits";
}
