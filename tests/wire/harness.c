#include "tests/wire/harness.h"

#include "tests/wire/raw.h"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    CHANNELS_MAX = 2048,
    REMEMBERED_MAX = 4096,
    NAME_SIZE = 256,
    CLIENTS_MAX = 1024,
};

/* What came for a channel: a method, with its content when it has one. */
struct event {
    struct event *next;
    amqp_method_number_t method;
    void *fields;
    amqp_basic_properties_t *properties;
    uint8_t *body;
    size_t body_size;
    size_t body_received;
};

struct event_list {
    struct event *head;
    struct event **tail;
    struct event *partial; /* its content is not complete */
};

struct client {
    amqp_connection_state_t connection;
    bool lost;
    struct channel *channels[CHANNELS_MAX];
    struct event_list events[CHANNELS_MAX];
    struct owned *owned;
};

/* Memory that goes with the client. */
struct owned {
    struct owned *next;
    max_align_t memory[];
};

/* The names of what tests declared, in memory that the tests' processes share: a test that fails
 * in mid-way leaves its names to the next. */
struct remembered {
    bool exchange;
    char name[NAME_SIZE];
};

struct memory_of_tests {
    int count;
    struct remembered names[REMEMBERED_MAX];
};

static struct memory_of_tests *memory;
static struct broker *shared_broker;
static struct client *open_clients[CLIENTS_MAX];

static _Thread_local const char *here_file = "?";
static _Thread_local int here_line;
static const char *case_name;

const char TEST_CONFIG[] =
    "listeners:\n"
    "  - address: 127.0.0.1\n"
    "    port: @PORT@\n"
    "workers: @WORKERS@\n"
    "limits:\n"
    "  handshake_timeout_ms: @HANDSHAKE_MS@\n"
    "  max_message_size: 1MiB\n"
    "vhosts: [/, other]\n"
    "users:\n"
    "  - name: guest\n"
    "    password: guest\n"
    "    tags: [administrator]\n"
    "  - name: limited\n"
    "    password: limited-pw\n"
    "  - name: reader\n"
    "    password: reader-pw\n"
    "  - name: nobody\n"
    "    password: nobody-pw\n"
    "  - name: visitor\n"
    "    password: visitor-pw\n"
    "  - {name: impersonator, password: impersonator-pw, tags: [impersonator]}\n"
    "  - {name: without_configure, password: without_configure-pw}\n"
    "  - {name: without_write, password: without_write-pw}\n"
    "  - {name: without_read, password: without_read-pw}\n"
    "permissions:\n"
    "  - {user: guest, configure: '.*', write: '.*', read: '.*'}\n"
    "  - {user: limited, configure: '^mine', write: '^mine', read: '^mine'}\n"
    "  - {user: reader, configure: '', write: '', read: '.*'}\n"
    "  - {user: impersonator, configure: '.*', write: '.*', read: '.*'}\n"
    "  - {user: without_configure, configure: '', write: '.*', read: '.*'}\n"
    "  - {user: without_write, configure: '.*', write: '', read: '.*'}\n"
    "  - {user: without_read, configure: '.*', write: '.*', read: ''}\n"
    "  - {user: visitor, vhost: other, configure: '.*', write: '.*', read: '.*'}\n";

void harness_at(const char *file, int line)
{
    here_file = file;
    here_line = line;
}

void harness_case(const char *name)
{
    case_name = name;
}

void fail_here(const char *format, ...)
{
    char message[4096];
    va_list list;

    va_start(list, format);
    vsnprintf(message, sizeof(message), format, list);
    va_end(list);
    if (case_name != NULL)
        _ck_assert_failed(here_file, here_line, "expectation", "[%s] %s", case_name, message);
    _ck_assert_failed(here_file, here_line, "expectation", "%s", message);
}

/* ---- Memory of clients ---- */

static void *client_allocate(struct client *c, size_t size)
{
    struct owned *o = calloc(1, sizeof(*o) + size);

    if (o == NULL)
        fail_here("no memory");
    o->next = c->owned;
    c->owned = o;
    return o->memory;
}

static const char *client_string(struct client *c, amqp_bytes_t b)
{
    char *s = client_allocate(c, b.len + 1);

    if (b.len != 0)
        memcpy(s, b.bytes, b.len);
    return s;
}

static void client_free_owned(struct client *c)
{
    while (c->owned != NULL) {
        struct owned *o = c->owned;

        c->owned = o->next;
        free(o);
    }
}

/* ---- Events ---- */

static void event_list_init(struct event_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
    list->partial = NULL;
}

static void event_push(struct event_list *list, struct event *e)
{
    *list->tail = e;
    list->tail = &e->next;
}

/* Takes out the event that `link` points to. */
static struct event *event_take(struct event_list *list, struct event **link)
{
    struct event *e = *link;

    ck_assert_ptr_nonnull(e);
    *link = e->next;
    if (list->tail == &e->next)
        list->tail = link;
    return e;
}

static const char *event_describe(const struct event *e)
{
    static _Thread_local char line[1024];
    const char *name = amqp_method_name(e->method);

    if (e->method == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *m = e->fields;

        snprintf(line, sizeof(line), "channel.close %u %.*s (method %u.%u)", m->reply_code,
                 (int)m->reply_text.len, (const char *)m->reply_text.bytes, m->class_id,
                 m->method_id);
    } else if (e->method == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *m = e->fields;

        snprintf(line, sizeof(line), "connection.close %u %.*s (method %u.%u)", m->reply_code,
                 (int)m->reply_text.len, (const char *)m->reply_text.bytes, m->class_id,
                 m->method_id);
    } else {
        snprintf(line, sizeof(line), "%s with body '%.*s'", name != NULL ? name : "?",
                 (int)(e->body_size < 100 ? e->body_size : 100), (const char *)e->body);
    }
    return line;
}

static bool has_content(amqp_method_number_t method)
{
    return method == AMQP_BASIC_DELIVER_METHOD || method == AMQP_BASIC_RETURN_METHOD ||
           method == AMQP_BASIC_GET_OK_METHOD;
}

