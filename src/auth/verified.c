#include "auth/verified.h"

#include "base/random.h"
#include "base/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>

enum verified_state {
    VERIFIED_NONE,
    VERIFIED_BEING_WRITTEN,
    VERIFIED_READY,
};

static uint8_t *process_key; /* VERIFIED_TAG_SIZE bytes */
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void draw_process_key(void)
{
    process_key = secret_alloc(VERIFIED_TAG_SIZE);
    random_bytes(process_key, VERIFIED_TAG_SIZE);
}

/* A digest of the hash and the password. Returns false when memory is short or the password is too
 * long. */
static bool make_tag(const struct password_hash *hash, struct bytes password,
                     uint8_t tag[VERIFIED_TAG_SIZE])
{
    uint8_t input[PASSWORD_KEY_MAX + PASSWORD_SIZE_MAX];
    bool good;

    if (password.size == 0 || password.size > PASSWORD_SIZE_MAX)
        return false;
    pthread_once(&process_key_once, draw_process_key);
    memcpy(input, hash->key, PASSWORD_KEY_MAX);
    memcpy(input + PASSWORD_KEY_MAX, password.data, password.size);
    good = HMAC(EVP_sha256(), process_key, VERIFIED_TAG_SIZE, input,
                PASSWORD_KEY_MAX + password.size, tag, NULL) != NULL;
    OPENSSL_cleanse(input, PASSWORD_KEY_MAX + password.size);
    return good;
}

static bool is_ready(const struct verified *v)
{
    return atomic_load_explicit(&v->state, memory_order_acquire) == VERIFIED_READY;
}

static void write_tag(struct verified *v, const uint8_t tag[VERIFIED_TAG_SIZE])
{
    int expected = VERIFIED_NONE;

    if (!atomic_compare_exchange_strong(&v->state, &expected, VERIFIED_BEING_WRITTEN))
        return;
    memcpy(v->tag, tag, VERIFIED_TAG_SIZE);
    atomic_store_explicit(&v->state, VERIFIED_READY, memory_order_release);
}

void verified_init(struct verified *v)
{
    atomic_init(&v->state, VERIFIED_NONE);
}

void verified_copy(struct verified *v, const struct verified *from)
{
    verified_init(v);
    if (is_ready(from))
        write_tag(v, from->tag);
}

bool verified_knows(const struct verified *v, const struct password_hash *hash,
                    struct bytes password)
{
    uint8_t tag[VERIFIED_TAG_SIZE];
    bool knows;

    if (!is_ready(v) || !make_tag(hash, password, tag))
        return false;
    knows = CRYPTO_memcmp(v->tag, tag, sizeof(tag)) == 0;
    OPENSSL_cleanse(tag, sizeof(tag));
    return knows;
}

void verified_remember(struct verified *v, const struct password_hash *hash, struct bytes password)
{
    uint8_t tag[VERIFIED_TAG_SIZE];

    if (!make_tag(hash, password, tag))
        return;
    write_tag(v, tag);
    OPENSSL_cleanse(tag, sizeof(tag));
}

void verified_wipe(struct verified *v)
{
    OPENSSL_cleanse(v, sizeof(*v));
}
