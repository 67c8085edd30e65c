#include "net/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_SIZE_MAX = INET6_ADDRSTRLEN,
    MAPPED_BITS = 96, /* ::ffff:0:0/96 has the IPv4 addresses */
    ADDRESS_BITS = 128,
};

static const uint8_t MAPPED_PREFIX[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void map_ipv4(uint8_t out[16], const void *address)
{
    memcpy(out, MAPPED_PREFIX, sizeof(MAPPED_PREFIX));
    memcpy(out + sizeof(MAPPED_PREFIX), address, sizeof(struct in_addr));
}

/* Whether `a` and `b` agree in their first `bits` bits. */
static bool same_start(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned bytes = bits / 8;
    unsigned rest = bits % 8;

    if (memcmp(a, b, bytes) != 0)
        return false;
    return rest == 0 || ((a[bytes] ^ b[bytes]) & (uint8_t)(0xff << (8 - rest))) == 0;
}

static bool nothing_behind(const struct network *n)
{
    for (unsigned bit = n->bits; bit < ADDRESS_BITS; bit++) {
        if ((n->address[bit / 8] & (0x80 >> (bit % 8))) != 0)
            return false;
    }
    return true;
}

static int parse_length(const char *text, unsigned most, unsigned *out)
{
    char *end;
    unsigned long n;

    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    n = strtoul(text, &end, 10);
    if (*end != '\0' || n > most)
        return -EINVAL;
    *out = (unsigned)n;
    return 0;
}

int network_parse(struct network *n, const char *text)
{
    const char *slash = strchr(text, '/');
    size_t size = slash != NULL ? (size_t)(slash - text) : strlen(text);
    char address[TEXT_SIZE_MAX + 1];
    struct in_addr ipv4;
    unsigned most = ADDRESS_BITS;
    unsigned before = 0;
    unsigned bits;

    if (size > TEXT_SIZE_MAX)
        return -EINVAL;
    memcpy(address, text, size);
    address[size] = '\0';
    if (inet_pton(AF_INET, address, &ipv4) == 1) {
        map_ipv4(n->address, &ipv4);
        before = MAPPED_BITS;
        most = ADDRESS_BITS - MAPPED_BITS;
    } else if (inet_pton(AF_INET6, address, n->address) != 1) {
        return -EINVAL;
    }
    bits = most;
    if (slash != NULL && parse_length(slash + 1, most, &bits) < 0)
        return -EINVAL;
    n->bits = (uint8_t)(before + bits);
    return nothing_behind(n) ? 0 : -EINVAL;
}

bool network_holds(const struct network *n, const struct socket_address *a)
{
    uint8_t address[16];

    if (a->storage.ss_family == AF_INET)
        map_ipv4(address, &((const struct sockaddr_in *)&a->storage)->sin_addr);
    else if (a->storage.ss_family == AF_INET6)
        memcpy(address, &((const struct sockaddr_in6 *)&a->storage)->sin6_addr, sizeof(address));
    else
        return false;
    return same_start(address, n->address, n->bits);
}
