#include "auth/users.h"

#include "auth/user.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct auth_database {
    atomic_uint references;
    _Atomic uint64_t version;
    struct user_table users;
};

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct auth_database *current; /* under the lock */
static _Atomic uint64_t version;

/* ---- Snapshots ---- */

struct auth_database *auth_database_new(void)
{
    struct auth_database *db = memory_alloc_zeroed(1, sizeof(*db));

    atomic_init(&db->references, 1);
    atomic_init(&db->version, 0);
    user_table_init(&db->users);
    return db;
}

struct user_table *auth_database_table(struct auth_database *db)
{
    return &db->users;
}

struct auth_database *auth_database_ref(struct auth_database *db)
{
    atomic_fetch_add_explicit(&db->references, 1, memory_order_relaxed);
    return db;
}

void auth_database_unref(struct auth_database *db)
{
    if (db == NULL || atomic_fetch_sub_explicit(&db->references, 1, memory_order_acq_rel) != 1)
        return;
    user_table_clear(&db->users);
    free(db);
}

void auth_database_replace(struct auth_database *db)
{
    struct auth_database *former;

    pthread_mutex_lock(&current_lock);
    former = current;
    current = db;
    if (db != NULL)
        atomic_store(&db->version, atomic_load(&version) + 1);
    atomic_fetch_add(&version, 1);
    pthread_mutex_unlock(&current_lock);
    auth_database_unref(former);
}

struct auth_database *auth_database_current(void)
{
    struct auth_database *db;

    pthread_mutex_lock(&current_lock);
    db = current != NULL ? auth_database_ref(current) : NULL;
    pthread_mutex_unlock(&current_lock);
    return db;
}

uint64_t auth_version(void)
{
    return atomic_load_explicit(&version, memory_order_relaxed);
}

uint64_t auth_database_version(const struct auth_database *db)
{
    return atomic_load_explicit(&db->version, memory_order_relaxed);
}

/* ---- Asking ---- */

const struct auth_user *auth_find_user(const struct auth_database *db, struct bytes name)
{
    return user_table_find(&db->users, name);
}

static bool password_is_right(struct auth_user *user, struct bytes password)
{
    bool right;

    if (!user->has_password) {
        password_verify_nothing(password);
        return false;
    }
    if (verified_knows(&user->verified, &user->hash, password))
        return true;
    /* A remembered password that differs says the answer; the hash is computed all the same, so
     * that a refusal takes as long as for an unknown user. */
    right = password_verify(&user->hash, password);
    if (right)
        verified_remember(&user->verified, &user->hash, password);
    else if (user->hash.algorithm != PASSWORD_SCRYPT)
        password_verify_nothing(password);
    return right;
}

const struct auth_user *auth_login(const struct auth_database *db, struct bytes username,
                                   struct bytes password, bool peer_is_loopback,
                                   enum auth_outcome *outcome)
{
    struct auth_user *user = user_table_find(&db->users, username);

    *outcome = AUTH_ACCEPTED;
    if (user == NULL) {
        password_verify_nothing(password);
        *outcome = AUTH_UNKNOWN_USER;
    } else if (user->loopback_only && !peer_is_loopback) {
        /* Not looked at: how long it took would tell from anywhere that it is right. */
        password_verify_nothing(password);
        *outcome = AUTH_LOOPBACK_ONLY;
    } else if (!password_is_right(user, password)) {
        *outcome = AUTH_WRONG_PASSWORD;
    }
    return *outcome == AUTH_ACCEPTED ? user : NULL;
}

const struct auth_user *auth_login_proved(const struct auth_database *db, struct bytes username,
                                          bool peer_is_loopback, enum auth_outcome *outcome)
{
    const struct auth_user *user = user_table_find(&db->users, username);

    *outcome = AUTH_ACCEPTED;
    if (user == NULL)
        *outcome = AUTH_UNKNOWN_USER;
    else if (user->loopback_only && !peer_is_loopback)
        *outcome = AUTH_LOOPBACK_ONLY;
    return *outcome == AUTH_ACCEPTED ? user : NULL;
}

const char *auth_outcome_text(enum auth_outcome outcome)
{
    switch (outcome) {
    case AUTH_ACCEPTED:
        return "accepted";
    case AUTH_UNKNOWN_USER:
        return "unknown user";
    case AUTH_WRONG_PASSWORD:
        return "wrong password";
    case AUTH_LOOPBACK_ONLY:
        return "the user may only connect from a loopback address";
    case AUTH_PENDING:
        return "not known yet";
    case AUTH_TOO_MANY_FAILURES:
        return "too many logins from its address or as this user failed, and others wait already "
               "(login.backoff_max_ms)";
    case AUTH_TOO_MANY_WAITING:
        return "too many logins wait to be checked (login.waiting_max)";
    }
    return "refused";
}

struct bytes auth_user_name(const struct auth_user *user)
{
    return user->name;
}

uint32_t auth_user_tags(const struct auth_user *user)
{
    return user->tag_flags;
}

struct auth_account *auth_user_account(const struct auth_user *user)
{
    return user->account;
}

int64_t auth_user_max_connections(const struct auth_user *user)
{
    return user->max_connections;
}

int64_t auth_user_max_channels(const struct auth_user *user)
{
    return user->max_channels;
}

bool auth_user_is_configured(const struct auth_user *user)
{
    return user->origin == AUTH_ORIGIN_FILE;
}

const struct permission_set *auth_permissions(const struct auth_user *user, struct bytes vhost)
{
    const struct user_permissions *found = auth_user_in_vhost(user, vhost);

    return found != NULL ? found->set : NULL;
}

const struct topic_permissions *auth_topic_permissions(const struct auth_user *user,
                                                       struct bytes vhost)
{
    const struct user_permissions *found = auth_user_in_vhost(user, vhost);

    return found != NULL ? found->topics : NULL;
}

bool auth_may_access_vhost(const struct auth_user *user, struct bytes vhost)
{
    return auth_permissions(user, vhost) != NULL;
}
