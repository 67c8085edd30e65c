#include "net/listener.h"

#include "base/log.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Connections taken from one listener before other work gets its turn. */
#define LISTENER_ACCEPT_BATCH 64
#define LISTENER_BACKLOG 4096
/* How long nothing is accepted after the system had no descriptor or memory for a connection. */
#define LISTENER_PAUSE_MS 100

static struct sockaddr_in *as_ipv4(struct socket_address *a)
{
    return (struct sockaddr_in *)&a->storage;
}

static struct sockaddr_in6 *as_ipv6(struct socket_address *a)
{
    return (struct sockaddr_in6 *)&a->storage;
}

static const struct sockaddr_in *as_ipv4_const(const struct socket_address *a)
{
    return (const struct sockaddr_in *)&a->storage;
}

static const struct sockaddr_in6 *as_ipv6_const(const struct socket_address *a)
{
    return (const struct sockaddr_in6 *)&a->storage;
}

static int parse_unix(struct socket_address *out, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->storage;
    size_t size = strlen(path) + 1;

    if (path[0] != '/' || size > sizeof(un->sun_path))
        return -EINVAL;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, size);
    out->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return 0;
}

int socket_address_parse(struct socket_address *out, const char *address, uint16_t port)
{
    memset(out, 0, sizeof(*out));
    if (strncmp(address, SOCKET_ADDRESS_UNIX, strlen(SOCKET_ADDRESS_UNIX)) == 0)
        return parse_unix(out, address + strlen(SOCKET_ADDRESS_UNIX));
    if (inet_pton(AF_INET, address, &as_ipv4(out)->sin_addr) == 1) {
        as_ipv4(out)->sin_family = AF_INET;
        as_ipv4(out)->sin_port = htons(port);
        out->size = sizeof(struct sockaddr_in);
        return 0;
    }
    if (strcmp(address, "*") == 0)
        address = "::";
    if (inet_pton(AF_INET6, address, &as_ipv6(out)->sin6_addr) != 1)
        return -EINVAL;
    as_ipv6(out)->sin6_family = AF_INET6;
    as_ipv6(out)->sin6_port = htons(port);
    out->size = sizeof(struct sockaddr_in6);
    return 0;
}

static bool is_mapped_ipv4(const struct socket_address *a)
{
    return a->storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&as_ipv6_const(a)->sin6_addr);
}

void socket_address_format_host(const struct socket_address *a, char out[SOCKET_ADDRESS_TEXT_SIZE])
{
    const void *bytes = &as_ipv4_const(a)->sin_addr;
    int family = AF_INET;

    if (socket_address_is_unix(a)) {
        snprintf(out, SOCKET_ADDRESS_TEXT_SIZE, "unix");
        return;
    }
    if (is_mapped_ipv4(a)) {
        bytes = &as_ipv6_const(a)->sin6_addr.s6_addr[12];
    } else if (a->storage.ss_family == AF_INET6) {
        bytes = &as_ipv6_const(a)->sin6_addr;
        family = AF_INET6;
    }
    if (inet_ntop(family, bytes, out, SOCKET_ADDRESS_TEXT_SIZE) == NULL)
        out[0] = '\0';
}

void socket_address_format(const struct socket_address *a, char out[SOCKET_ADDRESS_TEXT_SIZE])
{
    char host[SOCKET_ADDRESS_TEXT_SIZE];
    bool brackets = a->storage.ss_family == AF_INET6 && !is_mapped_ipv4(a);

    socket_address_format_host(a, host);
    if (socket_address_is_unix(a)) {
        snprintf(out, SOCKET_ADDRESS_TEXT_SIZE, "%s", host);
        return;
    }
    snprintf(out, SOCKET_ADDRESS_TEXT_SIZE, brackets ? "[%.45s]:%u" : "%.45s:%u", host,
             (unsigned)socket_address_port(a));
}

bool socket_address_is_unix(const struct socket_address *a)
{
    return a->storage.ss_family == AF_UNIX;
}

uint16_t socket_address_port(const struct socket_address *a)
{
    if (socket_address_is_unix(a))
        return 0;
    if (a->storage.ss_family == AF_INET6)
        return ntohs(as_ipv6_const(a)->sin6_port);
    return ntohs(as_ipv4_const(a)->sin_port);
}

