#include "session/broker_users.h"

#include "auth/accounts.h"
#include "base/arena.h"
#include "base/table.h"
#include "config/user_name.h"
#include "session/audit.h"
#include "session/broker.h"
#include "session/broker_users_internal.h"
#include "session/commit_wait.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_SIZE_MAX = 255,
};

__attribute__((format(printf, 3, 4))) static int fail(int rc, char *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, BROKER_USERS_ERROR_SIZE, format, args);
    va_end(args);
    return rc;
}

/* ---- A change: under the lock in memory and in the definitions' queue, so that both have the same
 * order; then it waits for the disk without the lock. ---- */

struct change {
    struct broker *broker;
    struct commit_wait commit;
};

static void change_begin(struct change *c, struct broker *b)
{
    c->broker = b;
    commit_wait_init(&c->commit);
    accounts_lock(&b->accounts);
}

static int change_refused(struct change *c, int rc)
{
    accounts_unlock(&c->broker->accounts);
    commit_wait_release(&c->commit);
    return rc;
}

/* Puts `u` in force, which is what is stored from now on, and waits until it is on disk. */
static int change_finish(struct change *c, struct auth_user *u, char *error)
{
    struct broker *b = c->broker;
    struct auth_user *held = auth_user_ref(u);
    int rc;

    accounts_put_stored(&b->accounts, u);
    accounts_publish(&b->accounts, held->name);
    definitions_barrier(b->definitions, commit_wait_done(&c->commit));
    accounts_unlock(&b->accounts);
    auth_user_unref(held);
    broker_refresh_auth(b);
    rc = commit_wait_for(&c->commit);
    commit_wait_release(&c->commit);
    if (rc < 0)
        return fail(rc, error, "it is in force, but the definitions could not be written: %s",
                    strerror(-rc));
    return 0;
}

static const struct definitions_done NOBODY_WAITS = {.call = NULL};

struct auth_user *broker_users_edit(struct broker *b, struct bytes name)
{
    const struct auth_user *stored = accounts_stored(&b->accounts, name);

    return stored != NULL ? auth_user_copy(stored) : auth_user_new(name, AUTH_ORIGIN_STORED);
}

static bool user_exists(struct broker *b, struct bytes name)
{
    const struct auth_user *stored = accounts_stored(&b->accounts, name);

    return accounts_of_file(&b->accounts, name) != NULL || (stored != NULL && stored->exists);
}

static int no_such_user(struct bytes name, char *error)
{
    return fail(-ENOENT, error, "no user '%.*s'", BYTES_ARGS(name));
}

/* ---- Users ---- */

static int check_name(const char *what, struct bytes name, char *error)
{
    if (name.size == 0 || name.size > NAME_SIZE_MAX || memchr(name.data, 0, name.size) != NULL)
        return fail(-EINVAL, error, "the name of %s has 1 to %d bytes, none of them zero", what,
                    NAME_SIZE_MAX);
    return 0;
}

static int check_user_name(struct bytes name, char *error)
{
    const char *wanted = user_name_check(name);
    int rc = check_name("a user", name, error);

    if (rc == 0 && wanted != NULL)
        rc = fail(-EINVAL, error, "the name of a user %s", wanted);
    return rc;
}

/* The hash that is asked for; `*given` tells whether one is. Takes as long as a hash takes. */
static int make_hash(const struct broker_user *u, struct password_hash *hash, bool *given,
                     char *error)
{
    const char *why = "has 1 to 1024 bytes";
    int rc = 0;

    *given = true;
    if (u->password.data != NULL)
        rc = password_hash_make(u->password, hash);
    else if (u->password_hash != NULL && u->password_hash[0] != '\0')
        rc = password_hash_parse(u->password_hash, hash, &why);
    else
        *given = false;
    if (rc == 0)
        return 0;
    if (rc == -ENOMEM)
        why = "cannot be hashed: memory is short";
    return fail(rc, error, "the password of user '%.*s' %s", BYTES_ARGS(u->name), why);
}

void broker_users_store(struct broker *b, const struct auth_user *u)
{
    char *hash = u->has_password ? password_hash_text(&u->hash) : NULL;
    const struct user_definition d = {
        .name = u->name,
        .password_hash = hash != NULL ? bytes_from_string(hash) : bytes_of(NULL, 0),
        .tags = u->tags,
    };

    definitions_add_user(b->definitions, &d, NOBODY_WAITS);
    free(hash);
}

