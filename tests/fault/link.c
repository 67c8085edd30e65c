#include "tests/fault/link.h"

#include <amqp_tcp_socket.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static _Thread_local unsigned refusal;

unsigned link_refusal(void)
{
    return refusal;
}

static struct timeval span(int ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
}

static bool open_channel_of(struct link *l)
{
    return amqp_channel_open(l->connection, 1) != NULL;
}

bool link_open(struct link *l, const struct broker *b)
{
    struct timeval timeout = span(deadline_ms());
    amqp_socket_t *socket;
    amqp_rpc_reply_t reply;

    *l = (struct link){.connection = amqp_new_connection()};
    socket = amqp_tcp_socket_new(l->connection);
    amqp_set_handshake_timeout(l->connection, &timeout);
    amqp_set_rpc_timeout(l->connection, &timeout);
    if (socket != NULL &&
        amqp_socket_open_noblock(socket, broker_host(b), broker_port(b), &timeout) == 0) {
        reply =
            amqp_login(l->connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
        if (reply.reply_type == AMQP_RESPONSE_NORMAL && open_channel_of(l))
            return true;
    }
    link_drop(l);
    return false;
}

void link_drop(struct link *l)
{
    if (l->connection != NULL)
        amqp_destroy_connection(l->connection);
    l->connection = NULL;
    l->lost = true;
    free(l->body);
    l->body = NULL;
    l->body_capacity = 0;
}

static enum link_result next_frame(struct link *l, int timeout_ms, amqp_frame_t *frame)
{
    struct timeval timeout = span(timeout_ms);
    int rc;

    do {
        rc = amqp_simple_wait_frame_noblock(l->connection, frame, &timeout);
    } while (rc == AMQP_STATUS_OK && frame->frame_type == AMQP_FRAME_HEARTBEAT);
    if (rc == AMQP_STATUS_OK)
        return LINK_EVENT;
    if (rc == AMQP_STATUS_TIMEOUT)
        return LINK_NOTHING;
    l->lost = true;
    return LINK_LOST;
}

static bool has_content(amqp_method_number_t method)
{
    return method == AMQP_BASIC_DELIVER_METHOD || method == AMQP_BASIC_RETURN_METHOD ||
           method == AMQP_BASIC_GET_OK_METHOD;
}

static bool read_content(struct link *l, struct link_event *e)
{
    amqp_frame_t frame;
    size_t received = 0;

    if (next_frame(l, deadline_ms(), &frame) != LINK_EVENT || frame.frame_type != AMQP_FRAME_HEADER)
        return false;
    e->properties = frame.payload.properties.decoded;
    e->body_size = (size_t)frame.payload.properties.body_size;
    if (e->body_size >= l->body_capacity) {
        l->body_capacity = 2 * e->body_size + 1024;
        l->body = realloc(l->body, l->body_capacity);
    }
    e->body = l->body;
    while (received < e->body_size) {
        size_t size;

        if (next_frame(l, deadline_ms(), &frame) != LINK_EVENT ||
            frame.frame_type != AMQP_FRAME_BODY)
            return false;
        size = frame.payload.body_fragment.len;
        if (size > e->body_size - received)
            return false;
        memcpy(l->body + received, frame.payload.body_fragment.bytes, size);
        received += size;
    }
    return true;
}

enum link_result link_next(struct link *l, int timeout_ms, struct link_event *e)
{
    amqp_frame_t frame;
    enum link_result result;

    if (l->lost)
        return LINK_LOST;
    amqp_maybe_release_buffers(l->connection);
    result = next_frame(l, timeout_ms, &frame);
    if (result != LINK_EVENT)
        return result;
    ck_assert_uint_eq(frame.frame_type, AMQP_FRAME_METHOD);
    *e = (struct link_event){
        .method = frame.payload.method.id,
        .fields = frame.payload.method.decoded,
    };
    if (e->method == AMQP_CONNECTION_CLOSE_METHOD)
        refusal = ((const amqp_connection_close_t *)e->fields)->reply_code;
    if (e->method == AMQP_CONNECTION_CLOSE_METHOD ||
        (has_content(e->method) && !read_content(l, e))) {
        l->lost = true;
        return LINK_LOST;
    }
    return LINK_EVENT;
}

bool link_send(struct link *l, amqp_method_number_t method, void *fields)
{
    if (!l->lost && amqp_send_method(l->connection, 1, method, fields) != AMQP_STATUS_OK)
        l->lost = true;
    return !l->lost;
}

void *link_call(struct link *l, amqp_method_number_t method, void *fields,
                amqp_method_number_t reply)
{
    struct link_event e;

    refusal = 0;
    if (!link_send(l, method, fields) || link_next(l, 6 * deadline_ms(), &e) != LINK_EVENT)
        return NULL;
    if (e.method == reply)
        return e.fields;
    if (e.method == AMQP_CHANNEL_CLOSE_METHOD) {
        amqp_channel_close_ok_t ok = {0};

        refusal = ((const amqp_channel_close_t *)e.fields)->reply_code;
        if (!link_send(l, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok) || !open_channel_of(l))
            l->lost = true;
        return NULL;
    }
    ck_abort_msg("expected %s, got %s", amqp_method_name(reply), amqp_method_name(e.method));
}

bool link_confirm_select(struct link *l)
{
    amqp_confirm_select_t m = {0};

    l->published = 0;
    return link_call(l, AMQP_CONFIRM_SELECT_METHOD, &m, AMQP_CONFIRM_SELECT_OK_METHOD) != NULL;
}

bool link_publish(struct link *l, const char *exchange, const char *key, bool mandatory,
                  const amqp_basic_properties_t *properties, const void *body, size_t size)
{
    amqp_bytes_t bytes = {.len = size, .bytes = (void *)(uintptr_t)body};

    if (l->lost)
        return false;
    l->published++;
    if (amqp_basic_publish(l->connection, 1, amqp_cstring_bytes(exchange), amqp_cstring_bytes(key),
                           mandatory, false, properties, bytes) != AMQP_STATUS_OK)
        l->lost = true;
    return !l->lost;
}

uint64_t link_confirm_tag(const struct link_event *e, bool *multiple, bool *accepted)
{
    *accepted = e->method == AMQP_BASIC_ACK_METHOD;
    if (*accepted) {
        const amqp_basic_ack_t *m = e->fields;

        *multiple = m->multiple;
        return m->delivery_tag;
    }
    *multiple = ((const amqp_basic_nack_t *)e->fields)->multiple;
    return ((const amqp_basic_nack_t *)e->fields)->delivery_tag;
}
