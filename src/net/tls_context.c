#include "net/tls_context.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/secret.h"
#include "net/tls_expiry.h"
#include "net/tls_tickets.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PASSPHRASE_SIZE_MAX = 1024,
};

/* RFC 7301; the name is registered with IANA. */
static const unsigned char ALPN_PROTOCOLS[] = "\x04"
                                              "amqp";
/* Sessions are of a listener's kind, whatever its certificate. */
static const unsigned char SESSION_CONTEXT[] = "leveret";

struct tls_context {
    atomic_uint references;
    struct tls_tickets *tickets; /* NULL: none are given */
    bool crl_may_lack;           /* revocation lists: one that is missing or old refuses nobody */
    struct tls_user_rule user_rule;
    struct tls_expiries expiries;
    size_t count;
    SSL_CTX *shown[]; /* one for each certificate with its key */
};

static int fail(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(char *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, TLS_ERROR_SIZE, format, args);
    va_end(args);
    ERR_clear_error();
    return -1;
}

/* OpenSSL's reason, of the error that came first: those behind it say where it led to. */
static const char *reason(void)
{
    unsigned long code = ERR_peek_error();
    const char *text;

    if (code == 0)
        return "unknown error";
    if (ERR_SYSTEM_ERROR(code))
        return strerror(ERR_GET_REASON(code));
    text = ERR_reason_error_string(code);
    return text != NULL ? text : "unknown error";
}

void tls_complain(SSL *ssl, const char *format, ...)
{
    struct tls_complaint *complaint = SSL_get_app_data(ssl);
    va_list args;

    if (complaint->text != NULL)
        return;
    complaint->text = memory_alloc(TLS_ERROR_SIZE);
    va_start(args, format);
    vsnprintf(complaint->text, TLS_ERROR_SIZE, format, args);
    va_end(args);
}

/* ---- Files ---- */

/* The first line of the file. What of it came into `out` stays there when that is no passphrase. */
static int read_passphrase(const char *path, char out[PASSPHRASE_SIZE_MAX + 2], char *error)
{
    FILE *f = fopen(path, "re");
    bool read;

    if (f == NULL)
        return fail(error, "%s: %s", path, strerror(errno));
    setvbuf(f, NULL, _IONBF, 0);
    read = fgets(out, PASSPHRASE_SIZE_MAX + 2, f) != NULL;
    fclose(f);
    if (read)
        out[strcspn(out, "\r\n")] = '\0';
    if (!read || out[0] == '\0' || strlen(out) > PASSPHRASE_SIZE_MAX)
        return fail(error, "%s: the first line must be a passphrase of 1 to %d bytes", path,
                    PASSPHRASE_SIZE_MAX);
    return 0;
}

/* pem_password_cb: the passphrase at `context`, or none. */
static int give_passphrase(char *out, int size, int writing, void *context)
{
    const char *passphrase = context;
    size_t length;

    (void)writing;
    if (passphrase == NULL)
        return -1;
    length = strlen(passphrase);
    if (length > (size_t)size)
        return -1;
    memcpy(out, passphrase, length);
    return (int)length;
}

/* The passphrase is NULL for a key without one. Returns NULL with the reason in `error`. */
static EVP_PKEY *read_key_with(const struct tls_identity *i, char *passphrase, char *error)
{
    FILE *f = fopen(i->key, "re");
    EVP_PKEY *key;

    if (f == NULL) {
        fail(error, "%s: %s", i->key, strerror(errno));
        return NULL;
    }
    setvbuf(f, NULL, _IONBF, 0);
    key = PEM_read_PrivateKey(f, NULL, give_passphrase, passphrase);
    fclose(f);
    if (key == NULL)
        fail(error, "%s: no key could be read%s: %s", i->key,
             passphrase != NULL ? " with the passphrase" : " (without key_passphrase_file)",
             reason());
    return key;
}