enum user_change {
    USER_ADD,
    USER_CHANGE,
    USER_PUT,
};

/* Whether the change may be made of a user that is there or not. */
static int check_change(struct broker *b, struct bytes name, enum user_change kind, char *error)
{
    if (accounts_of_file(&b->accounts, name) != NULL)
        return kind == USER_ADD
                   ? fail(-EEXIST, error, "user '%.*s' already exists", BYTES_ARGS(name))
                   : fail(-EPERM, error,
                          "user '%.*s' is in the configuration file: change it there",
                          BYTES_ARGS(name));
    switch (kind) {
    case USER_ADD:
        if (user_exists(b, name))
            return fail(-EEXIST, error, "user '%.*s' already exists", BYTES_ARGS(name));
        return 0;
    case USER_CHANGE:
        return user_exists(b, name) ? 0 : no_such_user(name, error);
    case USER_PUT:
        return 0;
    }
    return 0;
}

/* What of the user changed; of the password only that it did. */
static void tell_change(const struct broker_user *u, bool made, bool has_password)
{
    const char *password = "";
    bool tags = u->tags.data != NULL;

    if (has_password)
        password = made ? " with a password" : ": new password";
    else if (u->password_hash != NULL)
        password = made ? "" : ": no password any more";
    audit_log("auth", "user '%.*s' was %s%s%s%.*s%s", BYTES_ARGS(u->name),
              made ? "made" : "changed", password,
              !tags               ? ""
              : *password != '\0' ? ", tags ["
              : made              ? " with tags ["
                                  : ": tags [",
              BYTES_ARGS(u->tags), tags ? "]" : "");
}

static int change_user(struct broker *b, const struct broker_user *from, enum user_change kind,
                       char *error)
{
    struct password_hash hash;
    struct auth_user *u;
    struct change c;
    bool given = false;
    bool made;
    int rc = check_user_name(from->name, error);

    if (rc == 0)
        rc = make_hash(from, &hash, &given, error);
    if (rc < 0)
        return rc;
    change_begin(&c, b);
    rc = check_change(b, from->name, kind, error);
    if (rc < 0) {
        OPENSSL_cleanse(&hash, sizeof(hash));
        return change_refused(&c, rc);
    }
    made = !user_exists(b, from->name);
    if (!made) {
        u = broker_users_edit(b, from->name);
    } else {
        /* Permissions that somebody of the name had in the past are not for the new user. */
        definitions_remove_user(b->definitions, from->name, NOBODY_WAITS);
        u = auth_user_new(from->name, AUTH_ORIGIN_STORED);
        u->exists = true;
    }
    if (given)
        auth_user_set_hash(u, &hash);
    else if (from->password_hash != NULL)
        auth_user_set_hash(u, NULL);
    OPENSSL_cleanse(&hash, sizeof(hash));
    if (from->tags.data != NULL || u->tags.data == NULL)
        auth_user_set_tags(u, from->tags);
    broker_users_store(b, u);
    tell_change(from, made, given);
    return change_finish(&c, u, error);
}

int broker_user_add(struct broker *b, const struct broker_user *u, char *error)
{
    return change_user(b, u, USER_ADD, error);
}

int broker_user_change(struct broker *b, const struct broker_user *u, char *error)
{
    return change_user(b, u, USER_CHANGE, error);
}

int broker_user_put(struct broker *b, const struct broker_user *u, char *error)
{
    return change_user(b, u, USER_PUT, error);
}

int broker_user_delete(struct broker *b, struct bytes name, char *error)
{
    struct change c;
    int rc;

    change_begin(&c, b);
    rc = check_change(b, name, USER_CHANGE, error);
    if (rc < 0)
        return change_refused(&c, rc);
    definitions_remove_user(b->definitions, name, NOBODY_WAITS);
    audit_log("auth", "user '%.*s' was deleted", BYTES_ARGS(name));
    return change_finish(&c, auth_user_new(name, AUTH_ORIGIN_STORED), error);
}

