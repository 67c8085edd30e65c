#include "perf/client.h"

#include "amqp/properties.h"
#include "amqp/protocol_header.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/table.h"
#include "perf/tls.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    REPLY_TIMEOUT_MS = 120000, /* a broker busy with a million queues is slow to answer */
    CLOSE_TIMEOUT_MS = 5000,
};

int client_target_init(struct client_target *t, const struct perf_options *o, char *error,
                       size_t error_size)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct addrinfo *best;
    char port[8];
    int rc;

    snprintf(port, sizeof(port), "%u", o->broker.port);
    rc = getaddrinfo(o->broker.host, port, &hints, &found);
    if (rc != 0 || found == NULL) {
        snprintf(error, error_size, "%s: %s", o->broker.host, gai_strerror(rc));
        return -1;
    }

    /* Brokers under test often listen on IPv4 alone. */
    best = found;
    for (struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        if (a->ai_family == AF_INET) {
            best = a;
            break;
        }
    }
    memset(t, 0, sizeof(*t));
    memcpy(&t->address, best->ai_addr, best->ai_addrlen);
    t->address_size = best->ai_addrlen;
    t->heartbeat_s = o->heartbeat_s;
    t->broker = &o->broker;
    freeaddrinfo(found);
    if (!o->broker.tls)
        return 0;
    t->tls = perf_tls_context(o, error, error_size);
    return t->tls != NULL ? 0 : -1;
}

void client_target_release(struct client_target *t)
{
    SSL_CTX_free(t->tls);
    t->tls = NULL;
}

void client_init(struct client *c, const struct client_target *target,
                 const struct client_events *events, void *context)
{
    memset(c, 0, sizeof(*c));
    c->fd = -1;
    c->target = target;
    c->events = events;
    c->context = context;
    buffer_init(&c->rest);
    buffer_init(&c->output);
}

static void client_close_socket(struct client *c)
{
    if (c->ssl != NULL && SSL_in_init(c->ssl) == 0)
        SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    c->ssl = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->wants_output = false;
    c->bulk = bytes_of(NULL, 0);
    buffer_clear(&c->rest);
    buffer_clear(&c->output);
    c->output_sent = 0;
}

void client_free(struct client *c)
{
    client_close_socket(c);
    buffer_free(&c->rest);
    buffer_free(&c->output);
}

void client_fail(struct client *c, const char *format, ...)
{
    va_list args;

    if (c->state == CLIENT_FAILED || c->state == CLIENT_CLOSED)
        return;
    va_start(args, format);
    vsnprintf(c->error, sizeof(c->error), format, args);
    va_end(args);
    c->state = CLIENT_FAILED;
}

static bool client_ended(const struct client *c)
{
    return c->state == CLIENT_CLOSED || c->state == CLIENT_FAILED;
}

/* Closes and tells the owner, when the end has come while the socket was still open. */
static void client_end_if_over(struct client *c)
{
    if (!client_ended(c) || c->fd < 0)
        return;
    client_close_socket(c);
    if (c->events != NULL && c->events->ended != NULL)
        c->events->ended(c);
}

