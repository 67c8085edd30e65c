/* leveretctl tls generate: a certificate authority for development, and a server's and a client's
 * certificate signed by it. */
#ifndef LEVERET_LEVERETCTL_TLS_GENERATE_H
#define LEVERET_LEVERETCTL_TLS_GENERATE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    TLS_GENERATE_DAYS = 365, /* by default */
};

struct tls_generate_options {
    const char *directory;
    const char *user;         /* common name of the client's certificate */
    const char *const *hosts; /* names and addresses of the server besides this machine's own */
    size_t host_count;
    const char *crl_url; /* named in both as the place of their revocation list; NULL: none is */
    unsigned days;       /* for which the server's and the client's certificate are valid, > 0 */
};

/* Makes the directory when it is missing, and in it ca_certificate.pem, ca_key.pem,
 * server_certificate.pem, server_key.pem, client_certificate.pem and client_key.pem. A CA that is
 * there already is used again (`*new_ca` says which), and the other files are replaced: so the
 * command also renews. Returns 0, or -1 with the reason in `error`. */
int tls_generate(const struct tls_generate_options *o, bool *new_ca, char *error,
                 size_t error_size);

#endif
