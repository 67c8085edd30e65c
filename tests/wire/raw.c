#include "tests/wire/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FRAME_METHOD = 1,
    FRAME_HEADER = 2,
    FRAME_HEARTBEAT = 8,
    FRAME_END = 0xce,
    FRAME_OVERHEAD = 8,
    INPUT_MAX = 4 * 1024 * 1024,
    CLASS_BASIC = 60,
};

void put_bytes(struct raw_bytes *b, const void *data, size_t size)
{
    ck_assert_uint_le(b->size + size, sizeof(b->data));
    if (size != 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

void put_u8(struct raw_bytes *b, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    put_bytes(b, &byte, 1);
}

void put_u16(struct raw_bytes *b, unsigned value)
{
    put_u8(b, value >> 8);
    put_u8(b, value & 0xff);
}

void put_u32(struct raw_bytes *b, uint32_t value)
{
    put_u16(b, value >> 16);
    put_u16(b, value & 0xffff);
}

void put_u64(struct raw_bytes *b, uint64_t value)
{
    put_u32(b, (uint32_t)(value >> 32));
    put_u32(b, (uint32_t)value);
}

void put_short_string(struct raw_bytes *b, const char *s)
{
    put_u8(b, (unsigned)strlen(s));
    put_bytes(b, s, strlen(s));
}

void put_long_string(struct raw_bytes *b, const void *data, size_t size)
{
    put_u32(b, (uint32_t)size);
    put_bytes(b, data, size);
}

static uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)get_u16(p) << 16 | get_u16(p + 2);
}

static struct raw *open_raws;

static struct raw *connect_to(const struct sockaddr *address, socklen_t size)
{
    struct raw *r = calloc(1, sizeof(*r));

    r->input = malloc(INPUT_MAX);
    r->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->fd < 0 || connect(r->fd, address, size) < 0)
        fail_here("cannot connect to the broker: %s", strerror(errno));
    r->next = open_raws;
    open_raws = r;
    return r;
}

static struct raw *connect_to_port(const struct broker *b, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct raw *r;
    int on = 1;

    inet_pton(AF_INET, broker_host(b), &address.sin_addr);
    r = connect_to((struct sockaddr *)&address, sizeof(address));
    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return r;
}

struct raw *raw_connect(const struct broker *b)
{
    return connect_to_port(b, broker_port(b));
}

struct raw *raw_connect_to(const struct broker *b, int number)
{
    return connect_to_port(b, broker_listener_port(b, number));
}

struct raw *raw_connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return connect_to((struct sockaddr *)&address, sizeof(address));
}

void raw_close(struct raw *r)
{
    struct raw **link = &open_raws;

    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    close(r->fd);
    free(r->input);
    free(r);
}

void raw_close_all(void)
{
    while (open_raws != NULL)
        raw_close(open_raws);
}

/* Returns false when the peer has closed. */
static bool send_all(struct raw *r, const uint8_t *data, size_t size)
{
    while (size > 0) {
        struct pollfd p = {.fd = r->fd, .events = POLLOUT};
        ssize_t n;

        if (poll(&p, 1, deadline_ms()) <= 0)
            fail_here("the broker does not read");
        n = send(r->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return false;
        if (n < 0 && errno != EAGAIN)
            fail_here("send: %s", strerror(errno));
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return true;
}

void raw_send(struct raw *r, const void *data, size_t size)
{
    if (!send_all(r, data, size))
        fail_here("the broker has closed the connection");
}

void raw_send_loosely(struct raw *r, const void *data, size_t size)
{
    send_all(r, data, size);
}

size_t raw_send_until_answered_(struct raw *r, const void *data, size_t size)
{
    size_t sent = 0;

    while (sent < size) {
        struct pollfd p = {.fd = r->fd, .events = POLLIN | POLLOUT};
        ssize_t n;

        if (r->input_size > 0)
            break;
        if (poll(&p, 1, deadline_ms()) == 0)
            fail_here("the broker neither reads nor answers");
        if (p.revents & POLLIN)
            break;
        n = send(r->fd, (const uint8_t *)data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            sent += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            fail_here("the broker has closed the connection");
    }
    return sent;
}

void raw_send_frame(struct raw *r, unsigned type, unsigned channel, const void *payload,
                    size_t size)
{
    struct raw_bytes b = {.size = 0};
    uint8_t end = FRAME_END;

    put_u8(&b, type);
    put_u16(&b, channel);
    put_u32(&b, (uint32_t)size);
    if (size + 1 <= sizeof(b.data) - b.size) {
        put_bytes(&b, payload, size);
        put_u8(&b, FRAME_END);
        raw_send(r, b.data, b.size);
        return;
    }
    raw_send(r, b.data, b.size);
    raw_send(r, payload, size);
    raw_send(r, &end, 1);
}

void raw_send_method(struct raw *r, unsigned channel, amqp_method_number_t method,
                     const struct raw_bytes *arguments)
{
    struct raw_bytes b = {.size = 0};

    put_u32(&b, method);
    if (arguments != NULL)
        put_bytes(&b, arguments->data, arguments->size);
    raw_send_frame(r, FRAME_METHOD, channel, b.data, b.size);
}

void raw_send_header(struct raw *r, unsigned channel, uint64_t body_size)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, CLASS_BASIC);
    put_u16(&b, 0);
    put_u64(&b, body_size);
    put_u16(&b, 0);
    raw_send_frame(r, FRAME_HEADER, channel, b.data, b.size);
}

void raw_send_protocol_header(struct raw *r)
{
    raw_send(r, "AMQP\0\0\x09\x01", 8);
}

void raw_send_start_ok(struct raw *r, const char *capability, const char *mechanism,
                       const void *response, size_t size)
{
    struct raw_bytes b = {.size = 0};
    struct raw_bytes capabilities = {.size = 0};
    struct raw_bytes properties = {.size = 0};

    if (capability != NULL) {
        put_short_string(&capabilities, capability);
        put_u8(&capabilities, 't');
        put_u8(&capabilities, 1);
    }
    put_short_string(&properties, "capabilities");
    put_u8(&properties, 'F');
    put_long_string(&properties, capabilities.data, capabilities.size);
    put_long_string(&b, properties.data, properties.size);
    put_short_string(&b, mechanism);
    put_long_string(&b, response, size);
    put_short_string(&b, "en_US");
    raw_send_method(r, 0, AMQP_CONNECTION_START_OK_METHOD, &b);
}

void raw_send_tune_ok(struct raw *r, unsigned channel_max, uint32_t frame_max, unsigned heartbeat_s)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, channel_max);
    put_u32(&b, frame_max);
    put_u16(&b, heartbeat_s);
    raw_send_method(r, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &b);
}

