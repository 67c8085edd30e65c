#include "session/connection.h"

#include "amqp/protocol_header.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/tls.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/connection_heartbeat.h"
#include "session/connection_place.h"
#include "session/connection_proxy.h"
#include "session/direct_reply.h"
#include "session/shard.h"
#include "session/subscription.h"
#include "session/user_limits.h"
#include "session/vhost_limits.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a peer may take to answer our close, and to take what we still have for it. */
#define CONNECTION_CLOSE_TIMEOUT_MS 3000
/* How long a connection that ends waits for what its channels wait for: a disk that fails, or
 * hangs, must not keep what the peer held from others. */
#define CONNECTION_ENDING_TIMEOUT_MS 5000
/* Output beyond which a peer's requests are not read either, in high watermarks. */
#define CONNECTION_OUTPUT_LIMIT_FACTOR 2u

static void connection_on_ready(struct reactor_source *source, uint32_t ready);
static void connection_on_timer(struct timer *t);

/* ---- Life ---- */

static struct timer_wheel *timers(const struct connection *c)
{
    return &c->shard->worker->timers;
}

void connection_set_timer(struct connection *c, int64_t in_ms)
{
    timer_set(timers(c), &c->timer, shard_now_ms(c->shard) + in_ms);
}

static void open_stream(struct stream *stream, struct shard *s, int fd, struct server_listener *at)
{
    struct tls_context *tls = server_listener_tls(at);

    if (tls == NULL)
        stream_init_plain(stream, fd);
    else
        stream_init_tls(stream, fd, tls, &s->worker->tls_turn);
    tls_context_unref(tls);
}

void connection_accept(struct shard *s, int fd, const struct socket_address *peer,
                       struct server_listener *at)
{
    const struct config_limits *limits = s->broker->limits;
    struct connection *c;

    if (!handshakes_admit(s)) {
        close(fd);
        return;
    }
    c = memory_alloc_zeroed(1, sizeof(*c));
    open_stream(&c->stream, s, fd, at);
    c->shard = s;
    c->listener = at;
    c->id = atomic_fetch_add(&s->worker->server->next_connection_id, 1);
    c->state = CONNECTION_EXPECT_HEADER;
    c->frame_max = limits->handshake_frame_max < limits->frame_max ? limits->handshake_frame_max
                                                                   : limits->frame_max;
    c->channel_max = limits->max_channels_per_connection;
    c->last_read_ms = shard_now_ms(s);
    c->peer_is_loopback = socket_address_is_loopback(peer);
    c->expects_proxy_header = server_listener_is_proxy(at, peer);
    socket_address_format(peer, c->peer);
    output_init(&c->output, &s->output_pool);
    list_node_init(&c->dirty);
    list_node_init(&c->held_back);
    list_node_init(&c->in_handshakes);
    handshakes_add(c);
    list_init(&c->exclusive_queues);
    list_init(&c->congested);
    list_init(&c->reply_consumers);
    timer_init(&c->timer, connection_on_timer);
    connection_join(c, s);
    if (c->state != CONNECTION_DEAD)
        connection_set_timer(c, s->broker->limits->handshake_timeout_ms);
}

static bool has_id(const struct hash_node *node, const void *key)
{
    return container_of(node, const struct connection, by_id)->id == *(const uint64_t *)key;
}

struct connection *connection_find(const struct shard *s, uint64_t id)
{
    struct hash_node *node = hash_map_find(&s->connections_by_id, id, has_id, &id);

    return node == NULL ? NULL : container_of(node, struct connection, by_id);
}

void connection_join(struct connection *c, struct shard *s)
{
    int rc;

    list_append(&s->connections, &c->in_shard);
    hash_map_insert(&s->connections_by_id, &c->by_id, c->id);
    atomic_fetch_add_explicit(&s->connection_count, 1, memory_order_relaxed);
    rc = reactor_add(&s->worker->reactor, &c->source, c->stream.fd, REACTOR_READ,
                     connection_on_ready);
    if (rc < 0) {
        log_error("connection", "%s: cannot be watched: %s", c->peer, strerror(-rc));
        connection_kill(c);
        return;
    }
    connection_heartbeat_begin(c);
    if (c->output.pending_bytes != 0 || c->stream.wants_write)
        connection_touch(c);
}