void socket_address_set_port(struct socket_address *a, uint16_t port)
{
    if (socket_address_is_unix(a))
        return;
    if (a->storage.ss_family == AF_INET6)
        as_ipv6(a)->sin6_port = htons(port);
    else
        as_ipv4(a)->sin_port = htons(port);
}

bool socket_address_is_loopback(const struct socket_address *a)
{
    if (socket_address_is_unix(a))
        return true;
    if (a->storage.ss_family == AF_INET)
        return (ntohl(as_ipv4_const(a)->sin_addr.s_addr) >> 24) == 127;
    if (is_mapped_ipv4(a))
        return as_ipv6_const(a)->sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&as_ipv6_const(a)->sin6_addr);
}

static int set_flag(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* A socket's file outlives who listened on it: it is removed when nobody answers. Nothing else is.
 */
static int probe_unix(const struct socket_address *address)
{
    const char *path = ((const struct sockaddr_un *)&address->storage)->sun_path;
    struct stat st;
    int rc = 0;
    int fd;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address->storage, address->size) == 0 ||
        errno == EAGAIN)
        rc = -EADDRINUSE;
    else if (errno != ECONNREFUSED || unlink(path) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

int listener_probe(const struct socket_address *address)
{
    int fd;
    int rc;

    if (socket_address_is_unix(address))
        return probe_unix(address);
    fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    rc = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && address->storage.ss_family == AF_INET6)
        rc = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY,
                      !IN6_IS_ADDR_UNSPECIFIED(&as_ipv6_const(address)->sin6_addr));
    if (rc == 0 && bind(fd, (const struct sockaddr *)&address->storage, address->size) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

int listener_bind_socket(const struct socket_address *address, struct socket_address *bound)
{
    int family = address->storage.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return -errno;
    rc = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && family != AF_UNIX)
        rc = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0 && family == AF_INET6)
        rc = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY,
                      !IN6_IS_ADDR_UNSPECIFIED(&as_ipv6_const(address)->sin6_addr));
    if (rc == 0 && bind(fd, (const struct sockaddr *)&address->storage, address->size) < 0)
        rc = -errno;
    bound->size = sizeof(bound->storage);
    if (rc == 0 && getsockname(fd, (struct sockaddr *)&bound->storage, &bound->size) < 0)
        rc = -errno;
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

static void resume_accepting(struct timer *t)
{
    struct listener *l = container_of(t, struct listener, resume);

    reactor_set_interest(l->reactor, &l->source, REACTOR_READ);
}

static void pause_accepting(struct listener *l, int error)
{
    log_warning("listener", "a connection could not be accepted: %s; trying again in %d ms",
                strerror(error), LISTENER_PAUSE_MS);
    reactor_set_interest(l->reactor, &l->source, 0);
    timer_set(l->timers, &l->resume, l->timers->now_ms + LISTENER_PAUSE_MS);
}

static void listener_on_ready(struct reactor_source *source, uint32_t ready)
{
    struct listener *l = container_of(source, struct listener, source);

    (void)ready;
    for (int i = 0; i < LISTENER_ACCEPT_BATCH; i++) {
        struct socket_address peer = {.size = sizeof(peer.storage)};
        int fd = accept4(l->fd, (struct sockaddr *)&peer.storage, &peer.size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                pause_accepting(l, errno);
            return;
        }
        if (!socket_address_is_unix(&l->address))
            set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        l->on_accept(l, fd, &peer);
    }
}

int listener_start(struct listener *l, struct reactor *r, struct timer_wheel *timers, int fd,
                   const struct socket_address *address,
                   void (*on_accept)(struct listener *l, int fd, const struct socket_address *peer),
                   void *context)
{
    l->fd = fd;
    l->reactor = r;
    l->timers = timers;
    timer_init(&l->resume, resume_accepting);
    l->address = *address;
    l->on_accept = on_accept;
    l->context = context;
    if (listen(fd, LISTENER_BACKLOG) < 0)
        return -errno;
    return reactor_add(r, &l->source, fd, REACTOR_READ, listener_on_ready);
}

void listener_stop(struct listener *l, struct reactor *r)
{
    if (l->fd < 0)
        return;
    timer_cancel(l->timers, &l->resume);
    reactor_remove(r, &l->source);
    close(l->fd);
    l->fd = -1;
}
