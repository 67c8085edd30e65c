/* One user as the sessions see it: name, password, tags and what it may do where. Shared by
 * reference count and immutable once it is in a table, but for the memory of its right password
 * (auth/verified.h); a change makes a copy. The functions that change one are for whoever has just
 * made it. Any thread. */
#ifndef LEVERET_AUTH_USER_H
#define LEVERET_AUTH_USER_H

#include "auth/password.h"
#include "auth/permissions.h"
#include "auth/topic_permissions.h"
#include "auth/verified.h"
#include "base/bytes.h"
#include "base/hash_map.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Where an entry comes from; what the file says wins. */
enum auth_origin {
    AUTH_ORIGIN_STORED, /* the definitions: made at run time */
    AUTH_ORIGIN_FILE,   /* the configuration */
};

/* What a user may do in a virtual host. */
struct user_permissions {
    struct hash_node by_vhost;
    struct bytes vhost;               /* owned */
    struct permission_set *set;       /* a reference; NULL: no access, and only topics are known */
    enum auth_origin origin;          /* of the set */
    struct topic_permissions *topics; /* owned; NULL: none */
};

/* What there is of a user in the whole broker, through all its changes; a user that is deleted and
 * made again has another one. Shared by reference count. */
struct auth_account {
    atomic_uint references;
    atomic_uint connections;
    atomic_uint channels;
};

enum {
    AUTH_NO_LIMIT = -1,
};

struct auth_user {
    atomic_uint references;
    struct auth_account *account; /* a reference */
    int64_t max_connections;      /* AUTH_NO_LIMIT: as many as there may be; 0: none */
    int64_t max_channels;         /* the same, of all its connections together */
    struct bytes name;            /* owned */
    struct bytes tags;            /* as text, separated by commas; owned */
    uint32_t tag_flags; /* of enum user_tag (config/config.h): those that mean something here */
    enum auth_origin origin;
    bool exists; /* false: there are permissions for the name, and no user */
    bool loopback_only;
    bool has_password; /* false: no password fits */
    struct password_hash hash;
    struct verified verified;
    struct hash_map permissions; /* struct user_permissions by vhost */
};

/* A user without password, tags and permissions, and one reference to it. */
struct auth_user *auth_user_new(struct bytes name, enum auth_origin origin);

struct auth_account *auth_account_ref(struct auth_account *a);

/* NULL is fine. */
void auth_account_unref(struct auth_account *a);

/* Has the user be the same as `former`, of which it is another version. Before it is shared. */
void auth_user_continue(struct auth_user *u, const struct auth_user *former);

/* A copy that may be changed, with one reference. A right password that is remembered stays so. */
struct auth_user *auth_user_copy(const struct auth_user *u);

struct auth_user *auth_user_ref(const struct auth_user *u);

/* Drops a reference (NULL is fine); the last one wipes and frees the user. */
void auth_user_unref(const struct auth_user *u);

/* ---- Changing what was just made ---- */

/* The tags as text: blanks around commas do not count. */
void auth_user_set_tags(struct auth_user *u, struct bytes tags);

/* NULL: no password fits any more. Forgets the password that was right. */
void auth_user_set_hash(struct auth_user *u, const struct password_hash *hash);

/* Takes over a reference to the set; NULL takes the access to the virtual host away. */
void auth_user_set_permissions(struct auth_user *u, struct bytes vhost, struct permission_set *set,
                               enum auth_origin origin);

/* Takes over a reference to `t`. */
void auth_user_set_topic(struct auth_user *u, struct bytes vhost, struct topic_permission *t);

/* Takes the topic permissions of an exchange away, of every exchange when `exchange` is NULL. */
void auth_user_clear_topics(struct auth_user *u, struct bytes vhost, const struct bytes *exchange);

/* Takes everything in a virtual host away. */
void auth_user_clear_vhost(struct auth_user *u, struct bytes vhost);

/* Adds the permissions of `other` that `u` has no entry for. */
void auth_user_add_permissions(struct auth_user *u, const struct auth_user *other);

/* ---- Asking ---- */

/* What is known for the virtual host, or NULL. */
struct user_permissions *auth_user_in_vhost(const struct auth_user *u, struct bytes vhost);

/* Whether nothing is left in it that is worth keeping: no user, and no permission either. */
bool auth_user_is_void(const struct auth_user *u);

/* ---- Tables of users, by name ---- */

struct user_table {
    struct hash_map by_name;
};

void user_table_init(struct user_table *t);

/* Drops the references; empty again. */
void user_table_clear(struct user_table *t);

/* Borrowed; NULL when there is none. */
struct auth_user *user_table_find(const struct user_table *t, struct bytes name);

/* Takes over a reference; who had the name before goes. */
void user_table_put(struct user_table *t, struct auth_user *u);

/* NULL is fine: nothing of the name is in the table. */
void user_table_remove(struct user_table *t, struct bytes name);

/* Calls back for each, in any order. */
void user_table_each(const struct user_table *t,
                     void (*visit)(void *context, const struct auth_user *u), void *context);

#endif
