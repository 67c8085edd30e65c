#include "auth/user.h"

#include "base/memory.h"
#include "config/config.h"

#include <openssl/crypto.h>
#include <stdlib.h>

/* ---- Bytes of their own ---- */

static struct bytes own(struct bytes b)
{
    return bytes_of(bytes_to_string(b), b.size);
}

static void disown(struct bytes b)
{
    free((void *)(uintptr_t)b.data);
}

/* ---- Permissions in a virtual host ---- */

static bool vhost_matches(const struct hash_node *node, const void *key)
{
    const struct bytes *vhost = key;

    return bytes_equal(container_of(node, struct user_permissions, by_vhost)->vhost, *vhost);
}

struct user_permissions *auth_user_in_vhost(const struct auth_user *u, struct bytes vhost)
{
    struct hash_node *found =
        hash_map_find(&u->permissions, bytes_hash(vhost), vhost_matches, &vhost);

    return found != NULL ? container_of(found, struct user_permissions, by_vhost) : NULL;
}

static struct user_permissions *ensure_vhost(struct auth_user *u, struct bytes vhost)
{
    struct user_permissions *p = auth_user_in_vhost(u, vhost);

    if (p != NULL)
        return p;
    p = memory_alloc_zeroed(1, sizeof(*p));
    p->vhost = own(vhost);
    hash_map_insert(&u->permissions, &p->by_vhost, bytes_hash(p->vhost));
    return p;
}

static void remove_vhost(struct auth_user *u, struct user_permissions *p)
{
    hash_map_remove(&u->permissions, &p->by_vhost);
    permission_set_unref(p->set);
    topic_permissions_free(p->topics);
    disown(p->vhost);
    free(p);
}

static void remove_vhost_if_void(struct auth_user *u, struct user_permissions *p)
{
    if (p->set == NULL && p->topics == NULL)
        remove_vhost(u, p);
}

/* ---- Accounts ---- */

static struct auth_account *account_new(void)
{
    struct auth_account *a = memory_alloc_zeroed(1, sizeof(*a));

    atomic_init(&a->references, 1);
    return a;
}

struct auth_account *auth_account_ref(struct auth_account *a)
{
    atomic_fetch_add_explicit(&a->references, 1, memory_order_relaxed);
    return a;
}

void auth_account_unref(struct auth_account *a)
{
    if (a != NULL && atomic_fetch_sub_explicit(&a->references, 1, memory_order_acq_rel) == 1)
        free(a);
}

void auth_user_continue(struct auth_user *u, const struct auth_user *former)
{
    if (u->account == former->account)
        return;
    auth_account_unref(u->account);
    u->account = auth_account_ref(former->account);
}

/* ---- Life ---- */

struct auth_user *auth_user_new(struct bytes name, enum auth_origin origin)
{
    struct auth_user *u = memory_alloc_zeroed(1, sizeof(*u));

    atomic_init(&u->references, 1);
    u->name = own(name);
    u->origin = origin;
    u->account = account_new();
    u->max_connections = AUTH_NO_LIMIT;
    u->max_channels = AUTH_NO_LIMIT;
    verified_init(&u->verified);
    hash_map_init(&u->permissions);
    return u;
}

struct auth_user *auth_user_copy(const struct auth_user *u)
{
    struct auth_user *copy = auth_user_new(u->name, u->origin);

    auth_user_continue(copy, u);
    copy->max_connections = u->max_connections;
    copy->max_channels = u->max_channels;
    copy->tags = u->tags.data != NULL ? own(u->tags) : u->tags;
    copy->tag_flags = u->tag_flags;
    copy->exists = u->exists;
    copy->loopback_only = u->loopback_only;
    copy->has_password = u->has_password;
    copy->hash = u->hash;
    verified_copy(&copy->verified, &u->verified);
    auth_user_add_permissions(copy, u);
    return copy;
}

struct auth_user *auth_user_ref(const struct auth_user *u)
{
    struct auth_user *shared = (struct auth_user *)(uintptr_t)u;

    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared;
}

void auth_user_unref(const struct auth_user *u)
{
    struct auth_user *last = (struct auth_user *)(uintptr_t)u;
    struct hash_node *node;

    if (last == NULL || atomic_fetch_sub_explicit(&last->references, 1, memory_order_acq_rel) != 1)
        return;
    while ((node = hash_map_first(&last->permissions)) != NULL)
        remove_vhost(last, container_of(node, struct user_permissions, by_vhost));
    hash_map_clear(&last->permissions);
    auth_account_unref(last->account);
    disown(last->name);
    disown(last->tags);
    verified_wipe(&last->verified);
    OPENSSL_cleanse(&last->hash, sizeof(last->hash));
    free(last);
}

/* ---- Changing ---- */

static const struct {
    const char *name;
    enum user_tag flag;
} TAGS[] = {
    {"administrator", USER_TAG_ADMINISTRATOR}, {"monitoring", USER_TAG_MONITORING},
    {"management", USER_TAG_MANAGEMENT},       {"policymaker", USER_TAG_POLICYMAKER},
    {"impersonator", USER_TAG_IMPERSONATOR},
};

static uint32_t flag_of(struct bytes tag)
{
    for (size_t i = 0; i < sizeof(TAGS) / sizeof(TAGS[0]); i++) {
        if (bytes_equal_string(tag, TAGS[i].name))
            return (uint32_t)TAGS[i].flag;
    }
    return 0;
}

static struct bytes trim(struct bytes b)
{
    while (b.size != 0 && b.data[0] == ' ')
        b = bytes_of(b.data + 1, b.size - 1);
    while (b.size != 0 && b.data[b.size - 1] == ' ')
        b.size--;
    return b;
}

