/* SASL mechanisms: from the client's response to the name and the password it claims. Whether
 * they are right is auth_login()'s business (auth/users.h). Any thread. */
#ifndef LEVERET_AUTH_SASL_H
#define LEVERET_AUTH_SASL_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

/* Views into the response they were read from. */
struct sasl_credentials {
    struct bytes username;
    struct bytes password;
};

struct sasl_mechanism {
    const char *name;
    /* Reads the response of start-ok. Returns 0, or -EINVAL when it is malformed. */
    int (*start)(struct bytes response, struct sasl_credentials *out);
    /* It names nobody: the certificate that the client showed does (RFC 4422, appendix A). */
    bool by_certificate;
};

/* The mechanism of that name (case matters), or NULL. */
const struct sasl_mechanism *sasl_mechanism_find(struct bytes name);

/* The names of all mechanisms, the preferred one first, separated by spaces, as connection.start
 * lists them; with those by certificate for a client that showed one. A static string. */
const char *sasl_mechanism_names(bool has_certificate);

#endif