static void store_limits(struct broker *b, const struct auth_user *u)
{
    const struct bytes component = bytes_from_string(PARAMETER_USER_LIMITS);
    struct table limits = table_empty();
    struct value value;
    struct arena arena;

    arena_init(&arena);
    if (u->max_connections >= 0)
        table_set(&arena, &limits, "max-connections", value_int64(u->max_connections));
    if (u->max_channels >= 0)
        table_set(&arena, &limits, "max-channels", value_int64(u->max_channels));
    value = value_table(limits);
    if (limits.count != 0)
        definitions_add_parameter(b->definitions,
                                  &(struct parameter_definition){
                                      .component = component, .name = u->name, .value = &value},
                                  NOBODY_WAITS);
    else
        definitions_remove_parameter(b->definitions, bytes_of(NULL, 0), component, u->name,
                                     NOBODY_WAITS);
    arena_free(&arena);
}

int broker_user_limits_set(struct broker *b, struct bytes name,
                           const struct broker_user_limits *limits, char *error)
{
    struct auth_user *u;
    struct change c;
    int rc;

    change_begin(&c, b);
    rc = check_change(b, name, USER_CHANGE, error);
    if (rc < 0)
        return change_refused(&c, rc);
    u = broker_users_edit(b, name);
    u->max_connections = limits->max_connections >= 0 ? limits->max_connections : AUTH_NO_LIMIT;
    u->max_channels = limits->max_channels >= 0 ? limits->max_channels : AUTH_NO_LIMIT;
    store_limits(b, u);
    audit_log("auth",
              "limits of user '%.*s' were set: max-connections %" PRId64 ", max-channels %" PRId64
              " (-1: none)",
              BYTES_ARGS(name), u->max_connections, u->max_channels);
    return change_finish(&c, u, error);
}

bool broker_user_authenticate(struct broker *b, struct bytes name, struct bytes password)
{
    struct auth_database *db = auth_database_current();
    enum auth_outcome outcome;
    bool right = auth_login(db, name, password, true, &outcome) != NULL;

    (void)b;
    auth_database_unref(db);
    return right;
}

/* ---- Permissions ---- */

static int check_user_and_vhost(struct broker *b, struct bytes user, struct bytes vhost,
                                char *error)
{
    if (!user_exists(b, user))
        return no_such_user(user, error);
    if (vhost_find(&b->server->vhosts, vhost) == NULL)
        return fail(-ENOENT, error, "no virtual host '%.*s'", BYTES_ARGS(vhost));
    return 0;
}

static const struct user_permissions *file_permissions(struct broker *b, struct bytes user,
                                                       struct bytes vhost)
{
    const struct auth_user *u = accounts_of_file(&b->accounts, user);

    return u != NULL ? auth_user_in_vhost(u, vhost) : NULL;
}

static int check_permission_change(struct broker *b, struct bytes user, struct bytes vhost,
                                   char *error)
{
    const struct user_permissions *of_file = file_permissions(b, user, vhost);
    int rc = check_user_and_vhost(b, user, vhost, error);

    if (rc < 0)
        return rc;
    if (of_file != NULL && of_file->set != NULL)
        return fail(-EPERM, error,
                    "the permissions of user '%.*s' in virtual host '%.*s' are in the "
                    "configuration file: change them there",
                    BYTES_ARGS(user), BYTES_ARGS(vhost));
    return 0;
}

int broker_permission_set(struct broker *b, const struct broker_permission *p, char *error)
{
    const char *const texts[PERMISSION_KIND_COUNT] = {
        [PERMISSION_CONFIGURE] = p->configure,
        [PERMISSION_WRITE] = p->write,
        [PERMISSION_READ] = p->read,
    };
    const struct permission_definition d = {
        .vhost = p->vhost,
        .user = p->user,
        .configure = bytes_from_string(p->configure),
        .write = bytes_from_string(p->write),
        .read = bytes_from_string(p->read),
    };
    struct permission_set *set = permission_set_compile(texts, error);
    struct auth_user *u;
    struct change c;
    int rc;

    if (set == NULL)
        return -EINVAL;
    change_begin(&c, b);
    rc = check_permission_change(b, p->user, p->vhost, error);
    if (rc < 0) {
        permission_set_unref(set);
        return change_refused(&c, rc);
    }
    u = broker_users_edit(b, p->user);
    auth_user_set_permissions(u, p->vhost, set, AUTH_ORIGIN_STORED);
    definitions_add_permission(b->definitions, &d, NOBODY_WAITS);
    audit_log("auth",
              "permissions of user '%.*s' in vhost '%.*s' were set: configure '%.200s', "
              "write '%.200s', read '%.200s'",
              BYTES_ARGS(p->user), BYTES_ARGS(p->vhost), p->configure, p->write, p->read);
    return change_finish(&c, u, error);
}