void connection_leave(struct connection *c)
{
    timer_cancel(timers(c), &c->timer);
    reactor_remove(&c->shard->worker->reactor, &c->source);
    list_remove(&c->dirty);
    list_remove(&c->held_back);
    list_remove(&c->in_shard);
    hash_map_remove(&c->shard->connections_by_id, &c->by_id);
    atomic_fetch_sub_explicit(&c->shard->connection_count, 1, memory_order_relaxed);
}

/* What one channel gives back is not for another one of a connection that ends. */
static void stop_deliveries(struct connection *c)
{
    for (uint32_t i = 1; i < c->channel_slots; i++) {
        if (c->channels[i] != NULL)
            channel_stop_deliveries(c->channels[i]);
    }
}

static void tell_of_channel_errors(struct connection *c)
{
    uint32_t left_out = log_quota_tell(&c->channel_errors);

    if (left_out != 0)
        connection_lines_log(c->shard, CONNECTION_LINE_CHANNEL_CLOSED,
                             "%s: %u more channels closed for errors; %d a second are listed",
                             c->peer, left_out, LOG_QUOTA_LINES);
}

void connection_log_channel_error(struct connection *c, unsigned channel,
                                  const struct amqp_error *e)
{
    if (!log_quota_take(&c->channel_errors, shard_now_ms(c->shard)))
        return;
    tell_of_channel_errors(c);
    connection_lines_log(c->shard, CONNECTION_LINE_CHANNEL_CLOSED, "%s: channel %u closed: %s",
                         c->peer, channel, e->text);
}

static void end_channels(struct connection *c)
{
    c->body_channel = NULL;
    if (c->channel_count > 1)
        stop_deliveries(c);
    for (uint32_t i = 1; i < c->channel_slots; i++) {
        struct channel *ch = c->channels[i];

        c->channels[i] = NULL;
        if (ch != NULL)
            channel_orphan(ch);
    }
    user_limits_close_channels(c, c->channel_count);
    c->channel_count = 0;
}

void connection_delete_exclusive_queues(struct connection *c)
{
    struct list_node *node;

    while ((node = list_first(&c->exclusive_queues)) != NULL)
        queue_home_delete(c->shard, container_of(node, struct queue_handle, by_owner));
}

void connection_kill(struct connection *c)
{
    if (c->state == CONNECTION_DEAD)
        return;
    c->state = CONNECTION_DEAD;
    tell_of_channel_errors(c);
    end_channels(c);
    connection_delete_exclusive_queues(c);
    connection_leave(c);
    handshakes_remove(c);
    vhost_limits_leave(c);
    user_limits_leave(c);
    stream_close(&c->stream);
    list_append(&c->shard->dead_connections, &c->in_shard);
    atomic_fetch_sub(&c->shard->worker->server->connection_count, 1);
}

void connection_free(struct connection *c)
{
    list_remove(&c->dirty);
    output_release(&c->output);
    auth_database_unref(c->auth);
    free(c->channels);
    if (c->partial != NULL)
        explicit_bzero(c->partial, c->partial_size);
    free(c->partial);
    free(c);
}

/* ---- Output ---- */

void connection_touch(struct connection *c)
{
    if (!list_linked(&c->dirty))
        list_append(&c->shard->dirty_connections, &c->dirty);
}

void connection_send(struct connection *c, uint16_t channel, const struct amqp_method *m)
{
    size_t payload_size = amqp_method_encoded_size(m);
    uint8_t *out = output_reserve(&c->output, payload_size + AMQP_FRAME_OVERHEAD);

    amqp_method_encode(m, out + AMQP_FRAME_HEADER_SIZE);
    output_commit(&c->output, amqp_method_frame_close(out, channel,
                                                      out + AMQP_FRAME_HEADER_SIZE + payload_size));
    connection_touch(c);
}

void connection_send_frame(struct connection *c, struct bytes frames)
{
    memcpy(output_reserve(&c->output, frames.size), frames.data, frames.size);
    output_commit(&c->output, frames.size);
    connection_touch(c);
}

bool connection_congested(const struct connection *c)
{
    return c->output.pending_bytes >= c->shard->output_high_watermark;
}

static bool reads_when_writable(const struct connection *c)
{
    return c->stream.wants_write && c->read_paused == 0;
}

static void update_interest(struct connection *c)
{
    uint32_t interest = c->read_paused == 0 ? REACTOR_READ : 0;

    if (c->output.pending_bytes != 0 || reads_when_writable(c))
        interest |= REACTOR_WRITE;
    reactor_set_interest(&c->shard->worker->reactor, &c->source, interest);
}

