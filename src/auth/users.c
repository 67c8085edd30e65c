#include "auth/users.h"

#include "auth/password.h"
#include "base/arena.h"
#include "base/hash_map.h"
#include "base/memory.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAG_SIZE = 32,
};

/* That a password was right: a keyed digest of it, because the hash itself is slow by intent. A
 * user has one right password, so there is one slot, written once. */
enum verified_state {
    VERIFIED_NONE,
    VERIFIED_BEING_WRITTEN,
    VERIFIED_READY,
};

struct verified {
    atomic_int state;
    uint8_t tag[TAG_SIZE];
};

struct user_permissions {
    struct hash_node by_vhost;
    struct bytes vhost;
    struct permission_set *set;
};

/* Immutable but for `verified`. Lives in the database's arena. */
struct auth_user {
    struct hash_node by_name;
    struct bytes name;
    uint32_t tags;
    bool loopback_only;
    struct password_hash hash;
    struct verified verified;
    struct hash_map permissions; /* by vhost */
};

struct auth_database {
    atomic_uint references;
    _Atomic uint64_t version;
    struct arena arena;
    struct hash_map users; /* by name */
};

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct auth_database *current; /* under the lock */
static _Atomic uint64_t version;

/* Verified passwords */

static uint8_t process_key[TAG_SIZE];
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void draw_process_key(void)
{
    random_bytes(process_key, sizeof(process_key));
}

/* A digest of the hash and the password, worthless without the key of this process. Returns
 * false when memory is short or the password is too long. */
static bool password_tag(const struct password_hash *hash, struct bytes password,
                         uint8_t tag[TAG_SIZE])
{
    uint8_t input[PASSWORD_KEY_MAX + PASSWORD_SIZE_MAX];
    bool good;

    if (password.size == 0 || password.size > PASSWORD_SIZE_MAX)
        return false;
    pthread_once(&process_key_once, draw_process_key);
    memcpy(input, hash->key, PASSWORD_KEY_MAX);
    memcpy(input + PASSWORD_KEY_MAX, password.data, password.size);
    good = HMAC(EVP_sha256(), process_key, sizeof(process_key), input,
                PASSWORD_KEY_MAX + password.size, tag, NULL) != NULL;
    OPENSSL_cleanse(input, PASSWORD_KEY_MAX + password.size);
    return good;
}

static bool verified_matches(const struct verified *v, const uint8_t tag[TAG_SIZE])
{
    return atomic_load_explicit(&v->state, memory_order_acquire) == VERIFIED_READY &&
           CRYPTO_memcmp(v->tag, tag, TAG_SIZE) == 0;
}

static void verified_remember(struct verified *v, const uint8_t tag[TAG_SIZE])
{
    int expected = VERIFIED_NONE;

    if (!atomic_compare_exchange_strong(&v->state, &expected, VERIFIED_BEING_WRITTEN))
        return;
    memcpy(v->tag, tag, TAG_SIZE);
    atomic_store_explicit(&v->state, VERIFIED_READY, memory_order_release);
}

static bool password_is_right(struct auth_user *user, struct bytes password)
{
    uint8_t tag[TAG_SIZE];
    bool tagged = password_tag(&user->hash, password, tag);
    bool right;

    if (tagged && verified_matches(&user->verified, tag))
        return true;
    /* A remembered password that differs says the answer; the hash is computed all the same, so
     * that a refusal takes as long as for an unknown user. */
    right = password_verify(&user->hash, password);
    if (right && tagged)
        verified_remember(&user->verified, tag);
    else if (!right && user->hash.algorithm != PASSWORD_SCRYPT)
        password_verify_nothing(password);
    OPENSSL_cleanse(tag, sizeof(tag));
    return right;
}

/* Building */

static bool user_matches(const struct hash_node *node, const void *key)
{
    const struct bytes *name = key;

    return bytes_equal(container_of(node, struct auth_user, by_name)->name, *name);
}

static struct auth_user *find_user(const struct auth_database *db, struct bytes name)
{
    struct hash_node *found = hash_map_find(&db->users, bytes_hash(name), user_matches, &name);

    return found != NULL ? container_of(found, struct auth_user, by_name) : NULL;
}

static bool vhost_matches(const struct hash_node *node, const void *key)
{
    const struct bytes *vhost = key;

    return bytes_equal(container_of(node, struct user_permissions, by_vhost)->vhost, *vhost);
}