int broker_permission_clear(struct broker *b, struct bytes user, struct bytes vhost, char *error)
{
    struct auth_user *u;
    struct change c;
    int rc;

    change_begin(&c, b);
    rc = check_permission_change(b, user, vhost, error);
    if (rc < 0)
        return change_refused(&c, rc);
    u = broker_users_edit(b, user);
    auth_user_set_permissions(u, vhost, NULL, AUTH_ORIGIN_STORED);
    definitions_remove_permission(b->definitions, vhost, user, NOBODY_WAITS);
    audit_log("auth", "permissions of user '%.*s' in vhost '%.*s' were cleared", BYTES_ARGS(user),
              BYTES_ARGS(vhost));
    return change_finish(&c, u, error);
}

/* ---- Topic permissions ---- */

static struct bytes topic_exchange(struct bytes name)
{
    return name.size != 0 ? name : bytes_from_string("amq.default");
}

/* `exchange` NULL: of all of them, where what the configuration has does not count. */
static int check_topic_change(struct broker *b, struct bytes user, struct bytes vhost,
                              const struct bytes *exchange, char *error)
{
    const struct user_permissions *of_file = file_permissions(b, user, vhost);
    int rc = check_user_and_vhost(b, user, vhost, error);

    if (rc < 0)
        return rc;
    if (exchange != NULL && of_file != NULL &&
        topic_permissions_find(of_file->topics, *exchange) != NULL)
        return fail(-EPERM, error,
                    "the topic permissions of user '%.*s' for exchange '%.*s' in virtual host "
                    "'%.*s' are in the configuration file: change them there",
                    BYTES_ARGS(user), BYTES_ARGS(*exchange), BYTES_ARGS(vhost));
    return 0;
}

int broker_topic_permission_set(struct broker *b, const struct broker_topic_permission *p,
                                char *error)
{
    const struct bytes exchange = topic_exchange(p->exchange);
    const struct topic_permission_definition d = {
        .vhost = p->vhost,
        .user = p->user,
        .exchange = exchange,
        .write = bytes_from_string(p->write),
        .read = bytes_from_string(p->read),
    };
    struct topic_permission *t;
    struct auth_user *u;
    struct change c;
    int rc = check_name("an exchange", exchange, error);

    if (rc < 0)
        return rc;
    t = topic_permission_new(p->user, p->vhost, exchange, p->write, p->read, false, error);
    if (t == NULL)
        return -EINVAL;
    change_begin(&c, b);
    rc = check_topic_change(b, p->user, p->vhost, &exchange, error);
    if (rc < 0) {
        topic_permission_unref(t);
        return change_refused(&c, rc);
    }
    u = broker_users_edit(b, p->user);
    auth_user_set_topic(u, p->vhost, t);
    definitions_add_topic_permission(b->definitions, &d, NOBODY_WAITS);
    audit_log("auth",
              "topic permissions of user '%.*s' for exchange '%.*s' in vhost '%.*s' were set: "
              "write '%.200s', read '%.200s'",
              BYTES_ARGS(p->user), BYTES_ARGS(exchange), BYTES_ARGS(p->vhost), p->write, p->read);
    return change_finish(&c, u, error);
}

int broker_topic_permission_clear(struct broker *b, struct bytes user, struct bytes vhost,
                                  const struct bytes *exchange, char *error)
{
    struct bytes one = exchange != NULL ? topic_exchange(*exchange) : bytes_of(NULL, 0);
    struct auth_user *u;
    struct change c;
    int rc;

    change_begin(&c, b);
    rc = check_topic_change(b, user, vhost, exchange != NULL ? &one : NULL, error);
    if (rc < 0)
        return change_refused(&c, rc);
    u = broker_users_edit(b, user);
    auth_user_clear_topics(u, vhost, exchange != NULL ? &one : NULL);
    if (exchange != NULL)
        definitions_remove_topic_permission(b->definitions, vhost, user, one, NOBODY_WAITS);
    else
        definitions_remove_topic_permissions(b->definitions, vhost, user, NOBODY_WAITS);
    audit_log("auth", "topic permissions of user '%.*s' for %s%.*s%s in vhost '%.*s' were cleared",
              BYTES_ARGS(user), exchange != NULL ? "exchange '" : "every exchange", BYTES_ARGS(one),
              exchange != NULL ? "'" : "", BYTES_ARGS(vhost));
    return change_finish(&c, u, error);
}
