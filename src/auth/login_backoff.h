/* How long a login has to wait because others failed before: exponential back-off for an address
 * and a user together, for an address, and for a user, in a table of bounded size. One that is
 * asked about waits before its password is looked at, so that guessing costs time; a pair and an
 * address wait one after the other, so that guessing in parallel does not help.
 *
 * Time comes in, in milliseconds that do not go back. Any thread. */
#ifndef LEVERET_AUTH_LOGIN_BACKOFF_H
#define LEVERET_AUTH_LOGIN_BACKOFF_H

#include "base/bytes.h"

#include <stdint.h>

enum {
    LOGIN_BACKOFF_REFUSED = -1,
    /* An address, or a user, may fail so many times more than a pair before it waits: others share
     * it. */
    LOGIN_BACKOFF_SHARED_FACTOR = 10,
};

struct login_backoff_options {
    uint32_t after;     /* failures of a pair that cost nothing */
    uint32_t first_ms;  /* the wait for the next one; it doubles with each */
    uint32_t max_ms;    /* at most; 0: nobody waits */
    uint32_t forget_ms; /* without another failure it is as if there had been none */
};

struct login_backoff;

struct login_backoff *login_backoff_new(const struct login_backoff_options *o);
void login_backoff_free(struct login_backoff *b);

/* Says how long a login from this address (its network, as bytes) as this user has to wait, 0 for
 * not at all; LOGIN_BACKOFF_REFUSED when others wait already, so that it would be longer than the
 * longest wait: it is not to be tried. */
int64_t login_backoff_wait(struct login_backoff *b, struct bytes address, struct bytes user,
                           int64_t now_ms);

/* Notes that the login failed. What a pair fails more than `after` times makes nobody wait but the
 * pair, unless its address or its user has to wait already: that needs several users, or several
 * addresses. */
void login_backoff_failed(struct login_backoff *b, struct bytes address, struct bytes user,
                          int64_t now_ms);

#endif
