#include "config/check.h"

#include "base/hash_map.h"
#include "base/memory.h"
#include "broker/policy.h"
#include "config/topology_check.h"
#include "net/listener.h"

#include <inttypes.h>
#include <string.h>

enum {
    LISTENERS_MAX = 64,
};

/* What names are unique among. */
enum name_kind {
    NAME_USER,
    NAME_VHOST,
    NAME_PERMISSION,
    NAME_TOPIC_PERMISSION,
    NAME_EXCHANGE,
    NAME_QUEUE,
    NAME_VHOST_LIMIT,
    NAME_POLICY,
    NAME_OPERATOR_POLICY,
    NAME_KIND_COUNT,
};

struct name {
    struct hash_node node;
    enum name_kind kind;
    struct bytes scope; /* the vhost, where there is one */
    struct bytes owner; /* the user, where one of the scope may have several */
    struct bytes text;
    unsigned line;
};

struct checker {
    const struct config *config;
    struct config_problems *problems;
    struct arena arena;
    struct hash_map names;
    /* An entry of this kind has no name: what refers to it cannot be judged. */
    bool incomplete[NAME_KIND_COUNT];
};

static uint64_t name_hash(const struct name *n)
{
    uint64_t hash = bytes_hash_seeded(n->scope, (uint64_t)n->kind);

    return bytes_hash_seeded(n->text, bytes_hash_seeded(n->owner, hash));
}

static bool name_matches(const struct hash_node *node, const void *key)
{
    const struct name *n = container_of(node, struct name, node);
    const struct name *wanted = key;

    return n->kind == wanted->kind && bytes_equal(n->scope, wanted->scope) &&
           bytes_equal(n->owner, wanted->owner) && bytes_equal(n->text, wanted->text);
}

static const struct name *name_find(const struct checker *c, const struct name *wanted)
{
    struct hash_node *found = hash_map_find(&c->names, name_hash(wanted), name_matches, wanted);

    return found != NULL ? container_of(found, struct name, node) : NULL;
}

/* Remembers a name; returns the entry that already has it, or NULL. */
static const struct name *name_add(struct checker *c, struct name name)
{
    const struct name *earlier;
    struct name *kept;

    if (name.text.size == 0) {
        c->incomplete[name.kind] = true;
        return NULL;
    }
    earlier = name_find(c, &name);
    if (earlier != NULL)
        return earlier;
    kept = arena_alloc(&c->arena, sizeof(*kept));
    *kept = name;
    hash_map_insert(&c->names, &kept->node, name_hash(kept));
    return NULL;
}

static bool is_known(const struct checker *c, enum name_kind kind, struct bytes text)
{
    struct name wanted = {.kind = kind, .text = text};

    return text.size == 0 || c->incomplete[kind] || name_find(c, &wanted) != NULL;
}

static void check_vhost(struct checker *c, struct bytes vhost, unsigned line)
{
    if (!is_known(c, NAME_VHOST, vhost))
        config_problems_add(c->problems, c->config->file, line, "unknown vhost '%.*s'",
                            BYTES_ARGS(vhost));
}

static void check_tls(struct checker *c, const struct config_listener *l)
{
    const struct config_tls *tls = &l->tls;

    if (tls->certificate == NULL)
        return;
    if (tls->verify != TLS_VERIFY_NONE && tls->ca == NULL)
        config_problems_add(c->problems, c->config->file, l->tls_line,
                            "'verify' needs 'ca', the authorities that clients are held to");
    if (tls->verify == TLS_VERIFY_NONE && tls->crl != NULL)
        config_problems_add(c->problems, c->config->file, l->tls_line,
                            "'crl' needs 'verify': clients show no certificate without");
    if (tls->crl == NULL && tls->crl_check_line != 0)
        config_problems_add(c->problems, c->config->file, tls->crl_check_line,
                            "'crl_check' needs 'crl', the lists that it is about");
    if (tls->min_version > tls->max_version)
        config_problems_add(c->problems, c->config->file, l->tls_line,
                            "'min_version' must not be above 'max_version'");
}

static bool is_unix(const struct config_listener *l)
{
    return strncmp(l->address, SOCKET_ADDRESS_UNIX, strlen(SOCKET_ADDRESS_UNIX)) == 0;
}

static void check_mechanisms(struct checker *c, const struct config_listener *l)
{
    if (l->mechanisms_line != 0 && l->mechanisms == 0)
        config_problems_add(c->problems, c->config->file, l->mechanisms_line,
                            "'mechanisms' is empty: nobody could log in");
    else if (l->mechanisms == CONFIG_MECHANISM_EXTERNAL &&
             (l->tls.certificate == NULL || l->tls.verify == TLS_VERIFY_NONE))
        config_problems_add(c->problems, c->config->file, l->mechanisms_line,
                            "'mechanisms' has EXTERNAL alone, which needs 'tls' with 'verify': "
                            "nobody could log in");
}

