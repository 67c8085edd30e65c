/* Who the peer is, according to its certificate. */
#include "net/tls.h"

#include "net/tls_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>

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

static int copy_address(const ASN1_OCTET_STRING *address, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN];
    int n = ASN1_STRING_length(address);
    int family = n == (int)sizeof(struct in_addr)    ? AF_INET
                 : n == (int)sizeof(struct in6_addr) ? AF_INET6
                                                     : AF_UNSPEC;

    if (family == AF_UNSPEC ||
        inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof(text)) == NULL)
        return -EINVAL;
    return copy_name(text, strlen(text), out, size);
}

/* RFC 5280, otherName: a value of any type, which must be text. Of the types of text the two that
 * all read alike. */
static int copy_other_name(const OTHERNAME *other, char *out, size_t size)
{
    const ASN1_TYPE *value = other->value;
    unsigned char *utf8;
    int rc;
    int n;

    if (value->type != V_ASN1_UTF8STRING && value->type != V_ASN1_PRINTABLESTRING)
        return -EINVAL;
    n = ASN1_STRING_to_UTF8(&utf8, value->value.asn1_string);
    if (n < 0)
        return -EINVAL;
    rc = copy_name(utf8, (size_t)n, out, size);
    OPENSSL_free(utf8);
    return rc;
}

static int copy_alternative_name(const GENERAL_NAME *name, char *out, size_t size)
{
    if (name->type == GEN_IPADD)
        return copy_address(name->d.iPAddress, out, size);
    if (name->type == GEN_OTHERNAME)
        return copy_other_name(name->d.otherName, out, size);
    return copy_name(ASN1_STRING_get0_data(name->d.ia5), (size_t)ASN1_STRING_length(name->d.ia5),
                     out, size);
}

/* The one behind `skip` others of that type. */
static const GENERAL_NAME *find_alternative_name(const GENERAL_NAMES *names, int type,
                                                 uint32_t skip)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == type && skip-- == 0)
            return name;
    }
    return NULL;
}

static int alternative_name(const X509 *x, int type, uint32_t index, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    const GENERAL_NAME *name = find_alternative_name(names, type, index);
    int rc = name != NULL ? copy_alternative_name(name, out, size) : -ENOENT;

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

static int name_of(const X509 *x, const struct tls_user_rule *rule, char *out, size_t size)
{
    switch (rule->from) {
    case TLS_NAME_COMMON:
        return common_name(x, out, size);
    case TLS_NAME_SAN_DNS:
        return alternative_name(x, GEN_DNS, rule->san_index, out, size);
    case TLS_NAME_SAN_EMAIL:
        return alternative_name(x, GEN_EMAIL, rule->san_index, out, size);
    case TLS_NAME_SAN_URI:
        return alternative_name(x, GEN_URI, rule->san_index, out, size);
    case TLS_NAME_SAN_IP:
        return alternative_name(x, GEN_IPADD, rule->san_index, out, size);
    case TLS_NAME_SAN_OTHER:
        return alternative_name(x, GEN_OTHERNAME, rule->san_index, out, size);
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
    const struct tls_user_rule *rule;
    char name[NAME_SIZE_MAX];
    struct bytes user;
    int rc;

    if (x == NULL)
        return -ENOENT;
    rule = tls_context_user_rule(stream_tls_context(s));
    rc = name_of(x, rule, name, sizeof(name));
    if (rc < 0)
        return rc;
    user = bytes_from_string(name);
    if (rule->pattern != NULL && (!pattern_extract(rule->pattern, user, &user) || user.size == 0))
        return -ENOMSG;
    return copy_name(user.data, user.size, out, size);
}
