#include "base/memory.h"
#include "net/listener.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 10000 };

static const struct {
    const char *address;
    const char *host; /* as it is written; NULL: refused */
    const char *with_port;
    bool loopback;
} addresses[] = {
    {"127.0.0.1", "127.0.0.1", "127.0.0.1:5672", true},
    {"127.8.9.10", "127.8.9.10", "127.8.9.10:5672", true},
    {"126.255.255.255", "126.255.255.255", "126.255.255.255:5672", false},
    {"128.0.0.1", "128.0.0.1", "128.0.0.1:5672", false},
    {"0.0.0.0", "0.0.0.0", "0.0.0.0:5672", false},
    {"192.0.2.255", "192.0.2.255", "192.0.2.255:5672", false},
    {"::1", "::1", "[::1]:5672", true},
    {"::2", "::2", "[::2]:5672", false},
    {"::", "::", "[::]:5672", false},
    {"*", "::", "[::]:5672", false},
    {"2001:DB8::0:1", "2001:db8::1", "[2001:db8::1]:5672", false},
    {"2001:db8:1111:2222:3333:4444:5555:6666", "2001:db8:1111:2222:3333:4444:5555:6666",
     "[2001:db8:1111:2222:3333:4444:5555:6666]:5672", false},
    {"::ffff:127.1.2.3", "127.1.2.3", "127.1.2.3:5672", true},
    {"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1:5672", false},
    {"", NULL, NULL, false},
    {"localhost", NULL, NULL, false},
    {"127.0.0", NULL, NULL, false},
    {"127.0.0.256", NULL, NULL, false},
    {"127.0.0.1:5672", NULL, NULL, false},
    {"[::1]", NULL, NULL, false},
    {"**", NULL, NULL, false},
};

START_TEST(addresses_are_read_written_and_told_apart)
{
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct socket_address a;
        char text[SOCKET_ADDRESS_TEXT_SIZE];
        int rc = socket_address_parse(&a, addresses[i].address, 5672);

        if (addresses[i].host == NULL) {
            ck_assert_msg(rc == -EINVAL, "%s was accepted", addresses[i].address);
            continue;
        }
        ck_assert_msg(rc == 0, "%s was refused", addresses[i].address);
        socket_address_format_host(&a, text);
        ck_assert_str_eq(text, addresses[i].host);
        socket_address_format(&a, text);
        ck_assert_str_eq(text, addresses[i].with_port);
        ck_assert_msg(socket_address_is_loopback(&a) == addresses[i].loopback, "%s",
                      addresses[i].address);
    }
}
END_TEST

START_TEST(unix_sockets_are_addresses_without_a_port)
{
    static const char *const bad[] = {"unix:", "unix:relative", "unix", "/run/leveret.sock"};
    char text[SOCKET_ADDRESS_TEXT_SIZE];
    char path[256] = "unix:/";
    struct socket_address a;

    ck_assert_int_eq(socket_address_parse(&a, "unix:/run/leveret.sock", 5672), 0);
    ck_assert(socket_address_is_unix(&a));
    ck_assert(socket_address_is_loopback(&a));
    ck_assert_uint_eq(socket_address_port(&a), 0);
    socket_address_set_port(&a, 7);
    ck_assert_uint_eq(socket_address_port(&a), 0);
    socket_address_format(&a, text);
    ck_assert_str_eq(text, "unix");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(socket_address_parse(&a, bad[i], 0) == -EINVAL, "%s", bad[i]);
    memset(path + 6, 'x', 106); /* 107 bytes with the slash, the most that there are */
    ck_assert_int_eq(socket_address_parse(&a, path, 0), 0);
    path[6 + 106] = 'x';
    ck_assert_int_eq(socket_address_parse(&a, path, 0), -EINVAL);
}
END_TEST

START_TEST(port_is_read_and_changed_in_both_families)
{
    static const char *const texts[] = {"127.0.0.1", "::1"};

    for (size_t i = 0; i < 2; i++) {
        struct socket_address a;

        ck_assert_int_eq(socket_address_parse(&a, texts[i], 258), 0);
        ck_assert_uint_eq(socket_address_port(&a), 258);
        socket_address_set_port(&a, 65535);
        ck_assert_uint_eq(socket_address_port(&a), 65535);
    }
}
END_TEST

/* A listener that keeps what it accepts. */
struct inbox {
    struct listener listener;
    struct timer_wheel timers;
    int fds[100];
    unsigned count;
    struct socket_address peer; /* of the last one */
};

static void on_accept(struct listener *l, int fd, const struct socket_address *peer)
{
    struct inbox *in = l->context;

    ck_assert_uint_lt(in->count, 100);
    in->fds[in->count++] = fd;
    in->peer = *peer;
}

static void listen_at(struct inbox *in, struct reactor *r, const struct socket_address *address)
{
    struct socket_address bound;
    int fd = listener_bind_socket(address, &bound);

    ck_assert_msg(fd >= 0, "%s", strerror(-fd));
    memset(in, 0, sizeof(*in));
    timer_wheel_init(&in->timers, 0);
    ck_assert_int_eq(listener_start(&in->listener, r, &in->timers, fd, &bound, on_accept, in), 0);
}

static void forget(struct inbox *in, struct reactor *r)
{
    listener_stop(&in->listener, r);
    listener_stop(&in->listener, r);
    while (in->count != 0)
        close(in->fds[--in->count]);
}