static void on_method(struct client *c, struct event_list *list, const amqp_frame_t *frame)
{
    struct event *e = client_allocate(c, sizeof(*e));

    e->method = frame->payload.method.id;
    e->fields = frame->payload.method.decoded;
    if (list->partial != NULL)
        fail_here("%s came amid the content of %s", event_describe(e),
                  amqp_method_name(list->partial->method));
    if (has_content(e->method))
        list->partial = e;
    else
        event_push(list, e);
}

static void on_header(struct client *c, struct event_list *list, const amqp_frame_t *frame)
{
    struct event *e = list->partial;

    if (e == NULL || e->properties != NULL)
        fail_here("a content header came without its method");
    e->properties = frame->payload.properties.decoded;
    e->body_size = (size_t)frame->payload.properties.body_size;
    e->body = client_allocate(c, e->body_size + 1);
}

static void on_body(struct event_list *list, const amqp_frame_t *frame)
{
    struct event *e = list->partial;
    size_t size = frame->payload.body_fragment.len;

    if (e == NULL || e->properties == NULL || size > e->body_size - e->body_received)
        fail_here("body bytes came that no content header announced");
    memcpy(e->body + e->body_received, frame->payload.body_fragment.bytes, size);
    e->body_received += size;
}

static void on_frame(struct client *c, const amqp_frame_t *frame)
{
    struct event_list *list = &c->events[frame->channel];

    if (frame->channel >= CHANNELS_MAX)
        fail_here("a frame for channel %u", frame->channel);
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        on_method(c, list, frame);
        break;
    case AMQP_FRAME_HEADER:
        on_header(c, list, frame);
        break;
    case AMQP_FRAME_BODY:
        on_body(list, frame);
        break;
    default:
        return;
    }
    if (list->partial != NULL && list->partial->properties != NULL &&
        list->partial->body_received == list->partial->body_size) {
        event_push(list, list->partial);
        list->partial = NULL;
    }
}

/* Reads one frame. Returns false at the deadline; notes the end of the connection in c->lost. */
static bool client_read(struct client *c, int64_t deadline)
{
    int64_t left = deadline - now_ms();
    struct timeval timeout;
    amqp_frame_t frame;
    int rc;

    if (left < 0)
        left = 0;
    timeout.tv_sec = left / 1000;
    timeout.tv_usec = (left % 1000) * 1000;
    rc = amqp_simple_wait_frame_noblock(c->connection, &frame, &timeout);
    if (rc == AMQP_STATUS_OK) {
        on_frame(c, &frame);
        return true;
    }
    if (rc == AMQP_STATUS_TIMEOUT)
        return false;
    if (rc != AMQP_STATUS_CONNECTION_CLOSED && rc != AMQP_STATUS_SOCKET_ERROR)
        fail_here("reading from the broker: %s", amqp_error_string2(rc));
    c->lost = true;
    return true;
}

static struct event *peek_event(struct channel *ch, int64_t deadline)
{
    struct client *c = ch->client;
    struct event_list *list = &c->events[ch->number];

    while (list->head == NULL) {
        if (c->events[0].head != NULL && ch->number != 0)
            fail_here("%s came for the connection", event_describe(c->events[0].head));
        if (c->lost || !client_read(c, deadline))
            return NULL;
    }
    return list->head;
}

/* The next event of the channel, out of its list. */
static struct event *next_event(struct channel *ch, const char *expected)
{
    struct event_list *list = &ch->client->events[ch->number];

    if (peek_event(ch, now_ms() + deadline_ms()) == NULL) {
        fail_here("expected %s, got %s", expected,
                  ch->client->lost ? "the end of the connection" : "nothing in time");
    }
    return event_take(list, &list->head);
}

/* What the broker may send at any time on a channel with consumers or confirms. */
static bool is_unasked(amqp_method_number_t method)
{
    return method == AMQP_BASIC_DELIVER_METHOD || method == AMQP_BASIC_RETURN_METHOD ||
           method == AMQP_BASIC_ACK_METHOD || method == AMQP_BASIC_NACK_METHOD ||
           method == AMQP_BASIC_CANCEL_METHOD;
}

/* The reply to a method: the first event that the broker does not send unasked. */
static struct event *next_reply(struct channel *ch, const char *expected)
{
    struct client *c = ch->client;
    struct event_list *list = &c->events[ch->number];
    struct event **link = &list->head;
    int64_t deadline = now_ms() + deadline_ms();

    for (;;) {
        while (*link != NULL && is_unasked((*link)->method))
            link = &(*link)->next;
        if (*link != NULL)
            return event_take(list, link);
        if (c->events[0].head != NULL)
            fail_here("expected %s, got %s", expected, event_describe(c->events[0].head));
        if (c->lost)
            fail_here("expected %s, got the end of the connection", expected);
        if (!client_read(c, deadline))
            fail_here("expected %s, got nothing in time", expected);
    }
}

bool something_comes_(struct channel *ch, int timeout_ms)
{
    return peek_event(ch, now_ms() + timeout_ms) != NULL;
}

amqp_method_number_t next_method_(struct channel *ch)
{
    struct event *e = peek_event(ch, now_ms() + deadline_ms());

    if (e == NULL)
        fail_here("expected an event, got nothing in time");
    return e->method;
}

void *expect_method_(struct channel *ch, amqp_method_number_t method)
{
    struct event *e = next_event(ch, amqp_method_name(method));

    if (e->method != method)
        fail_here("expected %s, got %s", amqp_method_name(method), event_describe(e));
    return e->fields;
}

void *expect_reply_(struct channel *ch, amqp_method_number_t method)
{
    struct event *e = next_reply(ch, amqp_method_name(method));

    if (e->method != method)
        fail_here("expected %s, got %s", amqp_method_name(method), event_describe(e));
    return e->fields;
}

/* ---- Clients ---- */

struct broker *test_broker(void)
{
    return shared_broker;
}

static const struct client_tls *client_tls;

void use_tls(const struct client_tls *tls)
{
    client_tls = tls;
}

static amqp_socket_t *open_socket(amqp_connection_state_t connection)
{
    amqp_socket_t *socket;

    if (client_tls == NULL)
        return amqp_tcp_socket_new(connection);
    socket = amqp_ssl_socket_new(connection);
    if (socket == NULL)
        return NULL;
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 0);
    if (amqp_ssl_socket_set_cacert(socket, client_tls->ca) != AMQP_STATUS_OK ||
        (client_tls->certificate != NULL &&
         amqp_ssl_socket_set_key(socket, client_tls->certificate, client_tls->key) !=
             AMQP_STATUS_OK))
        fail_here("librabbitmq cannot read its certificates");
    return socket;
}

