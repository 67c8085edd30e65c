#include "perf/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum {
    READ_BUFFER_SIZE = 64 * 1024,
};

static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());

    return text != NULL ? text : "unknown error";
}

static SSL_CTX *refuse(SSL_CTX *context, const char *file, char *error, size_t error_size)
{
    snprintf(error, error_size, "%s: %s", file, reason());
    ERR_clear_error();
    SSL_CTX_free(context);
    return NULL;
}

SSL_CTX *perf_tls_context(const struct perf_options *o, char *error, size_t error_size)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL)
        return refuse(NULL, "TLS", error, error_size);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_BUFFER_SIZE);
    SSL_CTX_set_verify(context, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (o->ca != NULL && SSL_CTX_load_verify_file(context, o->ca) != 1)
        return refuse(context, o->ca, error, error_size);
    if (o->ca == NULL && SSL_CTX_set_default_verify_paths(context) != 1)
        return refuse(context, "TLS", error, error_size);
    if (o->cert != NULL && SSL_CTX_use_certificate_chain_file(context, o->cert) != 1)
        return refuse(context, o->cert, error, error_size);
    if (o->key != NULL && SSL_CTX_use_PrivateKey_file(context, o->key, SSL_FILETYPE_PEM) != 1)
        return refuse(context, o->key, error, error_size);
    return context;
}

SSL *perf_tls_connect(SSL_CTX *context, int fd, const char *host)
{
    SSL *ssl = SSL_new(context);
    unsigned char address[16];
    bool is_address =
        inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    bool good = ssl != NULL && SSL_set_fd(ssl, fd) == 1;

    if (good && is_address)
        good = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    else if (good)
        good = SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
    if (!good) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

/* Why the last operation did not go on: sets errno and returns -1, or 0 at the end. */
static ssize_t explain(SSL *ssl, char *error, size_t error_size)
{
    long verified;

    switch (SSL_get_error(ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        snprintf(error, error_size, "TLS: %s", errno != 0 ? strerror(errno) : "the end");
        break;
    default:
        verified = SSL_get_verify_result(ssl);
        snprintf(error, error_size, "TLS: %s%s%s", reason(), verified != X509_V_OK ? ": " : "",
                 verified != X509_V_OK ? X509_verify_cert_error_string(verified) : "");
    }
    ERR_clear_error();
    errno = EPROTO;
    return -1;
}

ssize_t perf_tls_read(SSL *ssl, void *out, size_t size, char *error, size_t error_size)
{
    size_t total = 0;
    size_t got;

    ERR_clear_error();
    errno = 0;
    while (total < size && SSL_read_ex(ssl, (char *)out + total, size - total, &got) == 1)
        total += got;
    return total != 0 ? (ssize_t)total : explain(ssl, error, error_size);
}

ssize_t perf_tls_write(SSL *ssl, const void *data, size_t size, char *error, size_t error_size)
{
    size_t written;

    ERR_clear_error();
    errno = 0;
    if (SSL_write_ex(ssl, data, size, &written) == 1)
        return (ssize_t)written;
    return explain(ssl, error, error_size);
}

bool perf_tls_wants_input(SSL *ssl)
{
    return SSL_want_read(ssl);
}