static int connect_to(const struct socket_address *address)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address->storage, address->size), 0);
    return fd;
}

START_TEST(an_address_that_somebody_listens_on_is_told)
{
    struct socket_address address;
    struct socket_address bound;
    int fd;

    ck_assert_int_eq(socket_address_parse(&address, "127.0.0.1", 0), 0);
    fd = listener_bind_socket(&address, &bound);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(listener_probe(&bound), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(listener_probe(&bound), -EADDRINUSE);
    close(fd);
    ck_assert_int_eq(listener_probe(&bound), 0);
}
END_TEST

START_TEST(port_zero_becomes_the_port_that_the_system_chose)
{
    struct socket_address address;
    struct reactor r;
    struct inbox in;
    int client;

    ck_assert_int_eq(reactor_init(&r), 0);
    ck_assert_int_eq(socket_address_parse(&address, "127.0.0.1", 0), 0);
    listen_at(&in, &r, &address);
    ck_assert_uint_ne(socket_address_port(&in.listener.address), 0);
    client = connect_to(&in.listener.address);
    ck_assert_int_eq(reactor_wait(&r, WAIT_MS), 1);
    reactor_dispatch(&r);
    ck_assert_uint_eq(in.count, 1);
    close(client);
    forget(&in, &r);
    reactor_close(&r);
}
END_TEST

START_TEST(accepted_socket_is_non_blocking_and_its_peer_known)
{
    struct socket_address address;
    struct socket_address client_address = {.size = sizeof(client_address.storage)};
    struct reactor r;
    struct inbox in;
    int client;

    ck_assert_int_eq(reactor_init(&r), 0);
    ck_assert_int_eq(socket_address_parse(&address, "127.0.0.1", 0), 0);
    listen_at(&in, &r, &address);
    client = connect_to(&in.listener.address);
    ck_assert_int_eq(
        getsockname(client, (struct sockaddr *)&client_address.storage, &client_address.size), 0);
    ck_assert_int_eq(reactor_wait(&r, WAIT_MS), 1);
    reactor_dispatch(&r);
    ck_assert_int_ne(fcntl(in.fds[0], F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(in.fds[0], F_GETFD) & FD_CLOEXEC, 0);
    ck_assert(socket_address_is_loopback(&in.peer));
    ck_assert_uint_eq(socket_address_port(&in.peer), socket_address_port(&client_address));
    close(client);
    forget(&in, &r);
    reactor_close(&r);
}
END_TEST

START_TEST(crowd_of_connections_is_accepted_to_the_last)
{
    enum { CLIENTS = 80 };
    struct socket_address address;
    struct reactor r;
    struct inbox in;
    int clients[CLIENTS];

    ck_assert_int_eq(reactor_init(&r), 0);
    ck_assert_int_eq(socket_address_parse(&address, "127.0.0.1", 0), 0);
    listen_at(&in, &r, &address);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to(&in.listener.address);
    while (in.count < CLIENTS) {
        ck_assert_int_eq(reactor_wait(&r, WAIT_MS), 1);
        reactor_dispatch(&r);
    }
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    forget(&in, &r);
    reactor_close(&r);
}
END_TEST

START_TEST(two_listeners_share_an_address)
{
    enum { CLIENTS = 40 };
    struct socket_address address;
    struct reactor r;
    struct inbox first, second;
    int clients[CLIENTS];

    ck_assert_int_eq(reactor_init(&r), 0);
    ck_assert_int_eq(socket_address_parse(&address, "127.0.0.1", 0), 0);
    listen_at(&first, &r, &address);
    listen_at(&second, &r, &first.listener.address);
    ck_assert_uint_eq(socket_address_port(&second.listener.address),
                      socket_address_port(&first.listener.address));
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to(&first.listener.address);
    while (first.count + second.count < CLIENTS) {
        ck_assert_int_ge(reactor_wait(&r, WAIT_MS), 1);
        reactor_dispatch(&r);
    }
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    forget(&first, &r);
    forget(&second, &r);
    reactor_close(&r);
}
END_TEST

START_TEST(stopped_listener_refuses_connections)
{
    struct socket_address address;
    struct reactor r;
    struct inbox in;
    int fd;

    ck_assert_int_eq(reactor_init(&r), 0);
    ck_assert_int_eq(socket_address_parse(&address, "127.0.0.1", 0), 0);
    listen_at(&in, &r, &address);
    address = in.listener.address;
    forget(&in, &r);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address.storage, address.size), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    close(fd);
    reactor_close(&r);
}
END_TEST

START_TEST(address_of_another_machine_cannot_be_bound)
{
    struct socket_address address, bound;

    ck_assert_int_eq(socket_address_parse(&address, "192.0.2.1", 0), 0); /* RFC 5737: nobody's */
    ck_assert_int_eq(listener_bind_socket(&address, &bound), -EADDRNOTAVAIL);
}
END_TEST

UNIT_MAIN("listener", addresses_are_read_written_and_told_apart,
          unix_sockets_are_addresses_without_a_port, port_is_read_and_changed_in_both_families,
          port_zero_becomes_the_port_that_the_system_chose,
          an_address_that_somebody_listens_on_is_told,
          accepted_socket_is_non_blocking_and_its_peer_known,
          crowd_of_connections_is_accepted_to_the_last, two_listeners_share_an_address,
          stopped_listener_refuses_connections, address_of_another_machine_cannot_be_bound)