void connection_pause_reading(struct connection *c, enum read_pause reason)
{
    c->read_paused |= (uint8_t)reason;
    connection_touch(c);
}

void connection_resume_reading(struct connection *c, enum read_pause reason)
{
    c->read_paused &= (uint8_t) ~(unsigned)reason;
    connection_touch(c);
}

static void resume_congested(struct connection *c)
{
    struct list_node *node;

    while (!connection_congested(c) && (node = list_take_first(&c->congested)) != NULL)
        subscription_resume(container_of(node, struct subscription, congested));
    while (!connection_congested(c) && (node = list_take_first(&c->reply_consumers)) != NULL)
        reply_consumer_resume(container_of(node, struct reply_consumer, waits));
}

void connection_flush(struct connection *c)
{
    size_t pending_before = c->output.pending_bytes;
    int rc;

    if (c->state == CONNECTION_DEAD)
        return;
    rc = output_flush(&c->output, &c->stream);
    if (rc < 0 && rc != -EAGAIN) {
        connection_kill(c);
        return;
    }
    if (c->output.pending_bytes != pending_before)
        c->last_write_ms = shard_now_ms(c->shard);
    if (rc == 0 && c->state == CONNECTION_DRAINING) {
        connection_kill(c);
        return;
    }
    if (c->output.pending_bytes >= CONNECTION_OUTPUT_LIMIT_FACTOR * c->shard->output_high_watermark)
        c->read_paused |= READ_PAUSED_BY_OUTPUT;
    else
        c->read_paused &= (uint8_t) ~(unsigned)READ_PAUSED_BY_OUTPUT;
    update_interest(c);
    resume_congested(c);
}

/* ---- Errors and closing ---- */

static void start_close(struct connection *c, const struct amqp_error *e)
{
    const struct amqp_method close = {
        .id = AMQP_CONNECTION_CLOSE,
        .connection_close =
            {
                .reply_code = e->code,
                .reply_text = bytes_from_string(e->text),
                .class_id = e->class_id,
                .method_id = e->method_id,
            },
    };

    end_channels(c);
    connection_delete_exclusive_queues(c);
    connection_send(c, 0, &close);
    c->state = CONNECTION_CLOSE_SENT;
    c->read_paused = 0;
    connection_set_timer(c, CONNECTION_CLOSE_TIMEOUT_MS);
}

int connection_fail_with(struct connection *c, const struct amqp_error *e)
{
    if (c->state == CONNECTION_DEAD || c->state == CONNECTION_CLOSE_SENT ||
        c->state == CONNECTION_DRAINING)
        return -EPROTO;
    if (handshakes_has(c))
        connection_lines_log(c->shard, CONNECTION_LINE_ENDED_EARLY, "%s: closed: %s", c->peer,
                             e->text);
    else
        connection_lines_log(c->shard, CONNECTION_LINE_CLOSED, "%s: closed: %s", c->peer, e->text);
    start_close(c, e);
    return -EPROTO;
}

int connection_fail(struct connection *c, int code, uint32_t method, const char *format, ...)
{
    struct amqp_error e;
    va_list args;

    va_start(args, format);
    amqp_error_set_list(&e, code, (uint16_t)(method >> 16), (uint16_t)method, format, args);
    va_end(args);
    return connection_fail_with(c, &e);
}

void connection_limit_source(uint32_t agreed, uint32_t configured, const char *key,
                             char out[CONNECTION_LIMIT_SOURCE_SIZE])
{
    if (agreed == configured)
        snprintf(out, CONNECTION_LIMIT_SOURCE_SIZE, "limits.%s", key);
    else
        snprintf(out, CONNECTION_LIMIT_SOURCE_SIZE, "the client's own; limits.%s is %" PRIu32, key,
                 configured);
}

void connection_force_close(struct connection *c, const char *why)
{
    if (c->state == CONNECTION_OPEN)
        connection_fail(c, AMQP_CONNECTION_FORCED, 0, "%s", why);
    else if (c->state != CONNECTION_CLOSE_SENT && c->state != CONNECTION_CLOSE_RECEIVED &&
             c->state != CONNECTION_DRAINING)
        connection_kill(c);
}

void connection_close_for_deleted_vhost(struct connection *c)
{
    char why[300];

    snprintf(why, sizeof(why), "vhost '%.*s' is deleted", BYTES_ARGS(c->vhost->name));
    connection_force_close(c, why);
}

