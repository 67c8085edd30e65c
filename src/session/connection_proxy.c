#include "session/connection_proxy.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/proxy_header.h"
#include "session/shard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What has come so far is kept as the start of a frame is, later on. */
static void keep(struct connection *c, const uint8_t *data, size_t size)
{
    c->partial = memory_resize(c->partial, c->partial_size + size, 1);
    memcpy(c->partial + c->partial_size, data, size);
    c->partial_size += (uint32_t)size;
}

static void finish(struct connection *c, const struct proxy_header *h)
{
    char client[SOCKET_ADDRESS_TEXT_SIZE];

    free(c->partial);
    c->partial = NULL;
    c->partial_size = 0;
    c->expects_proxy_header = false;
    if (h->own)
        return;
    socket_address_format(&h->client, client);
    log_debug("connection", "%s: speaks for %s", c->peer, client);
    memcpy(c->peer, client, sizeof(client));
    /* What another machine calls its loopback is none of this one. */
    c->peer_is_loopback = c->peer_is_loopback && socket_address_is_loopback(&h->client);
}

static bool lost(struct connection *c, const char *why)
{
    connection_lines_log(c->shard, CONNECTION_LINE_NO_PROXY,
                         "%s: no PROXY header, which this listener expects from there: %s", c->peer,
                         why);
    connection_kill(c);
    return false;
}

bool connection_read_proxy_header(struct connection *c)
{
    for (;;) {
        struct proxy_header h = {.own = true};
        uint8_t data[PROXY_HEADER_SIZE_MAX];
        size_t wanted;
        ssize_t n = proxy_header_parse(bytes_of(c->partial, c->partial_size), &h, &wanted);

        if (n < 0)
            return lost(c, "what came is none");
        if (n > 0) {
            finish(c, &h);
            return true;
        }
        n = recv(c->stream.fd, data, wanted, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return false;
        if (n == 0 && c->partial_size == 0) {
            connection_kill(c); /* a health check */
            return false;
        }
        if (n <= 0)
            return lost(c, n == 0 ? "the connection ended" : strerror(errno));
        keep(c, data, (size_t)n);
    }
}
