/* Connections that come through a proxy and begin with a PROXY header: whose they are, and who may
 * say so. */
#include "tests/wire/tls_client.h"
#include "tests/wire/tls_files.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/wire/raw.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

/* The first listener takes headers from this machine, the second from elsewhere, the third speaks
 * TLS behind them. */
static const char CONFIG[] =
    "listeners:\n"
    "  - {address: 127.0.0.1, port: @PORT@, plain_without_tls: true, "
    "proxy_protocol: {networks: [127.0.0.0/8]}}\n"
    "  - {address: 127.0.0.1, port: 0, proxy_protocol: {networks: [192.0.2.0/24, 10.0.0.1]}}\n"
    "  - address: 127.0.0.1\n"
    "    port: 0\n"
    "    proxy_protocol: {networks: [10.0.0.0/8, 127.0.0.1]}\n"
    "    tls: {certificate: %s, key: %s}\n"
    "workers: @WORKERS@\n"
    "limits: {handshake_timeout_ms: @HANDSHAKE_MS@}\n"
    "users:\n"
    "  - {name: guest, password: guest, loopback_only: true}\n"
    "permissions:\n"
    "  - {user: guest, configure: .*, write: .*, read: .*}\n";

static struct broker *broker;

static void start(void)
{
    char config[4096];

    snprintf(config, sizeof(config), CONFIG, tls_file("server.pem"), tls_file("server_key.pem"));
    broker = broker_start_with_workers(config, 2);
}

static void stop(void)
{
    raw_close_all();
    ck_assert_msg(broker_stop(broker), "the broker did not end well");
}

static void expect_log(const char *text)
{
    if (broker_log_awaits(broker, text))
        return;
    broker_show_log(broker);
    ck_abort_msg("the log lacks '%s'", text);
}

struct header_case {
    const char *bytes;
    size_t size;
    const char *refused; /* the log's words of guest's login; NULL: he gets in */
};

#define HEADER(text, refused) \
    { \
        text, sizeof(text) - 1, refused \
    }

static const struct header_case HEADERS[] = {
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324 5672\r\n",
           "192.0.2.7:56324: login of user 'guest' was refused"),
    HEADER("PROXY TCP6 2001:db8::7 ::1 56324 5672\r\n",
           "[2001:db8::7]:56324: login of user 'guest' was refused"),
    HEADER(V2 "\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x16\x28",
           "192.0.2.7:56324: login of user 'guest' was refused"),
    /* From a loopback address as the proxy tells it, and from the proxy itself. */
    HEADER("PROXY TCP4 127.0.0.9 127.0.0.1 56324 5672\r\n", NULL),
    HEADER("PROXY UNKNOWN\r\n", NULL),
    HEADER(V2 "\x20\0\0\0", NULL),
};

/* Whether guest, who is let in from loopback addresses alone, gets in: what is sent has to come in
 * pieces of `step` bytes. */
static void expect_login(const struct header_case *h, size_t step)
{
    struct raw *r = raw_connect(broker);

    for (size_t at = 0; at < h->size; at += step)
        raw_send(r, h->bytes + at, h->size - at < step ? h->size - at : step);
    raw_send_protocol_header(r);
    raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    raw_send_start_ok(r, "authentication_failure_close", "PLAIN", "\0guest\0guest", 12);
    if (h->refused == NULL) {
        raw_expect_method(r, 0, AMQP_CONNECTION_TUNE_METHOD);
    } else {
        raw_expect_connection_error(r, 403, "ACCESS_REFUSED*", 0);
        expect_log(h->refused);
    }
    raw_close(r);
}

START_TEST(the_header_says_whose_connection_it_is)
{
    start();
    expect_login(&HEADERS[_i], 1000);
    expect_login(&HEADERS[_i], 1);
    expect_login(&HEADERS[_i], 5);
    stop();
}
END_TEST

/* Header and protocol header in one segment: the header's end is found. */
START_TEST(what_follows_the_header_is_not_lost)
{
    struct raw *r;

    start();
    r = raw_connect(broker);
    raw_send(r, "PROXY TCP4 192.0.2.7 198.51.100.1 56324 5672\r\nAMQP\0\0\x09\x01", 54);
    raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    stop();
}
END_TEST

START_TEST(a_listed_peer_must_send_one)
{
    struct raw *r;

    start();
    r = raw_connect(broker);
    raw_send_protocol_header(r);
    raw_expect_end(r);
    expect_log("no PROXY header, which this listener expects from there: what came is none");
    stop();
}
END_TEST

START_TEST(half_a_header_ends_at_the_time_out)
{
    struct raw *r;

    start();
    r = raw_connect(broker);
    raw_send(r, "PROXY TCP4 192.0.2.7 ", 21);
    raw_expect_end(r);
    expect_log("the handshake took longer than ");
    stop();
}
END_TEST

START_TEST(nobody_else_is_believed)
{
    struct tls_terms t;
    struct tls_client *c;
    uint8_t answer[16];
    ssize_t n;

    start();
    t = (struct tls_terms){.port = broker_listener_port(broker, 1)};
    c = tls_client_new(&t);
    ck_assert_int_eq(send(tls_client_fd(c), "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", 39, 0),
                     39);
    n = recv(tls_client_fd(c), answer, sizeof(answer), MSG_WAITALL);
    ck_assert_int_eq(n, 8);
    ck_assert_mem_eq(answer, "AMQP\0\0\x09\x01", 8);
    expect_log("does not speak AMQP 0-9-1");
    tls_client_free(c);

    c = tls_client_new(&t);
    ck_assert_int_eq(send(tls_client_fd(c), "AMQP\0\0\x09\x01", 8, 0), 8);
    ck_assert_int_gt(recv(tls_client_fd(c), answer, sizeof(answer), 0), 0);
    ck_assert_uint_eq(answer[0], 1);
    tls_client_free(c);
    stop();
}
END_TEST

START_TEST(tls_begins_behind_the_header)
{
    struct tls_terms t;
    struct tls_client *c;
    char error[256] = "";

    start();
    t = (struct tls_terms){.port = broker_listener_port(broker, 2), .ca = tls_file("ca.pem")};
    c = tls_client_new(&t);
    ck_assert_int_eq(send(tls_client_fd(c), HEADERS[2].bytes, HEADERS[2].size, 0),
                     (ssize_t)HEADERS[2].size);
    ck_assert_msg(tls_client_shake_hands(c, error, sizeof(error)), "%s", error);
    ck_assert(tls_client_talks(c));
    tls_client_free(c);
    stop();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("proxy");
    TCase *tcase = tcase_create("proxy");

    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, the_header_says_whose_connection_it_is, 0,
                        sizeof(HEADERS) / sizeof(HEADERS[0]));
    tcase_add_test(tcase, what_follows_the_header_is_not_lost);
    tcase_add_test(tcase, a_listed_peer_must_send_one);
    tcase_add_test(tcase, half_a_header_ends_at_the_time_out);
    tcase_add_test(tcase, nobody_else_is_believed);
    tcase_add_test(tcase, tls_begins_behind_the_header);
    return suite;
}

int main(void)
{
    tls_files_make();
    return wire_main_alone(make_suite);
}