int client_start(struct client *c)
{
    int one = 1;
    int rc;

    buffer_clear(&c->rest);
    buffer_clear(&c->output);
    c->output_sent = 0;
    c->blocked = false;
    c->content = false;
    c->replies = 0;
    c->frame_max = AMQP_FRAME_MIN_SIZE;
    c->heartbeat_s = 0;
    c->error[0] = '\0';
    c->state = CLIENT_CONNECTING;

    c->fd = socket(c->target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        client_fail(c, "socket: %s", strerror(errno));
        return -1;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (c->target->tls != NULL) {
        c->ssl = perf_tls_connect(c->target->tls, c->fd, c->target->broker->host);
        if (c->ssl == NULL) {
            client_fail(c, "no memory for TLS");
            client_close_socket(c);
            return -1;
        }
    }
    rc = connect(c->fd, (const struct sockaddr *)&c->target->address, c->target->address_size);
    if (rc != 0 && errno != EINPROGRESS) {
        client_fail(c, "connect to %s:%u: %s", c->target->broker->host, c->target->broker->port,
                    strerror(errno));
        client_close_socket(c);
        return -1;
    }
    buffer_append(&c->output, bytes_of(AMQP_PROTOCOL_HEADER, AMQP_PROTOCOL_HEADER_SIZE));
    c->received_ns = c->sent_ns = clock_monotonic_ns();
    c->wants_output = true;
    if (rc == 0) { /* as it does on the loopback device */
        c->state = CLIENT_STARTING;
        client_flush(c, c->sent_ns);
    }
    return 0;
}

/* ---- out ---- */

void client_send(struct client *c, const struct amqp_method *m)
{
    amqp_method_frame_encode(CLIENT_CHANNEL, m, &c->output);
}

static void client_send_connection(struct client *c, const struct amqp_method *m)
{
    amqp_method_frame_encode(0, m, &c->output);
}

void client_send_ack(struct client *c, uint64_t delivery_tag, bool multiple)
{
    uint8_t *out = buffer_reserve(&c->output, AMQP_BASIC_ACK_FRAME_SIZE);

    c->output.size += amqp_basic_ack_encode(out, CLIENT_CHANNEL, delivery_tag, multiple);
}

void client_send_bulk(struct client *c, struct bytes frames, int64_t now_ns)
{
    c->bulk = frames;
    client_flush(c, now_ns);
}

/* As send(2); a failure of TLS is the client's. */
static ssize_t client_write(struct client *c, const uint8_t *data, size_t size)
{
    char error[256];
    ssize_t sent;

    if (c->ssl == NULL)
        return send(c->fd, data, size, MSG_NOSIGNAL);
    sent = perf_tls_write(c->ssl, data, size, error, sizeof(error));
    if (sent == 0) {
        errno = EPIPE;
        return -1;
    }
    if (sent < 0 && errno == EPROTO) {
        client_fail(c, "%s", error);
        errno = EPROTO;
    }
    return sent;
}

/* As recv(2), likewise. */
static ssize_t client_receive(struct client *c, uint8_t *out, size_t size)
{
    char error[256];
    ssize_t got;

    if (c->ssl == NULL)
        return recv(c->fd, out, size, 0);
    got = perf_tls_read(c->ssl, out, size, error, sizeof(error));
    if (got < 0 && errno == EPROTO) {
        client_fail(c, "%s", error);
        errno = EPROTO;
    }
    return got;
}

void client_flush(struct client *c, int64_t now_ns)
{
    c->wants_output = false;
    if (c->fd < 0 || c->state == CLIENT_FAILED)
        return;

    /* A bulk is only taken when no method waits, so what is under way goes first. */
    while (c->bulk.size != 0 || c->output.size != 0) {
        bool bulk = c->bulk.size != 0;
        const uint8_t *data = bulk ? c->bulk.data : c->output.data + c->output_sent;
        size_t size = bulk ? c->bulk.size : c->output.size - c->output_sent;
        ssize_t sent = client_write(c, data, size);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            c->wants_output = c->ssl == NULL || !perf_tls_wants_input(c->ssl);
            return;
        }
        if (sent < 0) {
            /* The broker's reason may still be on its way in: let reading find the end. */
            if (errno != EPIPE && errno != ECONNRESET)
                client_fail(c, "send: %s", strerror(errno));
            c->bulk = bytes_of(NULL, 0);
            buffer_clear(&c->output);
            c->output_sent = 0;
            return;
        }
        c->sent_ns = now_ns;
        if (bulk) {
            c->bulk = bytes_of(c->bulk.data + sent, c->bulk.size - (size_t)sent);
            continue;
        }
        c->output_sent += (size_t)sent;
        if (c->output_sent == c->output.size) {
            buffer_clear(&c->output);
            c->output_sent = 0;
        }
    }
}

void client_tick(struct client *c, int64_t now_ns)
{
    int64_t interval_ns = (int64_t)c->heartbeat_s * 1000000000;

    if (c->fd < 0 || c->heartbeat_s == 0 || c->state < CLIENT_OPENING)
        return;
    if (now_ns - c->received_ns > 2 * interval_ns + 1000000000) {
        client_fail(c, "the broker has been silent for %" PRIu32 " s", 2 * c->heartbeat_s);
        client_end_if_over(c);
        return;
    }
    if (now_ns - c->sent_ns > interval_ns / 2 && c->bulk.size == 0 && c->output.size == 0) {
        c->output.size += amqp_frame_encode_heartbeat(buffer_reserve(&c->output, 8));
        client_flush(c, now_ns);
    }
}

