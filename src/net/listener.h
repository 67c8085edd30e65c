/* A listening TCP or Unix socket. Several threads may listen on one address, each with a listener
 * of its own; the kernel spreads connections over them (SO_REUSEPORT); those of a Unix socket share
 * it. One thread. */
#ifndef LEVERET_NET_LISTENER_H
#define LEVERET_NET_LISTENER_H

#include "net/reactor.h"
#include "net/timer_wheel.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    /* "[address]:port" with its terminator. */
    SOCKET_ADDRESS_TEXT_SIZE = INET6_ADDRSTRLEN + 10,
};

/* An IPv4 or IPv6 address and port, or the path of a Unix socket. */
struct socket_address {
    struct sockaddr_storage storage;
    socklen_t size;
};

struct listener {
    struct reactor_source source;
    struct reactor *reactor;
    struct timer_wheel *timers;
    struct timer resume; /* set while nothing is accepted for want of descriptors or memory */
    int fd;
    struct socket_address address; /* as bound: with the port that the system chose */
    /* A connected, non-blocking socket; the callee owns it. */
    void (*on_accept)(struct listener *l, int fd, const struct socket_address *peer);
    void *context; /* for on_accept */
};

/* What the address of a Unix socket begins with; its absolute path follows. */
#define SOCKET_ADDRESS_UNIX "unix:"

/* Reads a literal address ("127.0.0.1", "::1", "*" for every address of both families, or
 * "unix:/run/leveret.sock", for which the port counts nothing). Returns 0 or -EINVAL. */
int socket_address_parse(struct socket_address *out, const char *address, uint16_t port);

/* Writes "127.0.0.1:5672" or "[::1]:5672"; IPv4 in IPv6 is written as IPv4, a Unix socket as
 * "unix". */
void socket_address_format(const struct socket_address *a, char out[SOCKET_ADDRESS_TEXT_SIZE]);

/* The address alone, without the port, in the same way. */
void socket_address_format_host(const struct socket_address *a, char out[SOCKET_ADDRESS_TEXT_SIZE]);

/* 0 for a Unix socket, which has none to be set either. */
uint16_t socket_address_port(const struct socket_address *a);
void socket_address_set_port(struct socket_address *a, uint16_t port);

bool socket_address_is_unix(const struct socket_address *a);

/* Whether the address is of this machine's loopback (127.0.0.0/8, ::1, and the former in IPv6), or
 * a Unix socket. */
bool socket_address_is_loopback(const struct socket_address *a);

/* Whether somebody else, another process of the same user too, listens on the address: SO_REUSEPORT
 * alone would share its connections silently. Removes a Unix socket that nobody listens on any
 * more. Returns 0, -EADDRINUSE, or another -errno. */
int listener_probe(const struct socket_address *address);

/* Opens a socket with SO_REUSEADDR and SO_REUSEPORT and binds it. Nobody can connect yet, and
 * listener_probe() does not tell of it yet. Returns its descriptor or -errno; `bound` is the
 * address with the port that was chosen. */
int listener_bind_socket(const struct socket_address *address, struct socket_address *bound);

/* Takes over `fd` (from listener_bind_socket), listens and accepts in `r`. When the system has no
 * descriptor or memory for a connection, it waits a little (`timers`) before it tries again.
 * Returns 0 or -errno. */
int listener_start(struct listener *l, struct reactor *r, struct timer_wheel *timers, int fd,
                   const struct socket_address *address,
                   void (*on_accept)(struct listener *l, int fd, const struct socket_address *peer),
                   void *context);

/* Stops accepting and closes the socket. */
void listener_stop(struct listener *l, struct reactor *r);

#endif
