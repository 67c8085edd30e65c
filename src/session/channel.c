#include "session/channel.h"

#include "amqp/properties.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/direct_reply.h"
#include "session/method_names.h"
#include "session/publish.h"
#include "session/shard.h"
#include "session/subscription.h"
#include "session/transaction.h"
#include "session/user_limits.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What may come for a channel that waits before its connection is not read any more. */
#define CHANNEL_BACKLOG_MAX (256u * 1024u)

/* ---- Life ---- */

static void grow_slots(struct connection *c, uint16_t number)
{
    uint32_t slots = c->channel_slots != 0 ? c->channel_slots : 2;

    while (slots <= number)
        slots *= 2;
    if (slots > (uint32_t)c->channel_max + 1)
        slots = (uint32_t)c->channel_max + 1;
    c->channels = memory_resize(c->channels, slots, sizeof(struct channel *));
    for (uint32_t i = c->channel_slots; i < slots; i++)
        c->channels[i] = NULL;
    c->channel_slots = slots;
}

static int fail_number(struct connection *c, uint16_t number)
{
    char source[CONNECTION_LIMIT_SOURCE_SIZE];

    connection_limit_source(c->channel_max, c->shard->broker->limits->max_channels_per_connection,
                            "max_channels_per_connection", source);
    return connection_fail(c, AMQP_NOT_ALLOWED, AMQP_CHANNEL_OPEN,
                           "channel %u is above the negotiated channel_max (%u) (%s)",
                           (unsigned)number, (unsigned)c->channel_max, source);
}

int channel_open(struct connection *c, uint16_t number)
{
    struct channel *ch;
    int64_t limit;

    if (number > c->channel_max)
        return fail_number(c, number);
    if (!user_limits_open_channel(c, &limit))
        return connection_fail(c, AMQP_NOT_ALLOWED, AMQP_CHANNEL_OPEN,
                               "number of channels opened for user '%.*s' has reached the maximum "
                               "allowed user limit of (%" PRId64 ") (%s)",
                               BYTES_ARGS(auth_user_name(c->user)), limit,
                               user_limits_channels_key(c));
    if (number >= c->channel_slots)
        grow_slots(c, number);

    ch = memory_alloc_zeroed(1, sizeof(*ch));
    ch->connection = c;
    ch->shard = c->shard;
    ch->number = number;
    ch->serial = (uint64_t)++c->channels_opened << 16 | number;
    ch->state = CHANNEL_OPEN;
    list_node_init(&ch->dirty);
    list_init(&ch->subscriptions);
    buffer_init(&ch->backlog);
    buffer_init(&ch->kept);
    confirms_init(&ch->confirms);
    delivery_tags_init(&ch->unacked);
    c->channels[number] = ch;
    c->channel_count++;
    connection_send(c, number, &(struct amqp_method){.id = AMQP_CHANNEL_OPEN_OK});
    return 0;
}

static void channel_free(struct channel *ch)
{
    free(ch);
}

/* Gives back what an ended channel has no use for, while answers may be outstanding. */
static void release_state(struct channel *ch)
{
    list_remove(&ch->dirty);
    delivery_tags_free(&ch->unacked);
    expired_tags_free(&ch->expired);
    confirms_free(&ch->confirms);
    buffer_free(&ch->backlog);
    buffer_free(&ch->kept);
    content_free(ch->content);
    ch->content = NULL;
    transaction_free(ch->transaction);
    ch->transaction = NULL;
    ch->mode = CHANNEL_PLAIN;
    if (ch->pool != NULL)
        credit_pool_unref(ch->pool);
    ch->pool = NULL;
    free((void *)(uintptr_t)ch->last_queue.data);
    ch->last_queue = bytes_of(NULL, 0);
    reply_consumer_free(ch->reply_consumer);
    ch->reply_consumer = NULL;
}

static void free_if_done(struct channel *ch)
{
    if (ch->state != CHANNEL_ORPHANED || ch->holds != 0 || !list_empty(&ch->subscriptions))
        return;
    ch->shard->orphans--;
    channel_free(ch);
}