void client_close(struct client *c, int64_t now_ns)
{
    struct amqp_method m = {
        .id = AMQP_CONNECTION_CLOSE,
        .connection_close = {.reply_code = AMQP_REPLY_SUCCESS,
                             .reply_text = bytes_from_string("Goodbye")},
    };

    if (c->state != CLIENT_OPEN)
        return;
    c->state = CLIENT_CLOSING;
    client_send_connection(c, &m);
    client_flush(c, now_ns);
}

/* ---- handshake ---- */

static void client_send_start_ok(struct client *c)
{
    static const char *const capabilities[] = {"publisher_confirms", "consumer_cancel_notify",
                                               "connection.blocked", "basic.nack",
                                               "authentication_failure_close"};
    const struct broker_address *broker = c->target->broker;
    struct arena arena;
    struct table able = table_empty();
    struct table properties = table_empty();
    struct buffer encoded;
    struct buffer response;
    struct amqp_method m = {.id = AMQP_CONNECTION_START_OK};

    arena_init(&arena);
    buffer_init(&encoded);
    buffer_init(&response);
    for (unsigned i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
        table_set(&arena, &able, capabilities[i], value_boolean(true));
    table_set(&arena, &properties, "product", value_string(bytes_from_string("leveret-perf")));
    table_set(&arena, &properties, "capabilities", value_table(able));
    amqp_table_encode_fields(&properties, &encoded);
    buffer_append(&response, bytes_of("", 1));
    buffer_append(&response, bytes_from_string(broker->user));
    buffer_append(&response, bytes_of("", 1));
    buffer_append(&response, bytes_from_string(broker->password));

    m.connection_start_ok.client_properties.encoded = buffer_bytes(&encoded);
    m.connection_start_ok.mechanism = bytes_from_string("PLAIN");
    m.connection_start_ok.response = buffer_bytes(&response);
    m.connection_start_ok.locale = bytes_from_string("en_US");
    client_send_connection(c, &m);
    buffer_free(&encoded);
    buffer_free(&response);
    arena_free(&arena);
}

static void client_on_tune(struct client *c, const struct amqp_connection_tune *tune)
{
    struct amqp_method ok = {.id = AMQP_CONNECTION_TUNE_OK};
    struct amqp_method open = {.id = AMQP_CONNECTION_OPEN};

    c->frame_max = tune->frame_max != 0 && tune->frame_max < CLIENT_FRAME_MAX ? tune->frame_max
                                                                              : CLIENT_FRAME_MAX;
    c->heartbeat_s = c->target->heartbeat_s;
    if (tune->heartbeat_s != 0 && tune->heartbeat_s < c->heartbeat_s)
        c->heartbeat_s = tune->heartbeat_s;
    ok.connection_tune_ok.channel_max = tune->channel_max;
    ok.connection_tune_ok.frame_max = c->frame_max;
    ok.connection_tune_ok.heartbeat_s = (uint16_t)c->heartbeat_s;
    client_send_connection(c, &ok);
    open.connection_open.virtual_host = bytes_from_string(c->target->broker->vhost);
    client_send_connection(c, &open);
}

static void client_on_close(struct client *c, const char *what, uint16_t code, struct bytes text)
{
    client_fail(c, "the broker closed the %s: %u %.*s", what, code, BYTES_ARGS(text));
}

/* Methods of channel 0. */
static void client_on_connection_method(struct client *c, const struct amqp_method *m)
{
    struct amqp_method open_channel = {.id = AMQP_CHANNEL_OPEN};
    struct amqp_method close_ok = {.id = AMQP_CONNECTION_CLOSE_OK};

    if (m->id == AMQP_CONNECTION_START && c->state == CLIENT_STARTING) {
        client_send_start_ok(c);
        c->state = CLIENT_TUNING;
    } else if (m->id == AMQP_CONNECTION_TUNE && c->state == CLIENT_TUNING) {
        client_on_tune(c, &m->connection_tune);
        c->state = CLIENT_OPENING;
    } else if (m->id == AMQP_CONNECTION_OPEN_OK && c->state == CLIENT_OPENING) {
        client_send(c, &open_channel);
        c->state = CLIENT_CHANNEL_OPENING;
    } else if (m->id == AMQP_CONNECTION_CLOSE) {
        const struct amqp_connection_close *close = &m->connection_close;

        client_send_connection(c, &close_ok);
        client_flush(c, c->sent_ns);
        client_on_close(c, "connection", close->reply_code, close->reply_text);
    } else if (m->id == AMQP_CONNECTION_CLOSE_OK && c->state == CLIENT_CLOSING) {
        c->state = CLIENT_CLOSED;
    } else if (m->id == AMQP_CONNECTION_BLOCKED) {
        c->blocked = true;
        fprintf(stderr, "leveret-perf: the broker blocks publishers: %.*s\n",
                BYTES_ARGS(m->connection_blocked.reason));
    } else if (m->id == AMQP_CONNECTION_UNBLOCKED) {
        c->blocked = false;
        fprintf(stderr, "leveret-perf: the broker unblocks publishers\n");
    } else {
        client_fail(c, "unexpected %s from the broker", amqp_method_name(m->id));
    }
}

/* ---- in ---- */

static void client_note_reply(struct client *c, const struct amqp_method *m)
{
    switch ((uint32_t)m->id) {
    case AMQP_QUEUE_DECLARE_OK:
        c->reply_message_count = m->queue_declare_ok.message_count;
        break;
    case AMQP_QUEUE_DELETE_OK:
        c->reply_message_count = m->queue_delete_ok.message_count;
        break;
    case AMQP_QUEUE_PURGE_OK:
        c->reply_message_count = m->queue_purge_ok.message_count;
        break;
    case AMQP_EXCHANGE_DECLARE_OK:
    case AMQP_EXCHANGE_DELETE_OK:
    case AMQP_QUEUE_BIND_OK:
    case AMQP_QUEUE_UNBIND_OK:
    case AMQP_BASIC_QOS_OK:
    case AMQP_BASIC_CONSUME_OK:
    case AMQP_BASIC_CANCEL_OK:
    case AMQP_CONFIRM_SELECT_OK:
        break;
    default:
        return;
    }
    c->replies++;
}

static void client_on_channel_method(struct client *c, const struct amqp_method *m)
{
    if (m->id == AMQP_CHANNEL_OPEN_OK && c->state == CLIENT_CHANNEL_OPENING) {
        c->state = CLIENT_OPEN;
        if (c->events != NULL && c->events->opened != NULL)
            c->events->opened(c);
        return;
    }
    if (m->id == AMQP_CHANNEL_CLOSE) {
        client_on_close(c, "channel", m->channel_close.reply_code, m->channel_close.reply_text);
        return;
    }
    if (m->id == AMQP_BASIC_CANCEL) {
        client_fail(c, "the broker cancelled the consumer %.*s: its queue is gone",
                    BYTES_ARGS(m->basic_cancel.consumer_tag));
        return;
    }
    client_note_reply(c, m);
    if (c->events != NULL && c->events->method != NULL)
        c->events->method(c, m);
}

static void client_begin_content(struct client *c, bool delivery)
{
    c->content = true;
    c->content_is_delivery = delivery;
    c->content_has_header = false;
}

static void client_end_content(struct client *c)
{
    c->content = false;
    if (c->content_is_delivery && c->events != NULL && c->events->delivered != NULL)
        c->events->delivered(c, &c->delivery);
}

static void client_on_confirm(struct client *c, uint64_t tag, bool multiple, bool ack)
{
    if (c->events != NULL && c->events->confirmed != NULL)
        c->events->confirmed(c, tag, multiple, ack);
}

static void client_on_method_frame(struct client *c, const struct amqp_frame *f)
{
    struct bytes payload = amqp_frame_payload(f);
    struct amqp_error error = {0};
    struct amqp_basic_deliver deliver;
    struct amqp_basic_ack ack;
    struct amqp_basic_nack nack;
    struct amqp_method m;

    switch (amqp_method_peek(payload)) {
    case AMQP_BASIC_DELIVER:
        if (!amqp_fields_decode_basic_deliver(payload, &deliver))
            break;
        c->delivery.delivery_tag = deliver.delivery_tag;
        c->delivery.redelivered = deliver.redelivered;
        client_begin_content(c, true);
        return;
    case AMQP_BASIC_ACK:
        if (!amqp_fields_decode_basic_ack(payload, &ack))
            break;
        client_on_confirm(c, ack.delivery_tag, ack.multiple, true);
        return;
    case AMQP_BASIC_NACK:
        if (!amqp_fields_decode_basic_nack(payload, &nack))
            break;
        client_on_confirm(c, nack.delivery_tag, nack.multiple, false);
        return;
    default:
        if (amqp_method_decode(payload, &m, &error) != 0)
            break;
        if (amqp_method_has_content(m.id))
            client_begin_content(c, false);
        if (f->channel == 0)
            client_on_connection_method(c, &m);
        else
            client_on_channel_method(c, &m);
        return;
    }
    amqp_method_fail(payload, &error);
    client_fail(c, "malformed method from the broker: %s", error.text);
}

/* Copies what this part of the body adds to the first bytes. */
static void client_show_body_start(struct client *c, struct bytes part)
{
    uint64_t offset = c->delivery.body_size - c->content_left;
    size_t room = offset < CLIENT_BODY_START ? (size_t)(CLIENT_BODY_START - offset) : 0;

    if (room > part.size)
        room = part.size;
    if (room != 0)
        memcpy(c->delivery.start + offset, part.data, room);
}

static void client_on_frame(struct client *c, const struct amqp_frame *f)
{
    switch (f->type) {
    case AMQP_FRAME_METHOD:
        client_on_method_frame(c, f);
        return;
    case AMQP_FRAME_HEADER:
        if (!c->content || c->content_has_header || f->size < 14)
            break;
        c->content_has_header = true;
        c->content_left = c->delivery.body_size = amqp_load64(f->payload + 4);
        if (c->content_left == 0)
            client_end_content(c);
        return;
    case AMQP_FRAME_BODY:
        if (!c->content || !c->content_has_header || f->size > c->content_left)
            break;
        client_show_body_start(c, amqp_frame_payload(f));
        c->content_left -= f->size;
        if (c->content_left == 0)
            client_end_content(c);
        return;
    case AMQP_FRAME_HEARTBEAT:
        return;
    }
    client_fail(c, "unexpected frame of type %u from the broker", f->type);
}

/* Handles whole frames; returns how many bytes they took. */
static size_t client_parse(struct client *c, struct bytes in)
{
    size_t used = 0;

    if (c->state == CLIENT_STARTING && in.size >= 4 && memcmp(in.data, "AMQP", 4) == 0) {
        client_fail(c, "the broker does not speak AMQP 0-9-1");
        return in.size;
    }
    while (!client_ended(c)) {
        struct amqp_error error = {0};
        struct amqp_frame frame;
        ssize_t taken = amqp_frame_decode(bytes_of(in.data + used, in.size - used),
                                          CLIENT_FRAME_MAX, &frame, &error);

        if (taken < 0)
            client_fail(c, "malformed frame from the broker: %s", error.text);
        if (taken <= 0)
            break;
        used += (size_t)taken;
        client_on_frame(c, &frame);
    }
    return used;
}

/* Reads what there is, up to the size of the input. Returns whether more may be there of which the
 * socket says nothing: TLS holds it. */
static bool client_read(struct client *c, uint8_t *input)
{
    static const char *const steps[] = {
        [CLIENT_STARTING] = " at the start of the handshake",
        [CLIENT_TUNING] = " after the login",
        [CLIENT_OPENING] = " when the vhost was to be opened",
        [CLIENT_CHANNEL_OPENING] = " when the channel was to be opened",
    };
    size_t held = c->rest.size;
    size_t used;
    ssize_t got;

    if (held != 0)
        memcpy(input, c->rest.data, held);
    got = client_receive(c, input + held, CLIENT_INPUT_SIZE - held);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (got <= 0) {
        const char *step = c->state <= CLIENT_CHANNEL_OPENING ? steps[c->state] : NULL;

        if (c->state == CLIENT_CLOSING)
            c->state = CLIENT_CLOSED;
        else
            client_fail(c, "the broker dropped the connection%s%s%s", step != NULL ? step : "",
                        got < 0 ? ": " : "", got < 0 ? strerror(errno) : "");
        return false;
    }

    c->received_ns = clock_monotonic_ns();
    used = client_parse(c, bytes_of(input, held + (size_t)got));
    buffer_clear(&c->rest);
    if (used < held + (size_t)got)
        buffer_append(&c->rest, bytes_of(input + used, held + (size_t)got - used));
    return c->ssl != NULL && held + (size_t)got == CLIENT_INPUT_SIZE;
}

static void client_on_connected(struct client *c)
{
    int error = 0;
    socklen_t size = sizeof(error);

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        client_fail(c, "connect to %s:%u: %s", c->target->broker->host, c->target->broker->port,
                    strerror(error));
        return;
    }
    c->state = CLIENT_STARTING;
}

