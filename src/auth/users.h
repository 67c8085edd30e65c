/* Who may get in, and what they may do: users, their passwords and their permissions.
 *
 * An auth_database is a snapshot: built from a configuration and from what was made at run time
 * (auth/accounts.h), immutable once it is current, shared by reference count. Whoever holds a
 * reference may use it, and the users and permission sets found in it, on any thread. A reload or a
 * change builds a new one and makes it current; auth_version() tells sessions that theirs is old:
 * they then take the current one and look their user up again. */
#ifndef LEVERET_AUTH_USERS_H
#define LEVERET_AUTH_USERS_H

#include "auth/permissions.h"
#include "auth/topic_permissions.h"
#include "base/bytes.h"
#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>

struct auth_database;
struct auth_user;
struct user_table;

enum auth_outcome {
    AUTH_ACCEPTED,
    AUTH_UNKNOWN_USER,
    AUTH_WRONG_PASSWORD,
    AUTH_LOOPBACK_ONLY,
    /* Of auth/login.h. */
    AUTH_PENDING,
    AUTH_TOO_MANY_FAILURES,
    AUTH_TOO_MANY_WAITING,
};

/* Adds a problem for each pattern that cannot be compiled and each password hash that is none (a
 * config_further_checks). */
void auth_check_config(const struct config *config, struct config_problems *problems);

/* A snapshot without users, and one reference to it; and its table, to be filled before the
 * snapshot is current. */
struct auth_database *auth_database_new(void);
struct user_table *auth_database_table(struct auth_database *db);

/* Builds a snapshot of the users, vhosts and permissions of `config` and returns 0 and one
 * reference to it, or -EINVAL with *out NULL after adding at least one problem (patterns and
 * password hashes are checked here). Plain passwords in `config` are hashed and wiped; one that
 * `previous` (may be NULL) already has a hash of keeps that one. */
int auth_database_build(struct config *config, const struct auth_database *previous,
                        struct auth_database **out, struct config_problems *problems);

/* Takes another reference, and drops one (NULL is fine); the last one frees the snapshot. */
struct auth_database *auth_database_ref(struct auth_database *db);
void auth_database_unref(struct auth_database *db);

/* Makes `db` the current snapshot and takes over the caller's reference; the former one loses its
 * own. NULL leaves none (at shutdown). */
void auth_database_replace(struct auth_database *db);

/* A new reference to the current snapshot, or NULL when there is none. */
struct auth_database *auth_database_current(void);

/* The version of the current snapshot: grows with each auth_database_replace(). One relaxed load:
 * cheap enough for each read batch. */
uint64_t auth_version(void);

/* The version that this snapshot became current with; 0 before. */
uint64_t auth_database_version(const struct auth_database *db);

/* The user, or NULL. */
const struct auth_user *auth_find_user(const struct auth_database *db, struct bytes name);

/* Checks name and password. Returns the user, or NULL; *outcome says which for the log (a client
 * is told the same for every refusal). A right password that was seen before costs microseconds;
 * everything else takes as long as a password hash, whether or not the user exists. */
const struct auth_user *auth_login(const struct auth_database *db, struct bytes username,
                                   struct bytes password, bool peer_is_loopback,
                                   enum auth_outcome *outcome);

/* The user of that name, which was proved already, by a certificate for one. Returns it, or NULL;
 * *outcome as above. */
const struct auth_user *auth_login_proved(const struct auth_database *db, struct bytes username,
                                          bool peer_is_loopback, enum auth_outcome *outcome);

/* What to write in the log: "wrong password", … A static string. */
const char *auth_outcome_text(enum auth_outcome outcome);

/* A view that lives as long as the snapshot. */
struct bytes auth_user_name(const struct auth_user *user);

/* Of enum user_tag (config/config.h). */
uint32_t auth_user_tags(const struct auth_user *user);

struct auth_account;

/* The user through all its changes (auth/user.h). Lives as long as the snapshot. */
struct auth_account *auth_user_account(const struct auth_user *user);

/* How many connections and channels the user may have open; negative: no limit. */
int64_t auth_user_max_connections(const struct auth_user *user);
int64_t auth_user_max_channels(const struct auth_user *user);

/* Whether the configuration file has the user, rather than the definitions. */
bool auth_user_is_configured(const struct auth_user *user);

/* What the user may do in the vhost, or NULL: no access to the vhost at all. Lives as long as the
 * snapshot. */
const struct permission_set *auth_permissions(const struct auth_user *user, struct bytes vhost);

/* The user's topic permissions in the vhost, or NULL: none, every routing key is allowed. Lives as
 * long as the snapshot. */
const struct topic_permissions *auth_topic_permissions(const struct auth_user *user,
                                                       struct bytes vhost);

/* Whether the user may open the vhost: it has permissions there, even if they allow nothing. */
bool auth_may_access_vhost(const struct auth_user *user, struct bytes vhost);

#endif