void raw_send_open(struct raw *r, const char *vhost)
{
    struct raw_bytes b = {.size = 0};

    put_short_string(&b, vhost);
    put_short_string(&b, "");
    put_u8(&b, 0);
    raw_send_method(r, 0, AMQP_CONNECTION_OPEN_METHOD, &b);
}

void raw_handshake_with(struct raw *r, const char *capability, unsigned channel_max,
                        uint32_t frame_max, unsigned heartbeat_s)
{
    raw_send_protocol_header(r);
    raw_expect_method_(r, 0, AMQP_CONNECTION_START_METHOD);
    raw_send_start_ok(r, capability, "PLAIN", "\0guest\0guest", 12);
    raw_expect_method_(r, 0, AMQP_CONNECTION_TUNE_METHOD);
    raw_send_tune_ok(r, channel_max, frame_max, heartbeat_s);
    raw_send_open(r, "/");
    raw_expect_method_(r, 0, AMQP_CONNECTION_OPEN_OK_METHOD);
}

void raw_handshake(struct raw *r)
{
    raw_handshake_with(r, NULL, 2047, 131072, 0);
}

void raw_open_channel(struct raw *r, unsigned channel)
{
    struct raw_bytes b = {.size = 0};

    put_short_string(&b, "");
    raw_send_method(r, channel, AMQP_CHANNEL_OPEN_METHOD, &b);
    raw_expect_method_(r, channel, AMQP_CHANNEL_OPEN_OK_METHOD);
}

bool raw_comes_(struct raw *r, int timeout_ms)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};

    return r->input_size > 0 || poll(&p, 1, timeout_ms) > 0;
}

/* Returns the number of bytes that came, 0 at the end. */
static size_t read_some(struct raw *r, int64_t deadline)
{
    ssize_t n;

    if (!raw_comes_(r, (int)(deadline > now_ms() ? deadline - now_ms() : 0)) && r->input_size == 0)
        fail_here("the broker sends nothing in time");
    n = recv(r->fd, r->input + r->input_size, INPUT_MAX - r->input_size, 0);
    if (n < 0 && errno != ECONNRESET)
        fail_here("recv: %s", strerror(errno));
    if (n > 0)
        r->input_size += (size_t)n;
    return n > 0 ? (size_t)n : 0;
}

static void need(struct raw *r, size_t size)
{
    int64_t deadline = now_ms() + deadline_ms();

    ck_assert_uint_le(size, INPUT_MAX);
    while (r->input_size < size) {
        struct pollfd p = {.fd = r->fd, .events = POLLIN};

        if (poll(&p, 1, (int)(deadline > now_ms() ? deadline - now_ms() : 0)) <= 0)
            fail_here("the broker sends nothing in time");
        if (read_some(r, deadline) == 0)
            fail_here("the broker has closed the connection");
    }
}

static void take(struct raw *r, size_t size)
{
    r->input_size -= size;
    memmove(r->input, r->input + size, r->input_size);
}