void client_ready(struct client *c, uint32_t events, uint8_t *input, int64_t now_ns)
{
    if (c->fd < 0)
        return;
    if (c->state == CLIENT_CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
        client_on_connected(c);
    if (!client_ended(c) && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        while (client_read(c, input) && !client_ended(c))
            ;
    if (!client_ended(c) && (c->output.size != 0 || c->bulk.size != 0))
        client_flush(c, now_ns);
    client_end_if_over(c);
}

/* ---- blocking ---- */

/* One step: waits for the socket and handles what it brings. */
static int client_step(struct client *c, int64_t deadline_ns)
{
    static _Thread_local uint8_t *input;
    struct pollfd poll_fd = {.fd = c->fd, .events = POLLIN};
    int64_t now_ns = clock_monotonic_ns();
    uint32_t events = 0;
    int rc;

    if (input == NULL)
        input = memory_alloc(CLIENT_INPUT_SIZE);
    if (client_ended(c))
        return -1;
    if (now_ns >= deadline_ns) {
        client_fail(c, "no answer from the broker in %d s", REPLY_TIMEOUT_MS / 1000);
        return -1;
    }
    if (c->wants_output)
        poll_fd.events |= POLLOUT;
    rc = poll(&poll_fd, 1, (int)((deadline_ns - now_ns) / 1000000) + 1);
    if (rc <= 0)
        return 0;
    if ((poll_fd.revents & POLLIN) != 0)
        events |= EPOLLIN;
    if ((poll_fd.revents & POLLOUT) != 0)
        events |= EPOLLOUT;
    if ((poll_fd.revents & (POLLERR | POLLHUP)) != 0)
        events |= EPOLLHUP;
    client_ready(c, events, input, clock_monotonic_ns());
    return c->state == CLIENT_FAILED ? -1 : 0;
}

static int64_t deadline_after_ms(int64_t ms)
{
    return clock_monotonic_ns() + ms * 1000000;
}

int client_connect(struct client *c)
{
    int64_t deadline_ns = deadline_after_ms(REPLY_TIMEOUT_MS);

    if (client_start(c) != 0)
        return -1;
    while (c->state != CLIENT_OPEN)
        if (client_step(c, deadline_ns) != 0)
            return -1;
    return 0;
}

int client_wait_replies(struct client *c, uint64_t replies)
{
    int64_t deadline_ns = deadline_after_ms(REPLY_TIMEOUT_MS);

    client_flush(c, clock_monotonic_ns());
    while (c->replies < replies)
        if (client_step(c, deadline_ns) != 0)
            return -1;
    return 0;
}

int client_call(struct client *c, const struct amqp_method *m)
{
    if (c->state != CLIENT_OPEN) {
        client_fail(c, "not connected");
        return -1;
    }
    client_send(c, m);
    return client_wait_replies(c, c->replies + 1);
}

void client_disconnect(struct client *c)
{
    int64_t deadline_ns = deadline_after_ms(CLOSE_TIMEOUT_MS);

    client_close(c, clock_monotonic_ns());
    while (c->state == CLIENT_CLOSING && clock_monotonic_ns() < deadline_ns)
        if (client_step(c, deadline_ns) != 0)
            break;
    client_close_socket(c);
}