static EVP_PKEY *read_key(const struct tls_identity *i, char *error)
{
    EVP_PKEY *key = NULL;
    char *passphrase;

    if (i->passphrase_file == NULL)
        return read_key_with(i, NULL, error);
    passphrase = secret_alloc(PASSPHRASE_SIZE_MAX + 2);
    if (read_passphrase(i->passphrase_file, passphrase, error) == 0)
        key = read_key_with(i, passphrase, error);
    secret_free(passphrase, PASSPHRASE_SIZE_MAX + 2);
    return key;
}

static int load_key(SSL_CTX *ssl, const struct tls_identity *i, char *error)
{
    EVP_PKEY *key = read_key(i, error);
    int rc;

    if (key == NULL)
        return -1;
    rc = SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1
             ? 0
             : fail(error, "%s: not the key of %s: %s", i->key, i->certificate, reason());
    EVP_PKEY_free(key);
    return rc;
}

/* What the file does not have of the chain comes from the authorities. OpenSSL would look for it,
 * and verify signatures, in every handshake. */
static int complete_chain(SSL_CTX *ssl, const struct tls_identity *i, char *error)
{
    STACK_OF(X509) *chain = NULL;

    SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_get0_chain_certs(ssl, &chain);
    if (sk_X509_num(chain) > 0)
        return 0;
    if (SSL_CTX_build_cert_chain(ssl, SSL_BUILD_CHAIN_FLAG_NO_ROOT |
                                          SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR |
                                          SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR) <= 0)
        return fail(error, "%s: its chain cannot be used: %s", i->certificate, reason());
    return 0;
}

static int load_identity(SSL_CTX *ssl, const struct tls_identity *i, char *error)
{
    if (SSL_CTX_use_certificate_chain_file(ssl, i->certificate) != 1)
        return fail(error, "%s: no certificate could be read: %s", i->certificate, reason());
    return load_key(ssl, i, error);
}

/* ---- Callbacks ---- */

static bool lacks_revocation_list(const X509_STORE_CTX *store)
{
    int error = X509_STORE_CTX_get_error(store);

    return error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_CRL_HAS_EXPIRED;
}