static amqp_rpc_reply_t client_connect(struct client *c, const struct broker *b, const char *user,
                                       const char *password, const char *vhost, int channel_max,
                                       int frame_max, int heartbeat_s)
{
    struct timeval timeout = {.tv_sec = deadline_ms() / 1000,
                              .tv_usec = (deadline_ms() % 1000) * 1000};
    amqp_table_t capabilities = ARGS(arg_bool("consumer_cancel_notify", true));
    amqp_table_t properties = ARGS(arg_table("capabilities", capabilities));
    amqp_socket_t *socket;
    uint16_t port = broker_port(b);

    c->connection = amqp_new_connection();
    socket = open_socket(c->connection);
    if (socket == NULL)
        fail_here("no socket");
    amqp_set_handshake_timeout(c->connection, &timeout);
    if (client_tls != NULL)
        port = client_tls->port;
    if (amqp_socket_open_noblock(socket, broker_host(b), port, &timeout) != 0)
        fail_here("cannot connect to the broker at %s:%u", broker_host(b), port);
    if (client_tls != NULL && client_tls->external)
        return amqp_login_with_properties(c->connection, vhost, channel_max, frame_max, heartbeat_s,
                                          &properties, AMQP_SASL_METHOD_EXTERNAL, user);
    return amqp_login_with_properties(c->connection, vhost, channel_max, frame_max, heartbeat_s,
                                      &properties, AMQP_SASL_METHOD_PLAIN, user, password);
}

static struct client *client_new(void)
{
    struct client *c = calloc(1, sizeof(*c));

    if (c == NULL)
        fail_here("no memory");
    for (int i = 0; i < CHANNELS_MAX; i++)
        event_list_init(&c->events[i]);
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *none = NULL;

        if (__atomic_compare_exchange_n(&open_clients[i], &none, c, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return c;
    }
    fail_here("more than %d clients", CLIENTS_MAX);
}

static void client_release(struct client *c)
{
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *self = c;

        if (__atomic_compare_exchange_n(&open_clients[i], &self, NULL, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            break;
    }
    amqp_destroy_connection(c->connection);
    for (int i = 0; i < CHANNELS_MAX; i++)
        free(c->channels[i]);
    client_free_owned(c);
    free(c);
}

static const char *describe_reply(amqp_rpc_reply_t reply)
{
    static char line[512];

    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) {
        snprintf(line, sizeof(line), "%s", amqp_error_string2(reply.library_error));
    } else if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *m = reply.reply.decoded;

        snprintf(line, sizeof(line), "connection.close %u %.*s", m->reply_code,
                 (int)m->reply_text.len, (const char *)m->reply_text.bytes);
    } else {
        snprintf(line, sizeof(line), "%s", amqp_method_name(reply.reply.id));
    }
    return line;
}

struct client *connect_client_tuned(const struct broker *b, const char *user, const char *password,
                                    const char *vhost, int channel_max, int frame_max,
                                    int heartbeat_s)
{
    struct client *c = client_new();
    amqp_rpc_reply_t reply =
        client_connect(c, b, user, password, vhost, channel_max, frame_max, heartbeat_s);

    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        fail_here("login as %s at vhost %s: %s", user, vhost, describe_reply(reply));
    return c;
}

struct client *connect_client_as(const char *user, const char *password, const char *vhost)
{
    return connect_client_tuned(shared_broker, user, password, vhost, 0, 131072, 0);
}

struct client *connect_client(void)
{
    return connect_client_as("guest", "guest", "/");
}

struct client *connect_client_to(const struct broker *b)
{
    return connect_client_tuned(b, "guest", "guest", "/", 0, 131072, 0);
}

amqp_rpc_reply_t try_connect(const struct broker *b, const char *user, const char *password,
                             const char *vhost)
{
    struct client *c = client_new();

    return client_connect(c, b, user, password, vhost, 0, 131072, 0);
}

amqp_connection_state_t client_connection(struct client *c)
{
    return c->connection;
}

void recycle_client(struct client *c)
{
    for (int i = 0; i < CHANNELS_MAX; i++) {
        if (c->events[i].head != NULL || c->events[i].partial != NULL)
            return;
        event_list_init(&c->events[i]);
    }
    client_free_owned(c);
    amqp_maybe_release_buffers(c->connection);
}

/* The events of channel 0, which no test holds. */
static struct channel *connection_channel(struct client *c)
{
    if (c->channels[0] == NULL) {
        c->channels[0] = calloc(1, sizeof(*c->channels[0]));
        c->channels[0]->client = c;
    }
    return c->channels[0];
}

void close_client(struct client *c)
{
    amqp_connection_close_t m = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = text("bye")};
    struct channel *ch = connection_channel(c);

    send_method(ch, AMQP_CONNECTION_CLOSE_METHOD, &m);
    expect_method_(ch, AMQP_CONNECTION_CLOSE_OK_METHOD);
    client_release(c);
}

void drop_client(struct client *c)
{
    client_release(c);
}

/* ---- Channels ---- */

void send_method(struct channel *ch, amqp_method_number_t method, void *fields)
{
    int rc = amqp_send_method(ch->client->connection, ch->number, method, fields);

    if (rc != AMQP_STATUS_OK)
        fail_here("sending %s: %s", amqp_method_name(method), amqp_error_string2(rc));
    ch->last_sent = method;
}

struct channel *open_channel_number(struct client *c, uint16_t number)
{
    struct channel *ch = c->channels[number];

    if (ch == NULL) {
        ch = calloc(1, sizeof(*ch));
        c->channels[number] = ch;
    }
    ch->client = c;
    ch->number = number;
    reopen_channel(ch);
    return ch;
}

struct channel *open_channel(struct client *c)
{
    uint16_t number = 1;

    while (c->channels[number] != NULL)
        number++;
    return open_channel_number(c, number);
}

