/* Users at start and at a reload: those that are stored, those of the configuration. */
#include "auth/accounts.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/table.h"
#include "session/broker.h"
#include "session/broker_users.h"
#include "session/broker_users_internal.h"

#include <stdlib.h>

static const struct definitions_done NOBODY_WAITS = {.call = NULL};

void broker_users_restore_user(struct broker *b, const struct user_definition *d)
{
    struct auth_user *u = broker_users_edit(b, d->name);
    char *text = bytes_to_string(d->password_hash);
    struct password_hash hash;
    const char *why;

    u->exists = true;
    auth_user_set_tags(u, d->tags);
    if (text[0] == '\0')
        auth_user_set_hash(u, NULL);
    else if (password_hash_parse(text, &hash, &why) == 0)
        auth_user_set_hash(u, &hash);
    else
        log_error("auth", "user '%.*s' is stored with a password hash that %s: nobody can log in",
                  BYTES_ARGS(d->name), why);
    free(text);
    accounts_put_stored(&b->accounts, u);
}

void broker_users_restore_permission(struct broker *b, const struct permission_definition *d)
{
    char *texts[PERMISSION_KIND_COUNT] = {
        [PERMISSION_CONFIGURE] = bytes_to_string(d->configure),
        [PERMISSION_WRITE] = bytes_to_string(d->write),
        [PERMISSION_READ] = bytes_to_string(d->read),
    };
    char error[PERMISSION_ERROR_SIZE];
    struct permission_set *set = permission_set_compile((const char *const *)texts, error);
    struct auth_user *u;

    for (int i = 0; i < PERMISSION_KIND_COUNT; i++)
        free(texts[i]);
    if (set == NULL) {
        log_error("auth",
                  "the permissions of user '%.*s' in virtual host '%.*s' are not restored: %s",
                  BYTES_ARGS(d->user), BYTES_ARGS(d->vhost), error);
        return;
    }
    u = broker_users_edit(b, d->user);
    auth_user_set_permissions(u, d->vhost, set, AUTH_ORIGIN_STORED);
    accounts_put_stored(&b->accounts, u);
}

void broker_users_restore_topic_permission(struct broker *b,
                                           const struct topic_permission_definition *d)
{
    char *write = bytes_to_string(d->write);
    char *read = bytes_to_string(d->read);
    char error[PERMISSION_ERROR_SIZE];
    struct topic_permission *t =
        topic_permission_new(d->user, d->vhost, d->exchange, write, read, false, error);
    struct auth_user *u;

    /* Without it every key would be allowed: one that allows none stands for it. */
    if (t == NULL) {
        log_error("auth",
                  "the topic permissions of user '%.*s' for exchange '%.*s' in virtual host '%.*s' "
                  "are not restored, and allow nothing: %s",
                  BYTES_ARGS(d->user), BYTES_ARGS(d->exchange), BYTES_ARGS(d->vhost), error);
        t = topic_permission_new(d->user, d->vhost, d->exchange, "", "", false, error);
    }
    free(write);
    free(read);
    u = broker_users_edit(b, d->user);
    auth_user_set_topic(u, d->vhost, t);
    accounts_put_stored(&b->accounts, u);
}

/* A limit of the table: an integer that is not negative is one. */
static int64_t limit_of(const struct table *limits, const char *name)
{
    const struct value *v = table_get(limits, name);

    return v != NULL && value_is_integer(v) && v->integer >= 0 ? v->integer : AUTH_NO_LIMIT;
}

void broker_users_restore_limits(struct broker *b, const struct parameter_definition *p)
{
    struct auth_user *u;

    if (p->vhost.size != 0 || !bytes_equal_string(p->component, PARAMETER_USER_LIMITS))
        return;
    if (p->value->type != VALUE_TABLE) {
        log_error("auth", "the limits of user '%.*s' are not restored: they are no table",
                  BYTES_ARGS(p->name));
        return;
    }
    u = broker_users_edit(b, p->name);
    u->max_connections = limit_of(&p->value->table, "max-connections");
    u->max_channels = limit_of(&p->value->table, "max-channels");
    accounts_put_stored(&b->accounts, u);
}

/* The user that a broker has of which nobody has said anything yet. */
static void store_default(void *context, const struct auth_user *from)
{
    struct broker *b = context;
    struct auth_user *u = auth_user_new(from->name, AUTH_ORIGIN_STORED);
    struct hash_node *node = hash_map_first(&from->permissions);

    u->exists = true;
    auth_user_set_tags(u, from->tags);
    auth_user_set_hash(u, &from->hash);
    verified_copy(&u->verified, &from->verified);
    broker_users_store(b, u);
    for (; node != NULL; node = hash_map_next(&from->permissions, node)) {
        const struct user_permissions *p = container_of(node, struct user_permissions, by_vhost);
        const struct permission_definition d = {
            .vhost = p->vhost,
            .user = u->name,
            .configure = bytes_from_string(permission_set_text(p->set, PERMISSION_CONFIGURE)),
            .write = bytes_from_string(permission_set_text(p->set, PERMISSION_WRITE)),
            .read = bytes_from_string(permission_set_text(p->set, PERMISSION_READ)),
        };

        auth_user_set_permissions(u, p->vhost, permission_set_ref(p->set), AUTH_ORIGIN_STORED);
        definitions_add_permission(b->definitions, &d, NOBODY_WAITS);
    }
    accounts_put_stored(&b->accounts, u);
}

void broker_users_configure(struct broker *b, const struct config *config,
                            struct auth_database *file)
{
    struct accounts *a = &b->accounts;

    accounts_lock(a);
    if (!config->users_are_default) {
        accounts_set_file(a, file, &config->loopback_users);
    } else {
        accounts_set_file(a, NULL, &config->loopback_users);
        if (!accounts_any_stored(a))
            user_table_each(auth_database_table(file), store_default, b);
        auth_database_unref(file);
    }
    accounts_publish_all(a);
    accounts_unlock(a);
}

void broker_users_upgrade_hash(void *context, const struct auth_user *user,
                               const struct password_hash *hash)
{
    struct broker *b = context;
    const struct auth_user *stored;
    struct auth_user *u;

    accounts_lock(&b->accounts);
    stored = accounts_stored(&b->accounts, user->name);
    if (accounts_of_file(&b->accounts, user->name) == NULL && stored != NULL &&
        stored->has_password && password_hash_equal(&stored->hash, &user->hash)) {
        u = auth_user_copy(stored);
        auth_user_set_hash(u, hash);
        broker_users_store(b, u);
        accounts_put_stored(&b->accounts, u);
        accounts_publish(&b->accounts, user->name);
        log_info("auth", "the password of user '%.*s' is stored in a better way now",
                 BYTES_ARGS(user->name));
    }
    accounts_unlock(&b->accounts);
}

void broker_users_forget_vhost(struct broker *b, struct bytes vhost)
{
    accounts_lock(&b->accounts);
    accounts_forget_vhost(&b->accounts, vhost);
    accounts_publish_all(&b->accounts);
    accounts_unlock(&b->accounts);
    broker_refresh_auth(b);
}