void channel_hold(struct channel *ch)
{
    ch->holds++;
}

void channel_drop(struct channel *ch)
{
    ch->holds--;
    free_if_done(ch);
}

void channel_stop_deliveries(struct channel *ch)
{
    list_for_each(&ch->subscriptions, node)
        subscription_stop(container_of(node, struct subscription, in_channel));
}

/* Deliveries end and everything unacked goes back, once no consumer is there to get it again. The
 * channel's own state follows. */
static void end_channel(struct channel *ch)
{
    assert(ch->state != CHANNEL_OPEN);
    channel_stop_deliveries(ch);
    ch->ending = true;
    list_for_each_safe(&ch->subscriptions, node)
        subscription_release(container_of(node, struct subscription, in_channel));
    ch->ending = false;
    release_state(ch);
    ch->waiting = false;
    if (ch->connection == NULL)
        return;
    if (ch->connection->body_channel == ch)
        ch->connection->body_channel = NULL;
    /* What the peer sent while this channel waited may have stopped its reading; the backlog is
     * gone. */
    if ((ch->connection->read_paused & READ_PAUSED_BY_BACKLOG) != 0)
        connection_resume_reading(ch->connection, READ_PAUSED_BY_BACKLOG);
}

/* Held while it ends: a direct reply of its own may be the last thing that it waits for. */
void channel_orphan(struct channel *ch)
{
    bool was_open = ch->state == CHANNEL_OPEN;

    channel_hold(ch);
    ch->connection = NULL;
    ch->state = CHANNEL_ORPHANED;
    ch->shard->orphans++;
    if (was_open)
        end_channel(ch);
    channel_drop(ch);
}

static void finish_close_by_peer(struct channel *ch)
{
    struct connection *c = ch->connection;
    uint16_t number = ch->number;

    if (c->state == CONNECTION_OPEN)
        connection_send(c, number, &(struct amqp_method){.id = AMQP_CHANNEL_CLOSE_OK});
    connection_on_channel_gone(c, ch);
    channel_orphan(ch);
}

static void close_by_peer(struct channel *ch)
{
    ch->state = CHANNEL_CLOSE_RECEIVED;
    end_channel(ch);
    if (list_empty(&ch->subscriptions))
        finish_close_by_peer(ch);
}

void channel_close_for_connection(struct channel *ch)
{
    if (ch->state == CHANNEL_OPEN) {
        close_by_peer(ch);
    } else if (ch->state == CHANNEL_CLOSE_SENT) {
        ch->state = CHANNEL_CLOSE_RECEIVED;
        if (list_empty(&ch->subscriptions))
            finish_close_by_peer(ch);
    }
}

void channel_on_subscription_gone(struct channel *ch)
{
    if (!list_empty(&ch->subscriptions) || ch->ending)
        return;
    if (ch->state == CHANNEL_CLOSE_RECEIVED)
        finish_close_by_peer(ch);
    else
        free_if_done(ch);
}

/* ---- Errors ---- */

static int close_with_error(struct channel *ch, const struct amqp_error *e)
{
    struct connection *c = ch->connection;
    const struct amqp_method close = {
        .id = AMQP_CHANNEL_CLOSE,
        .channel_close =
            {
                .reply_code = e->code,
                .reply_text = bytes_from_string(e->text),
                .class_id = e->class_id,
                .method_id = e->method_id,
            },
    };

    connection_log_channel_error(c, ch->number, e);
    channel_report_confirms(ch);
    ch->state = CHANNEL_CLOSE_SENT;
    end_channel(ch);
    connection_send(c, ch->number, &close);
    return -EPROTO;
}

/* AMQP 0-9-1 §1.2: which reply codes are connection exceptions. */
static bool closes_connection(int code)
{
    return code == AMQP_CONNECTION_FORCED || code == AMQP_INVALID_PATH ||
           (code >= AMQP_FRAME_ERROR && code <= AMQP_INTERNAL_ERROR);
}

