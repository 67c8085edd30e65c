/* SASL mechanisms: from the client's response to the name and the password it claims. Whether
 * they are right is the login's business (auth/login.h, auth/users.h). Any thread.
 *
 * The mechanisms are a table: name, bit in the configuration, what it needs, how it reads a
 * response. */
#ifndef LEVERET_AUTH_SASL_H
#define LEVERET_AUTH_SASL_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* Room for the names of all mechanisms, with spaces between and a zero byte. */
    SASL_NAMES_SIZE = 64,
};

/* What is known of a peer before it says anything. */
struct sasl_peer {
    /* The user that the transport vouches for, such as by a certificate; data NULL: nobody. */
    struct bytes identity;
    /* Nobody on the way can listen: the connection is encrypted or stays in this machine. */
    bool is_private;
};

enum sasl_flag {
    SASL_SENDS_PASSWORD = 1 << 0, /* as it is: who can listen has it */
    SASL_NEEDS_IDENTITY = 1 << 1, /* the transport's; there is no password */
};

/* Views into the response they were read from, or into the peer's identity. */
struct sasl_credentials {
    struct bytes username;
    struct bytes password; /* data NULL: none is needed, the transport vouches for the user */
};

struct sasl_mechanism {
    const char *name;
    uint32_t bit;   /* of enum config_mechanism (config/config.h) */
    uint32_t flags; /* of enum sasl_flag */
    /* Reads the response of start-ok. Returns 0, or -EINVAL when it is malformed. */
    int (*start)(struct bytes response, const struct sasl_peer *peer, struct sasl_credentials *out);
};

/* The mechanism of that name (case matters), or NULL. */
const struct sasl_mechanism *sasl_mechanism_find(struct bytes name);

/* Which of the `configured` mechanisms (bits) can be offered to the peer: those that need an
 * identity where there is one, those that send a password where nobody can listen, or where
 * `passwords_anyway`. */
uint32_t sasl_offered(uint32_t configured, const struct sasl_peer *peer, bool passwords_anyway);

/* Writes the names of the mechanisms, the preferred one first, separated by spaces, as
 * connection.start lists them. Returns their length, 0 for none. */
size_t sasl_names(uint32_t mechanisms, char out[SASL_NAMES_SIZE]);

#endif
