#include "tests/wire/tls_client.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/wire/broker_process.h"

static const char PROTOCOL_HEADER[] = "AMQP\0\0\x09\x01";

enum {
    HEADER_SIZE = 8,
    READ_SIZE = 16 * 1024,
    FRAME_HEADER_SIZE = 7,
};

struct tls_client {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
    BIO *in;  /* what the server sent */
    BIO *out; /* what waits to be sent */
    size_t segment_size;
};

static SSL_CTX *make_context(const struct tls_terms *t)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    ck_assert_ptr_nonnull(ctx);
    SSL_CTX_set_min_proto_version(ctx, t->min_version);
    SSL_CTX_set_max_proto_version(ctx, t->max_version);
    if (t->ciphers != NULL)
        ck_assert_int_eq(SSL_CTX_set_cipher_list(ctx, t->ciphers), 1);
    if (t->curves != NULL)
        ck_assert_int_eq(SSL_CTX_set1_groups_list(ctx, t->curves), 1);
    if (t->ca != NULL) {
        ck_assert_int_eq(SSL_CTX_load_verify_file(ctx, t->ca), 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    if (t->certificate != NULL) {
        ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(ctx, t->certificate), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM), 1);
    }
    return ctx;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        ck_abort_msg("cannot connect to %s: %s", path, strerror(errno));
    return fd;
}

static int connect_socket(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        ck_abort_msg("cannot connect to port %u: %s", port, strerror(errno));
    return fd;
}

static int connect_ipv6(uint16_t port)
{
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        ck_abort_msg("cannot connect to [::1]:%u: %s", port, strerror(errno));
    return fd;
}

static int connect_as_told(const struct tls_terms *t)
{
    if (t->unix_path != NULL)
        return connect_unix(t->unix_path);
    return t->ipv6 ? connect_ipv6(t->port) : connect_socket(t->port);
}

struct tls_client *tls_client_new(const struct tls_terms *t)
{
    struct tls_client *c = calloc(1, sizeof(*c));

    c->fd = connect_as_told(t);
    c->context = make_context(t);
    c->ssl = SSL_new(c->context);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(c->in, -1);
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_connect_state(c->ssl);
    c->segment_size = t->segment_size;
    if (t->host != NULL)
        SSL_set_tlsext_host_name(c->ssl, t->host);
    if (t->alpn != NULL) {
        unsigned char list[64];
        size_t size = strlen(t->alpn);

        list[0] = (unsigned char)size;
        memcpy(list + 1, t->alpn, size);
        SSL_set_alpn_protos(c->ssl, list, (unsigned)size + 1);
    }
    if (t->session != NULL)
        SSL_set_session(c->ssl, t->session);
    return c;
}

void tls_client_free(struct tls_client *c)
{
    if (c == NULL)
        return;
    /* What ended without close_notify would not come back. */
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    close(c->fd);
    free(c);
}

SSL *tls_client_ssl(struct tls_client *c)
{
    return c->ssl;
}

int tls_client_fd(const struct tls_client *c)
{
    return c->fd;
}

size_t tls_client_take_output(struct tls_client *c, uint8_t *out, size_t size)
{
    int n;

    SSL_do_handshake(c->ssl);
    ERR_clear_error();
    n = BIO_read(c->out, out, (int)size);
    return n > 0 ? (size_t)n : 0;
}

/* Sends what waits. The server may have closed: its reason is still to be read. */
static void push(struct tls_client *c)
{
    uint8_t data[READ_SIZE];
    int n;

    while ((n = BIO_read(c->out, data, sizeof(data))) > 0) {
        size_t step = c->segment_size != 0 ? c->segment_size : (size_t)n;

        for (size_t at = 0; at < (size_t)n; at += step) {
            size_t left = (size_t)n - at;

            if (send(c->fd, data + at, left < step ? left : step, MSG_NOSIGNAL) < 0)
                return;
        }
    }
}

