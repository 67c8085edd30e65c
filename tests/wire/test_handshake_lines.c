/* What clients can have the broker log as often as they like, those who have not logged in and
 * those who have: so many lines a second of each kind, and the number of the others. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/wire/tls_files.h"

#include "tests/wire/raw.h"

enum {
    FLOOD = 300,
    LINES_A_SECOND = 20,
};

/* The second listener speaks TLS, the third expects PROXY headers. */
static const char CONFIG[] =
    "listeners:\n"
    "  - {address: 127.0.0.1, port: @PORT@}\n"
    "  - address: 127.0.0.1\n"
    "    port: 0\n"
    "    tls: {certificate: %s, key: %s}\n"
    "  - {address: 127.0.0.1, port: 0, proxy_protocol: {networks: [127.0.0.1]}}\n"
    "workers: @WORKERS@\n"
    "limits: {max_connections: 10}\n"
    "login: {backoff_max_ms: 0}\n";

static struct broker *broker;

static void start(void)
{
    char config[4096];

    snprintf(config, sizeof(config), CONFIG, tls_file("server.pem"), tls_file("server_key.pem"));
    broker = broker_start_with_workers(config, 1);
}

static void stop(void)
{
    raw_close_all();
    ck_assert_msg(broker_stop(broker), "the broker did not end well");
}

/* ---- What they do ---- */

static void be_refused(struct raw *r)
{
    uint8_t answer[1024];

    shutdown(r->fd, SHUT_WR);
    while (recv(r->fd, answer, sizeof(answer), 0) > 0)
        ;
}

static void speak_nonsense(struct raw *r)
{
    raw_send_loosely(r, "GET / HTTP/1.1\r\n\r\n", 18);
    be_refused(r);
}

static void skip_the_login(struct raw *r)
{
    raw_send_protocol_header(r);
    raw_send_open(r, "/");
    be_refused(r);
}

static void log_in_wrongly(struct raw *r)
{
    raw_send_protocol_header(r);
    raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    raw_send_start_ok(r, NULL, "PLAIN", "guest", 5);
    be_refused(r);
}

static const struct {
    int listener;
    void (*act)(struct raw *r);
    const char *line;
    const char *left_out;
} KINDS[] = {
    {0, speak_nonsense, ": does not speak AMQP 0-9-1",
     " more connections did not speak AMQP 0-9-1; a worker lists 20 a second\n"},
    {0, skip_the_login,
     ": closed: ", " more connections were closed before the login; a worker lists 20 a second\n"},
    {0, log_in_wrongly, ": login of user '' was refused",
     " more logins were refused; a worker lists 20 a second\n"},
    {1, speak_nonsense, ": the TLS handshake failed: ",
     " more connections failed in TLS; a worker lists 20 a second\n"},
    {2, speak_nonsense, ": no PROXY header, ",
     " more connections began without a PROXY header; a worker lists 20 a second\n"},
};

static void expect_all_are_told(const char *line, const char *left_out, int64_t since_ms)
{
    int64_t deadline = now_ms() + deadline_ms();
    unsigned lines;

    do {
        lines = broker_log_count(broker, line);
    } while (lines + broker_log_sum(broker, left_out) < FLOOD && now_ms() < deadline);
    ck_assert_uint_eq(lines + broker_log_sum(broker, left_out), FLOOD);
    ck_assert_uint_ge(lines, LINES_A_SECOND);
    ck_assert_uint_le(lines, (unsigned)((now_ms() - since_ms) / 1000 + 1) * LINES_A_SECOND);
}

START_TEST(lines_of_each_kind_are_few_and_the_others_counted)
{
    int64_t begin;

    start();
    begin = now_ms();
    for (unsigned i = 0; i < FLOOD; i++) {
        struct raw *r = raw_connect_to(broker, KINDS[_i].listener);

        KINDS[_i].act(r);
        raw_close(r);
    }
    expect_all_are_told(KINDS[_i].line, KINDS[_i].left_out, begin);
    stop();
}
END_TEST

/* Those who keep still, in ten places. */
START_TEST(those_who_give_way_are_told_of_likewise)
{
    enum { PLACES = 10 };
    int64_t begin;

    start();
    begin = now_ms();
    for (unsigned i = 0; i < FLOOD + PLACES; i++)
        raw_connect(broker);
    expect_all_are_told(" has not logged in and gives way ",
                        " more connections that had not logged in gave way to newer ones; a worker "
                        "lists 20 a second\n",
                        begin);
    stop();
}
END_TEST

