/* X.509 certificates made with libcrypto: keys on the curve P-256, signatures with SHA-256. For a
 * development CA and what it signs, and for tests that need certificates with something wrong. */
#ifndef LEVERET_LEVERETCTL_CERTIFICATE_H
#define LEVERET_LEVERETCTL_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>

enum certificate_use {
    CERTIFICATE_OF_ROOT, /* a CA of CAs */
    CERTIFICATE_OF_CA,
    CERTIFICATE_OF_SERVER,
    CERTIFICATE_OF_CLIENT,
};

/* What a certificate shall say. */
struct certificate_terms {
    enum certificate_use use;
    const char *common_name; /* at most 64 bytes */
    /* Subject alternative names as in openssl's x509v3_config(5): "DNS:localhost,IP:::1"; NULL:
     * none. */
    const char *alternative_names;
    const char *crl_url; /* where its revocation list is to be had; NULL: it does not say */
    /* Seconds from now; negative: in the past. */
    long not_before_s;
    long not_after_s;
};

/* A certificate and its private key. */
struct certificate {
    X509 *x509;
    EVP_PKEY *key;
};

/* Makes a key and a certificate for it, signed by `issuer` (NULL: by itself). Returns 0, and the
 * caller releases `out`; or -1 with libcrypto's reason in `error`. */
int certificate_issue(struct certificate *out, const struct certificate_terms *terms,
                      const struct certificate *issuer, char *error, size_t error_size);

/* Frees both; a zeroed struct is fine. */
void certificate_release(struct certificate *c);

/* Write and read PEM files. What is written replaces a file of that name in one step; a key is
 * readable by its owner alone (0600), and encrypted with AES-256 when there is a `passphrase`
 * (NULL: none). Return 0, or -1 with the file and the reason in `error`. */
int certificate_write(const struct certificate *c, const char *path, char *error,
                      size_t error_size);
int certificate_write_key(const struct certificate *c, const char *path, const char *passphrase,
                          char *error, size_t error_size);
int certificate_read(struct certificate *out, const char *certificate_path, const char *key_path,
                     char *error, size_t error_size);

#endif