static void check_listeners(struct checker *c)
{
    const struct config_listeners *all = &c->config->listeners;

    if (all->count > LISTENERS_MAX) {
        config_problems_add(c->problems, c->config->file, all->items[LISTENERS_MAX].line,
                            "there are more than %d listeners", LISTENERS_MAX);
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        if (is_unix(&all->items[i]) && all->items[i].proxy_protocol.networks.count != 0)
            config_problems_add(c->problems, c->config->file, all->items[i].line,
                                "'proxy_protocol' has no use for a Unix socket: nobody connects "
                                "to it from a network");
        if (is_unix(&all->items[i]) && all->items[i].port_line != 0)
            config_problems_add(c->problems, c->config->file, all->items[i].port_line,
                                "'port' has no use for a Unix socket");
        check_tls(c, &all->items[i]);
        check_mechanisms(c, &all->items[i]);
    }
    for (size_t i = 1; i < all->count; i++) {
        const struct config_listener *l = &all->items[i];

        for (size_t j = 0; j < i; j++) {
            const struct config_listener *earlier = &all->items[j];

            if (strcmp(l->address, earlier->address) != 0 ||
                (!is_unix(l) && (l->port == 0 || l->port != earlier->port)))
                continue;
            config_problems_add(c->problems, c->config->file, l->line,
                                "duplicate listener '%s' port %u (first on line %u)", l->address,
                                l->port, earlier->line);
            break;
        }
    }
}

/* Who had to wait longer would not be answered, whatever the password. */
static void check_login(struct checker *c)
{
    const struct config_login *l = &c->config->login;
    uint32_t handshake_ms = c->config->limits.handshake_timeout_ms;

    if (l->backoff_max_ms >= handshake_ms)
        config_problems_add(c->problems, c->config->file, l->backoff_max_line,
                            "'backoff_max_ms' must be below limits.handshake_timeout_ms (%" PRIu32
                            "), not %" PRIu32
                            ": who waits longer is disconnected before the password is looked at",
                            handshake_ms, l->backoff_max_ms);
}

static void check_users(struct checker *c)
{
    for (size_t i = 0; i < c->config->users.count; i++) {
        const struct config_user *u = &c->config->users.items[i];
        const struct name *earlier =
            name_add(c, (struct name){.kind = NAME_USER, .text = u->name, .line = u->line});

        if (earlier != NULL)
            config_problems_add(c->problems, c->config->file, u->line,
                                "duplicate user '%.*s' (first on line %u)", BYTES_ARGS(u->name),
                                earlier->line);
        if (u->password != NULL && u->password_hash != NULL)
            config_problems_add(c->problems, c->config->file, u->line,
                                "user '%.*s' has both 'password' and 'password_hash'",
                                BYTES_ARGS(u->name));
        if (u->password_line == 0 && u->line != 0)
            config_problems_add(c->problems, c->config->file, u->line,
                                "user '%.*s' needs 'password' or 'password_hash'",
                                BYTES_ARGS(u->name));
    }
}

static void check_vhosts(struct checker *c)
{
    for (size_t i = 0; i < c->config->vhosts.count; i++) {
        const struct config_vhost *v = &c->config->vhosts.items[i];
        const struct name *earlier =
            name_add(c, (struct name){.kind = NAME_VHOST, .text = v->name, .line = v->line});

        if (earlier != NULL)
            config_problems_add(c->problems, c->config->file, v->line,
                                "duplicate vhost '%.*s' (first on line %u)", BYTES_ARGS(v->name),
                                earlier->line);
    }
}

static void check_permissions(struct checker *c)
{
    for (size_t i = 0; i < c->config->permissions.count; i++) {
        const struct config_permission *p = &c->config->permissions.items[i];
        const struct name *earlier = name_add(
            c, (struct name){
                   .kind = NAME_PERMISSION, .scope = p->vhost, .text = p->user, .line = p->line});

        if (!is_known(c, NAME_USER, p->user))
            config_problems_add(c->problems, c->config->file, p->line, "unknown user '%.*s'",
                                BYTES_ARGS(p->user));
        check_vhost(c, p->vhost, p->line);
        if (earlier != NULL)
            config_problems_add(
                c->problems, c->config->file, p->line,
                "duplicate permissions of user '%.*s' in vhost '%.*s' (first on line %u)",
                BYTES_ARGS(p->user), BYTES_ARGS(p->vhost), earlier->line);
    }
}

