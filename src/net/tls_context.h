/* Inside net: what a TLS stream needs of its context. */
#ifndef LEVERET_NET_TLS_CONTEXT_H
#define LEVERET_NET_TLS_CONTEXT_H

#include "base/pattern.h"
#include "net/tls.h"

#include <openssl/ssl.h>

/* A new connection's state, or NULL without memory. */
SSL *tls_context_new_ssl(struct tls_context *c);

/* Whether peers may come back with tickets. With TLS 1.3 they are for the stream to give, once the
 * peer has logged in: they cost about an eighth of a handshake, and strangers have no use for them.
 */
bool tls_context_gives_tickets(const struct tls_context *c);

/* How a peer's certificate names a user. */
struct tls_user_rule {
    enum tls_name from;
    uint32_t san_index;      /* of the alternative names of that type */
    struct pattern *pattern; /* or NULL */
};

/* Lives as long as the context. */
const struct tls_user_rule *tls_context_user_rule(const struct tls_context *c);

/* Why a connection is refused: the first reason stays. */
struct tls_complaint {
    char *text; /* heap; NULL: none */
};

/* Says it in the complaint that is the SSL's app data (set by its stream). */
void tls_complain(SSL *ssl, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