static int refuse_with(struct channel *ch, const struct amqp_error *e)
{
    if (closes_connection(e->code))
        return connection_fail_with(ch->connection, e);
    return close_with_error(ch, e);
}

int channel_refuse(struct channel *ch, int code, const char *format, ...)
{
    uint32_t method = ch->connection->method;
    struct amqp_error e;
    va_list args;

    va_start(args, format);
    amqp_error_set_list(&e, code, amqp_method_class(method), amqp_method_number(method), format,
                        args);
    va_end(args);
    return refuse_with(ch, &e);
}

int channel_refuse_with(struct channel *ch, const struct refusal *r)
{
    return channel_refuse(ch, (int)r->code, "%s", r->text);
}

int channel_refuse_unkept(struct channel *ch, const struct queue_handle *queue)
{
    struct amqp_error e;

    ch->connection->method = AMQP_BASIC_PUBLISH;
    amqp_error_set(&e, AMQP_INTERNAL_ERROR, amqp_method_class(AMQP_BASIC_PUBLISH),
                   amqp_method_number(AMQP_BASIC_PUBLISH),
                   "queue '%.*s' in vhost '%.*s' cannot keep persistent messages now: the disk "
                   "takes none",
                   BYTES_ARGS(queue->name), BYTES_ARGS(((struct vhost *)queue->vhost)->name));
    return close_with_error(ch, &e);
}

void channel_on_unkept(struct shard *s, uint64_t connection, uint64_t serial,
                       const struct queue_handle *queue)
{
    struct connection *c = connection_find(s, connection);
    uint16_t number = (uint16_t)serial;
    struct channel *ch;

    if (c == NULL || c->state != CONNECTION_OPEN || number >= c->channel_slots)
        return;
    ch = c->channels[number];
    if (ch == NULL || ch->serial != serial || ch->state != CHANNEL_OPEN)
        return;
    channel_refuse_unkept(ch, queue);
    channel_go_on(ch);
}

int channel_check_permission(struct channel *ch, enum permission_kind kind, const char *what,
                             struct bytes name)
{
    struct connection *c = ch->connection;

    if (permission_check(c->permissions, kind, name))
        return 0;
    return channel_refuse(ch, AMQP_ACCESS_REFUSED,
                          "access to %s '%.*s' in vhost '%.*s' refused for user '%.*s'", what,
                          BYTES_ARGS(name.size != 0 ? name : bytes_from_string("amq.default")),
                          BYTES_ARGS(c->vhost->name), BYTES_ARGS(auth_user_name(c->user)));
}

/* ---- Confirms ---- */

void channel_touch(struct channel *ch)
{
    if (!list_linked(&ch->dirty))
        list_append(&ch->shard->dirty_channels, &ch->dirty);
}

void channel_on_confirm(struct channel *ch, uint64_t number, bool accepted)
{
    if (ch->state != CHANNEL_OPEN)
        return;
    confirms_settle(&ch->confirms, number, accepted);
    channel_touch(ch);
}

static void tell_confirm(void *context, uint64_t number, bool multiple, bool accepted)
{
    struct channel *ch = context;
    struct amqp_method m = {.id = AMQP_BASIC_NACK};

    if (accepted) {
        uint8_t *out = output_reserve(&ch->connection->output, AMQP_BASIC_ACK_FRAME_SIZE);

        output_commit(&ch->connection->output,
                      amqp_basic_ack_encode(out, ch->number, number, multiple));
        connection_touch(ch->connection);
        return;
    }
    m.basic_nack.delivery_tag = number;
    m.basic_nack.multiple = multiple;
    connection_send(ch->connection, ch->number, &m);
}

static void note_refusal(void *context, uint64_t number, bool multiple, bool accepted)
{
    struct channel *ch = context;

    (void)number;
    (void)multiple;
    if (!accepted)
        ch->transaction->refused = true;
}

