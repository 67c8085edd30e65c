#include "session/broker_policies.h"

#include "base/log.h"
#include "base/memory.h"
#include "broker/topology.h"
#include "server/vhost.h"
#include "session/audit.h"
#include "session/broker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static const struct definitions_done NOBODY_WAITS = {.call = NULL};

static const char *kind_of(bool operator_policy)
{
    return operator_policy ? "operator policy" : "policy";
}

/* ---- One policy ---- */

static void store(struct broker *b, struct vhost *v, const struct policy_declaration *d)
{
    const struct policy_definition definition = {
        .vhost = v->name,
        .name = d->name,
        .pattern = d->pattern,
        .apply_to = d->apply_to,
        .priority = d->priority,
        .operator_policy = d->operator_policy,
        .definition = d->definition,
    };

    if (b->definitions != NULL)
        definitions_add_policy(b->definitions, &definition, NOBODY_WAITS);
}

static void forget(struct broker *b, struct vhost *v, const struct policy_declaration *d)
{
    if (b->definitions != NULL)
        definitions_remove_policy(b->definitions, v->name, d->name, d->operator_policy,
                                  NOBODY_WAITS);
}

/* What is taken for what it means elsewhere is told. */
static void tell_set(const struct vhost *v, const struct policy_declaration *d)
{
    audit_log("policy", "%s '%.*s' in vhost '%.*s' is set", kind_of(d->operator_policy),
              BYTES_ARGS(d->name), BYTES_ARGS(v->name));
    for (uint32_t i = 0; i < d->definition->count; i++) {
        const struct policy_key *key = policy_key_find(d->definition->fields[i].key);

        if (key != NULL && key->has_no_effect)
            log_info("policy", "%s '%.*s' in vhost '%.*s': '%s' is accepted and has no effect",
                     kind_of(d->operator_policy), BYTES_ARGS(d->name), BYTES_ARGS(v->name),
                     key->name);
    }
}

static struct vhost *find_vhost(struct broker *b, struct bytes name, struct refusal *r)
{
    struct vhost *v = vhost_find(&b->server->vhosts, name);

    if (v == NULL)
        refuse(r, REFUSAL_NOT_FOUND, "vhost '%.*s' not found", BYTES_ARGS(name));
    return v;
}

static int refuse_configured(const struct vhost *v, const struct policy_declaration *d,
                             struct refusal *r)
{
    return refuse(r, REFUSAL_ACCESS_REFUSED,
                  "%s '%.*s' in vhost '%.*s' is set in the configuration file",
                  kind_of(d->operator_policy), BYTES_ARGS(d->name), BYTES_ARGS(v->name));
}

/* A few at a time: many exchanges keep no publisher waiting. */
static void follow_exchanges(struct vhost *v)
{
    size_t cursor = 0;

    do {
        vhost_lock_write(v);
        cursor = topology_follow_policies(v->topology, cursor);
        vhost_unlock(v);
    } while (cursor != 0);
}

static void follow(struct broker *b, struct vhost *v, struct policies_done done)
{
    follow_exchanges(v);
    policy_walk_start(b, done);
}

/* Under the lock. */
static int set(struct broker *b, struct vhost *v, const struct policy *p, struct refusal *r)
{
    const struct policy_declaration *d = policy_declaration(p);
    struct policy_set *policies = topology_policies(v->topology);
    const struct policy *former = policy_set_find(policies, d->name, d->operator_policy);

    if (former != NULL && policy_declaration(former)->from_configuration)
        return refuse_configured(v, d, r);
    if (policy_set_put(policies, p)) {
        store(b, v, d);
        tell_set(v, d);
    }
    return 0;
}

int broker_policies_set(struct broker *b, struct bytes vhost, const struct policy_declaration *d,
                        struct policies_done done, struct refusal *r)
{
    struct vhost *v = find_vhost(b, vhost, r);
    struct policy_declaration stored = *d;
    struct policy *p;
    int rc;

    if (v == NULL)
        return -EPROTO;
    stored.from_configuration = false;
    p = policy_create(&stored, vhost, r);
    if (p == NULL)
        return -EPROTO;
    vhost_lock_write(v);
    rc = set(b, v, p, r);
    vhost_unlock(v);
    policy_unref(p);
    if (rc == 0)
        follow(b, v, done);
    return rc;
}

