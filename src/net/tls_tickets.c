#include "net/tls_tickets.h"

#include "base/memory.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_SIZE = 16, /* as OpenSSL has it */
    KEY_SIZE = 32,
};

enum {
    FOUND_NOTHING = 0,
    FOUND_KEY = 1,
    FOUND_OLD_KEY = 2, /* OpenSSL sends a new ticket */
};

struct ticket_key {
    uint8_t name[NAME_SIZE];
    uint8_t cipher_key[KEY_SIZE];
    uint8_t mac_key[KEY_SIZE];
    int64_t made_s;
    bool usable;
};

struct tls_tickets {
    atomic_uint references;
    pthread_mutex_t lock;
    uint32_t rotation_s;
    struct ticket_key current;
    struct ticket_key former;
};

struct tls_tickets *tls_tickets_create(uint32_t rotation_s)
{
    struct tls_tickets *t = memory_alloc_zeroed(1, sizeof(*t));

    atomic_init(&t->references, 1);
    pthread_mutex_init(&t->lock, NULL);
    t->rotation_s = rotation_s;
    return t;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *t)
{
    atomic_fetch_add(&t->references, 1);
    return t;
}

void tls_tickets_unref(struct tls_tickets *t)
{
    if (t == NULL || atomic_fetch_sub(&t->references, 1) != 1)
        return;
    pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(&t->current, sizeof(t->current));
    OPENSSL_cleanse(&t->former, sizeof(t->former));
    free(t);
}

void tls_tickets_set_rotation(struct tls_tickets *t, uint32_t rotation_s)
{
    pthread_mutex_lock(&t->lock);
    t->rotation_s = rotation_s;
    pthread_mutex_unlock(&t->lock);
}

static bool make_key(struct ticket_key *key, int64_t now_s)
{
    key->made_s = now_s;
    key->usable = RAND_bytes(key->name, NAME_SIZE) == 1 &&
                  RAND_priv_bytes(key->cipher_key, KEY_SIZE) == 1 &&
                  RAND_priv_bytes(key->mac_key, KEY_SIZE) == 1;
    return key->usable;
}

/* Replaces what is too old. Under the lock. */
static bool rotate(struct tls_tickets *t, int64_t now_s)
{
    if (t->former.usable && now_s - t->former.made_s >= 2 * (int64_t)t->rotation_s)
        t->former.usable = false;
    if (t->current.usable && now_s - t->current.made_s < t->rotation_s)
        return true;
    if (t->current.usable && now_s - t->current.made_s < 2 * (int64_t)t->rotation_s)
        t->former = t->current;
    return make_key(&t->current, now_s);
}

static int set_up(const struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int encrypt)
{
    char digest[] = "SHA256";
    uint8_t mac_key[KEY_SIZE];
    OSSL_PARAM params[3];
    bool good;

    memcpy(mac_key, key->mac_key, KEY_SIZE);
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, KEY_SIZE);
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    params[2] = OSSL_PARAM_construct_end();
    good = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher_key, iv, encrypt) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(mac_key, sizeof(mac_key));
    return good ? FOUND_KEY : -1;
}

static int use(struct tls_tickets *t, unsigned char *name, unsigned char *iv,
               EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    bool former;
    int rc;

    if (encrypt != 0) {
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
        memcpy(name, t->current.name, NAME_SIZE);
        return set_up(&t->current, iv, cipher, mac, 1);
    }
    former = t->former.usable && memcmp(name, t->former.name, NAME_SIZE) == 0;
    if (!former && memcmp(name, t->current.name, NAME_SIZE) != 0)
        return FOUND_NOTHING;
    rc = set_up(former ? &t->former : &t->current, iv, cipher, mac, 0);
    return rc == FOUND_KEY && former ? FOUND_OLD_KEY : rc;
}

int tls_tickets_use(struct tls_tickets *t, int64_t now_s, unsigned char *name, unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    int rc = -1;

    pthread_mutex_lock(&t->lock);
    if (rotate(t, now_s))
        rc = use(t, name, iv, cipher, mac, encrypt);
    pthread_mutex_unlock(&t->lock);
    return rc;
}
