#include "net/tls_expiry.h"

#include "base/bytes.h"
#include "base/memory.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct validity {
    const ASN1_TIME *begin;
    const ASN1_TIME *end;
};

static void add(struct tls_expiries *x, enum tls_expiry_kind kind, const char *path,
                const X509_NAME *name, struct validity validity, bool is_needed)
{
    char text[256] = "";
    struct tm begin;
    struct tm end;

    if (ASN1_TIME_to_tm(validity.begin, &begin) != 1 || ASN1_TIME_to_tm(validity.end, &end) != 1)
        return;
    X509_NAME_oneline(name, text, sizeof(text));
    x->items = memory_resize(x->items, x->count + 1, sizeof(*x->items));
    x->items[x->count++] = (struct tls_expiry){
        .kind = kind,
        .path = bytes_to_string(bytes_from_string(path)),
        .name = bytes_to_string(bytes_from_string(text)),
        .begin = timegm(&begin),
        .when = timegm(&end),
        .is_needed = is_needed,
    };
}

static void add_certificate(struct tls_expiries *x, enum tls_expiry_kind kind, const char *path,
                            const X509 *certificate)
{
    const struct validity validity = {X509_get0_notBefore(certificate),
                                      X509_get0_notAfter(certificate)};

    add(x, kind, path, X509_get_subject_name(certificate), validity, true);
}

void tls_expiries_add_chain(struct tls_expiries *x, SSL_CTX *ssl, const char *path)
{
    STACK_OF(X509) *chain = NULL;

    add_certificate(x, TLS_EXPIRY_CERTIFICATE, path, SSL_CTX_get0_certificate(ssl));
    SSL_CTX_get0_chain_certs(ssl, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++)
        add_certificate(x, TLS_EXPIRY_INTERMEDIATE, path, sk_X509_value(chain, i));
}

/* ---- Revocation lists ---- */

static const ASN1_OCTET_STRING *extension_of(const X509_CRL *list, int nid)
{
    X509_EXTENSION *e = X509_CRL_get_ext(list, X509_CRL_get_ext_by_NID(list, nid, -1));

    return e != NULL ? X509_EXTENSION_get_data(e) : NULL;
}

static bool same_extension(const X509_CRL *a, const X509_CRL *b, int nid)
{
    const ASN1_OCTET_STRING *x = extension_of(a, nid);
    const ASN1_OCTET_STRING *y = extension_of(b, nid);

    return x == NULL || y == NULL ? x == y : ASN1_OCTET_STRING_cmp(x, y) == 0;
}

/* Whether OpenSSL takes `b` in the place of `a` when that is out of date: both are of one issuer
 * and key, and about the same certificates. */
static bool replaces(const X509_CRL *b, const X509_CRL *a)
{
    const ASN1_TIME *end = X509_CRL_get0_nextUpdate(b);

    return X509_NAME_cmp(X509_CRL_get_issuer(a), X509_CRL_get_issuer(b)) == 0 &&
           same_extension(a, b, NID_authority_key_identifier) &&
           same_extension(a, b, NID_issuing_distribution_point) &&
           (end == NULL || ASN1_TIME_compare(X509_CRL_get0_nextUpdate(a), end) < 0);
}

static void add_list(struct tls_expiries *x, const char *path, const X509_CRL *list, bool is_needed,
                     const STACK_OF(X509_OBJECT) * all)
{
    const struct validity validity = {X509_CRL_get0_lastUpdate(list),
                                      X509_CRL_get0_nextUpdate(list)};

    if (validity.end == NULL)
        return;
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
        const X509_CRL *other = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(all, i));

        if (other != NULL && other != list && replaces(other, list))
            return;
    }
    add(x, TLS_EXPIRY_LIST, path, X509_CRL_get_issuer(list), validity, is_needed);
}

void tls_expiries_add_verification(struct tls_expiries *x, SSL_CTX *ssl, const char *ca,
                                   const char *crl, bool lists_are_needed)
{
    const STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ssl));

    for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
        const X509_OBJECT *o = sk_X509_OBJECT_value(all, i);
        const X509 *authority = X509_OBJECT_get0_X509(o);
        const X509_CRL *list = X509_OBJECT_get0_X509_CRL(o);

        if (authority != NULL)
            add_certificate(x, TLS_EXPIRY_AUTHORITY, ca, authority);
        if (list != NULL && crl != NULL)
            add_list(x, crl, list, lists_are_needed, all);
    }
}

void tls_expiries_release(struct tls_expiries *x)
{
    for (size_t i = 0; i < x->count; i++) {
        free(x->items[i].path);
        free(x->items[i].name);
    }
    free(x->items);
    *x = (struct tls_expiries){.items = NULL};
}
