/* The floor that a broker is measured against: passes the bytes of one connection on to another
 * with epoll, read and write, and looks at none of them.
 *
 * Prints "listening on 127.0.0.1:PORT"; the first connection is the source, the second the sink.
 * Ends when either of them does. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 128 * 1024 };

static void fail(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, 2) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        fail("listen");
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static int accept_one(int listener)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        fail("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void watch(int epoll_fd, int op, int fd, unsigned events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};

    if (epoll_ctl(epoll_fd, op, fd, &e) != 0)
        fail("epoll_ctl");
}

/* Writes what there is; returns how many bytes the sink took. A sink that left ends the relay. */
static size_t write_some(int fd, const char *data, size_t size)
{
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

    if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
        exit(0);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        fail("write");
    return n > 0 ? (size_t)n : 0;
}

int main(void)
{
    static char buffer[BUFFER_SIZE];
    size_t held = 0; /* bytes read that the sink did not take yet */
    size_t start = 0;
    bool blocked = false; /* the sink takes no more: wait for it, and do not read */
    int listener = open_listener();
    int source = accept_one(listener);
    int sink = accept_one(listener);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    if (epoll_fd < 0)
        fail("epoll_create1");
    watch(epoll_fd, EPOLL_CTL_ADD, source, EPOLLIN);
    watch(epoll_fd, EPOLL_CTL_ADD, sink, 0);
    for (;;) {
        struct epoll_event e;
        size_t sent;

        if (epoll_wait(epoll_fd, &e, 1, -1) < 0 && errno != EINTR)
            fail("epoll_wait");
        if (held == 0) {
            ssize_t n = read(source, buffer, sizeof(buffer));

            if (n == 0)
                return 0;
            if (n < 0 && (errno == EAGAIN || errno == EINTR))
                continue;
            if (n < 0)
                fail("read");
            held = (size_t)n;
            start = 0;
        }
        sent = write_some(sink, buffer + start, held);
        start += sent;
        held -= sent;
        if (blocked != (held != 0)) {
            blocked = held != 0;
            watch(epoll_fd, EPOLL_CTL_MOD, source, blocked ? 0 : EPOLLIN);
            watch(epoll_fd, EPOLL_CTL_MOD, sink, blocked ? EPOLLOUT : 0);
        }
    }
}