void reopen_channel(struct channel *ch)
{
    amqp_channel_open_t m = {.out_of_band = amqp_empty_bytes};

    event_list_init(&ch->client->events[ch->number]);
    ch->published = 0;
    ch->confirmed = 0;
    ch->confirming = false;
    send_method(ch, AMQP_CHANNEL_OPEN_METHOD, &m);
    expect_method_(ch, AMQP_CHANNEL_OPEN_OK_METHOD);
    ch->open = true;
}

struct channel *connect_channel(void)
{
    return open_channel(connect_client());
}

struct channel *connect_channel_as(const char *user, const char *password)
{
    return open_channel(connect_client_as(user, password, "/"));
}

void close_channel(struct channel *ch)
{
    amqp_channel_close_t m = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = text("bye")};

    send_method(ch, AMQP_CHANNEL_CLOSE_METHOD, &m);
    expect_reply_(ch, AMQP_CHANNEL_CLOSE_OK_METHOD);
    ch->open = false;
}

/* ---- Arguments ---- */

amqp_bytes_t text(const char *s)
{
    return (amqp_bytes_t){.len = strlen(s), .bytes = (void *)(uintptr_t)s};
}

static amqp_table_entry_t arg(const char *key, amqp_field_value_t value)
{
    return (amqp_table_entry_t){.key = text(key), .value = value};
}

amqp_table_entry_t arg_string(const char *key, const char *value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text(value)});
}

amqp_table_entry_t arg_int(const char *key, int32_t value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I32, .value.i32 = value});
}

amqp_table_entry_t arg_long(const char *key, int64_t value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I64, .value.i64 = value});
}

amqp_table_entry_t arg_byte(const char *key, int8_t value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I8, .value.i8 = value});
}

amqp_table_entry_t arg_short(const char *key, int16_t value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I16, .value.i16 = value});
}

amqp_table_entry_t arg_double(const char *key, double value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_F64, .value.f64 = value});
}

amqp_table_entry_t arg_float(const char *key, float value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_F32, .value.f32 = value});
}

amqp_table_entry_t arg_bool(const char *key, bool value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = value});
}

amqp_table_entry_t arg_void(const char *key)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_VOID});
}

amqp_table_entry_t arg_timestamp(const char *key, uint64_t value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_TIMESTAMP, .value.u64 = value});
}

amqp_table_entry_t arg_table(const char *key, amqp_table_t value)
{
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_TABLE, .value.table = value});
}

amqp_table_entry_t arg_strings(const char *key, ...)
{
    static _Thread_local amqp_field_value_t values[64];
    static _Thread_local int used;
    amqp_array_t array = {0};
    va_list list;

    va_start(list, key);
    if (used > 32)
        used = 0;
    array.entries = &values[used];
    for (const char *s; (s = va_arg(list, const char *)) != NULL && used < 64; used++) {
        values[used].kind = AMQP_FIELD_KIND_UTF8;
        values[used].value.bytes = text(s);
        array.num_entries++;
    }
    va_end(list);
    return arg(key, (amqp_field_value_t){.kind = AMQP_FIELD_KIND_ARRAY, .value.array = array});
}

const amqp_field_value_t *table_field(const amqp_table_t *table, const char *key)
{
    for (int i = 0; i < table->num_entries; i++) {
        amqp_bytes_t k = table->entries[i].key;

        if (k.len == strlen(key) && memcmp(k.bytes, key, k.len) == 0)
            return &table->entries[i].value;
    }
    return NULL;
}

const amqp_field_value_t *header(const struct delivery *d, const char *key)
{
    if ((d->properties->_flags & AMQP_BASIC_HEADERS_FLAG) == 0)
        return NULL;
    return table_field(&d->properties->headers, key);
}

bool field_is_string(const amqp_field_value_t *value, const char *expected)
{
    return value != NULL && value->kind == AMQP_FIELD_KIND_UTF8 &&
           value->value.bytes.len == strlen(expected) &&
           memcmp(value->value.bytes.bytes, expected, value->value.bytes.len) == 0;
}

bool field_is_int(const amqp_field_value_t *value, int64_t expected)
{
    if (value == NULL)
        return false;
    switch (value->kind) {
    case AMQP_FIELD_KIND_I8:
        return value->value.i8 == expected;
    case AMQP_FIELD_KIND_U8:
        return value->value.u8 == expected;
    case AMQP_FIELD_KIND_I16:
        return value->value.i16 == expected;
    case AMQP_FIELD_KIND_U16:
        return value->value.u16 == expected;
    case AMQP_FIELD_KIND_I32:
        return value->value.i32 == expected;
    case AMQP_FIELD_KIND_U32:
        return (int64_t)value->value.u32 == expected;
    case AMQP_FIELD_KIND_I64:
        return value->value.i64 == expected;
    default:
        return false;
    }
}

/* ---- What was declared ---- */

/* A name is remembered once, however often it is declared. */
static void remember(bool exchange, const char *name)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int i = 0;

    if (memory == NULL || name[0] == '\0' || strlen(name) >= NAME_SIZE)
        return;
    pthread_mutex_lock(&lock);
    while (i < memory->count &&
           (memory->names[i].exchange != exchange || strcmp(memory->names[i].name, name) != 0))
        i++;
    if (i == memory->count && i < REMEMBERED_MAX) {
        memory->names[i].exchange = exchange;
        snprintf(memory->names[i].name, NAME_SIZE, "%s", name);
        memory->count++;
    }
    pthread_mutex_unlock(&lock);
}

/* Deletes what was declared. A delete may be refused (the name is reserved, or the queue is
 * another connection's): the channel is opened again then. */
