/* Passwords as they are stored: hashed, salted, with the way of hashing in the text.
 *
 * Forms that are read:
 *   $scrypt$ln=10,r=8,p=1$SALT$HASH       what password_hash_new() writes (base64, no padding)
 *   rabbit_password_hashing_sha256:BASE64 RabbitMQ's: 4 bytes of salt, then SHA-256(salt password)
 *   rabbit_password_hashing_sha512:BASE64 the same with SHA-512
 *   BASE64                                as RabbitMQ exports them, told apart by their length
 *
 * Any thread. */
#ifndef LEVERET_AUTH_PASSWORD_H
#define LEVERET_AUTH_PASSWORD_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum password_algorithm {
    PASSWORD_SCRYPT,
    PASSWORD_RABBIT_SHA256,
    PASSWORD_RABBIT_SHA512,
};

enum {
    PASSWORD_SALT_MAX = 64,
    PASSWORD_KEY_MAX = 64,
    /* Longer passwords are refused, hashed or not. */
    PASSWORD_SIZE_MAX = 1024,
};

struct password_hash {
    enum password_algorithm algorithm;
    uint8_t scrypt_log2_n;
    uint8_t scrypt_r;
    uint8_t scrypt_p;
    uint8_t salt_size;
    uint8_t key_size;
    uint8_t salt[PASSWORD_SALT_MAX];
    uint8_t key[PASSWORD_KEY_MAX];
};

/* Hashes the password with a fresh salt and the default cost. Returns 0, or -EINVAL when the
 * password is empty or too long, or -ENOMEM. */
int password_hash_make(struct bytes password, struct password_hash *out);

/* As password_hash_make, as the text for `password_hash:` in the configuration; on the heap, the
 * caller frees it. NULL when the password is empty or too long, or memory is short. */
char *password_hash_new(struct bytes password);

/* The hash as text, in one of the forms above, on the heap: the caller frees it. */
char *password_hash_text(const struct password_hash *hash);

/* Whether they are the same hash, salt and cost included. */
bool password_hash_equal(const struct password_hash *a, const struct password_hash *b);

/* Reads one of the forms above. Returns 0, or -EINVAL with *why a static text. Costs that would
 * take more than 64 MiB or some seconds are refused. */
int password_hash_parse(const char *text, struct password_hash *out, const char **why);

/* Whether the password is the one that was hashed. Compares in constant time; takes as long as
 * hashing takes (about 2 ms for the default cost), so the caller keeps it off a hot path. */
bool password_verify(const struct password_hash *hash, struct bytes password);

/* Takes as long as a failing password_verify() of a hash of the default cost. */
void password_verify_nothing(struct bytes password);

#endif
