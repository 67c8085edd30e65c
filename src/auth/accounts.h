/* The users in force, from two sources: the configuration, and what was made at run time and is
 * stored in the definitions. An entry is a user, the permissions of a user in a virtual host, or
 * its topic permissions for an exchange. Of an entry that both have the configuration's counts, for
 * as long as it is there; the stored one is kept and counts again when it is not.
 *
 * Every change makes a new snapshot of what is in force current (auth/users.h). Any thread. */
#ifndef LEVERET_AUTH_ACCOUNTS_H
#define LEVERET_AUTH_ACCOUNTS_H

#include "auth/user.h"
#include "auth/users.h"
#include "base/bytes.h"
#include "config/config.h"

#include <pthread.h>
#include <stdbool.h>

struct accounts {
    pthread_mutex_t mutex;
    struct auth_database *file; /* NULL: nobody is in the file */
    struct user_table stored;
    struct user_table loopback; /* names alone: of stored users, who may only come from loopback */
};

void accounts_init(struct accounts *a);
void accounts_release(struct accounts *a);

/* Excludes other changes until accounts_unlock(). What the functions below give is borrowed until
 * then. */
void accounts_lock(struct accounts *a);
void accounts_unlock(struct accounts *a);

/* ---- Under the lock ---- */

/* The user of the configuration with this name, or NULL. */
const struct auth_user *accounts_of_file(const struct accounts *a, struct bytes name);

/* What is stored of this name, or NULL; perhaps permissions alone (auth_user.exists). */
const struct auth_user *accounts_stored(const struct accounts *a, struct bytes name);

/* Whether any user is stored. */
bool accounts_any_stored(const struct accounts *a);

/* Takes over a reference to what is stored from now on for its name; one that is void is not kept.
 * It counts when accounts_publish() or accounts_publish_all() is called. */
void accounts_put_stored(struct accounts *a, struct auth_user *u);

/* Replaces what the configuration says: `file` (a reference that is taken over, or NULL) and the
 * names of its `loopback` users. */
void accounts_set_file(struct accounts *a, struct auth_database *file,
                       const struct config_names *loopback);

/* Puts in force what was changed: of one name, or of all. */
void accounts_publish(struct accounts *a, struct bytes name);
void accounts_publish_all(struct accounts *a);

/* Takes the virtual host from every stored user. accounts_publish_all() puts it in force. */
void accounts_forget_vhost(struct accounts *a, struct bytes vhost);

#endif
