/* Logging in: who says it is whom, with which password, and when that is looked at. Passwords that
 * have to be hashed are, on threads of their own that give way to workers; so that a login never
 * keeps anybody else waiting. */
#ifndef LEVERET_AUTH_LOGIN_H
#define LEVERET_AUTH_LOGIN_H

#include "auth/password.h"
#include "auth/users.h"
#include "base/bytes.h"
#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LOGIN_NAME_MAX = 255,
};

struct logins;

/* A login that waits, or its outcome. */
struct login {
    /* The caller's: see login_begin(). */
    void (*done)(struct login *l);
    void *context;
    uint64_t number;

    /* The answer, when done is called. */
    enum auth_outcome outcome;
    struct auth_database *db;     /* a reference: whose user it is, current when it was looked at */
    const struct auth_user *user; /* in `db`; NULL unless accepted */
};

/* Called when a user of the definitions logged in with a password that is stored in an old way:
 * `hash` is the new one. On a thread of the logins. */
struct logins_upgrade {
    void (*call)(void *context, const struct auth_user *user, const struct password_hash *hash);
    void *context;
};

/* Starts the threads. Returns 0 or -errno. */
int logins_start(struct logins **out, const struct config_login *options,
                 struct logins_upgrade upgrade);

/* Ends the threads and frees every login, also those that login_end() was not called for. NULL is
 * fine. */
void logins_stop(struct logins *all);

/* Who wants to log in. Borrowed for the call. */
struct login_request {
    struct bytes username;
    struct bytes password;
    struct bytes address; /* of the peer's network: what logins that failed are counted by */
    bool peer_is_loopback;
};

/* Begins a login. Any thread. When its outcome is known at once, a right password that was seen
 * before or a refusal without a look at it, returns it with *user in `db`, the current snapshot, or
 * NULL. Otherwise returns AUTH_PENDING, and `done` is called later, once, on a thread of the
 * logins, with a login that has `context` and `number` and for which login_end() must be called:
 * its password was looked at in the snapshot that was current then. */
enum auth_outcome login_begin(struct logins *all, const struct login_request *r,
                              const struct auth_database *db, const struct auth_user **user,
                              void (*done)(struct login *l), void *context, uint64_t number);

/* The name that was given. Lives as long as the login. */
struct bytes login_username(const struct login *l);

/* Whether what was found of an accepted login holds for the user as it is by now: it has the same
 * password, and may still come from there. */
bool login_holds_for(const struct login *l, const struct auth_user *user);

/* Frees a login that is done. Any thread. */
void login_end(struct logins *all, struct login *l);

#endif
