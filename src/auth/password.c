#include "auth/password.h"

#include "auth/base64.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* The default cost: 1 MiB, about 2 ms. */
    DEFAULT_LOG2_N = 10,
    DEFAULT_R = 8,
    DEFAULT_P = 1,
    DEFAULT_SALT_SIZE = 16,
    DEFAULT_KEY_SIZE = 32,

    /* 128 N r bytes of memory: 64 MiB at most. */
    N_R_MAX = 512 * 1024,
    LOG2_N_MAX = 19,
    P_MAX = 16,
    KEY_SIZE_MIN = 16,
    OPENSSL_MEMORY_MAX = 128 * 1024 * 1024,

    RABBIT_SALT_SIZE = 4,
    SHA256_SIZE = 32,
    SHA512_SIZE = 64,
};

static EVP_KDF *scrypt;
static pthread_once_t scrypt_once = PTHREAD_ONCE_INIT;

static void fetch_scrypt(void)
{
    scrypt = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
}

/* Fills `key` (hash->key_size bytes). Returns 0 or -ENOMEM. */
static int derive_scrypt(const struct password_hash *hash, struct bytes password, uint8_t *key)
{
    uint64_t n = UINT64_C(1) << hash->scrypt_log2_n;
    uint64_t memory_max = OPENSSL_MEMORY_MAX;
    uint32_t r = hash->scrypt_r;
    uint32_t p = hash->scrypt_p;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)(uintptr_t)password.data,
                                          password.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)hash->salt,
                                          hash->salt_size),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory_max),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF_CTX *context;
    int good;

    pthread_once(&scrypt_once, fetch_scrypt);
    context = scrypt != NULL ? EVP_KDF_CTX_new(scrypt) : NULL;
    if (context == NULL)
        return -ENOMEM;
    good = EVP_KDF_derive(context, key, hash->key_size, params);
    EVP_KDF_CTX_free(context);
    return good == 1 ? 0 : -ENOMEM;
}

static int derive_rabbit(const struct password_hash *hash, struct bytes password,
                         const EVP_MD *digest, uint8_t *key)
{
    uint8_t salted[PASSWORD_SALT_MAX + PASSWORD_SIZE_MAX];
    int good;

    memcpy(salted, hash->salt, hash->salt_size);
    memcpy(salted + hash->salt_size, password.data, password.size);
    good = EVP_Digest(salted, hash->salt_size + password.size, key, NULL, digest, NULL);
    OPENSSL_cleanse(salted, sizeof(salted));
    return good == 1 ? 0 : -ENOMEM;
}

static int derive(const struct password_hash *hash, struct bytes password, uint8_t *key)
{
    switch (hash->algorithm) {
    case PASSWORD_SCRYPT:
        return derive_scrypt(hash, password, key);
    case PASSWORD_RABBIT_SHA256:
        return derive_rabbit(hash, password, EVP_sha256(), key);
    case PASSWORD_RABBIT_SHA512:
        return derive_rabbit(hash, password, EVP_sha512(), key);
    }
    return -EINVAL;
}

static bool acceptable(struct bytes password)
{
    return password.size > 0 && password.size <= PASSWORD_SIZE_MAX;
}

int password_hash_make(struct bytes password, struct password_hash *out)
{
    if (!acceptable(password))
        return -EINVAL;
    *out = (struct password_hash){
        .algorithm = PASSWORD_SCRYPT,
        .scrypt_log2_n = DEFAULT_LOG2_N,
        .scrypt_r = DEFAULT_R,
        .scrypt_p = DEFAULT_P,
        .salt_size = DEFAULT_SALT_SIZE,
        .key_size = DEFAULT_KEY_SIZE,
    };
    random_bytes(out->salt, out->salt_size);
    return derive(out, password, out->key);
}

static const char *const RABBIT_PREFIXES[] = {
    [PASSWORD_RABBIT_SHA256] = "rabbit_password_hashing_sha256:",
    [PASSWORD_RABBIT_SHA512] = "rabbit_password_hashing_sha512:",
};

static const char SCRYPT_PREFIX[] = "$scrypt$";

char *password_hash_text(const struct password_hash *hash)
{
    enum { PARAMETERS_SIZE = 64 };
    char salt[BASE64_TEXT_SIZE(PASSWORD_SALT_MAX)];
    char key[BASE64_TEXT_SIZE(PASSWORD_KEY_MAX)];
    size_t size = PARAMETERS_SIZE + sizeof(salt) + sizeof(key);
    char *text = memory_alloc(size);

    if (hash->algorithm == PASSWORD_SCRYPT) {
        base64_encode(bytes_of(hash->salt, hash->salt_size), salt);
        base64_encode(bytes_of(hash->key, hash->key_size), key);
        snprintf(text, size, "%sln=%u,r=%u,p=%u$%s$%s", SCRYPT_PREFIX, hash->scrypt_log2_n,
                 hash->scrypt_r, hash->scrypt_p, salt, key);
    } else {
        uint8_t both[PASSWORD_SALT_MAX + PASSWORD_KEY_MAX];
        char joined[BASE64_TEXT_SIZE(sizeof(both))];

        memcpy(both, hash->salt, hash->salt_size);
        memcpy(both + hash->salt_size, hash->key, hash->key_size);
        base64_encode(bytes_of(both, (size_t)hash->salt_size + hash->key_size), joined);
        snprintf(text, size, "%s%s", RABBIT_PREFIXES[hash->algorithm], joined);
    }
    return text;
}

char *password_hash_new(struct bytes password)
{
    struct password_hash hash;

    return password_hash_make(password, &hash) == 0 ? password_hash_text(&hash) : NULL;
}