/* ---- Closing by the peer ---- */

static void finish_close_by_peer(struct connection *c)
{
    connection_delete_exclusive_queues(c);
    connection_send(c, 0, &(struct amqp_method){.id = AMQP_CONNECTION_CLOSE_OK});
    c->state = CONNECTION_DRAINING;
    connection_set_timer(c, CONNECTION_CLOSE_TIMEOUT_MS);
}

/* Channels that end at once must not answer while others have not been asked to. */
static void on_close(struct connection *c)
{
    c->state = CONNECTION_CLOSE_RECEIVED;
    c->closing_channels = true;
    if (c->channel_count > 1)
        stop_deliveries(c);
    for (uint32_t i = 1; i < c->channel_slots; i++) {
        struct channel *ch = c->channels[i];

        if (ch != NULL)
            channel_close_for_connection(ch);
    }
    c->closing_channels = false;
    if (c->channel_count == 0)
        finish_close_by_peer(c);
}

static bool has_parked_channel(const struct connection *c)
{
    for (uint32_t i = 1; i < c->channel_slots; i++) {
        if (c->channels[i] != NULL && channel_is_parked(c->channels[i]))
            return true;
    }
    return false;
}

/* Has the connection end when its channels have worked off what they have, or in time. */
static void end_later(struct connection *c, enum connection_ending how)
{
    if (c->ending != CONNECTION_GOES_ON)
        return;
    c->ending = (uint8_t)how;
    connection_set_timer(c, CONNECTION_ENDING_TIMEOUT_MS);
}

static void end_now(struct connection *c)
{
    timer_cancel(timers(c), &c->timer);
    connection_heartbeat_begin(c);
    if (c->ending == CONNECTION_ENDS_BY_CLOSE)
        on_close(c);
    else
        connection_kill(c);
}

void connection_on_channel_idle(struct connection *c)
{
    if (c->ending != CONNECTION_GOES_ON && c->state == CONNECTION_OPEN && !has_parked_channel(c))
        end_now(c);
}

void connection_on_channel_gone(struct connection *c, struct channel *ch)
{
    if (c->body_channel == ch)
        c->body_channel = NULL;
    c->channels[ch->number] = NULL;
    c->channel_count--;
    user_limits_close_channels(c, 1);
    if (c->state == CONNECTION_CLOSE_RECEIVED && c->channel_count == 0 && !c->closing_channels)
        finish_close_by_peer(c);
}

int connection_on_method(struct connection *c, const struct amqp_method *m)
{
    if (m->id == AMQP_CONNECTION_CLOSE && c->state < CONNECTION_CLOSE_SENT) {
        /* It does not overtake what channels have to wait for. */
        if (has_parked_channel(c))
            end_later(c, CONNECTION_ENDS_BY_CLOSE);
        else
            on_close(c);
        return 0;
    }
    if (m->id == AMQP_CONNECTION_CLOSE_OK && c->state == CONNECTION_CLOSE_SENT) {
        connection_kill(c);
        return 0;
    }
    if (c->state != CONNECTION_OPEN)
        return connection_on_handshake_method(c, m);
    if (m->id == AMQP_CONNECTION_UPDATE_SECRET) {
        connection_send(c, 0, &(struct amqp_method){.id = AMQP_CONNECTION_UPDATE_SECRET_OK});
        return 0;
    }
    if (amqp_method_class(m->id) != AMQP_CLASS_CONNECTION)
        return connection_fail(c, AMQP_CHANNEL_ERROR, m->id, "%s needs a channel, not channel 0",
                               amqp_method_name(m->id));
    return connection_fail(c, AMQP_CHANNEL_ERROR, m->id,
                           "unexpected method in connection state running: %s",
                           amqp_method_name(m->id));
}

/* ---- Input ---- */

static struct channel *find_channel(const struct connection *c, uint16_t number)
{
    return number < c->channel_slots ? c->channels[number] : NULL;
}

static int on_channel_0_frame(struct connection *c, const struct amqp_frame *frame)
{
    struct amqp_method m;
    struct amqp_error e;

    if (frame->type == AMQP_FRAME_HEARTBEAT)
        return 0;
    if (frame->type != AMQP_FRAME_METHOD)
        return connection_fail(c, AMQP_UNEXPECTED_FRAME, 0,
                               "content frame on channel 0, where no content can be");
    if (amqp_method_decode(amqp_frame_payload(frame), &m, &e) < 0)
        return connection_fail_with(c, &e);
    return connection_on_method(c, &m);
}