void channel_report_confirms(struct channel *ch)
{
    if (ch->state != CHANNEL_OPEN)
        return;
    if (ch->mode == CHANNEL_CONFIRM) {
        confirms_report(&ch->confirms, tell_confirm, ch);
    } else if (ch->mode == CHANNEL_TRANSACTION) {
        confirms_report(&ch->confirms, note_refusal, ch);
        if (ch->transaction->committing &&
            (ch->transaction->refused || !confirms_waiting(&ch->confirms)))
            transaction_finish_commit(ch);
    }
}

/* ---- Frames ---- */

static int on_channel_method(struct channel *ch, const struct amqp_method *m)
{
    switch ((int)m->id) {
    case AMQP_CHANNEL_OPEN:
        return channel_refuse(ch, AMQP_CHANNEL_ERROR, "second 'channel.open' seen");
    case AMQP_CHANNEL_CLOSE:
        close_by_peer(ch);
        return 0;
    case AMQP_CHANNEL_FLOW:
        if (!m->channel_flow.active)
            return channel_refuse(ch, AMQP_NOT_IMPLEMENTED, "active=false");
        channel_send(
            ch, &(struct amqp_method){.id = AMQP_CHANNEL_FLOW_OK, .channel_flow_ok.active = true});
        return 0;
    case AMQP_CHANNEL_FLOW_OK:
        return 0;
    default:
        return channel_refuse(ch, AMQP_COMMAND_INVALID, "unexpected method %s",
                              amqp_method_name(m->id));
    }
}

static int on_confirm_select(struct channel *ch, const struct amqp_confirm_select *m)
{
    if (ch->mode == CHANNEL_TRANSACTION)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                              "cannot switch from tx to confirm mode");
    ch->mode = CHANNEL_CONFIRM;
    if (!m->no_wait)
        channel_send(ch, &(struct amqp_method){.id = AMQP_CONFIRM_SELECT_OK});
    return 0;
}

static int on_method(struct channel *ch, const struct amqp_method *m)
{
    switch ((int)amqp_method_class(m->id)) {
    case AMQP_CLASS_CHANNEL:
        return on_channel_method(ch, m);
    case AMQP_CLASS_ACCESS:
        channel_send(
            ch, &(struct amqp_method){.id = AMQP_ACCESS_REQUEST_OK, .access_request_ok.ticket = 1});
        return 0;
    case AMQP_CLASS_EXCHANGE:
        return channel_on_exchange_method(ch, m);
    case AMQP_CLASS_QUEUE:
        return channel_on_queue_method(ch, m);
    case AMQP_CLASS_CONFIRM:
        if (m->id == AMQP_CONFIRM_SELECT)
            return on_confirm_select(ch, &m->confirm_select);
        break;
    case AMQP_CLASS_TX:
        return channel_on_transaction_method(ch, m);
    case AMQP_CLASS_BASIC:
        return channel_on_consume_method(ch, m);
    case AMQP_CLASS_CONNECTION:
        return channel_refuse(ch, AMQP_COMMAND_INVALID, "%s belongs on channel 0",
                              amqp_method_name(m->id));
    default:
        break;
    }
    return channel_refuse(ch, AMQP_COMMAND_INVALID, "unexpected method %s",
                          amqp_method_name(m->id));
}

static bool expects_content(const struct channel *ch)
{
    return ch->content != NULL && ch->content->expect != CONTENT_NONE;
}

static const char *expected_content(const struct channel *ch)
{
    return ch->content->expect == CONTENT_EXPECT_HEADER ? "header" : "body";
}