/* Takes `name` and a number of at most three digits off the front of *s. */
static bool take_number(const char **s, const char *name, unsigned *out)
{
    size_t digits;

    if (strncmp(*s, name, strlen(name)) != 0)
        return false;
    *s += strlen(name);
    digits = strspn(*s, "0123456789");
    if (digits == 0 || digits > 3)
        return false;
    *out = (unsigned)strtoul(*s, NULL, 10);
    *s += digits;
    return true;
}

static bool costs_too_much(unsigned log2_n, unsigned r, unsigned p)
{
    return log2_n < 1 || log2_n > LOG2_N_MAX || r < 1 || r > (unsigned)N_R_MAX >> log2_n ||
           r > UINT8_MAX || p < 1 || p > P_MAX;
}

/* What follows "$scrypt$". */
static int parse_scrypt(const char *s, struct password_hash *out, const char **why)
{
    unsigned log2_n;
    unsigned r;
    unsigned p;
    const char *end;
    ssize_t salt_size;
    ssize_t key_size;

    *why = "is not a scrypt hash of the form $scrypt$ln=10,r=8,p=1$SALT$HASH";
    if (!take_number(&s, "ln=", &log2_n) || !take_number(&s, ",r=", &r) ||
        !take_number(&s, ",p=", &p) || *s != '$')
        return -EINVAL;
    s++;
    end = strchr(s, '$');
    if (end == NULL)
        return -EINVAL;
    salt_size = base64_decode(bytes_of(s, (size_t)(end - s)), out->salt, sizeof(out->salt));
    key_size = base64_decode(bytes_from_string(end + 1), out->key, sizeof(out->key));
    if (salt_size <= 0 || key_size < KEY_SIZE_MIN)
        return -EINVAL;
    if (costs_too_much(log2_n, r, p)) {
        *why = "has scrypt costs out of range (up to 64 MiB of memory and p=16 are accepted)";
        return -EINVAL;
    }
    out->algorithm = PASSWORD_SCRYPT;
    out->scrypt_log2_n = (uint8_t)log2_n;
    out->scrypt_r = (uint8_t)r;
    out->scrypt_p = (uint8_t)p;
    out->salt_size = (uint8_t)salt_size;
    out->key_size = (uint8_t)key_size;
    return 0;
}

/* RabbitMQ's base64 of salt and digest; the algorithm is told by its prefix or its length. */
static int parse_rabbit(const char *text, struct password_hash *out, const char **why)
{
    uint8_t both[RABBIT_SALT_SIZE + SHA512_SIZE];
    enum password_algorithm algorithm = PASSWORD_SCRYPT;
    ssize_t size;

    for (int i = PASSWORD_RABBIT_SHA256; i <= PASSWORD_RABBIT_SHA512; i++) {
        size_t prefix_size = strlen(RABBIT_PREFIXES[i]);

        if (strncmp(text, RABBIT_PREFIXES[i], prefix_size) != 0)
            continue;
        algorithm = (enum password_algorithm)i;
        text += prefix_size;
        break;
    }
    size = base64_decode(bytes_from_string(text), both, sizeof(both));
    if (size == RABBIT_SALT_SIZE + SHA256_SIZE && algorithm != PASSWORD_RABBIT_SHA512) {
        out->algorithm = PASSWORD_RABBIT_SHA256;
    } else if (size == RABBIT_SALT_SIZE + SHA512_SIZE && algorithm != PASSWORD_RABBIT_SHA256) {
        out->algorithm = PASSWORD_RABBIT_SHA512;
    } else {
        *why = "is neither a hash of leveretd --hash-password nor one of RabbitMQ "
               "(SHA-256 or SHA-512)";
        return -EINVAL;
    }
    out->salt_size = RABBIT_SALT_SIZE;
    out->key_size = (uint8_t)(size - RABBIT_SALT_SIZE);
    memcpy(out->salt, both, RABBIT_SALT_SIZE);
    memcpy(out->key, both + RABBIT_SALT_SIZE, out->key_size);
    return 0;
}

int password_hash_parse(const char *text, struct password_hash *out, const char **why)
{
    *out = (struct password_hash){.salt_size = 0};
    if (strncmp(text, SCRYPT_PREFIX, strlen(SCRYPT_PREFIX)) == 0)
        return parse_scrypt(text + strlen(SCRYPT_PREFIX), out, why);
    return parse_rabbit(text, out, why);
}

bool password_verify(const struct password_hash *hash, struct bytes password)
{
    uint8_t key[PASSWORD_KEY_MAX];
    bool equal;

    if (!acceptable(password))
        return false;
    if (derive(hash, password, key) < 0) {
        log_error("auth", "a password cannot be checked: out of memory for its hash");
        return false;
    }
    equal = CRYPTO_memcmp(key, hash->key, hash->key_size) == 0;
    OPENSSL_cleanse(key, sizeof(key));
    return equal;
}

void password_verify_nothing(struct bytes password)
{
    static const struct password_hash NOBODY = {
        .algorithm = PASSWORD_SCRYPT,
        .scrypt_log2_n = DEFAULT_LOG2_N,
        .scrypt_r = DEFAULT_R,
        .scrypt_p = DEFAULT_P,
        .salt_size = DEFAULT_SALT_SIZE,
        .key_size = DEFAULT_KEY_SIZE,
    };

    (void)password_verify(&NOBODY, password);
}

bool password_hash_equal(const struct password_hash *a, const struct password_hash *b)
{
    return a->algorithm == b->algorithm && a->scrypt_log2_n == b->scrypt_log2_n &&
           a->scrypt_r == b->scrypt_r && a->scrypt_p == b->scrypt_p &&
           bytes_equal(bytes_of(a->salt, a->salt_size), bytes_of(b->salt, b->salt_size)) &&
           bytes_equal(bytes_of(a->key, a->key_size), bytes_of(b->key, b->key_size));
}
