/* Who the peer is, according to its certificate. */
#include "net/tls.h"

#include "net/tls_stream.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

enum {
    NAME_SIZE_MAX = 1024, /* longer ones name nobody */
};

/* What is written as a name must be one: no zero byte that would end it early for some. */
static int copy_name(const void *data, size_t size, char *out, size_t out_size)
{
    if (size == 0)
        return -ENOENT;
    if (memchr(data, 0, size) != NULL)
        return -EINVAL;
    if (size >= out_size)
        return -E2BIG;
    memcpy(out, data, size);
    out[size] = '\0';
    return 0;
}

static int copy_entry(const X509_NAME *subject, int at, char *out, size_t size)
{
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, at);
    unsigned char *utf8;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    int rc;

    if (n < 0)
        return -EINVAL;
    rc = copy_name(utf8, (size_t)n, out, size);
    OPENSSL_free(utf8);
    return rc;
}

/* Several are one name with commas in between, as with RabbitMQ: none of them alone says who it is,
 * for some write what the others are in first, and some last. */
static int common_name(const X509 *x, char *out, size_t size)
{
    const X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    size_t used = 0;

    if (at < 0)
        return -ENOENT;
    while (at >= 0) {
        int rc;

        if (used + 1 >= size)
            return -E2BIG;
        if (used != 0)
            out[used++] = ',';
        rc = copy_entry(subject, at, out + used, size - used);
        if (rc < 0)
            return rc;
        used += strlen(out + used);
        at = X509_NAME_get_index_by_NID(subject, NID_commonName, at);
    }
    return 0;
}

/* The first alternative name of that type. */
static int alternative_name(const X509 *x, int type, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int rc = -ENOENT;

    for (int i = 0; rc == -ENOENT && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == type)
            rc = copy_name(ASN1_STRING_get0_data(name->d.ia5),
                           (size_t)ASN1_STRING_length(name->d.ia5), out, size);
    }
    GENERAL_NAMES_free(names);
    return rc;
}

/* RFC 4514: the most special part first, "CN=app,O=Example". */
static int distinguished_name(const X509 *x, char *out, size_t size)
{
    BIO *text = BIO_new(BIO_s_mem());
    char *data;
    long n;
    int rc = -ENOMEM;

    if (text != NULL &&
        X509_NAME_print_ex(text, X509_get_subject_name(x), 0,
                           XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0) {
        n = BIO_get_mem_data(text, &data);
        rc = copy_name(data, (size_t)n, out, size);
    }
    BIO_free(text);
    return rc;
}

static int name_of(const X509 *x, enum tls_name which, char *out, size_t size)
{
    switch (which) {
    case TLS_NAME_COMMON:
        return common_name(x, out, size);
    case TLS_NAME_SAN_DNS:
        return alternative_name(x, GEN_DNS, out, size);
    case TLS_NAME_SAN_EMAIL:
        return alternative_name(x, GEN_EMAIL, out, size);
    case TLS_NAME_SAN_URI:
        return alternative_name(x, GEN_URI, out, size);
    case TLS_NAME_DISTINGUISHED:
        return distinguished_name(x, out, size);
    }
    return -ENOENT;
}

static const X509 *verified_certificate(const struct stream *s)
{
    const SSL *ssl = stream_tls_ssl(s);

    if (ssl == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
        return NULL;
    return SSL_get0_peer_certificate(ssl);
}

bool stream_tls_peer_is_verified(const struct stream *s)
{
    return verified_certificate(s) != NULL;
}

int stream_tls_peer_user(const struct stream *s, char *out, size_t size)
{
    const X509 *x = verified_certificate(s);
    const struct tls_context *context;
    const struct pattern *pattern;
    char name[NAME_SIZE_MAX];
    struct bytes user;
    int rc;

    if (x == NULL)
        return -ENOENT;
    context = stream_tls_context(s);
    pattern = tls_context_user_pattern(context);
    rc = name_of(x, tls_context_user_from(context), name, sizeof(name));
    if (rc < 0)
        return rc;
    user = bytes_from_string(name);
    if (pattern != NULL && !pattern_extract(pattern, user, &user))
        return -ENOENT;
    return copy_name(user.data, user.size, out, size);
}