static int on_method_frame(struct channel *ch, const struct amqp_frame *frame)
{
    struct bytes payload = amqp_frame_payload(frame);
    struct method_names names;
    struct amqp_method m;
    struct amqp_error e;

    if (expects_content(ch))
        return channel_refuse(ch, AMQP_UNEXPECTED_FRAME,
                              "expected content %s for class 60, got method frame instead",
                              expected_content(ch));
    m.id = (enum amqp_method_id)amqp_method_peek(payload);
    ch->connection->method = m.id;
    if (m.id == AMQP_BASIC_PUBLISH) {
        if (amqp_basic_publish_decode(payload, &m.basic_publish, &e) < 0)
            return connection_fail_with(ch->connection, &e);
        return publish_on_method(ch, &m.basic_publish);
    }
    if (amqp_method_decode(payload, &m, &e) < 0)
        return connection_fail_with(ch->connection, &e);
    method_names_strip(&m, &names);
    return on_method(ch, &m);
}

static int on_header_frame(struct channel *ch, const struct amqp_frame *frame)
{
    ch->connection->method = AMQP_BASIC_PUBLISH;
    if (ch->content == NULL || ch->content->expect != CONTENT_EXPECT_HEADER)
        return channel_refuse(ch, AMQP_UNEXPECTED_FRAME,
                              "expected %s, got content header frame "
                              "instead",
                              expects_content(ch) ? "content body for class 60" : "method frame");
    return publish_on_header(ch, amqp_frame_payload(frame));
}

bool channel_streams_body(struct channel *ch)
{
    return ch->state == CHANNEL_OPEN && !ch->waiting && ch->content != NULL &&
           ch->content->expect == CONTENT_EXPECT_BODY;
}

int channel_on_body_frame(struct channel *ch, uint32_t size)
{
    const struct content *content = ch->content;

    ch->connection->method = AMQP_BASIC_PUBLISH;
    if (size > content->message->body_size - content->received)
        return channel_refuse(ch, AMQP_UNEXPECTED_FRAME,
                              "content body is larger than the %u bytes its header told of",
                              (unsigned)content->message->body_size);
    return 0;
}

void channel_on_body(struct channel *ch, const uint8_t *data, size_t size)
{
    struct content *content = ch->content;

    memcpy(message_body(content->message) + content->received, data, size);
    content->received += (uint32_t)size;
}

int channel_on_body_end(struct channel *ch)
{
    ch->connection->method = AMQP_BASIC_PUBLISH;
    if (ch->content->received < ch->content->message->body_size)
        return 0;
    return publish_on_complete(ch);
}

/* A body frame that was kept while the channel waited, or one that nothing announced. */
static int on_body_frame(struct channel *ch, const struct amqp_frame *frame)
{
    ch->connection->method = AMQP_BASIC_PUBLISH;
    if (!channel_streams_body(ch))
        return channel_refuse(ch, AMQP_UNEXPECTED_FRAME,
                              "expected %s, got content body frame "
                              "instead",
                              expects_content(ch) ? "content header for class 60" : "method frame");
    if (channel_on_body_frame(ch, frame->size) < 0)
        return -EPROTO;
    channel_on_body(ch, frame->payload, frame->size);
    return channel_on_body_end(ch);
}

/* While we wait for the answer to our close, only that counts; a close of the peer's that crossed
 * ours is answered. */
static int on_frame_while_closing(struct channel *ch, const struct amqp_frame *frame)
{
    struct connection *c = ch->connection;
    uint32_t method = 0;

    if (frame->type == AMQP_FRAME_METHOD)
        method = amqp_method_peek(amqp_frame_payload(frame));
    if (ch->state != CHANNEL_CLOSE_SENT)
        return 0;
    if (method == AMQP_CHANNEL_CLOSE)
        connection_send(c, ch->number, &(struct amqp_method){.id = AMQP_CHANNEL_CLOSE_OK});
    if (method == AMQP_CHANNEL_CLOSE_OK) {
        connection_on_channel_gone(c, ch);
        channel_orphan(ch);
    }
    return 0;
}

/* A decoded frame lies whole where it was decoded. */
static struct bytes whole_frame(const struct amqp_frame *frame)
{
    return bytes_of(frame->payload - AMQP_FRAME_HEADER_SIZE,
                    (size_t)frame->size + AMQP_FRAME_OVERHEAD);
}