static int on_verify(int good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    char subject[256] = "";
    int error;

    if (good == 1)
        return good;
    if (c->crl_may_lack && lacks_revocation_list(store)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    if (certificate != NULL)
        X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof(subject));
    error = X509_STORE_CTX_get_error(store);
    tls_complain(ssl, "the peer's certificate is refused: %s (%s)%s",
                 X509_verify_cert_error_string(error), subject,
                 error == X509_V_ERR_CERT_CHAIN_TOO_LONG ? " (tls.depth)" : "");
    return good;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                   const unsigned char *offered, unsigned int offered_size, void *context)
{
    unsigned char *chosen;

    (void)context;
    if (SSL_select_next_proto(&chosen, out_size, ALPN_PROTOCOLS, sizeof(ALPN_PROTOCOLS) - 1,
                              offered, offered_size) != OPENSSL_NPN_NEGOTIATED) {
        tls_complain(ssl, "the peer offers other protocols than amqp (ALPN)");
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Server name indication (RFC 6066 §3): the first certificate that is for the host. */
static int on_host(SSL *ssl, int *alert, void *context)
{
    const struct tls_context *c = context;
    const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    if (host == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < c->count; i++) {
        X509 *certificate = SSL_CTX_get0_certificate(c->shown[i]);

        if (X509_check_host(certificate, host, 0, 0, NULL) != 1)
            continue;
        if (i != 0)
            SSL_set_SSL_CTX(ssl, c->shown[i]);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_OK;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    return tls_tickets_use(c->tickets, clock_monotonic_ms() / 1000, name, iv, cipher, mac, encrypt);
}

/* ---- Options ---- */

/* OpenSSL knows suites without a certificate or without encryption, which the security level mostly
 * keeps out: where that leaves them in, or leaves nothing, is told. After the versions are set. */
static int check_ciphers(SSL_CTX *context, const struct tls_options *o, char *error)
{
    SSL *ssl = SSL_new(context);
    STACK_OF(SSL_CIPHER) *usable = SSL_get1_supported_ciphers(ssl);
    bool any = o->min_version > TLS_VERSION_1_2;
    int rc = 0;

    if (ssl == NULL)
        return fail(error, "ciphers: '%.200s': %s", o->ciphers, reason());
    for (int i = 0; i < sk_SSL_CIPHER_num(usable) && rc == 0; i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(usable, i);

        if (SSL_CIPHER_get_auth_nid(cipher) == NID_auth_null ||
            SSL_CIPHER_get_cipher_nid(cipher) == NID_undef)
            rc = fail(error, "ciphers: '%.200s' has %s, which anybody in between can read",
                      o->ciphers, SSL_CIPHER_get_name(cipher));
        any = any || strcmp(SSL_CIPHER_get_version(cipher), "TLSv1.3") != 0;
    }
    if (rc == 0 && !any)
        rc = fail(error, "ciphers: '%.200s' has none that is safe for TLS 1.2", o->ciphers);
    sk_SSL_CIPHER_free(usable);
    SSL_free(ssl);
    return rc;
}

static int set_algorithms(SSL_CTX *ssl, const struct tls_options *o, char *error)
{
    if (SSL_CTX_set_min_proto_version(ssl, (int)o->min_version) != 1 ||
        SSL_CTX_set_max_proto_version(ssl, (int)o->max_version) != 1)
        return fail(error, "min_version, max_version: %s", reason());
    if (o->ciphers != NULL && SSL_CTX_set_cipher_list(ssl, o->ciphers) != 1)
        return fail(error, "ciphers: '%.200s': %s", o->ciphers, reason());
    if (o->ciphers != NULL && check_ciphers(ssl, o, error) < 0)
        return -1;
    if (o->ciphersuites != NULL && SSL_CTX_set_ciphersuites(ssl, o->ciphersuites) != 1)
        return fail(error, "ciphersuites: '%.200s': %s", o->ciphersuites, reason());
    if (o->curves != NULL && SSL_CTX_set1_groups_list(ssl, o->curves) != 1)
        return fail(error, "curves: '%.200s': %s", o->curves, reason());
    return 0;
}

static int set_revocation(SSL_CTX *ssl, const struct tls_options *o, char *error)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    unsigned long flags = X509_V_FLAG_CRL_CHECK;

    if (lookup == NULL || X509_load_crl_file(lookup, o->crl, X509_FILETYPE_PEM) <= 0)
        return fail(error, "%s: no revocation list could be read: %s", o->crl, reason());
    if (o->crl_check != TLS_CRL_CHECK_PEER)
        flags |= X509_V_FLAG_CRL_CHECK_ALL;
    X509_STORE_set_flags(store, flags);
    return 0;
}

static int set_verification(SSL_CTX *ssl, const struct tls_options *o, char *error)
{
    STACK_OF(X509_NAME) * names;
    int mode = SSL_VERIFY_NONE;

    if (o->ca != NULL) {
        if (SSL_CTX_load_verify_file(ssl, o->ca) != 1)
            return fail(error, "%s: no certificate could be read: %s", o->ca, reason());
        names = SSL_load_client_CA_file(o->ca);
        if (names == NULL)
            return fail(error, "%s: no certificate could be read: %s", o->ca, reason());
        SSL_CTX_set_client_CA_list(ssl, names);
    }
    if (o->crl != NULL && set_revocation(ssl, o, error) < 0)
        return -1;
    if (o->verify != TLS_VERIFY_NONE)
        mode = SSL_VERIFY_PEER;
    if (o->verify == TLS_VERIFY_REQUIRE)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ssl, mode, on_verify);
    SSL_CTX_set_verify_depth(ssl, (int)o->depth);
    return 0;
}

static bool gives_tickets(const struct tls_options *o)
{
    return o->session_tickets && o->verify == TLS_VERIFY_NONE;
}

static void set_sessions(SSL_CTX *ssl, const struct tls_options *o)
{
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ssl, SESSION_CONTEXT, sizeof(SESSION_CONTEXT) - 1);
    SSL_CTX_set_num_tickets(ssl, 0); /* by itself, in the handshake of TLS 1.3 */
    if (!gives_tickets(o)) {
        SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
        return;
    }
    SSL_CTX_set_timeout(ssl, (long)o->ticket_rotation_s);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
}

