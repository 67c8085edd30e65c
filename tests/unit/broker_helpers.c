#include "tests/unit/broker_helpers.h"

#include "amqp/frame.h"
#include "amqp/protocol_header.h"
#include "auth/users.h"
#include "base/memory.h"
#include "session/broker_users.h"
#include "tests/unit/store_helpers.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    REASON_SIZE = 256,
    DEADLINE_S = 20,
    FRAME_MAX = 131072,
};

/* ---- The broker ---- */

static struct auth_database *read_config(const char *yaml, struct config **config)
{
    static const char LISTENER[] = "listeners: [{address: 127.0.0.1, port: 0}]\nworkers: 2\n";
    struct auth_database *previous = auth_database_current();
    struct auth_database *users = NULL;
    struct config_problems problems;
    struct buffer text;
    int rc;

    config_problems_init(&problems);
    buffer_init(&text);
    buffer_append(&text, bytes_from_string(LISTENER));
    buffer_append(&text, bytes_from_string(yaml));
    rc = config_load_text("test.yaml", buffer_bytes(&text), NULL, config, &problems);
    if (rc == 0)
        rc = auth_database_build(*config, previous, &users, &problems);
    if (rc < 0)
        config_problems_print(&problems, stderr);
    ck_assert_int_eq(rc, 0);
    auth_database_unref(previous);
    buffer_free(&text);
    config_problems_free(&problems);
    return users;
}

void restart_test_broker(struct test_broker *t, const char *yaml)
{
    struct config_problems problems;
    struct config *config;

    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    auth_database_replace(read_config(yaml, &config));
    config_problems_init(&problems);
    ck_assert_int_eq(server_init(&t->server, config, &BROKER_WORKER_OPS), 0);
    ck_assert_int_eq(server_bind(&t->server), 0);
    ck_assert_int_eq(broker_init(&t->broker, &t->server, "0", t->directory, &problems), 0);
    server_start(&t->server);
    ck_assert_int_eq(server_listen(&t->server), 0);
    config_problems_free(&problems);
}

struct test_broker *start_test_broker(const char *yaml)
{
    struct test_broker *t = memory_alloc_zeroed(1, sizeof(*t));

    make_test_directory(t->directory);
    restart_test_broker(t, yaml);
    return t;
}

void reload_test_broker(struct test_broker *t, const char *yaml)
{
    struct config_problems problems;
    struct config *config;
    struct auth_database *users = read_config(yaml, &config);

    config_problems_init(&problems);
    broker_reload(&t->broker, config, &problems);
    ck_assert_uint_eq(problems.count, 0);
    config_problems_free(&problems);
    broker_users_configure(&t->broker, config, users);
    broker_refresh_auth(&t->broker);
    config_free(config);
}

void halt_test_broker(struct test_broker *t)
{
    server_stop(&t->server);
    broker_release(&t->broker);
    server_release(&t->server);
    auth_database_replace(NULL);
}

void stop_test_broker(struct test_broker *t)
{
    halt_test_broker(t);
    remove_test_directory(t->directory);
    free(t);
}

/* ---- The client ---- */