/* Under the lock. */
static int clear(struct broker *b, struct vhost *v, struct bytes name, bool operator_policy,
                 struct refusal *r)
{
    struct policy_set *policies = topology_policies(v->topology);
    const struct policy *p = policy_set_find(policies, name, operator_policy);
    const struct policy_declaration *d;

    if (p == NULL)
        return refuse(r, REFUSAL_NOT_FOUND, "no %s '%.*s' in vhost '%.*s'",
                      kind_of(operator_policy), BYTES_ARGS(name), BYTES_ARGS(v->name));
    d = policy_declaration(p);
    if (d->from_configuration)
        return refuse_configured(v, d, r);
    forget(b, v, d);
    audit_log("policy", "%s '%.*s' in vhost '%.*s' is cleared", kind_of(operator_policy),
              BYTES_ARGS(name), BYTES_ARGS(v->name));
    policy_set_remove(policies, name, operator_policy);
    return 0;
}

int broker_policies_clear(struct broker *b, struct bytes vhost, struct bytes name,
                          bool operator_policy, struct policies_done done, struct refusal *r)
{
    struct vhost *v = find_vhost(b, vhost, r);
    int rc;

    if (v == NULL)
        return -EPROTO;
    vhost_lock_write(v);
    rc = clear(b, v, name, operator_policy, r);
    vhost_unlock(v);
    if (rc == 0)
        follow(b, v, done);
    return rc;
}

int broker_policies_each(struct broker *b, struct bytes vhost, bool operator_policy,
                         void (*visit)(void *context, const struct policy_declaration *d),
                         void *context)
{
    struct vhost *v = vhost_find(&b->server->vhosts, vhost);
    const struct policy_set *policies;
    const struct policy_row *row;

    if (v == NULL)
        return -ENOENT;
    vhost_lock_read(v);
    policies = topology_policies(v->topology);
    row = operator_policy ? &policies->operator_policies : &policies->policies;
    for (size_t i = 0; i < row->count; i++)
        visit(context, policy_declaration(row->items[i]));
    vhost_unlock(v);
    return 0;
}

void broker_policies_restore(struct broker *b, const struct policy_definition *definition)
{
    const struct policy_declaration d = {
        .name = definition->name,
        .pattern = definition->pattern,
        .apply_to = definition->apply_to,
        .priority = definition->priority,
        .operator_policy = definition->operator_policy,
        .definition = definition->definition,
    };
    struct vhost *v = vhost_ensure(&b->server->vhosts, definition->vhost);
    struct policy_set *policies = topology_policies(v->topology);
    struct refusal r;
    struct policy *p;

    if (policy_set_find(policies, d.name, d.operator_policy) != NULL) {
        forget(b, v, &d);
        return;
    }
    p = policy_create(&d, v->name, &r);
    if (p == NULL) {
        log_error("policy", "not restored: %s", r.text);
        return;
    }
    policy_set_put(policies, p);
    policy_unref(p);
    follow_exchanges(v);
}

/* ---- The configuration's ---- */

struct configuring {
    struct broker *broker;
    const struct config *config;
    struct config_problems *problems;
    bool changed; /* a policy, of whatever virtual host */
};

static bool is_configured(const struct config_policies *all, const struct vhost *v,
                          struct bytes name)
{
    for (size_t i = 0; i < all->count; i++) {
        if (bytes_equal(all->items[i].vhost, v->name) && bytes_equal(all->items[i].name, name))
            return true;
    }
    return false;
}

/* The policies of a row, a reference each. */
static struct policy_row copy_row(struct vhost *v, bool operator_policy)
{
    const struct policy_set *policies = topology_policies(v->topology);
    const struct policy_row *row =
        operator_policy ? &policies->operator_policies : &policies->policies;
    struct policy_row copy = {.count = row->count};

    copy.items = memory_alloc_zeroed(copy.count != 0 ? copy.count : 1, sizeof(struct policy *));
    for (size_t i = 0; i < copy.count; i++)
        copy.items[i] = policy_ref(row->items[i]);
    return copy;
}

