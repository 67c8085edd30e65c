/* IP networks: "192.0.2.0/24", "2001:db8::/32", or an address alone. Pure. */
#ifndef LEVERET_NET_NETWORK_H
#define LEVERET_NET_NETWORK_H

#include "net/listener.h"

#include <stdbool.h>
#include <stdint.h>

struct network {
    uint8_t address[16]; /* IPv4 as mapped into IPv6 */
    uint8_t bits;        /* of them that count */
};

/* Returns 0, or -EINVAL when the text is no network or has bits behind its length. */
int network_parse(struct network *n, const char *text);

/* Whether the address (IPv4, also in IPv6, or IPv6) is in the network. */
bool network_holds(const struct network *n, const struct socket_address *a);

#endif