static struct user_permissions *find_permissions(const struct auth_user *user, struct bytes vhost)
{
    struct hash_node *found =
        hash_map_find(&user->permissions, bytes_hash(vhost), vhost_matches, &vhost);

    return found != NULL ? container_of(found, struct user_permissions, by_vhost) : NULL;
}

/* Puts the hash of the plain password into `user` and, as text, into the configuration in the
 * password's place, which is wiped. */
static int hash_plain_password(struct config *config, struct config_user *from,
                               struct auth_user *user, const struct auth_user *previous)
{
    struct bytes password = bytes_from_string(from->password);
    uint8_t tag[TAG_SIZE];
    char *text;
    int rc = 0;

    if (previous != NULL && password_tag(&previous->hash, password, tag) &&
        verified_matches(&previous->verified, tag))
        user->hash = previous->hash;
    else
        rc = password_hash_make(password, &user->hash);
    if (rc == 0 && password_tag(&user->hash, password, tag))
        verified_remember(&user->verified, tag);
    OPENSSL_cleanse(tag, sizeof(tag));
    OPENSSL_cleanse(from->password, password.size);
    from->password = NULL;
    if (rc < 0)
        return rc;
    text = password_hash_text(&user->hash);
    from->password_hash =
        (const char *)arena_copy(&config->arena, bytes_of(text, strlen(text) + 1)).data;
    free(text);
    return 0;
}

static void refuse_password(const struct config *config, const struct config_user *user,
                            const char *why, struct config_problems *problems)
{
    config_problems_add(problems, config->file, user->password_line,
                        "the password of user '%.*s' %s", BYTES_ARGS(user->name), why);
}

static void add_user(struct auth_database *db, struct config *config, struct config_user *from,
                     const struct auth_database *previous_db, struct config_problems *problems)
{
    const struct auth_user *previous =
        previous_db != NULL ? find_user(previous_db, from->name) : NULL;
    struct auth_user *user = arena_alloc(&db->arena, sizeof(*user));
    const char *why = "is missing";
    int rc;

    user->name = arena_copy(&db->arena, from->name);
    user->tags = from->tags;
    user->loopback_only = from->loopback_only;
    hash_map_init(&user->permissions);
    hash_map_insert(&db->users, &user->by_name, bytes_hash(user->name));
    if (from->password != NULL) {
        rc = hash_plain_password(config, from, user, previous);
        why = "cannot be hashed";
    } else if (from->password_hash != NULL) {
        rc = password_hash_parse(from->password_hash, &user->hash, &why);
    } else {
        rc = -EINVAL;
    }
    if (rc < 0)
        refuse_password(config, from, why, problems);
    /* Who has logged in before the reload need not pay for the hash again. */
    else if (previous != NULL && password_hash_equal(&previous->hash, &user->hash) &&
             atomic_load_explicit(&previous->verified.state, memory_order_acquire) ==
                 VERIFIED_READY)
        verified_remember(&user->verified, previous->verified.tag);
}

/* Compiles the patterns, those that cannot be are NULL and a problem each. */
static void compile_patterns(const struct config *config, const struct config_permission *from,
                             struct permission_pattern *patterns[PERMISSION_KIND_COUNT],
                             struct config_problems *problems)
{
    const struct {
        const char *name;
        const char *text;
        unsigned line;
    } sources[PERMISSION_KIND_COUNT] = {
        [PERMISSION_CONFIGURE] = {"configure", from->configure, from->configure_line},
        [PERMISSION_WRITE] = {"write", from->write, from->write_line},
        [PERMISSION_READ] = {"read", from->read, from->read_line},
    };

    for (int kind = 0; kind < PERMISSION_KIND_COUNT; kind++) {
        char error[PERMISSION_ERROR_SIZE];

        patterns[kind] = NULL;
        if (sources[kind].text == NULL) /* a problem of its own */
            continue;
        patterns[kind] = permission_pattern_compile(sources[kind].text, error);
        if (patterns[kind] == NULL)
            config_problems_add(problems, config->file, sources[kind].line,
                                "'%s' is not a valid pattern: %s", sources[kind].name, error);
    }
}

static void add_permissions(struct auth_database *db, const struct config *config,
                            const struct config_permission *from, struct config_problems *problems)
{
    struct permission_pattern *patterns[PERMISSION_KIND_COUNT];
    struct auth_user *user = find_user(db, from->user);
    struct user_permissions *permissions = arena_alloc(&db->arena, sizeof(*permissions));

    compile_patterns(config, from, patterns, problems);
    permissions->set = permission_set_new(patterns);
    if (user == NULL || find_permissions(user, from->vhost) != NULL) {
        config_problems_add(problems, config->file, from->line,
                            user == NULL ? "unknown user '%.*s'"
                                         : "duplicate permissions of user '%.*s'",
                            BYTES_ARGS(from->user));
        permission_set_free(permissions->set);
        return;
    }
    permissions->vhost = arena_copy(&db->arena, from->vhost);
    hash_map_insert(&user->permissions, &permissions->by_vhost, bytes_hash(permissions->vhost));
}