/* Where those who have logged in hold all places. */
START_TEST(refused_connections_are_told_of_likewise)
{
    enum { PLACES = 10 };
    int64_t begin;

    start();
    for (unsigned i = 0; i < PLACES; i++)
        raw_handshake(raw_connect(broker));
    begin = now_ms();
    for (unsigned i = 0; i < FLOOD; i++) {
        struct raw *r = raw_connect(broker);

        raw_expect_end(r);
        raw_close(r);
    }
    expect_all_are_told("refused a connection: the limit of 10 (limits.max_connections) is reached",
                        " more connections were refused (limits.max_connections, "
                        "limits.max_handshakes); a worker lists 20 a second\n",
                        begin);
    stop();
}
END_TEST

/* ---- Those who have logged in, who have lines of their own ---- */

static void log_in_and_drop(struct raw *r)
{
    raw_handshake(r);
}

static void log_in_and_err(struct raw *r)
{
    raw_handshake(r);
    raw_send_method(r, 7, AMQP_TX_SELECT_METHOD, NULL);
    raw_expect_connection_error(r, 504, "CHANNEL_ERROR*", AMQP_TX_SELECT_METHOD);
}

static const struct {
    void (*act)(struct raw *r);
    const char *line;
    const char *left_out;
} ENDS[] = {
    {log_in_and_drop, ": lost: ", " more connections were lost; a worker lists 20 a second\n"},
    {log_in_and_err,
     ": closed: ", " more connections were closed for errors; a worker lists 20 a second\n"},
};

START_TEST(ends_of_connections_are_few_lines_and_the_others_counted)
{
    int64_t begin;

    start();
    begin = now_ms();
    for (unsigned i = 0; i < FLOOD; i++) {
        struct raw *r = raw_connect(broker);

        ENDS[_i].act(r);
        raw_close(r);
    }
    expect_all_are_told(ENDS[_i].line, ENDS[_i].left_out, begin);
    stop();
}
END_TEST

/* What nothing has told of yet when the broker ends is told then. */
START_TEST(those_that_the_broker_closes_at_its_end_are_told_of)
{
    enum { OPEN = 30 };

    broker = broker_start_with_workers("listeners: [{address: 127.0.0.1, port: @PORT@}]\n"
                                       "workers: @WORKERS@\n",
                                       1);
    for (unsigned i = 0; i < OPEN; i++)
        raw_handshake(raw_connect(broker));
    kill(broker_pid(broker), SIGTERM);
    ck_assert(broker_log_awaits(broker, ": closed: CONNECTION_FORCED"));
    raw_close_all();
    ck_assert_int_eq(broker_wait(broker, (int)deadline_ms()), 0);
    ck_assert_uint_eq(broker_log_count(broker, ": closed: CONNECTION_FORCED"), LINES_A_SECOND);
    ck_assert_uint_eq(broker_log_sum(broker, " more connections were closed for errors; a worker "
                                             "lists 20 a second\n"),
                      OPEN - LINES_A_SECOND);
    stop();
}
END_TEST

START_TEST(errors_of_one_clients_channels_are_few_and_the_others_counted)
{
    struct raw_bytes publish = {.size = 0};
    struct raw *r;
    int64_t begin;

    start();
    put_u16(&publish, 0);
    put_short_string(&publish, "none");
    put_short_string(&publish, "");
    put_u8(&publish, 0);
    r = raw_connect(broker);
    raw_handshake(r);
    begin = now_ms();
    for (unsigned i = 0; i < FLOOD; i++) {
        raw_open_channel(r, 1);
        raw_send_method(r, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
        raw_send_header(r, 1, 0);
        raw_expect_channel_error(r, 1, 404, "NOT_FOUND*", AMQP_BASIC_PUBLISH_METHOD);
        raw_send_method(r, 1, AMQP_CHANNEL_CLOSE_OK_METHOD, NULL);
    }
    raw_close(r);
    expect_all_are_told(": channel 1 closed: ",
                        " more channels closed for errors; 20 a second are listed\n", begin);
    stop();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("handshake_lines");
    TCase *tcase = tcase_create("handshake_lines");

    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, lines_of_each_kind_are_few_and_the_others_counted, 0,
                        sizeof(KINDS) / sizeof(KINDS[0]));
    tcase_add_test(tcase, those_who_give_way_are_told_of_likewise);
    tcase_add_test(tcase, refused_connections_are_told_of_likewise);
    tcase_add_loop_test(tcase, ends_of_connections_are_few_lines_and_the_others_counted, 0,
                        sizeof(ENDS) / sizeof(ENDS[0]));
    tcase_add_test(tcase, those_that_the_broker_closes_at_its_end_are_told_of);
    tcase_add_test(tcase, errors_of_one_clients_channels_are_few_and_the_others_counted);
    return suite;
}

int main(void)
{
    tls_files_make();
    return wire_main_alone(make_suite);
}