void auth_user_set_tags(struct auth_user *u, struct bytes tags)
{
    char *text = memory_alloc(tags.size + 1);
    size_t size = 0;
    size_t start = 0;

    u->tag_flags = 0;
    for (size_t i = 0; i <= tags.size; i++) {
        struct bytes tag;

        if (i < tags.size && tags.data[i] != ',')
            continue;
        tag = trim(bytes_of(tags.data + start, i - start));
        start = i + 1;
        if (tag.size == 0)
            continue;
        u->tag_flags |= flag_of(tag);
        if (size != 0)
            text[size++] = ',';
        memcpy(text + size, tag.data, tag.size);
        size += tag.size;
    }
    text[size] = '\0';
    disown(u->tags);
    u->tags = bytes_of(text, size);
}

void auth_user_set_hash(struct auth_user *u, const struct password_hash *hash)
{
    u->has_password = hash != NULL;
    if (hash != NULL)
        u->hash = *hash;
    else
        OPENSSL_cleanse(&u->hash, sizeof(u->hash));
    verified_wipe(&u->verified);
    verified_init(&u->verified);
}

void auth_user_set_permissions(struct auth_user *u, struct bytes vhost, struct permission_set *set,
                               enum auth_origin origin)
{
    struct user_permissions *p = ensure_vhost(u, vhost);

    permission_set_unref(p->set);
    p->set = set;
    p->origin = origin;
    remove_vhost_if_void(u, p);
}

void auth_user_set_topic(struct auth_user *u, struct bytes vhost, struct topic_permission *t)
{
    struct user_permissions *p = ensure_vhost(u, vhost);

    p->topics = topic_permissions_put(p->topics, t);
}

void auth_user_clear_topics(struct auth_user *u, struct bytes vhost, const struct bytes *exchange)
{
    struct user_permissions *p = auth_user_in_vhost(u, vhost);

    if (p == NULL)
        return;
    if (exchange != NULL) {
        p->topics = topic_permissions_drop(p->topics, *exchange);
    } else {
        topic_permissions_free(p->topics);
        p->topics = NULL;
    }
    remove_vhost_if_void(u, p);
}

void auth_user_clear_vhost(struct auth_user *u, struct bytes vhost)
{
    struct user_permissions *p = auth_user_in_vhost(u, vhost);

    if (p != NULL)
        remove_vhost(u, p);
}

/* Those of `from` for exchanges that `to` has none for. */
static struct topic_permissions *join_topics(struct topic_permissions *to,
                                             const struct topic_permissions *from)
{
    struct topic_permissions *joined = topic_permissions_copy(from);

    for (size_t i = 0; i < topic_permissions_count(to); i++)
        joined = topic_permissions_put(joined, topic_permission_ref(topic_permissions_at(to, i)));
    topic_permissions_free(to);
    return joined;
}

void auth_user_add_permissions(struct auth_user *u, const struct auth_user *other)
{
    struct hash_node *node = hash_map_first(&other->permissions);

    for (; node != NULL; node = hash_map_next(&other->permissions, node)) {
        const struct user_permissions *from = container_of(node, struct user_permissions, by_vhost);
        struct user_permissions *to = ensure_vhost(u, from->vhost);

        if (to->set == NULL) {
            to->set = permission_set_ref(from->set);
            to->origin = from->origin;
        }
        to->topics = join_topics(to->topics, from->topics);
    }
}

bool auth_user_is_void(const struct auth_user *u)
{
    return !u->exists && u->permissions.count == 0;
}

/* ---- Tables ---- */

struct user_node {
    struct hash_node by_name;
    struct auth_user *user; /* a reference */
};

static bool name_matches(const struct hash_node *node, const void *key)
{
    const struct bytes *name = key;

    return bytes_equal(container_of(node, struct user_node, by_name)->user->name, *name);
}

static struct user_node *find_node(const struct user_table *t, struct bytes name)
{
    struct hash_node *found = hash_map_find(&t->by_name, bytes_hash(name), name_matches, &name);

    return found != NULL ? container_of(found, struct user_node, by_name) : NULL;
}

static void remove_node(struct user_table *t, struct user_node *n)
{
    hash_map_remove(&t->by_name, &n->by_name);
    auth_user_unref(n->user);
    free(n);
}

void user_table_init(struct user_table *t)
{
    hash_map_init(&t->by_name);
}

void user_table_clear(struct user_table *t)
{
    struct hash_node *node;

    while ((node = hash_map_first(&t->by_name)) != NULL)
        remove_node(t, container_of(node, struct user_node, by_name));
    hash_map_clear(&t->by_name);
}

struct auth_user *user_table_find(const struct user_table *t, struct bytes name)
{
    const struct user_node *n = find_node(t, name);

    return n != NULL ? n->user : NULL;
}

void user_table_put(struct user_table *t, struct auth_user *u)
{
    struct user_node *n = find_node(t, u->name);
    struct auth_user *former;

    if (n == NULL) {
        n = memory_alloc_zeroed(1, sizeof(*n));
        hash_map_insert(&t->by_name, &n->by_name, bytes_hash(u->name));
    }
    former = n->user;
    n->user = u;
    auth_user_unref(former);
}

void user_table_remove(struct user_table *t, struct bytes name)
{
    struct user_node *n = find_node(t, name);

    if (n != NULL)
        remove_node(t, n);
}

void user_table_each(const struct user_table *t,
                     void (*visit)(void *context, const struct auth_user *u), void *context)
{
    for (struct hash_node *node = hash_map_first(&t->by_name); node != NULL;
         node = hash_map_next(&t->by_name, node))
        visit(context, container_of(node, struct user_node, by_name)->user);
}
