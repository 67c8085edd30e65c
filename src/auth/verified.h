/* The memory that a password was right: a keyed digest of it, because the hash itself is slow by
 * intent. Worthless without the key of this process. A user has one right password, so there is one
 * slot, written once. Any thread. */
#ifndef LEVERET_AUTH_VERIFIED_H
#define LEVERET_AUTH_VERIFIED_H

#include "auth/password.h"
#include "base/bytes.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    VERIFIED_TAG_SIZE = 32,
};

struct verified {
    atomic_int state;
    uint8_t tag[VERIFIED_TAG_SIZE];
};

/* Remembers nothing. */
void verified_init(struct verified *v);

/* Takes over what `from` remembers. */
void verified_copy(struct verified *v, const struct verified *from);

/* Whether `password` is remembered as the right one for `hash`. Takes microseconds. */
bool verified_knows(const struct verified *v, const struct password_hash *hash,
                    struct bytes password);

/* Remembers that `password` is the right one for `hash`, unless one is remembered. */
void verified_remember(struct verified *v, const struct password_hash *hash, struct bytes password);

/* Wipes it. Nobody else may use it at the time. */
void verified_wipe(struct verified *v);

#endif