static int on_unknown_channel_frame(struct connection *c, const struct amqp_frame *frame)
{
    uint32_t method = 0;

    if (frame->type == AMQP_FRAME_METHOD)
        method = amqp_method_peek(amqp_frame_payload(frame));
    if (method == AMQP_CHANNEL_OPEN)
        return channel_open(c, frame->channel);
    if (method == AMQP_CHANNEL_CLOSE_OK)
        return 0;
    if (method == AMQP_CHANNEL_CLOSE) {
        connection_send(c, frame->channel, &(struct amqp_method){.id = AMQP_CHANNEL_CLOSE_OK});
        return 0;
    }
    return connection_fail(c, AMQP_CHANNEL_ERROR, method, "expected 'channel.open'");
}

static int on_frame(struct connection *c, const struct amqp_frame *frame)
{
    struct channel *ch;

    if (frame->channel == 0)
        return on_channel_0_frame(c, frame);
    if (c->state != CONNECTION_OPEN) {
        if (c->state < CONNECTION_OPEN)
            return connection_fail(c, AMQP_UNEXPECTED_FRAME, 0,
                                   "frame on channel %u before the connection is open",
                                   (unsigned)frame->channel);
        return 0;
    }
    if (frame->type == AMQP_FRAME_HEARTBEAT)
        return connection_fail(c, AMQP_UNEXPECTED_FRAME, 0, "heartbeat on channel %u, not 0",
                               (unsigned)frame->channel);
    ch = find_channel(c, frame->channel);
    return ch != NULL ? channel_on_frame(ch, frame) : on_unknown_channel_frame(c, frame);
}

/* The bytes of a body frame whose start has been handled. Returns how many were used. */
static size_t stream_body(struct connection *c, const uint8_t *data, size_t size)
{
    size_t used = c->body_left < size ? c->body_left : size;

    if (c->body_left != 0) {
        if (c->body_channel != NULL)
            channel_on_body(c->body_channel, data, used);
        c->body_left -= (uint32_t)used;
        return used;
    }
    c->expect_frame_end = false;
    if (data[0] != AMQP_FRAME_END) {
        connection_fail(c, AMQP_FRAME_ERROR, 0, "frame ends with octet %u instead of %u",
                        (unsigned)data[0], (unsigned)AMQP_FRAME_END);
    } else if (c->body_channel != NULL) {
        struct shard *s = c->shard;

        s->ahead = bytes_of(data + 1, size - 1);
        channel_on_body_end(c->body_channel);
        s->ahead = bytes_of(NULL, 0);
    }
    return 1;
}

static void fail_large_frame(struct connection *c, const struct amqp_frame *frame)
{
    const struct config_limits *limits = c->shard->broker->limits;
    char source[CONNECTION_LIMIT_SOURCE_SIZE];

    if (c->state < CONNECTION_EXPECT_OPEN) {
        connection_fail(c, AMQP_FRAME_ERROR, 0,
                        "frame too large before the login: payload of %" PRIu32
                        " octets, at most %" PRIu32 " (limits.%s)",
                        frame->size, c->frame_max,
                        limits->handshake_frame_max <= limits->frame_max ? "handshake_frame_max"
                                                                         : "frame_max");
        return;
    }
    connection_limit_source(c->frame_max, limits->frame_max, "frame_max", source);
    connection_fail(c, AMQP_FRAME_ERROR, 0,
                    "frame too large: type %u, payload of %" PRIu32 " octets, frame_max %" PRIu32
                    " (%s)",
                    frame->type, frame->size, c->frame_max, source);
}

/* Of input that is no frame. One that is only too large says which limit it meets. */
static void fail_frame(struct connection *c, const uint8_t *data, const struct amqp_error *e)
{
    struct amqp_frame frame;
    struct amqp_error ignored;

    amqp_frame_header_decode(data, &frame);
    if (amqp_frame_header_check(&frame, c->frame_max, &ignored) < 0 &&
        amqp_frame_header_check(&frame, 0, &ignored) == 0)
        fail_large_frame(c, &frame);
    else
        connection_fail_with(c, e);
}

