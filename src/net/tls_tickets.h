/* Keys of session tickets (RFC 5077, RFC 8446 §4.6.1): made at random, replaced after a while, and
 * good for decryption as long again. Reference counted. Any thread. */
#ifndef LEVERET_NET_TLS_TICKETS_H
#define LEVERET_NET_TLS_TICKETS_H

#include <openssl/ssl.h>
#include <stdint.h>

struct tls_tickets;

/* Keys that are replaced every `rotation_s` seconds. */
struct tls_tickets *tls_tickets_create(uint32_t rotation_s);
struct tls_tickets *tls_tickets_ref(struct tls_tickets *t);
void tls_tickets_unref(struct tls_tickets *t); /* NULL is fine */

/* From now on they are replaced every `rotation_s` seconds. */
void tls_tickets_set_rotation(struct tls_tickets *t, uint32_t rotation_s);

/* Does what OpenSSL asks of SSL_CTX_set_tlsext_ticket_key_evp_cb(3)'s callback, at the time `now_s`
 * (any clock that only goes forward, always the same one). */
int tls_tickets_use(struct tls_tickets *t, int64_t now_s, unsigned char *name, unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt);

#endif