void raw_read(struct raw *r, void *data, size_t size)
{
    need(r, size);
    memcpy(data, r->input, size);
    take(r, size);
}

struct raw_frame raw_read_frame_(struct raw *r)
{
    static uint8_t payload[INPUT_MAX];
    struct raw_frame f;

    need(r, 7);
    f.type = r->input[0];
    f.channel = get_u16(r->input + 1);
    f.size = get_u32(r->input + 3);
    f.payload = payload;
    need(r, (size_t)f.size + FRAME_OVERHEAD);
    if (r->input[7 + f.size] != FRAME_END)
        fail_here("a frame does not end with 0xce");
    memcpy(payload, r->input + 7, f.size);
    take(r, (size_t)f.size + FRAME_OVERHEAD);
    return f;
}

static struct raw_frame next_frame(struct raw *r)
{
    struct raw_frame f;

    do {
        f = raw_read_frame_(r);
    } while (f.type == FRAME_HEARTBEAT);
    return f;
}

/* code, text, class and method of a close */
static void describe_close(const struct raw_frame *f, char *line, size_t size)
{
    int n = f->payload[6];

    snprintf(line, size, "%u %.*s (method %u.%u)", get_u16(f->payload + 4), n,
             (const char *)f->payload + 7, get_u16(f->payload + 7 + n),
             get_u16(f->payload + 9 + n));
}

static bool is_close(const struct raw_frame *f)
{
    uint32_t method = get_u32(f->payload);

    return method == AMQP_CONNECTION_CLOSE_METHOD || method == AMQP_CHANNEL_CLOSE_METHOD;
}

struct raw_frame raw_expect_method_(struct raw *r, unsigned channel, amqp_method_number_t method)
{
    struct raw_frame f = next_frame(r);
    const char *name = amqp_method_name(method);

    if (f.type != FRAME_METHOD || f.size < 4)
        fail_here("expected %s, got a frame of type %u", name, f.type);
    if (get_u32(f.payload) != method && is_close(&f)) {
        char line[512];

        describe_close(&f, line, sizeof(line));
        fail_here("expected %s, got %s %s", name, amqp_method_name(get_u32(f.payload)), line);
    }
    if (get_u32(f.payload) != method || f.channel != channel)
        fail_here("expected %s on channel %u, got %s on channel %u", name, channel,
                  amqp_method_name(get_u32(f.payload)), f.channel);
    f.payload += 4;
    f.size -= 4;
    return f;
}

static void expect_close(struct raw *r, unsigned channel, amqp_method_number_t close, unsigned code,
                         const char *reason, amqp_method_number_t method)
{
    struct raw_frame f = raw_expect_method_(r, channel, close);
    char actual[256];
    unsigned length = f.payload[2];

    memcpy(actual, f.payload + 3, length);
    actual[length] = '\0';
    if (get_u16(f.payload) != code || !text_matches(actual, reason))
        fail_here("expected %u %s, got %u %s", code, reason, get_u16(f.payload), actual);
    if (method != (amqp_method_number_t)ANY_METHOD && get_u32(f.payload + 3 + length) != method)
        fail_here("expected the close %u %s to name the method %u.%u, got %u.%u", code, actual,
                  method >> 16, method & 0xffff, get_u16(f.payload + 3 + length),
                  get_u16(f.payload + 5 + length));
}

void raw_expect_connection_error_(struct raw *r, unsigned code, const char *reason,
                                  amqp_method_number_t method)
{
    struct raw_bytes b = {.size = 0};

    expect_close(r, 0, AMQP_CONNECTION_CLOSE_METHOD, code, reason, method);
    put_u8(&b, FRAME_METHOD);
    put_u16(&b, 0);
    put_u32(&b, 4);
    put_u32(&b, AMQP_CONNECTION_CLOSE_OK_METHOD);
    put_u8(&b, FRAME_END);
    raw_send_loosely(r, b.data, b.size);
    raw_expect_end_(r);
}

void raw_expect_channel_error_(struct raw *r, unsigned channel, unsigned code, const char *reason,
                               amqp_method_number_t method)
{
    expect_close(r, channel, AMQP_CHANNEL_CLOSE_METHOD, code, reason, method);
}

void raw_expect_end_(struct raw *r)
{
    int64_t deadline = now_ms() + deadline_ms();

    if (r->input_size > 0 || read_some(r, deadline) > 0)
        fail_here("expected the socket's end, got %zu bytes (first %u)", r->input_size,
                  r->input[0]);
}

bool raw_read_to_end(struct raw *r, size_t *total)
{
    int64_t deadline = now_ms() + deadline_ms();

    *total = r->input_size;
    r->input_size = 0;
    while (raw_comes_(r, (int)(deadline > now_ms() ? deadline - now_ms() : 0))) {
        size_t n = read_some(r, deadline);

        if (n == 0)
            return true;
        *total += n;
        r->input_size = 0;
    }
    return false;
}
