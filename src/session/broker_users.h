/* Users, permissions and topic permissions at run time: making, changing, deleting and listing
 * them, for what administers the broker. They are in the definitions before a change is answered,
 * and count at once, for connections that are open too: a deleted user's are closed (320).
 *
 * An entry (a user, its permissions in a virtual host, its topic permissions for an exchange) that
 * the configuration has is the configuration's, and is not changed here (-EPERM): see
 * docs/access-control.md.
 *
 * Any thread that is neither a worker nor the definitions' own: a change waits for the disk. Names
 * and texts are borrowed for the call. Functions that change something return 0, or -errno with one
 * line in `error` (BROKER_USERS_ERROR_SIZE bytes):
 *
 *   -EINVAL   a name, pattern, tag, password or hash that cannot be
 *   -ENOENT   there is no such user or virtual host
 *   -EEXIST   there is such a user
 *   -EPERM    the entry is the configuration's
 *   another   the definitions could not be written. The change counts all the same, and is tried
 *             again until it is written */
#ifndef LEVERET_SESSION_BROKER_USERS_H
#define LEVERET_SESSION_BROKER_USERS_H

#include "auth/password.h"
#include "auth/users.h"
#include "base/bytes.h"
#include "config/config.h"
#include "store/definitions.h"

#include <stdbool.h>

struct broker;

enum {
    BROKER_USERS_ERROR_SIZE = 512,
};

/* What a user shall be; what is NULL (data NULL) stays as it is, or is empty for a new user. */
struct broker_user {
    struct bytes name;     /* 1 to 255 bytes */
    struct bytes password; /* plain; hashed here, which takes milliseconds */
    /* Instead of a password: in a form that password_hash_parse() reads (auth/password.h). Empty
     * text: no password fits. */
    const char *password_hash;
    struct bytes tags; /* separated by commas; those unknown here are kept */
};

/* How many connections, and channels on all of them, a user may have open. */
struct broker_user_limits {
    int64_t max_connections; /* negative: no limit; 0: none */
    int64_t max_channels;
};

/* Makes a user that is not there (-EEXIST). */
int broker_user_add(struct broker *b, const struct broker_user *u, char *error);

/* Changes a user that is there (-ENOENT). */
int broker_user_change(struct broker *b, const struct broker_user *u, char *error);

/* Makes the user, or changes it when it is there. */
int broker_user_put(struct broker *b, const struct broker_user *u, char *error);

/* Deletes the user with its permissions and topic permissions, and closes its connections. */
int broker_user_delete(struct broker *b, struct bytes name, char *error);

/* Sets the limits of a user that is there, in place of those it has. */
int broker_user_limits_set(struct broker *b, struct bytes name,
                           const struct broker_user_limits *limits, char *error);

/* Whether this is the user's password, as a login from this machine would have it. */
bool broker_user_authenticate(struct broker *b, struct bytes name, struct bytes password);

/* What a user may do in a virtual host; replaces what it might before. The texts are patterns
 * (auth/permissions.h) without zero bytes. */
struct broker_permission {
    struct bytes user;
    struct bytes vhost;
    const char *configure;
    const char *write;
    const char *read;
};

int broker_permission_set(struct broker *b, const struct broker_permission *p, char *error);

/* Takes the access to the virtual host away; fine when there is none. */
int broker_permission_clear(struct broker *b, struct bytes user, struct bytes vhost, char *error);

/* Which routing keys a user may use with a topic exchange (auth/topic_permissions.h), which need
 * not be there; replaces what it might before. */
struct broker_topic_permission {
    struct bytes user;
    struct bytes vhost;
    struct bytes exchange; /* empty: the default exchange */
    const char *write;
    const char *read;
};

int broker_topic_permission_set(struct broker *b, const struct broker_topic_permission *p,
                                char *error);

/* Takes the topic permissions for an exchange away, for every exchange when `exchange` is NULL
 * (those of the configuration stay); fine when there are none. */
int broker_topic_permission_clear(struct broker *b, struct bytes user, struct bytes vhost,
                                  const struct bytes *exchange, char *error);

/* ---- Listing: what is in force, from both sources, in any order ---- */

struct broker_user_info {
    struct bytes name;
    struct bytes tags;         /* separated by commas */
    const char *password_hash; /* as password_hash_text() writes it; NULL: no password fits */
    bool loopback_only;
    bool from_file; /* the configuration's */
    struct broker_user_limits limits;
    uint32_t connections; /* that are open now */
    uint32_t channels;
};

struct broker_permission_info {
    struct broker_permission permission;
    bool from_file;
};

struct broker_topic_permission_info {
    struct broker_topic_permission permission;
    bool from_file;
};

/* What has no function is passed over. Everything is borrowed for the call. */
struct broker_users_visitor {
    void *context;
    void (*user)(void *context, const struct broker_user_info *u);
    void (*permission)(void *context, const struct broker_permission_info *p);
    void (*topic_permission)(void *context, const struct broker_topic_permission_info *p);
};

/* Every user, each followed by its permissions. Any thread. */
void broker_users_visit(const struct broker_users_visitor *v);

/* One user alone. Returns whether there is one of that name. Any thread. */
bool broker_user_visit(struct bytes name, const struct broker_users_visitor *v);

/* ---- For the broker itself ---- */

/* Bring back what is stored, at start. */
void broker_users_restore_user(struct broker *b, const struct user_definition *d);
void broker_users_restore_permission(struct broker *b, const struct permission_definition *d);
/* Passes over a parameter that is no limit of a user. */
void broker_users_restore_limits(struct broker *b, const struct parameter_definition *p);
void broker_users_restore_topic_permission(struct broker *b,
                                           const struct topic_permission_definition *d);

/* Puts the users in force at start, after what is stored was brought back, and at a reload: `file`
 * (a reference, taken over) is what auth_database_build() made of `config`. A configuration that
 * says nothing of users has the user guest; it is made when no user is stored, and stored. */
void broker_users_configure(struct broker *b, const struct config *config,
                            struct auth_database *file);

/* Stores the hash of the password that `user` has just logged in with, unless it was changed since:
 * a logins_upgrade, whose context is the broker. */
void broker_users_upgrade_hash(void *context, const struct auth_user *user,
                               const struct password_hash *hash);

/* A virtual host is gone from the definitions: so are the permissions in it. */
void broker_users_forget_vhost(struct broker *b, struct bytes vhost);

#endif
