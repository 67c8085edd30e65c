/* The floor of confirms: takes publishes and answers each with basic.ack, and does nothing else. No
 * queue, no journal, no sync. What a client says on the way to its first publish is answered from a
 * table; whatever it says is taken to be right.
 *
 * Prints "listening on 127.0.0.1:PORT" and serves until it is terminated, with an epoll for each of
 * its threads, over which connections are dealt out.
 *
 * usage: confirm_floor THREADS */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    THREADS_MAX = 64,
    EVENTS_MAX = 64,
    BUFFER_SIZE = 16 * 1024, /* more than what is sent between two answers */
    ANSWERS_SIZE = 4096,
    PROTOCOL_HEADER_SIZE = 8,
    FRAME_HEADER_SIZE = 7,
    FRAME_OVERHEAD = 8, /* with the octet at its end */
    FRAME_METHOD = 1,
    FRAME_BODY = 3,
    ANSWER_MAX = 64,
};

struct peer {
    int fd;
    bool greeted;
    uint64_t tag;
    size_t held;
    uint8_t data[BUFFER_SIZE];
};

struct answers {
    size_t size;
    uint8_t data[ANSWERS_SIZE];
};

/* What is answered to a method: class and method of the answer, and its arguments. */
struct rule {
    uint16_t class_id;
    uint16_t method_id;
    uint16_t answer_id;
    uint8_t size;
    const char *arguments;
};

#define ARGUMENTS(text) sizeof(text) - 1, text

static const struct rule RULES[] = {
    {10, 11, 30, ARGUMENTS("\x00\x00\x00\x02\x00\x00\x00\x00")},      /* connection.tune */
    {10, 40, 41, ARGUMENTS("\x00")},                                  /* connection.open-ok */
    {10, 50, 51, ARGUMENTS("")},                                      /* connection.close-ok */
    {20, 10, 11, ARGUMENTS("\x00\x00\x00\x00")},                      /* channel.open-ok */
    {20, 40, 41, ARGUMENTS("")},                                      /* channel.close-ok */
    {50, 10, 11, ARGUMENTS("\x01q\x00\x00\x00\x00\x00\x00\x00\x00")}, /* queue.declare-ok */
    {50, 40, 41, ARGUMENTS("\x00\x00\x00\x00")},                      /* queue.delete-ok */
    {85, 10, 11, ARGUMENTS("")},                                      /* confirm.select-ok */
};

static void fail(const char *what)
{
    fprintf(stderr, "confirm_floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void put(struct answers *out, const void *data, size_t size)
{
    if (size > sizeof(out->data) - out->size) {
        fprintf(stderr, "confirm_floor: more is asked at once than there is room to answer\n");
        exit(1);
    }
    if (size != 0)
        memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void put_method(struct answers *out, uint16_t channel, uint16_t class_id, uint16_t method_id,
                       const void *arguments, size_t size)
{
    const uint8_t head[] = {
        FRAME_METHOD,
        (uint8_t)(channel >> 8),
        (uint8_t)channel,
        0,
        0,
        0,
        (uint8_t)(size + 4),
        (uint8_t)(class_id >> 8),
        (uint8_t)class_id,
        (uint8_t)(method_id >> 8),
        (uint8_t)method_id,
    };

    put(out, head, sizeof(head));
    put(out, arguments, size);
    put(out, "\xce", 1);
}

static void put_start(struct answers *out)
{
    static const char arguments[] = "\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN"
                                    "\x00\x00\x00\x05"
                                    "en_US";

    put_method(out, 0, 10, 10, arguments, sizeof(arguments) - 1);
}

static void put_ack(struct answers *out, uint16_t channel, uint64_t tag)
{
    uint8_t arguments[9] = {0};

    for (int i = 0; i < 8; i++)
        arguments[i] = (uint8_t)(tag >> (56 - 8 * i));
    put_method(out, channel, 60, 80, arguments, sizeof(arguments));
}

static uint16_t read_16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void answer_method(struct answers *out, uint16_t channel, const uint8_t *payload)
{
    uint16_t class_id = read_16(payload);
    uint16_t method_id = read_16(payload + 2);

    for (size_t i = 0; i < sizeof(RULES) / sizeof(RULES[0]); i++) {
        const struct rule *r = &RULES[i];

        if (r->class_id == class_id && r->method_id == method_id)
            put_method(out, channel, class_id, r->answer_id, r->arguments, r->size);
    }
}

/* Answers the frames that are whole, and keeps the rest. A body is taken to be of one frame. */
static void answer(struct peer *p, struct answers *out)
{
    size_t at = 0;

    if (!p->greeted && p->held >= PROTOCOL_HEADER_SIZE) {
        at = PROTOCOL_HEADER_SIZE;
        p->greeted = true;
        put_start(out);
    }
    while (p->greeted && p->held - at >= FRAME_OVERHEAD) {
        const uint8_t *f = p->data + at;
        size_t size = (size_t)read_16(f + 3) << 16 | read_16(f + 5);

        if (size > BUFFER_SIZE - FRAME_OVERHEAD) {
            fprintf(stderr, "confirm_floor: a frame of %zu bytes\n", size);
            exit(1);
        }
        if (p->held - at < size + FRAME_OVERHEAD)
            break;
        if (f[0] == FRAME_BODY)
            put_ack(out, read_16(f + 1), ++p->tag);
        else if (f[0] == FRAME_METHOD && size >= 4)
            answer_method(out, read_16(f + 1), f + FRAME_HEADER_SIZE);
        at += size + FRAME_OVERHEAD;
    }
    p->held -= at;
    if (p->held != 0 && at != 0)
        memmove(p->data, p->data + at, p->held);
}

/* Returns false when the peer left. */
static bool serve(struct peer *p)
{
    struct answers out = {.size = 0};
    ssize_t n = read(p->fd, p->data + p->held, sizeof(p->data) - p->held);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    p->held += (size_t)n;
    answer(p, &out);
    /* A few bytes to a peer that waits for them: there is room for all of them. */
    return out.size == 0 || send(p->fd, out.data, out.size, MSG_NOSIGNAL) == (ssize_t)out.size;
}

static void *run(void *context)
{
    int epoll_fd = *(int *)context;

    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct peer *p = events[i].data.ptr;

            if (serve(p))
                continue;
            close(p->fd);
            free(p);
        }
    }
    return NULL;
}

static int open_listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, SOMAXCONN) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        fail("listen");
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_one(int listener, int epoll_fd)
{
    struct peer *p = calloc(1, sizeof(*p));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    int one = 1;

    if (p == NULL)
        fail("a connection");
    p->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (p->fd < 0)
        fail("accept");
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, p->fd, &e) != 0)
        fail("epoll_ctl");
}

int main(int argc, char **argv)
{
    static int epoll_fds[THREADS_MAX];
    long threads = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    int listener;

    if (threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: confirm_floor THREADS (1 to %d)\n", THREADS_MAX);
        return 2;
    }
    for (long i = 0; i < threads; i++) {
        pthread_t thread;

        epoll_fds[i] = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_fds[i] < 0)
            fail("epoll_create1");
        errno = pthread_create(&thread, NULL, run, &epoll_fds[i]);
        if (errno != 0)
            fail("pthread_create");
    }
    listener = open_listener();
    for (long i = 0;; i = (i + 1) % threads)
        accept_one(listener, epoll_fds[i]);
}