static void forget_all(void)
{
    struct channel *ch;

    if (memory->count == 0)
        return;
    ch = connect_channel();
    for (int i = 0; i < memory->count; i++) {
        struct remembered *r = &memory->names[i];
        struct event *e;

        if (r->exchange)
            send_exchange_delete(ch, r->name, 0);
        else
            send_queue_delete(ch, r->name, 0);
        e = next_event(ch, "delete-ok");
        if (e->method == AMQP_CHANNEL_CLOSE_METHOD) {
            amqp_channel_close_ok_t ok = {0};

            send_method(ch, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
            reopen_channel(ch);
        }
    }
    memory->count = 0;
    close_client(ch->client);
}

/* ---- Methods that are only sent ---- */

void send_exchange_declare(struct channel *ch, const char *name, const char *type, int flags,
                           amqp_table_t args)
{
    amqp_exchange_declare_t m = {.exchange = text(name),
                                 .type = text(type),
                                 .passive = (flags & PASSIVE) != 0,
                                 .durable = (flags & DURABLE) != 0,
                                 .auto_delete = (flags & AUTO_DELETE) != 0,
                                 .internal = (flags & INTERNAL) != 0,
                                 .nowait = (flags & NO_WAIT) != 0,
                                 .arguments = args};

    if ((flags & PASSIVE) == 0)
        remember(true, name);
    send_method(ch, AMQP_EXCHANGE_DECLARE_METHOD, &m);
}

void send_exchange_delete(struct channel *ch, const char *name, int flags)
{
    amqp_exchange_delete_t m = {.exchange = text(name),
                                .if_unused = (flags & IF_UNUSED) != 0,
                                .nowait = (flags & NO_WAIT) != 0};

    send_method(ch, AMQP_EXCHANGE_DELETE_METHOD, &m);
}

void send_exchange_bind(struct channel *ch, const char *destination, const char *source,
                        const char *key, int flags, amqp_table_t args)
{
    amqp_exchange_bind_t m = {.destination = text(destination),
                              .source = text(source),
                              .routing_key = text(key),
                              .nowait = (flags & NO_WAIT) != 0,
                              .arguments = args};

    send_method(ch, AMQP_EXCHANGE_BIND_METHOD, &m);
}

void send_exchange_unbind(struct channel *ch, const char *destination, const char *source,
                          const char *key, int flags, amqp_table_t args)
{
    amqp_exchange_unbind_t m = {.destination = text(destination),
                                .source = text(source),
                                .routing_key = text(key),
                                .nowait = (flags & NO_WAIT) != 0,
                                .arguments = args};

    send_method(ch, AMQP_EXCHANGE_UNBIND_METHOD, &m);
}

void send_queue_declare(struct channel *ch, const char *name, int flags, amqp_table_t args)
{
    amqp_queue_declare_t m = {.queue = text(name),
                              .passive = (flags & PASSIVE) != 0,
                              .durable = (flags & DURABLE) != 0,
                              .exclusive = (flags & EXCLUSIVE) != 0,
                              .auto_delete = (flags & AUTO_DELETE) != 0,
                              .nowait = (flags & NO_WAIT) != 0,
                              .arguments = args};

    if ((flags & PASSIVE) == 0)
        remember(false, name);
    send_method(ch, AMQP_QUEUE_DECLARE_METHOD, &m);
}

void send_queue_delete(struct channel *ch, const char *name, int flags)
{
    amqp_queue_delete_t m = {.queue = text(name),
                             .if_unused = (flags & IF_UNUSED) != 0,
                             .if_empty = (flags & IF_EMPTY) != 0,
                             .nowait = (flags & NO_WAIT) != 0};

    send_method(ch, AMQP_QUEUE_DELETE_METHOD, &m);
}

void send_queue_bind(struct channel *ch, const char *queue, const char *exchange, const char *key,
                     int flags, amqp_table_t args)
{
    amqp_queue_bind_t m = {.queue = text(queue),
                           .exchange = text(exchange),
                           .routing_key = text(key),
                           .nowait = (flags & NO_WAIT) != 0,
                           .arguments = args};

    send_method(ch, AMQP_QUEUE_BIND_METHOD, &m);
}

void send_queue_unbind(struct channel *ch, const char *queue, const char *exchange, const char *key,
                       amqp_table_t args)
{
    amqp_queue_unbind_t m = {.queue = text(queue),
                             .exchange = text(exchange),
                             .routing_key = text(key),
                             .arguments = args};

    send_method(ch, AMQP_QUEUE_UNBIND_METHOD, &m);
}

void send_queue_purge(struct channel *ch, const char *name, int flags)
{
    amqp_queue_purge_t m = {.queue = text(name), .nowait = (flags & NO_WAIT) != 0};

    send_method(ch, AMQP_QUEUE_PURGE_METHOD, &m);
}

void send_consume(struct channel *ch, const char *queue, const char *tag, int flags,
                  amqp_table_t args)
{
    amqp_basic_consume_t m = {.queue = text(queue),
                              .consumer_tag = text(tag),
                              .no_local = (flags & NO_LOCAL) != 0,
                              .no_ack = (flags & NO_ACK) != 0,
                              .exclusive = (flags & EXCLUSIVE) != 0,
                              .nowait = (flags & NO_WAIT) != 0,
                              .arguments = args};

    send_method(ch, AMQP_BASIC_CONSUME_METHOD, &m);
}

void send_cancel(struct channel *ch, const char *tag, int flags)
{
    amqp_basic_cancel_t m = {.consumer_tag = text(tag), .nowait = (flags & NO_WAIT) != 0};

    send_method(ch, AMQP_BASIC_CANCEL_METHOD, &m);
}

void send_get(struct channel *ch, const char *queue, int flags)
{
    amqp_basic_get_t m = {.queue = text(queue), .no_ack = (flags & NO_ACK) != 0};

    send_method(ch, AMQP_BASIC_GET_METHOD, &m);
}

void send_qos(struct channel *ch, uint16_t count, int flags)
{
    amqp_basic_qos_t m = {.prefetch_count = count, .global = (flags & GLOBAL) != 0};

    send_method(ch, AMQP_BASIC_QOS_METHOD, &m);
}

void send_recover(struct channel *ch, int flags)
{
    amqp_basic_recover_t m = {.requeue = (flags & REQUEUE) != 0};

    send_method(ch, AMQP_BASIC_RECOVER_METHOD, &m);
}

void send_confirm_select(struct channel *ch, int flags)
{
    amqp_confirm_select_t m = {.nowait = (flags & NO_WAIT) != 0};

    send_method(ch, AMQP_CONFIRM_SELECT_METHOD, &m);
}

void send_tx_select(struct channel *ch)
{
    amqp_tx_select_t m = {0};

    send_method(ch, AMQP_TX_SELECT_METHOD, &m);
}

void send_tx_commit(struct channel *ch)
{
    amqp_tx_commit_t m = {0};

    send_method(ch, AMQP_TX_COMMIT_METHOD, &m);
}

void send_tx_rollback(struct channel *ch)
{
    amqp_tx_rollback_t m = {0};

    send_method(ch, AMQP_TX_ROLLBACK_METHOD, &m);
}

void send_flow(struct channel *ch, bool active)
{
    amqp_channel_flow_t m = {.active = active};

    send_method(ch, AMQP_CHANNEL_FLOW_METHOD, &m);
}

/* ---- Methods with their replies ---- */

void declare_exchange_(struct channel *ch, const char *name, const char *type, int flags,
                       amqp_table_t args)
{
    send_exchange_declare(ch, name, type, flags, args);
    expect_reply_(ch, AMQP_EXCHANGE_DECLARE_OK_METHOD);
}

void delete_exchange_(struct channel *ch, const char *name, int flags)
{
    send_exchange_delete(ch, name, flags);
    expect_reply_(ch, AMQP_EXCHANGE_DELETE_OK_METHOD);
}

void bind_exchange_(struct channel *ch, const char *destination, const char *source,
                    const char *key, amqp_table_t args)
{
    send_exchange_bind(ch, destination, source, key, 0, args);
    expect_reply_(ch, AMQP_EXCHANGE_BIND_OK_METHOD);
}

void unbind_exchange_(struct channel *ch, const char *destination, const char *source,
                      const char *key, amqp_table_t args)
{
    send_exchange_unbind(ch, destination, source, key, 0, args);
    expect_reply_(ch, AMQP_EXCHANGE_UNBIND_OK_METHOD);
}

const char *declare_queue_(struct channel *ch, const char *name, int flags, amqp_table_t args)
{
    const amqp_queue_declare_ok_t *ok;
    const char *declared;

    send_queue_declare(ch, name, flags, args);
    ok = expect_reply_(ch, AMQP_QUEUE_DECLARE_OK_METHOD);
    declared = client_string(ch->client, ok->queue);
    if (name[0] == '\0')
        remember(false, declared);
    return declared;
}

uint32_t delete_queue_(struct channel *ch, const char *name, int flags)
{
    const amqp_queue_delete_ok_t *ok;

    send_queue_delete(ch, name, flags);
    ok = expect_reply_(ch, AMQP_QUEUE_DELETE_OK_METHOD);
    return ok->message_count;
}

void bind_queue_(struct channel *ch, const char *queue, const char *exchange, const char *key,
                 amqp_table_t args)
{
    send_queue_bind(ch, queue, exchange, key, 0, args);
    expect_reply_(ch, AMQP_QUEUE_BIND_OK_METHOD);
}

void unbind_queue_(struct channel *ch, const char *queue, const char *exchange, const char *key,
                   amqp_table_t args)
{
    send_queue_unbind(ch, queue, exchange, key, args);
    expect_reply_(ch, AMQP_QUEUE_UNBIND_OK_METHOD);
}

uint32_t purge_queue_(struct channel *ch, const char *name)
{
    const amqp_queue_purge_ok_t *ok;

    send_queue_purge(ch, name, 0);
    ok = expect_reply_(ch, AMQP_QUEUE_PURGE_OK_METHOD);
    return ok->message_count;
}

static const amqp_queue_declare_ok_t *ask_queue(struct channel *ch, const char *queue)
{
    send_queue_declare(ch, queue, PASSIVE, NO_ARGS);
    return expect_reply_(ch, AMQP_QUEUE_DECLARE_OK_METHOD);
}

uint32_t message_count_(struct channel *ch, const char *queue)
{
    return ask_queue(ch, queue)->message_count;
}

uint32_t consumer_count_(struct channel *ch, const char *queue)
{
    return ask_queue(ch, queue)->consumer_count;
}

void await_message_count_(struct channel *ch, const char *queue, uint32_t count)
{
    int64_t deadline = now_ms() + deadline_ms();
    uint32_t current;

    while ((current = message_count_(ch, queue)) != count) {
        if (now_ms() > deadline)
            fail_here("queue '%s' has %u messages instead of %u", queue, current, count);
    }
}

void await_queue_gone_(struct channel *ch, const char *queue)
{
    int64_t deadline = now_ms() + deadline_ms();
    char expected[NAME_SIZE + 64];

    snprintf(expected, sizeof(expected), "NOT_FOUND - no queue '%s' in vhost '/'", queue);
    for (;;) {
        send_queue_declare(ch, queue, PASSIVE, NO_ARGS);
        if (next_method_(ch) == AMQP_CHANNEL_CLOSE_METHOD)
            break;
        expect_method_(ch, AMQP_QUEUE_DECLARE_OK_METHOD);
        if (now_ms() > deadline)
            fail_here("queue '%s' does not go", queue);
    }
    expect_channel_error_(ch, 404, expected);
    reopen_channel(ch);
}

const char *consume_(struct channel *ch, const char *queue, const char *tag, int flags,
                     amqp_table_t args)
{
    const amqp_basic_consume_ok_t *ok;

    send_consume(ch, queue, tag, flags, args);
    ok = expect_reply_(ch, AMQP_BASIC_CONSUME_OK_METHOD);
    return client_string(ch->client, ok->consumer_tag);
}

void cancel_(struct channel *ch, const char *tag)
{
    send_cancel(ch, tag, 0);
    expect_reply_(ch, AMQP_BASIC_CANCEL_OK_METHOD);
}

void qos_(struct channel *ch, uint16_t count, int flags)
{
    send_qos(ch, count, flags);
    expect_reply_(ch, AMQP_BASIC_QOS_OK_METHOD);
}

void recover_(struct channel *ch, int flags)
{
    send_recover(ch, flags);
    expect_reply_(ch, AMQP_BASIC_RECOVER_OK_METHOD);
}

void confirm_select_(struct channel *ch)
{
    send_confirm_select(ch, 0);
    expect_reply_(ch, AMQP_CONFIRM_SELECT_OK_METHOD);
    ch->confirming = true;
    ch->published = 0;
    ch->confirmed = 0;
}

void tx_select_(struct channel *ch)
{
    send_tx_select(ch);
    expect_reply_(ch, AMQP_TX_SELECT_OK_METHOD);
}

void tx_commit_(struct channel *ch)
{
    send_tx_commit(ch);
    expect_reply_(ch, AMQP_TX_COMMIT_OK_METHOD);
}

void tx_rollback_(struct channel *ch)
{
    send_tx_rollback(ch);
    expect_reply_(ch, AMQP_TX_ROLLBACK_OK_METHOD);
}

/* ---- Messages ---- */

void publish_bytes(struct channel *ch, const char *exchange, const char *key, int flags,
                   const amqp_basic_properties_t *properties, const void *body, size_t size)
{
    amqp_bytes_t bytes = {.len = size, .bytes = (void *)(uintptr_t)body};
    int rc =
        amqp_basic_publish(ch->client->connection, ch->number, text(exchange), text(key),
                           (flags & MANDATORY) != 0, (flags & IMMEDIATE) != 0, properties, bytes);

    if (rc != AMQP_STATUS_OK)
        fail_here("publishing: %s", amqp_error_string2(rc));
    ch->last_sent = AMQP_BASIC_PUBLISH_METHOD;
    ch->published++;
}

void publish_with(struct channel *ch, const char *exchange, const char *key, int flags,
                  const amqp_basic_properties_t *properties, const char *body)
{
    publish_bytes(ch, exchange, key, flags, properties, body, strlen(body));
}

void publish_to(struct channel *ch, const char *exchange, const char *key, const char *body)
{
    publish_with(ch, exchange, key, 0, NULL, body);
}

void publish(struct channel *ch, const char *queue, const char *body)
{
    publish_with(ch, "", queue, 0, NULL, body);
}

void ack(struct channel *ch, uint64_t tag, int flags)
{
    amqp_basic_ack_t m = {.delivery_tag = tag, .multiple = (flags & MULTIPLE) != 0};

    send_method(ch, AMQP_BASIC_ACK_METHOD, &m);
}

void nack(struct channel *ch, uint64_t tag, int flags)
{
    amqp_basic_nack_t m = {.delivery_tag = tag,
                           .multiple = (flags & MULTIPLE) != 0,
                           .requeue = (flags & REQUEUE) != 0};

    send_method(ch, AMQP_BASIC_NACK_METHOD, &m);
}

void reject(struct channel *ch, uint64_t tag, int flags)
{
    amqp_basic_reject_t m = {.delivery_tag = tag, .requeue = (flags & REQUEUE) != 0};

    send_method(ch, AMQP_BASIC_REJECT_METHOD, &m);
}

/* ---- Expectations ---- */

static void check_body(const struct event *e, const char *body)
{
    if (body != NULL && (e->body_size != strlen(body) || memcmp(e->body, body, e->body_size) != 0))
        fail_here("expected the body '%s', got %s", body, event_describe(e));
}

static void check_redelivered(const struct event *e, bool redelivered, int flags)
{
    if ((flags & ANY_REDELIVERED) == 0 && redelivered != ((flags & REDELIVERED) != 0))
        fail_here("redelivered is %s in %s", redelivered ? "true" : "false", event_describe(e));
}

static struct delivery delivery_of(const struct event *e)
{
    return (struct delivery){
        .body = (const char *)e->body, .body_size = e->body_size, .properties = e->properties};
}

struct delivery expect_delivery_to_(struct channel *ch, const char *tag, const char *body,
                                    int flags)
{
    char expected[256];
    const amqp_basic_deliver_t *m;
    struct delivery d;
    struct event *e;

    snprintf(expected, sizeof(expected), "a delivery of '%.200s'", body != NULL ? body : "");
    e = next_event(ch, expected);
    if (e->method != AMQP_BASIC_DELIVER_METHOD)
        fail_here("expected %s, got %s", expected, event_describe(e));
    m = e->fields;
    check_body(e, body);
    check_redelivered(e, m->redelivered, flags);
    d = delivery_of(e);
    d.tag = m->delivery_tag;
    d.redelivered = m->redelivered;
    d.consumer_tag = client_string(ch->client, m->consumer_tag);
    d.exchange = client_string(ch->client, m->exchange);
    d.routing_key = client_string(ch->client, m->routing_key);
    if (tag != NULL && strcmp(tag, d.consumer_tag) != 0)
        fail_here("expected a delivery to consumer '%s', got one to '%s'", tag, d.consumer_tag);
    return d;
}

struct delivery expect_delivery_(struct channel *ch, const char *body, int flags)
{
    return expect_delivery_to_(ch, NULL, body, flags);
}

struct delivery expect_get_(struct channel *ch, const char *queue, const char *body, int flags)
{
    const amqp_basic_get_ok_t *m;
    struct delivery d;
    struct event *e;

    send_get(ch, queue, flags);
    e = next_reply(ch, "basic.get-ok");
    if (e->method != AMQP_BASIC_GET_OK_METHOD)
        fail_here("expected basic.get-ok with '%s', got %s", body, event_describe(e));
    m = e->fields;
    check_body(e, body);
    check_redelivered(e, m->redelivered, flags);
    d = delivery_of(e);
    d.tag = m->delivery_tag;
    d.redelivered = m->redelivered;
    d.message_count = m->message_count;
    d.exchange = client_string(ch->client, m->exchange);
    d.routing_key = client_string(ch->client, m->routing_key);
    return d;
}

void expect_get_empty_(struct channel *ch, const char *queue)
{
    send_get(ch, queue, 0);
    expect_reply_(ch, AMQP_BASIC_GET_EMPTY_METHOD);
}

struct delivery expect_return_(struct channel *ch, const char *body)
{
    struct event *e = next_event(ch, "basic.return");
    const amqp_basic_return_t *m = e->fields;
    struct delivery d;

    if (e->method != AMQP_BASIC_RETURN_METHOD)
        fail_here("expected basic.return, got %s", event_describe(e));
    check_body(e, body);
    if (m->reply_code != 312 || m->reply_text.len != 8 ||
        memcmp(m->reply_text.bytes, "NO_ROUTE", 8) != 0)
        fail_here("expected 312 NO_ROUTE, got %u %.*s", m->reply_code, (int)m->reply_text.len,
                  (const char *)m->reply_text.bytes);
    d = delivery_of(e);
    d.exchange = client_string(ch->client, m->exchange);
    d.routing_key = client_string(ch->client, m->routing_key);
    return d;
}

void expect_cancel_(struct channel *ch, const char *tag)
{
    const amqp_basic_cancel_t *m = expect_method_(ch, AMQP_BASIC_CANCEL_METHOD);

    if (m->consumer_tag.len != strlen(tag) ||
        memcmp(m->consumer_tag.bytes, tag, m->consumer_tag.len) != 0)
        fail_here("expected basic.cancel of '%s', got one of '%.*s'", tag, (int)m->consumer_tag.len,
                  (const char *)m->consumer_tag.bytes);
}

uint64_t expect_confirm_(struct channel *ch, bool *multiple)
{
    const amqp_basic_ack_t *m = expect_method_(ch, AMQP_BASIC_ACK_METHOD);

    if (multiple != NULL)
        *multiple = m->multiple;
    return m->delivery_tag;
}

uint64_t expect_confirm_nack_(struct channel *ch)
{
    const amqp_basic_nack_t *m = expect_method_(ch, AMQP_BASIC_NACK_METHOD);

    return m->delivery_tag;
}

void await_confirms_(struct channel *ch)
{
    uint64_t base = ch->confirmed;
    uint64_t left = ch->published - base;
    bool *confirmed = calloc(left + 1, 1);

    while (left > 0) {
        const amqp_basic_ack_t *m = expect_method_(ch, AMQP_BASIC_ACK_METHOD);
        uint64_t first = m->multiple ? base + 1 : m->delivery_tag;

        if (m->delivery_tag <= base || m->delivery_tag > ch->published)
            fail_here("a confirm of %llu, which is not open", (unsigned long long)m->delivery_tag);
        for (uint64_t tag = first; tag <= m->delivery_tag; tag++) {
            left -= !confirmed[tag - base - 1];
            confirmed[tag - base - 1] = true;
        }
    }
    ch->confirmed = ch->published;
    free(confirmed);
}

void expect_nothing_(struct channel *ch, const char *queue)
{
    struct event *e;

    for (int i = 0; i < 2; i++) {
        if (queue != NULL)
            ask_queue(ch, queue);
        else
            recover_(ch, REQUEUE);
    }
    e = ch->client->events[ch->number].head;
    if (e != NULL)
        fail_here("expected nothing, got %s", event_describe(e));
}

bool text_matches(const char *actual, const char *pattern)
{
    size_t n = strlen(pattern);

    if (n > 0 && pattern[n - 1] == '*')
        return strncmp(actual, pattern, n - 1) == 0;
    return strcmp(actual, pattern) == 0;
}

static void check_close(struct client *c, const struct event *e, int code, const char *reason,
                        amqp_method_number_t method)
{
    /* channel.close and connection.close have the same fields */
    const amqp_channel_close_t *m = e->fields;

    if (m->reply_code != code || !text_matches(client_string(c, m->reply_text), reason))
        fail_here("expected %d %s, got %s", code, reason, event_describe(e));
    if (method != 0 && (((amqp_method_number_t)m->class_id << 16) | m->method_id) != method)
        fail_here("expected the close to name %s, got %s", amqp_method_name(method),
                  event_describe(e));
}

void expect_channel_error_(struct channel *ch, int code, const char *reason)
{
    amqp_channel_close_ok_t ok = {0};
    char expected[512];
    struct event *e;

    snprintf(expected, sizeof(expected), "channel.close %d %.400s", code, reason);
    e = next_reply(ch, expected);
    if (e->method != AMQP_CHANNEL_CLOSE_METHOD)
        fail_here("expected %s, got %s", expected, event_describe(e));
    check_close(ch->client, e, code, reason, ch->last_sent);
    send_method(ch, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    ch->open = false;
}

void expect_connection_error_(struct client *c, int code, const char *reason,
                              amqp_method_number_t method)
{
    struct channel *ch = connection_channel(c);
    amqp_connection_close_ok_t ok = {0};
    int64_t deadline = now_ms() + deadline_ms();
    char expected[512];
    struct event *e;

    snprintf(expected, sizeof(expected), "connection.close %d %.400s", code, reason);
    e = next_event(ch, expected);
    if (e->method != AMQP_CONNECTION_CLOSE_METHOD)
        fail_here("expected %s, got %s", expected, event_describe(e));
    check_close(c, e, code, reason, method);
    send_method(ch, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
    while (!c->lost && client_read(c, deadline))
        ;
    if (!c->lost)
        fail_here("the socket stays open after connection.close-ok");
}

/* ---- Programs ---- */

static void test_setup(void)
{
    forget_all();
}

static void test_teardown(void)
{
    for (int i = 0; i < CLIENTS_MAX; i++) {
        if (open_clients[i] != NULL)
            client_release(open_clients[i]);
    }
    raw_close_all();
    forget_all();
}

TCase *wire_tcase(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 6.0 * deadline_ms() / 1000.0);
    tcase_add_checked_fixture(tcase, test_setup, test_teardown);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int wire_main_alone(Suite *(*make)(void))
{
    SRunner *runner;
    int failed;

    setvbuf(stdout, NULL, _IOLBF, 0);
    runner = srunner_create(make());
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_suite(Suite *(*make)(void), struct broker *b)
{
    SRunner *runner = srunner_create(make());
    int failed;

    shared_broker = b;
    memory->count = 0;
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (failed != 0)
        broker_show_log(b);
    return failed;
}

int wire_main(Suite *(*make)(void), const char *config)
{
    const char *workers = getenv("LEVERET_TEST_WORKERS");
    int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return EXIT_FAILURE;
    if (against_oracle()) {
        struct broker *b = broker_external(getenv("LEVERET_TEST_BROKER"));

        failed = run_suite(make, b);
        broker_stop(b);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (workers == NULL)
        workers = "1 4 4+";
    for (char *end; *workers != '\0'; workers = end) {
        int count = (int)strtol(workers, &end, 10);
        bool follow = *end == '+';
        struct broker *b;

        if (end == workers)
            break;
        end += follow;
        set_test_workers(count, follow);
        printf("with %d worker%s%s\n", count, count == 1 ? "" : "s",
               follow ? ", connections follow queues" : "");
        b = broker_start(config != NULL ? config : TEST_CONFIG);
        failed += run_suite(make, b);
        failed += !broker_stop(b);
    }
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