static int set_options(SSL_CTX *ssl, struct tls_context *c, const struct tls_options *o,
                       char *error)
{
    SSL_CTX_set_app_data(ssl, c);
    /* An end of the stream is told from a cut one by AMQP's own close. */
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (o->kernel_tls)
        SSL_CTX_set_options(ssl, SSL_OP_ENABLE_KTLS);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(ssl, on_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(ssl, on_host);
    SSL_CTX_set_tlsext_servername_arg(ssl, c);
    set_sessions(ssl, o);
    if (set_algorithms(ssl, o, error) < 0)
        return -1;
    return set_verification(ssl, o, error);
}

/* ---- Life ---- */

static int add_identity(struct tls_context *c, const struct tls_options *o,
                        const struct tls_identity *i, char *error)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());

    if (ssl == NULL)
        return fail(error, "%s: %s", i->certificate, reason());
    c->shown[c->count++] = ssl;
    if (set_options(ssl, c, o, error) < 0 || load_identity(ssl, i, error) < 0)
        return -1;
    tls_expiries_add_chain(&c->expiries, ssl, i->certificate);
    return complete_chain(ssl, i, error);
}

static int set_user(struct tls_context *c, const struct tls_options *o, char *error)
{
    char why[PATTERN_ERROR_SIZE];

    c->user_rule = (struct tls_user_rule){.from = o->user_from, .san_index = o->user_san_index};
    if (o->user_pattern == NULL)
        return 0;
    c->user_rule.pattern = pattern_compile(bytes_from_string(o->user_pattern), why);
    return c->user_rule.pattern != NULL ? 0 : fail(error, "user_pattern: %s", why);
}

int tls_context_create(struct tls_context **out, const struct tls_options *o, char *error)
{
    struct tls_context *c =
        memory_alloc_zeroed(1, sizeof(*c) + o->identity_count * sizeof(c->shown[0]));

    ERR_clear_error();
    atomic_init(&c->references, 1);
    c->crl_may_lack = o->crl_check == TLS_CRL_CHECK_BEST_EFFORT;
    if (gives_tickets(o))
        c->tickets = tls_tickets_create(o->ticket_rotation_s);
    if (set_user(c, o, error) < 0)
        goto fail;
    for (size_t i = 0; i < o->identity_count; i++) {
        if (add_identity(c, o, &o->identities[i], error) < 0)
            goto fail;
    }
    tls_expiries_add_verification(&c->expiries, c->shown[0], o->ca, o->crl, !c->crl_may_lack);
    ERR_clear_error();
    *out = c;
    return 0;

fail:
    tls_context_unref(c);
    *out = NULL;
    return -1;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    atomic_fetch_add(&c->references, 1);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (c == NULL || atomic_fetch_sub(&c->references, 1) != 1)
        return;
    for (size_t i = 0; i < c->count; i++)
        SSL_CTX_free(c->shown[i]);
    tls_expiries_release(&c->expiries);
    tls_tickets_unref(c->tickets);
    pattern_free(c->user_rule.pattern);
    free(c);
}

void tls_context_inherit(struct tls_context *c, const struct tls_context *former)
{
    if (c->tickets == NULL || former->tickets == NULL)
        return;
    tls_tickets_set_rotation(former->tickets, (uint32_t)SSL_CTX_get_timeout(c->shown[0]));
    tls_tickets_unref(c->tickets);
    c->tickets = tls_tickets_ref(former->tickets);
}

SSL *tls_context_new_ssl(struct tls_context *c)
{
    return SSL_new(c->shown[0]);
}

bool tls_context_gives_tickets(const struct tls_context *c)
{
    return c->tickets != NULL;
}

const struct tls_user_rule *tls_context_user_rule(const struct tls_context *c)
{
    return &c->user_rule;
}

size_t tls_context_expiry_count(const struct tls_context *c)
{
    return c->expiries.count;
}

const struct tls_expiry *tls_context_expiry(const struct tls_context *c, size_t i)
{
    return &c->expiries.items[i];
}