void auth_check_config(const struct config *config, struct config_problems *problems)
{
    for (size_t i = 0; i < config->users.count; i++) {
        const struct config_user *user = &config->users.items[i];
        struct password_hash hash;
        const char *why;

        if (user->password_hash != NULL &&
            password_hash_parse(user->password_hash, &hash, &why) < 0)
            refuse_password(config, user, why, problems);
    }
    for (size_t i = 0; i < config->permissions.count; i++) {
        struct permission_pattern *patterns[PERMISSION_KIND_COUNT];

        compile_patterns(config, &config->permissions.items[i], patterns, problems);
        for (int kind = 0; kind < PERMISSION_KIND_COUNT; kind++)
            permission_pattern_free(patterns[kind]);
    }
}

int auth_database_build(struct config *config, const struct auth_database *previous,
                        struct auth_database **out, struct config_problems *problems)
{
    struct auth_database *db = memory_alloc_zeroed(1, sizeof(*db));
    size_t before = config_problems_total(problems);

    atomic_init(&db->references, 1);
    atomic_init(&db->version, 0);
    arena_init(&db->arena);
    hash_map_init(&db->users);
    for (size_t i = 0; i < config->users.count; i++)
        add_user(db, config, &config->users.items[i], previous, problems);
    for (size_t i = 0; i < config->permissions.count; i++)
        add_permissions(db, config, &config->permissions.items[i], problems);
    *out = db;
    if (config_problems_total(problems) == before)
        return 0;
    config_problems_sort(problems);
    auth_database_unref(db);
    *out = NULL;
    return -EINVAL;
}

/* Snapshots */

static void user_free(struct auth_user *user)
{
    struct hash_node *node = hash_map_first(&user->permissions);

    for (; node != NULL; node = hash_map_next(&user->permissions, node))
        permission_set_free(container_of(node, struct user_permissions, by_vhost)->set);
    hash_map_clear(&user->permissions);
    OPENSSL_cleanse(&user->verified, sizeof(user->verified));
}

static void database_free(struct auth_database *db)
{
    struct hash_node *node = hash_map_first(&db->users);

    for (; node != NULL; node = hash_map_next(&db->users, node))
        user_free(container_of(node, struct auth_user, by_name));
    hash_map_clear(&db->users);
    arena_free(&db->arena);
    free(db);
}

struct auth_database *auth_database_ref(struct auth_database *db)
{
    atomic_fetch_add_explicit(&db->references, 1, memory_order_relaxed);
    return db;
}

void auth_database_unref(struct auth_database *db)
{
    if (db != NULL && atomic_fetch_sub_explicit(&db->references, 1, memory_order_acq_rel) == 1)
        database_free(db);
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

/* Asking */

const struct auth_user *auth_find_user(const struct auth_database *db, struct bytes name)
{
    return find_user(db, name);
}

const struct auth_user *auth_login(const struct auth_database *db, struct bytes username,
                                   struct bytes password, bool peer_is_loopback,
                                   enum auth_outcome *outcome)
{
    struct auth_user *user = find_user(db, username);

    *outcome = AUTH_ACCEPTED;
    if (user == NULL) {
        password_verify_nothing(password);
        *outcome = AUTH_UNKNOWN_USER;
    } else if (!password_is_right(user, password)) {
        *outcome = AUTH_WRONG_PASSWORD;
    } else if (user->loopback_only && !peer_is_loopback) {
        *outcome = AUTH_LOOPBACK_ONLY;
    }
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
    }
    return "refused";
}

struct bytes auth_user_name(const struct auth_user *user)
{
    return user->name;
}

uint32_t auth_user_tags(const struct auth_user *user)
{
    return user->tags;
}

const struct permission_set *auth_permissions(const struct auth_user *user, struct bytes vhost)
{
    const struct user_permissions *found = find_permissions(user, vhost);

    return found != NULL ? found->set : NULL;
}

bool auth_may_access_vhost(const struct auth_user *user, struct bytes vhost)
{
    return find_permissions(user, vhost) != NULL;
}