/* Begins a body frame if that is what comes and its channel takes it as it comes. */
static bool starts_body(struct connection *c, const uint8_t *data)
{
    struct amqp_frame frame;
    struct amqp_error e;
    struct channel *ch;

    if (data[0] != AMQP_FRAME_BODY || c->state != CONNECTION_OPEN)
        return false;
    amqp_frame_header_decode(data, &frame);
    ch = find_channel(c, frame.channel);
    if (ch == NULL || !channel_streams_body(ch))
        return false;
    if (amqp_frame_header_check(&frame, c->frame_max, &e) < 0) {
        fail_frame(c, data, &e);
        return false;
    }
    if (channel_on_body_frame(ch, frame.size) < 0)
        return false;
    c->body_channel = ch;
    c->body_left = frame.size;
    c->expect_frame_end = true;
    return true;
}

/* Handles what is whole. Returns the bytes used. */
static size_t handle_input(struct connection *c, const uint8_t *data, size_t size)
{
    size_t at = 0;

    while (at < size && c->state < CONNECTION_DRAINING) {
        struct amqp_frame frame;
        struct amqp_error e;
        ssize_t used;

        if (c->expect_frame_end) {
            at += stream_body(c, data + at, size - at);
            continue;
        }
        if (size - at < AMQP_FRAME_HEADER_SIZE)
            break;
        if (starts_body(c, data + at)) {
            at += AMQP_FRAME_HEADER_SIZE;
            continue;
        }
        used = amqp_frame_decode(bytes_of(data + at, size - at), c->frame_max, &frame, &e);
        if (used == 0)
            break;
        if (used < 0) {
            fail_frame(c, data + at, &e);
            return size;
        }
        at += (size_t)used;
        on_frame(c, &frame);
        if (c->moving_to != 0)
            return at - (size_t)used;
        if (c->ending != CONNECTION_GOES_ON)
            return size;
        if (c->state == CONNECTION_AUTHENTICATING)
            return at;
    }
    return c->state < CONNECTION_DRAINING ? at : size;
}

/* A handshake record of any version of TLS (RFC 8446 §5.1). */
static bool is_tls_hello(const uint8_t *data, size_t size)
{
    return size >= 2 && data[0] == 0x16 && data[1] == 0x03;
}

static size_t handle_protocol_header(struct connection *c, const uint8_t *data, size_t size)
{
    if (amqp_protocol_header_matches(bytes_of(data, size))) {
        if (size < AMQP_PROTOCOL_HEADER_SIZE)
            return 0;
        connection_start(c);
        return AMQP_PROTOCOL_HEADER_SIZE;
    }
    connection_lines_log(c->shard, CONNECTION_LINE_NO_AMQP, "%s: does not speak AMQP 0-9-1%s",
                         c->peer,
                         is_tls_hello(data, size) ? " but TLS, and this listener speaks none" : "");
    memcpy(output_reserve(&c->output, AMQP_PROTOCOL_HEADER_SIZE), AMQP_PROTOCOL_HEADER,
           AMQP_PROTOCOL_HEADER_SIZE);
    output_commit(&c->output, AMQP_PROTOCOL_HEADER_SIZE);
    c->state = CONNECTION_DRAINING;
    connection_touch(c);
    return size;
}

static void keep_partial(struct connection *c, const uint8_t *data, size_t size)
{
    /* It may hold a password. */
    if (c->state < CONNECTION_OPEN && c->partial != NULL) {
        explicit_bzero(c->partial, c->partial_size);
        free(c->partial);
        c->partial = NULL;
    }
    if (size == 0) {
        free(c->partial);
        c->partial = NULL;
    } else if (c->partial == NULL || size != c->partial_size) {
        c->partial = memory_resize(c->partial, size, 1);
    }
    if (size != 0)
        memcpy(c->partial, data, size);
    c->partial_size = (uint32_t)size;
}

/* What is left of the input goes with a connection that moves. */
static void keep_rest(struct connection *c, const uint8_t *data, size_t size)
{
    if (c->moving_to != 0) {
        keep_partial(c, NULL, 0);
        connection_depart(c, bytes_of(data, size));
    } else if (c->state < CONNECTION_DRAINING) {
        keep_partial(c, data, size);
    }
}

void connection_take_input(struct connection *c, struct bytes input)
{
    size_t used = handle_input(c, input.data, input.size);

    keep_rest(c, input.data + used, input.size - used);
}

/* The stream has ended (0) or failed (-errno). Who comes and goes without a word is not worth a
 * line: so do health checks. */
