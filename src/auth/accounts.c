#include "auth/accounts.h"

void accounts_init(struct accounts *a)
{
    pthread_mutex_init(&a->mutex, NULL);
    a->file = NULL;
    user_table_init(&a->stored);
    user_table_init(&a->loopback);
}

void accounts_release(struct accounts *a)
{
    user_table_clear(&a->stored);
    user_table_clear(&a->loopback);
    auth_database_unref(a->file);
    a->file = NULL;
    pthread_mutex_destroy(&a->mutex);
}

void accounts_lock(struct accounts *a)
{
    pthread_mutex_lock(&a->mutex);
}

void accounts_unlock(struct accounts *a)
{
    pthread_mutex_unlock(&a->mutex);
}

const struct auth_user *accounts_of_file(const struct accounts *a, struct bytes name)
{
    return a->file != NULL ? auth_find_user(a->file, name) : NULL;
}

const struct auth_user *accounts_stored(const struct accounts *a, struct bytes name)
{
    return user_table_find(&a->stored, name);
}

static void note_existing(void *context, const struct auth_user *u)
{
    bool *any = context;

    *any = *any || u->exists;
}

bool accounts_any_stored(const struct accounts *a)
{
    bool any = false;

    user_table_each(&a->stored, note_existing, &any);
    return any;
}

void accounts_put_stored(struct accounts *a, struct auth_user *u)
{
    u->loopback_only = user_table_find(&a->loopback, u->name) != NULL;
    if (auth_user_is_void(u)) {
        user_table_remove(&a->stored, u->name);
        auth_user_unref(u);
        return;
    }
    user_table_put(&a->stored, u);
}

/* ---- The configuration ---- */

/* A walk over stored users that may replace them: the table is changed by a copy of it. */
static void copy_with_loopback(void *context, const struct auth_user *u)
{
    struct accounts *a = context;
    bool only = user_table_find(&a->loopback, u->name) != NULL;

    if (only != u->loopback_only)
        accounts_put_stored(a, auth_user_copy(u));
}

static void copy_reference(void *context, const struct auth_user *u)
{
    user_table_put(context, auth_user_ref(u));
}

static void each_stored(struct accounts *a, void (*visit)(void *context, const struct auth_user *u),
                        void *context)
{
    struct user_table held;

    user_table_init(&held);
    user_table_each(&a->stored, copy_reference, &held);
    user_table_each(&held, visit, context);
    user_table_clear(&held);
}

void accounts_set_file(struct accounts *a, struct auth_database *file,
                       const struct config_names *loopback)
{
    auth_database_unref(a->file);
    a->file = file;
    user_table_clear(&a->loopback);
    for (size_t i = 0; i < loopback->count; i++)
        user_table_put(&a->loopback, auth_user_new(loopback->items[i].name, AUTH_ORIGIN_FILE));
    each_stored(a, copy_with_loopback, a);
}

/* ---- Putting in force ---- */

/* A user that was looked up in `former` and has the same hash need not pay for it again. */
static void keep_verified(struct auth_user *u, const struct auth_user *former)
{
    if (former != NULL && former->has_password && u->has_password &&
        password_hash_equal(&former->hash, &u->hash))
        verified_copy(&u->verified, &former->verified);
}

/* What is in force of both; a reference, or NULL: nobody. */
static struct auth_user *merge(const struct auth_user *file, const struct auth_user *stored,
                               const struct auth_user *former)
{
    struct auth_user *u;

    /* Who takes over a name that is in force, from the file or back, is the same user. What is in
     * force already goes on by itself, so this is only done to what nobody has seen. */
    if (former != NULL && file != NULL)
        auth_user_continue((struct auth_user *)(uintptr_t)file, former);
    else if (former != NULL && former->origin == AUTH_ORIGIN_FILE && stored != NULL)
        auth_user_continue((struct auth_user *)(uintptr_t)stored, former);

    if (file == NULL)
        return stored != NULL && stored->exists ? auth_user_ref(stored) : NULL;
    if (stored == NULL || stored->permissions.count == 0)
        return auth_user_ref(file);
    u = auth_user_copy(file);
    auth_user_add_permissions(u, stored);
    keep_verified(u, former);
    return u;
}

static void put_merged(struct accounts *a, struct user_table *t, struct bytes name,
                       const struct auth_user *former)
{
    struct auth_user *u = merge(accounts_of_file(a, name), accounts_stored(a, name), former);

    if (u != NULL)
        user_table_put(t, u);
    else
        user_table_remove(t, name);
}

void accounts_publish(struct accounts *a, struct bytes name)
{
    struct auth_database *current = auth_database_current();
    struct auth_database *next = auth_database_new();
    struct user_table *users = auth_database_table(next);

    user_table_each(auth_database_table(current), copy_reference, users);
    put_merged(a, users, name, auth_find_user(current, name));
    auth_database_replace(next);
    auth_database_unref(current);
}

struct publishing {
    struct accounts *accounts;
    struct auth_database *current;
    struct user_table *users;
};

static void publish_one(void *context, const struct auth_user *u)
{
    struct publishing *p = context;

    put_merged(p->accounts, p->users, u->name, auth_find_user(p->current, u->name));
}

void accounts_publish_all(struct accounts *a)
{
    struct auth_database *current = auth_database_current();
    struct auth_database *next = auth_database_new();
    struct publishing p = {.accounts = a, .current = current, .users = auth_database_table(next)};

    if (a->file != NULL)
        user_table_each(auth_database_table(a->file), publish_one, &p);
    user_table_each(&a->stored, publish_one, &p);
    auth_database_replace(next);
    auth_database_unref(current);
}

/* ---- Virtual hosts ---- */

struct forgetting {
    struct accounts *accounts;
    struct bytes vhost;
};

static void forget_one(void *context, const struct auth_user *u)
{
    struct forgetting *f = context;
    struct auth_user *without;

    if (auth_user_in_vhost(u, f->vhost) == NULL)
        return;
    without = auth_user_copy(u);
    auth_user_clear_vhost(without, f->vhost);
    accounts_put_stored(f->accounts, without);
}

void accounts_forget_vhost(struct accounts *a, struct bytes vhost)
{
    struct forgetting f = {.accounts = a, .vhost = vhost};

    each_stored(a, forget_one, &f);
}