/* Removes those that the file had and has no more. The lock is held for one at a time: many
 * policies keep no publisher waiting. */
static void remove_unconfigured(struct configuring *c, struct vhost *v,
                                const struct config_policies *all, bool operator_policy)
{
    struct policy_row row;

    vhost_lock_read(v);
    row = copy_row(v, operator_policy);
    vhost_unlock(v);
    for (size_t i = 0; i < row.count; i++) {
        const struct policy_declaration *d = policy_declaration(row.items[i]);

        if (d->from_configuration && !is_configured(all, v, d->name)) {
            vhost_lock_write(v);
            policy_set_remove(topology_policies(v->topology), d->name, operator_policy);
            vhost_unlock(v);
            audit_log("policy", "%s '%.*s' in vhost '%.*s' is cleared", kind_of(operator_policy),
                      BYTES_ARGS(d->name), BYTES_ARGS(v->name));
            c->changed = true;
        }
        policy_unref(row.items[i]);
    }
    free(row.items);
}

static void put_configured(struct configuring *c, struct vhost *v, const struct policy *p)
{
    const struct policy_declaration *d = policy_declaration(p);
    struct policy_set *policies = topology_policies(v->topology);
    const struct policy *former;

    vhost_lock_write(v);
    former = policy_set_find(policies, d->name, d->operator_policy);
    if (former != NULL && !policy_declaration(former)->from_configuration)
        forget(c->broker, v, d);
    if (policy_set_put(policies, p)) {
        tell_set(v, d);
        c->changed = true;
    }
    vhost_unlock(v);
}

static void configure_policy(struct configuring *c, struct vhost *v,
                             const struct config_policy *from, bool operator_policy)
{
    const struct policy_declaration d = {
        .name = from->name,
        .pattern = from->pattern,
        .apply_to = from->apply_to,
        .priority = from->priority,
        .operator_policy = operator_policy,
        .from_configuration = true,
        .definition = &from->definition,
    };
    struct refusal r;
    struct policy *p = policy_create(&d, v->name, &r);

    if (p == NULL) {
        config_problems_add(c->problems, c->config->file, from->line, "%s", r.text);
        return;
    }
    put_configured(c, v, p);
    policy_unref(p);
}

static void configure_row(struct configuring *c, struct vhost *v, const struct config_policies *all,
                          bool operator_policy)
{
    remove_unconfigured(c, v, all, operator_policy);
    for (size_t i = 0; i < all->count; i++) {
        if (bytes_equal(all->items[i].vhost, v->name))
            configure_policy(c, v, &all->items[i], operator_policy);
    }
}

static void configure_vhost(struct vhost *v, void *context)
{
    struct configuring *c = context;

    configure_row(c, v, &c->config->policies, false);
    configure_row(c, v, &c->config->operator_policies, true);
    follow_exchanges(v);
}

/* Returns whether anything changed. */
static bool configure(struct broker *b, const struct config *config,
                      struct config_problems *problems)
{
    struct configuring c = {.broker = b, .config = config, .problems = problems};

    for (size_t i = 0; i < config->vhosts.count; i++)
        vhost_ensure(&b->server->vhosts, config->vhosts.items[i].name);
    vhost_registry_each(&b->server->vhosts, configure_vhost, &c);
    return c.changed;
}

void broker_policies_load(struct broker *b, const struct config *config,
                          struct config_problems *problems)
{
    configure(b, config, problems);
}

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool done;
    int result;
};

static void on_done(void *context, int result)
{
    struct waiting *w = context;

    pthread_mutex_lock(&w->lock);
    w->result = result;
    w->done = true;
    pthread_cond_signal(&w->finished);
    pthread_mutex_unlock(&w->lock);
}

int broker_policies_wait(struct broker *b)
{
    struct waiting w = {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .finished = PTHREAD_COND_INITIALIZER,
    };

    policy_walk_start(b, (struct policies_done){.call = on_done, .context = &w});
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.finished, &w.lock);
    pthread_mutex_unlock(&w.lock);
    return w.result;
}

void broker_policies_reload(struct broker *b, const struct config *config,
                            struct config_problems *problems)
{
    if (configure(b, config, problems))
        (void)broker_policies_wait(b); /* what could not be written is in the definitions' log */
}
