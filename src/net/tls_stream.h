/* Inside net: OpenSSL's side of a stream. */
#ifndef LEVERET_NET_TLS_STREAM_H
#define LEVERET_NET_TLS_STREAM_H

#include "net/tls_context.h"

#include <openssl/ssl.h>

/* Of an established TLS stream; NULL for any other. */
SSL *stream_tls_ssl(const struct stream *s);

/* The context that a TLS stream was made with. */
const struct tls_context *stream_tls_context(const struct stream *s);

#endif
