/* Feeds the relay with the bytes that leveret-perf would publish, drains it, and says what a
 * message costs it.
 *
 * relay_feed PORT PID SIZE SECONDS: PID is the relay's, SIZE that of the bodies. Prints a JSON
 * object with messages per second and processor time per message of the relay. */
#include "amqp/constants.h"
#include "amqp/properties.h"
#include "base/clock.h"
#include "perf/process.h"
#include "perf/slab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SLAB_BYTES = 128 * 1024,
    INPUT_BYTES = 512 * 1024,
    FRAME_MAX = 131072,
};

struct feed {
    int source;
    int sink;
    struct slab slab;
    struct bytes pending; /* frames on their way out */
    uint64_t sent;        /* messages */
    uint64_t drained;     /* bytes */
    double bytes_each;
};

static void fail(const char *what)
{
    fprintf(stderr, "relay_feed: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void feed_init(struct feed *f, uint16_t port, const char *size)
{
    static struct size_distribution sizes;
    struct slab_shape shape = {
        .exchange = bytes_from_string(""),
        .routing_key = bytes_from_string("leveret-perf-0"),
        .properties = AMQP_PROPERTIES_NONE,
        .size = &sizes,
        .frame_max = FRAME_MAX,
        .target_bytes = SLAB_BYTES,
    };

    memset(f, 0, sizeof(*f));
    if (size_distribution_parse(&sizes, size) != 0) {
        fprintf(stderr, "relay_feed: '%s' is not a size\n", size);
        exit(2);
    }
    slab_init(&f->slab, &shape, 1);
    f->bytes_each = (double)f->slab.frames.size / f->slab.count;
    f->source = connect_to(port);
    f->sink = connect_to(port);
}

/* Sends and receives for a while, in the rhythm of leveret-perf: a slab out, all there is in. */
static void feed_for(struct feed *f, double seconds, uint8_t *input)
{
    int64_t end_ns = clock_monotonic_ns() + (int64_t)(seconds * 1e9);
    uint64_t body_bytes = 0;

    while (clock_monotonic_ns() < end_ns) {
        struct pollfd fds[2] = {{.fd = f->sink, .events = POLLIN},
                                {.fd = f->source, .events = POLLOUT}};
        ssize_t n;

        if (poll(fds, 2, 100) < 0 && errno != EINTR)
            fail("poll");
        if ((fds[0].revents & POLLIN) != 0) {
            n = recv(f->sink, input, INPUT_BYTES, MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN)
                fail("recv");
            f->drained += n > 0 ? (uint64_t)n : 0;
        }
        if ((fds[1].revents & POLLOUT) == 0)
            continue;
        if (f->pending.size == 0) {
            uint32_t count = slab_available(&f->slab);

            f->pending = slab_take(&f->slab, count, (struct slab_mark){.number = f->sent},
                                   clock_monotonic_ns(), 0, &body_bytes);
            f->sent += count;
        }
        n = send(f->source, f->pending.data, f->pending.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            fail("send");
        if (n > 0)
            f->pending = bytes_of(f->pending.data + n, f->pending.size - (size_t)n);
    }
}

int main(int argc, char **argv)
{
    static uint8_t input[INPUT_BYTES];
    struct process_usage from;
    struct process_usage to;
    struct feed feed;
    pid_t pid;
    double seconds;
    double messages;
    uint64_t drained;
    int64_t from_ns;

    if (argc != 5) {
        fprintf(stderr, "Usage: relay_feed PORT PID SIZE SECONDS\n");
        return 2;
    }
    pid = (pid_t)atoi(argv[2]);
    seconds = atof(argv[4]);
    feed_init(&feed, (uint16_t)atoi(argv[1]), argv[3]);
    feed_for(&feed, 0.5, input);

    from_ns = clock_monotonic_ns();
    drained = feed.drained;
    if (process_usage_read(pid, &from) != 0)
        fail("relay's usage");
    feed_for(&feed, seconds, input);
    if (process_usage_read(pid, &to) != 0)
        fail("relay's usage");
    messages = (double)(feed.drained - drained) / feed.bytes_each;
    seconds = (double)(clock_monotonic_ns() - from_ns) / 1e9;
    printf("{\"received_per_s\": %.0f, \"broker_cpu_us_per_message\": %.4f}\n", messages / seconds,
           (double)(to.cpu_ns - from.cpu_ns) / 1e3 / messages);

    close(feed.source);
    close(feed.sink);
    slab_free(&feed.slab);
    return 0;
}
