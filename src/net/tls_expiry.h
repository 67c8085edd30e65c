/* Inside net: when what a TLS context was made of stops being good. */
#ifndef LEVERET_NET_TLS_EXPIRY_H
#define LEVERET_NET_TLS_EXPIRY_H

#include "net/tls.h"

#include <openssl/ssl.h>

/* Owns its items and their strings; zeroed: none. */
struct tls_expiries {
    struct tls_expiry *items;
    size_t count;
};

/* Adds the certificate that `ssl` shows and those behind it, all of the file at `path`. */
void tls_expiries_add_chain(struct tls_expiries *x, SSL_CTX *ssl, const char *path);

/* Adds what `ssl` holds peers to: the authorities of the file `ca` and, unless `crl` is NULL, the
 * revocation lists of that file, without those that a newer one of the same file replaces. */
void tls_expiries_add_verification(struct tls_expiries *x, SSL_CTX *ssl, const char *ca,
                                   const char *crl, bool lists_are_needed);

void tls_expiries_release(struct tls_expiries *x);

#endif
