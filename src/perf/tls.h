/* TLS of a client's connection (OpenSSL), non-blocking, in the words of send(2) and recv(2). */
#ifndef LEVERET_PERF_TLS_H
#define LEVERET_PERF_TLS_H

#include "perf/options.h"

#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/types.h>

/* What all connections have in common: whom they trust, the certificate they show. NULL, with a
 * line in `error`, when a file cannot be read. The caller frees it with SSL_CTX_free(). */
SSL_CTX *perf_tls_context(const struct perf_options *o, char *error, size_t error_size);

/* A connection on a connected or connecting socket to the host of that name; the handshake runs
 * when it is written to and read from. NULL without memory. SSL_free() leaves the socket open. */
SSL *perf_tls_connect(SSL_CTX *context, int fd, const char *host);

/* Returns the bytes read, all that have come up to `size`; 0 at the end; or -1 with errno: EAGAIN
 * (wait for input), or EPROTO and the reason in `error`. */
ssize_t perf_tls_read(SSL *ssl, void *out, size_t size, char *error, size_t error_size);

/* Returns the bytes taken, or -1 with errno: EAGAIN (wait for output, or for input while
 * perf_tls_wants_input()), or EPROTO and the reason in `error`. After EAGAIN the same bytes come
 * again, and others behind them perhaps. */
ssize_t perf_tls_write(SSL *ssl, const void *data, size_t size, char *error, size_t error_size);

/* Whether what could not go on waits for the peer. */
bool perf_tls_wants_input(SSL *ssl);

#endif
