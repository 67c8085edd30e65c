/* The PROXY protocol's header (HAProxy, "The PROXY protocol", versions 1 and 2): what a proxy says,
 * before anything else, of the client that it speaks for. Pure. */
#ifndef LEVERET_NET_PROXY_HEADER_H
#define LEVERET_NET_PROXY_HEADER_H

#include "base/bytes.h"
#include "net/listener.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
    /* With what version 2 may have behind the addresses (TLVs); a longer one is refused. */
    PROXY_HEADER_SIZE_MAX = 4096,
    /* Where every header is longer still: so much may be read at first. */
    PROXY_HEADER_SIZE_MIN = 12,
};

struct proxy_header {
    /* The proxy speaks for itself (a health check), or does not say for whom: the connection's own
     * addresses count. */
    bool own;
    struct socket_address client; /* unless `own` */
};

/* Reads what has come so far. Returns the size of the whole header and fills `out`; 0 when more is
 * to come, with `wanted` the bytes (> 0) that can be read without reading past its end; or -EINVAL
 * when it is none. Never wants more than makes PROXY_HEADER_SIZE_MAX. */
ssize_t proxy_header_parse(struct bytes input, struct proxy_header *out, size_t *wanted);

#endif