static void check_topic_permissions(struct checker *c)
{
    for (size_t i = 0; i < c->config->topic_permissions.count; i++) {
        const struct config_topic_permission *p = &c->config->topic_permissions.items[i];
        const struct name *earlier = name_add(c, (struct name){.kind = NAME_TOPIC_PERMISSION,
                                                               .scope = p->vhost,
                                                               .owner = p->user,
                                                               .text = p->exchange,
                                                               .line = p->line});

        if (!is_known(c, NAME_USER, p->user))
            config_problems_add(c->problems, c->config->file, p->line, "unknown user '%.*s'",
                                BYTES_ARGS(p->user));
        check_vhost(c, p->vhost, p->line);
        if (earlier != NULL)
            config_problems_add(c->problems, c->config->file, p->line,
                                "duplicate topic permissions of user '%.*s' for exchange '%.*s' in "
                                "vhost '%.*s' (first on line %u)",
                                BYTES_ARGS(p->user), BYTES_ARGS(p->exchange), BYTES_ARGS(p->vhost),
                                earlier->line);
    }
}

static void check_vhost_limits(struct checker *c)
{
    for (size_t i = 0; i < c->config->vhost_limits.count; i++) {
        const struct config_vhost_limit *l = &c->config->vhost_limits.items[i];
        const struct name *earlier =
            name_add(c, (struct name){.kind = NAME_VHOST_LIMIT, .text = l->vhost, .line = l->line});

        check_vhost(c, l->vhost, l->line);
        if (earlier != NULL)
            config_problems_add(c->problems, c->config->file, l->line,
                                "duplicate limits of vhost '%.*s' (first on line %u)",
                                BYTES_ARGS(l->vhost), earlier->line);
    }
}

static void check_policy(struct checker *c, const struct config_policy *from, bool operator_policy)
{
    const struct policy_declaration d = {
        .name = from->name,
        .pattern = from->pattern,
        .apply_to = from->apply_to,
        .priority = from->priority,
        .operator_policy = operator_policy,
        .definition = &from->definition,
    };
    struct refusal r;
    struct policy *p = policy_create(&d, from->vhost, &r);

    if (p == NULL)
        config_problems_add(c->problems, c->config->file, from->line, "%s", r.text);
    policy_unref(p);
}

static void check_policies(struct checker *c, const struct config_policies *all,
                           enum name_kind kind)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct config_policy *p = &all->items[i];
        const struct name *earlier = name_add(
            c, (struct name){.kind = kind, .scope = p->vhost, .text = p->name, .line = p->line});

        check_vhost(c, p->vhost, p->line);
        if (earlier != NULL)
            config_problems_add(c->problems, c->config->file, p->line,
                                "duplicate policy '%.*s' in vhost '%.*s' (first on line %u)",
                                BYTES_ARGS(p->name), BYTES_ARGS(p->vhost), earlier->line);
        if (p->name.size != 0 && p->definition_line != 0)
            check_policy(c, p, kind == NAME_OPERATOR_POLICY);
    }
}

static void check_topology(struct checker *c)
{
    const struct config_topology *t = &c->config->topology;

    for (size_t i = 0; i < t->exchanges.count; i++) {
        const struct config_exchange *e = &t->exchanges.items[i];
        const struct name *earlier = name_add(
            c, (struct name){
                   .kind = NAME_EXCHANGE, .scope = e->vhost, .text = e->name, .line = e->line});

        check_vhost(c, e->vhost, e->line);
        if (earlier != NULL)
            config_problems_add(c->problems, c->config->file, e->line,
                                "duplicate exchange '%.*s' in vhost '%.*s' (first on line %u)",
                                BYTES_ARGS(e->name), BYTES_ARGS(e->vhost), earlier->line);
    }
    for (size_t i = 0; i < t->queues.count; i++) {
        const struct config_queue *q = &t->queues.items[i];
        const struct name *earlier = name_add(
            c,
            (struct name){.kind = NAME_QUEUE, .scope = q->vhost, .text = q->name, .line = q->line});

        check_vhost(c, q->vhost, q->line);
        if (earlier != NULL)
            config_problems_add(c->problems, c->config->file, q->line,
                                "duplicate queue '%.*s' in vhost '%.*s' (first on line %u)",
                                BYTES_ARGS(q->name), BYTES_ARGS(q->vhost), earlier->line);
    }
    for (size_t i = 0; i < t->bindings.count; i++)
        check_vhost(c, t->bindings.items[i].vhost, t->bindings.items[i].line);
}

void config_check(const struct config *config, struct config_problems *problems)
{
    struct checker c = {.config = config, .problems = problems};

    arena_init(&c.arena);
    hash_map_init(&c.names);
    check_listeners(&c);
    check_login(&c);
    check_users(&c);
    check_vhosts(&c);
    check_permissions(&c);
    check_topic_permissions(&c);
    check_vhost_limits(&c);
    check_policies(&c, &config->policies, NAME_POLICY);
    check_policies(&c, &config->operator_policies, NAME_OPERATOR_POLICY);
    check_topology(&c);
    config_check_topology(config, !c.incomplete[NAME_EXCHANGE] && !c.incomplete[NAME_QUEUE],
                          problems);
    hash_map_clear(&c.names);
    arena_free(&c.arena);
}