/* Receives something. Returns false at the end. */
static bool pull(struct tls_client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    uint8_t data[READ_SIZE];
    ssize_t n;

    if (poll(&p, 1, deadline_ms()) != 1)
        ck_abort_msg("nothing comes from the TLS listener");
    n = recv(c->fd, data, sizeof(data), 0);
    if (n <= 0)
        return false;
    BIO_write(c->in, data, (int)n);
    return true;
}

static void note_reason(char *error, size_t size)
{
    unsigned long code = ERR_peek_error();
    const char *text = ERR_reason_error_string(code);

    snprintf(error, size, "%s", text != NULL ? text : "the connection ended");
    ERR_clear_error();
}

bool tls_client_shake_hands(struct tls_client *c, char *error, size_t error_size)
{
    for (;;) {
        int rc = SSL_do_handshake(c->ssl);
        bool wants = rc != 1 && SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_READ;

        push(c);
        if (rc == 1)
            return true;
        if (!wants || !pull(c)) {
            note_reason(error, error_size);
            return false;
        }
    }
}

void tls_client_hold_last_flight(struct tls_client *c)
{
    while (SSL_do_handshake(c->ssl) != 1) {
        push(c);
        ck_assert(pull(c));
    }
}

void tls_client_send(struct tls_client *c, const void *data, size_t size)
{
    if (size != 0)
        ck_assert_int_eq(SSL_write(c->ssl, data, (int)size), (int)size);
    push(c);
}

ssize_t tls_client_read(struct tls_client *c, void *out, size_t size)
{
    for (;;) {
        int n = SSL_read(c->ssl, out, (int)size);
        int why;

        if (n > 0)
            return n;
        why = SSL_get_error(c->ssl, n);
        push(c);
        if (why == SSL_ERROR_ZERO_RETURN)
            return 0;
        if (why != SSL_ERROR_WANT_READ || !pull(c)) {
            ERR_clear_error();
            return -1;
        }
    }
}

bool tls_client_talks(struct tls_client *c)
{
    uint8_t frame[READ_SIZE];

    tls_client_send(c, PROTOCOL_HEADER, HEADER_SIZE);
    /* A method frame on channel 0. */
    return tls_client_read(c, frame, sizeof(frame)) > 0 && frame[0] == 1 && frame[1] == 0;
}

bool tls_client_logs_in(struct tls_client *c)
{
    /* connection.start-ok without properties, PLAIN as guest; connection.tune. */
    static const char START_OK[] =
        "\1\0\0\0\0\0\x24\0\x0a\0\x0b\0\0\0\0\5PLAIN\0\0\0\x0c\0guest\0guest"
        "\5en_US\xce";
    static const uint8_t TUNE[] = {0, 10, 0, 30};
    uint8_t frame[READ_SIZE];

    tls_client_send(c, START_OK, sizeof(START_OK) - 1);
    return tls_client_read(c, frame, sizeof(frame)) > FRAME_HEADER_SIZE + (ssize_t)sizeof(TUNE) &&
           memcmp(frame + FRAME_HEADER_SIZE, TUNE, sizeof(TUNE)) == 0;
}

struct tls_client *tls_connect(const struct tls_terms *terms)
{
    struct tls_client *c = tls_client_new(terms);
    char error[256] = "";

    if (!tls_client_shake_hands(c, error, sizeof(error)))
        ck_abort_msg("the TLS handshake failed: %s", error);
    if (!tls_client_talks(c))
        ck_abort_msg("no connection.start came");
    return c;
}

bool tls_lets_in(const struct tls_terms *terms)
{
    struct tls_client *c = tls_client_new(terms);
    char error[256];
    bool in = tls_client_shake_hands(c, error, sizeof(error)) && tls_client_talks(c);

    tls_client_free(c);
    return in;
}

void tls_client_server_name(struct tls_client *c, char *out, size_t size)
{
    X509 *x = SSL_get0_peer_certificate(c->ssl);

    ck_assert_ptr_nonnull(x);
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, out, (int)size);
}