static int connect_socket(const struct test_broker *t)
{
    const struct listener *l = &t->server.workers[0].listeners[0].listener;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(socket_address_port(&l->address)),
    };
    const struct timeval deadline = {.tv_sec = DEADLINE_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void send_all(struct test_client *c, struct bytes data)
{
    ck_assert_int_eq(send(c->fd, data.data, data.size, MSG_NOSIGNAL), (ssize_t)data.size);
}

void client_send(struct test_client *c, uint16_t channel, const struct amqp_method *m)
{
    struct buffer frame;

    buffer_init(&frame);
    amqp_method_frame_encode(channel, m, &frame);
    send_all(c, buffer_bytes(&frame));
    buffer_free(&frame);
}

/* Reads until a whole frame is there. Returns false at the end of the stream. */
static bool receive_frame(struct test_client *c, struct amqp_frame *frame, size_t *used)
{
    struct amqp_error e;

    for (;;) {
        ssize_t n = amqp_frame_decode(buffer_bytes(&c->input), FRAME_MAX, frame, &e);

        ck_assert_int_ge(n, 0);
        if (n > 0) {
            *used = (size_t)n;
            return true;
        }
        n = recv(c->fd, buffer_reserve(&c->input, 65536), 65536, 0);
        if (n <= 0)
            return false;
        c->input.size += (size_t)n;
    }
}

uint32_t client_receive(struct test_client *c)
{
    static _Thread_local uint8_t payload[FRAME_MAX];
    struct amqp_frame frame;
    struct amqp_error e;
    size_t used = 0;

    do {
        buffer_consume(&c->input, used);
        if (!receive_frame(c, &frame, &used))
            return 0;
    } while (frame.type != AMQP_FRAME_METHOD);
    memcpy(payload, amqp_frame_payload(&frame).data, amqp_frame_payload(&frame).size);
    ck_assert_int_eq(
        amqp_method_decode(bytes_of(payload, amqp_frame_payload(&frame).size), &c->method, &e), 0);
    buffer_consume(&c->input, used);
    return c->method.id;
}

static void tell_reason(char *reason, struct bytes text)
{
    if (reason != NULL)
        snprintf(reason, REASON_SIZE, "%.*s", BYTES_ARGS(text));
}

/* connection.start-ok's table with the capability that has a refused login told. */
static const uint8_t CLIENT_PROPERTIES[] = "\x0c"
                                           "capabilities"
                                           "F\0\0\0\x1f"
                                           "\x1c"
                                           "authentication_failure_close"
                                           "t\x01";

static void send_start_ok(struct test_client *c, const char *user, const char *password)
{
    char response[600];
    int size = snprintf(response, sizeof(response), "%c%s%c%s", 0, user, 0, password);
    const struct amqp_method start_ok = {
        .id = AMQP_CONNECTION_START_OK,
        .connection_start_ok =
            {
                .client_properties.encoded =
                    bytes_of(CLIENT_PROPERTIES, sizeof(CLIENT_PROPERTIES) - 1),
                .mechanism = bytes_from_string("PLAIN"),
                .response = bytes_of(response, (size_t)size),
                .locale = bytes_from_string("en_US"),
            },
    };

    client_send(c, 0, &start_ok);
}

/* Returns whether the next method is the one; a connection.close tells its reason. */
static bool expect(struct test_client *c, uint32_t method, char *reason)
{
    uint32_t id = client_receive(c);

    if (id == AMQP_CONNECTION_CLOSE)
        tell_reason(reason, c->method.connection_close.reply_text);
    return id == method;
}

static void send_tune_ok_and_open(struct test_client *c)
{
    const struct amqp_method tune_ok = {
        .id = AMQP_CONNECTION_TUNE_OK,
        .connection_tune_ok = {.channel_max = 16, .frame_max = FRAME_MAX},
    };
    const struct amqp_method open = {
        .id = AMQP_CONNECTION_OPEN,
        .connection_open = {.virtual_host = bytes_from_string("/")},
    };

    client_send(c, 0, &tune_ok);
    client_send(c, 0, &open);
}

static const struct amqp_method CHANNEL_OPEN = {.id = AMQP_CHANNEL_OPEN};

static bool shake_hands(struct test_client *c, const char *user, const char *password, char *reason)
{
    send_all(c, bytes_of(AMQP_PROTOCOL_HEADER, AMQP_PROTOCOL_HEADER_SIZE));
    if (!expect(c, AMQP_CONNECTION_START, reason))
        return false;
    send_start_ok(c, user, password);
    if (!expect(c, AMQP_CONNECTION_TUNE, reason))
        return false;
    send_tune_ok_and_open(c);
    if (!expect(c, AMQP_CONNECTION_OPEN_OK, reason))
        return false;
    client_send(c, 1, &CHANNEL_OPEN);
    return expect(c, AMQP_CHANNEL_OPEN_OK, reason);
}

struct test_client *connect_test_client_ahead(struct test_broker *t, const char *user,
                                              const char *password)
{
    struct test_client *c = memory_alloc_zeroed(1, sizeof(*c));

    c->fd = connect_socket(t);
    buffer_init(&c->input);
    send_all(c, bytes_of(AMQP_PROTOCOL_HEADER, AMQP_PROTOCOL_HEADER_SIZE));
    send_start_ok(c, user, password);
    send_tune_ok_and_open(c);
    client_send(c, 1, &CHANNEL_OPEN);
    ck_assert(expect(c, AMQP_CONNECTION_START, NULL));
    ck_assert(expect(c, AMQP_CONNECTION_TUNE, NULL));
    ck_assert(expect(c, AMQP_CONNECTION_OPEN_OK, NULL));
    ck_assert(expect(c, AMQP_CHANNEL_OPEN_OK, NULL));
    return c;
}

struct test_client *connect_test_client(struct test_broker *t, const char *user,
                                        const char *password, char *reason)
{
    struct test_client *c = memory_alloc_zeroed(1, sizeof(*c));

    if (reason != NULL)
        reason[0] = '\0';
    c->fd = connect_socket(t);
    buffer_init(&c->input);
    if (shake_hands(c, user, password, reason))
        return c;
    close_test_client(c);
    return NULL;
}

void close_test_client(struct test_client *c)
{
    close(c->fd);
    buffer_free(&c->input);
    free(c);
}

int client_declare(struct test_client *c, const char *name, char *reason)
{
    const struct amqp_method declare = {
        .id = AMQP_QUEUE_DECLARE,
        .queue_declare = {.queue = bytes_from_string(name), .auto_delete = true},
    };
    int code;

    client_send(c, 1, &declare);
    switch (client_receive(c)) {
    case AMQP_QUEUE_DECLARE_OK:
        return 0;
    case AMQP_CHANNEL_CLOSE:
        break;
    default:
        ck_abort_msg("method %s came", amqp_method_name(c->method.id));
    }
    code = c->method.channel_close.reply_code;
    tell_reason(reason, c->method.channel_close.reply_text);
    client_send(c, 1, &(struct amqp_method){.id = AMQP_CHANNEL_CLOSE_OK});
    client_send(c, 1, &(struct amqp_method){.id = AMQP_CHANNEL_OPEN});
    ck_assert_uint_eq(client_receive(c), AMQP_CHANNEL_OPEN_OK);
    return code;
}

int client_expect_close(struct test_client *c, char *reason)
{
    ck_assert_uint_eq(client_receive(c), AMQP_CONNECTION_CLOSE);
    tell_reason(reason, c->method.connection_close.reply_text);
    return c->method.connection_close.reply_code;
}