static void log_loss(const struct connection *c, ssize_t result)
{
    const char *tls = stream_tls_error(&c->stream);

    if (tls != NULL && !handshakes_has(c))
        connection_lines_log(c->shard, CONNECTION_LINE_LOST, "%s: TLS failed: %s", c->peer, tls);
    else if (tls != NULL)
        connection_lines_log(c->shard, CONNECTION_LINE_NO_TLS, "%s: %s failed: %s", c->peer,
                             stream_tls_established(&c->stream) ? "TLS" : "the TLS handshake", tls);
    else if (c->state == CONNECTION_OPEN)
        connection_lines_log(c->shard, CONNECTION_LINE_LOST, "%s: lost: %s", c->peer,
                             result == 0 ? "closed by the peer without connection.close"
                                         : strerror((int)-result));
    else if (c->state == CONNECTION_EXPECT_START_OK && c->mechanisms == 0)
        connection_lines_log(c->shard, CONNECTION_LINE_NO_LOGIN,
                             "%s: went away: no mechanism was offered to it: %s", c->peer,
                             connection_why_no_mechanism(c));
}

void connection_take_kept_input(struct connection *c)
{
    uint8_t *kept = c->partial;
    size_t size = kept != NULL ? c->partial_size : 0;

    c->partial = NULL;
    c->partial_size = 0;
    connection_take_input(c, bytes_of(kept, size));
    free(kept);
}

/* Reads once, as much as the budget allows, behind what the last read left over. */
static void read_input(struct connection *c)
{
    struct shard *s = c->shard;
    uint8_t *area = s->read_area + s->headroom;
    uint8_t *start = area - c->partial_size;
    size_t used = 0;
    size_t size;
    ssize_t n;

    n = stream_read(&c->stream, area, s->read_budget);
    if (c->stream.wants_write)
        connection_touch(c);
    if (n == -EAGAIN)
        return;
    if (n == 0 && c->state == CONNECTION_OPEN && has_parked_channel(c)) {
        end_later(c, CONNECTION_ENDS_BY_EOF);
        connection_pause_reading(c, READ_PAUSED_BY_END);
        return;
    }
    if (n <= 0) {
        log_loss(c, n);
        connection_kill(c);
        return;
    }
    c->last_read_ms = shard_now_ms(s);
    if (c->partial_size != 0)
        memcpy(start, c->partial, c->partial_size);
    size = c->partial_size + (size_t)n;
    if (c->state == CONNECTION_EXPECT_HEADER)
        used = handle_protocol_header(c, start, size);
    if (c->state != CONNECTION_EXPECT_HEADER && c->state < CONNECTION_DRAINING)
        used += handle_input(c, start + used, size - used);
    keep_rest(c, start + used, size - used);
}

static void connection_on_ready(struct reactor_source *source, uint32_t ready)
{
    struct connection *c = container_of(source, struct connection, source);

    if (c->expects_proxy_header && !connection_read_proxy_header(c))
        return;
    if ((ready & REACTOR_READ) != 0 || reads_when_writable(c)) {
        if (connection_refresh_auth(c) == 0)
            read_input(c);
        if (c->moving_to != 0)
            return;
    }
    if ((ready & REACTOR_WRITE) != 0 && c->state != CONNECTION_DEAD)
        connection_touch(c);
}

/* ---- Time ---- */

static void connection_on_timer(struct timer *t)
{
    struct connection *c = container_of(t, struct connection, timer);

    switch (c->state) {
    case CONNECTION_EXPECT_HEADER:
    case CONNECTION_EXPECT_START_OK:
    case CONNECTION_AUTHENTICATING:
    case CONNECTION_EXPECT_TUNE_OK:
    case CONNECTION_EXPECT_OPEN:
        connection_lines_log(c->shard, CONNECTION_LINE_TOO_SLOW,
                             "%s: the handshake took longer than %" PRIu32
                             " ms (limits.handshake_timeout_ms)",
                             c->peer, c->shard->broker->limits->handshake_timeout_ms);
        connection_kill(c);
        return;
    case CONNECTION_OPEN:
        if (c->ending != CONNECTION_GOES_ON)
            end_now(c);
        else
            connection_heartbeat_turn(c);
        return;
    case CONNECTION_CLOSE_RECEIVED:
        connection_heartbeat_turn(c);
        return;
    case CONNECTION_CLOSE_SENT:
    case CONNECTION_DRAINING:
        connection_kill(c);
        return;
    case CONNECTION_DEAD:
        return;
    }
}