static int keep_for_later(struct channel *ch, const struct amqp_frame *frame)
{
    buffer_append(&ch->backlog, whole_frame(frame));
    if (ch->backlog.size >= CHANNEL_BACKLOG_MAX)
        connection_pause_reading(ch->connection, READ_PAUSED_BY_BACKLOG);
    return 0;
}

static int handle_frame(struct channel *ch, const struct amqp_frame *frame)
{
    switch (frame->type) {
    case AMQP_FRAME_METHOD:
        ch->frame = whole_frame(frame);
        return on_method_frame(ch, frame);
    case AMQP_FRAME_HEADER:
        return on_header_frame(ch, frame);
    default:
        return on_body_frame(ch, frame);
    }
}

int channel_on_frame(struct channel *ch, const struct amqp_frame *frame)
{
    if (ch->state != CHANNEL_OPEN)
        return on_frame_while_closing(ch, frame);
    if (ch->waiting || ch->replaying)
        return keep_for_later(ch, frame);
    return handle_frame(ch, frame);
}

/* ---- Answers ---- */

/* Handles the backlog until the channel waits again. Frames were checked when they came. */
static void replay(struct channel *ch)
{
    struct buffer frames = ch->backlog;
    size_t at = 0;

    buffer_init(&ch->backlog);
    ch->replaying = true;
    while (at < frames.size && ch->connection != NULL && !ch->waiting) {
        struct amqp_frame frame;
        struct amqp_error e;
        ssize_t used =
            amqp_frame_decode(bytes_of(frames.data + at, frames.size - at), 0, &frame, &e);

        assert(used > 0);
        at += (size_t)used;
        if (ch->state == CHANNEL_OPEN)
            handle_frame(ch, &frame);
        else
            on_frame_while_closing(ch, &frame);
    }
    ch->replaying = false;
    if (at < frames.size && ch->state == CHANNEL_OPEN) {
        buffer_consume(&frames, at);
        ch->backlog = frames;
    } else {
        buffer_free(&frames);
    }
}

static void work_off_backlog(struct channel *ch)
{
    if (ch->state != CHANNEL_OPEN || ch->waiting || ch->replaying || ch->backlog.size == 0)
        return;
    channel_hold(ch);
    replay(ch);
    if (ch->connection != NULL && ch->backlog.size < CHANNEL_BACKLOG_MAX)
        connection_resume_reading(ch->connection, READ_PAUSED_BY_BACKLOG);
    channel_drop(ch);
}

bool channel_is_parked(const struct channel *ch)
{
    return ch->state == CHANNEL_OPEN && (ch->waiting || ch->replaying || ch->backlog.size != 0);
}

void channel_go_on(struct channel *ch)
{
    struct connection *c = ch->connection;

    work_off_backlog(ch);
    if (c != NULL && c->ending != CONNECTION_GOES_ON)
        connection_on_channel_idle(c);
}

void channel_wait(struct channel *ch)
{
    ch->waiting = true;
    ch->waiting_method = ch->connection->method;
}

void channel_keep_method(struct channel *ch)
{
    buffer_clear(&ch->kept);
    buffer_append(&ch->kept, ch->frame);
}

bool channel_repeat_method(struct channel *ch)
{
    if (ch->kept.size == 0)
        return false;
    buffer_append(&ch->kept, buffer_bytes(&ch->backlog));
    buffer_free(&ch->backlog);
    ch->backlog = ch->kept;
    buffer_init(&ch->kept);
    return true;
}

void channel_send(struct channel *ch, const struct amqp_method *m)
{
    connection_send(ch->connection, ch->number, m);
}

void channel_on_answer(struct channel *ch, struct queue_command *answer)
{
    bool waited = ch->waiting;

    ch->waiting = false;
    if (ch->connection != NULL)
        ch->connection->method = ch->waiting_method;
    if (answer->subscription != NULL)
        channel_on_consume_answer(ch, answer);
    else
        channel_on_queue_answer(ch, answer);
    buffer_free(&ch->kept);
    if (waited)
        channel_go_on(ch);
}
