/* Which SASL mechanisms a listener offers and takes, and to whom. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "tests/wire/raw.h"

#define USERS \
    "workers: @WORKERS@\n" \
    "users: [{name: guest, password: guest}]\n" \
    "permissions: [{user: guest, configure: '.*', write: '.*', read: '.*'}]\n"

static const char DEFAULT_CONFIG[] = "listeners: [{address: 0.0.0.0, port: @PORT@}]\n" USERS;
static const char PLAIN_CONFIG[] =
    "listeners: [{address: 0.0.0.0, port: @PORT@, plain_without_tls: true}]\n" USERS;
static const char AMQPLAIN_CONFIG[] =
    "listeners: [{address: 127.0.0.1, port: @PORT@, mechanisms: [AMQPLAIN]}]\n" USERS;

#define NOT_WITHOUT_TLS \
    "ACCESS_REFUSED - authentication mechanism PLAIN is not offered without TLS, but to the " \
    "broker's own machine (plain_without_tls of the listener)"

/* An address of this machine that is not a loopback one: who connects to it comes from it. */
static bool find_own_address(char out[INET_ADDRSTRLEN])
{
    struct ifaddrs *all;
    bool found = false;

    ck_assert_int_eq(getifaddrs(&all), 0);
    for (const struct ifaddrs *i = all; i != NULL && !found; i = i->ifa_next) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)i->ifa_addr;

        if (a == NULL || a->sin_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) != 0)
            continue;
        found = inet_ntop(AF_INET, &a->sin_addr, out, INET_ADDRSTRLEN) != NULL;
    }
    freeifaddrs(all);
    return found;
}

/* The broker as it is seen from the network; NULL on a machine without one. */
static struct broker *from_the_network(const struct broker *b)
{
    char address[INET_ADDRSTRLEN];
    char where[INET_ADDRSTRLEN + 8];

    if (!find_own_address(address))
        return NULL;
    snprintf(where, sizeof(where), "%s:%u", address, broker_port(b));
    return broker_external(where);
}

/* connection.start lists them: a long string after the table of properties. */
static struct raw *expect_offer(const struct broker *b, const char *names)
{
    struct raw *r = raw_connect(b);
    struct raw_bytes listed = {.size = 0};
    struct raw_frame frame;

    raw_send_protocol_header(r);
    frame = raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    put_long_string(&listed, names, strlen(names));
    put_long_string(&listed, "en_US", 5);
    ck_assert_uint_ge(frame.size, listed.size);
    ck_assert_msg(memcmp(frame.payload + frame.size - listed.size, listed.data, listed.size) == 0,
                  "not offered: '%s'", names);
    return r;
}

static void log_in(struct raw *r, const char *mechanism)
{
    raw_send_start_ok(r, NULL, mechanism, "\0guest\0guest", 12);
}

START_TEST(passwords_without_tls_are_taken_from_this_machine_alone)
{
    struct broker *b = broker_start(DEFAULT_CONFIG);
    struct broker *far = from_the_network(b);
    struct raw *r = expect_offer(b, "PLAIN AMQPLAIN");

    log_in(r, "PLAIN");
    raw_expect_method(r, 0, AMQP_CONNECTION_TUNE_METHOD);
    if (far != NULL) {
        r = expect_offer(far, "");
        log_in(r, "PLAIN");
        raw_expect_connection_error(r, 403, NOT_WITHOUT_TLS, AMQP_CONNECTION_START_OK_METHOD);
        /* Many clients look at the offer and go: then the log says it. */
        expect_offer(far, "");
        raw_close_all();
        ck_assert(broker_log_awaits(b, "no mechanism was offered to it"));
        broker_stop(far);
    }
    raw_close_all();
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(passwords_without_tls_are_taken_from_elsewhere_where_the_listener_says_so)
{
    struct broker *b = broker_start(PLAIN_CONFIG);
    struct broker *far = from_the_network(b);

    if (far != NULL) {
        struct raw *r = expect_offer(far, "PLAIN AMQPLAIN");

        log_in(r, "PLAIN");
        raw_expect_method(r, 0, AMQP_CONNECTION_TUNE_METHOD);
        broker_stop(far);
    }
    raw_close_all();
    ck_assert(broker_stop(b));
}
END_TEST

/* What a proxy elsewhere calls 127.0.0.1 is its own machine. */
START_TEST(the_loopback_of_another_machine_is_none)
{
    static const char HEADER[] = "PROXY TCP4 127.0.0.1 127.0.0.1 56324 5672\r\n";
    char address[INET_ADDRSTRLEN] = "192.0.2.1";
    bool has_network = find_own_address(address);
    char config[1024];
    struct broker *b;
    struct broker *far;

    snprintf(config, sizeof(config),
             "listeners:\n"
             "  - {address: 0.0.0.0, port: @PORT@, proxy_protocol: {networks: [%s]}}\n" USERS,
             address);
    b = broker_start(config);
    far = from_the_network(b);
    if (has_network) {
        struct raw *r = raw_connect(far);

        raw_send(r, HEADER, sizeof(HEADER) - 1);
        raw_send_protocol_header(r);
        raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
        log_in(r, "PLAIN");
        raw_expect_connection_error(r, 403, NOT_WITHOUT_TLS, AMQP_CONNECTION_START_OK_METHOD);
        broker_stop(far);
    }
    raw_close_all();
    ck_assert(broker_stop(b));
}
END_TEST

/* Who sends such a name must not hide behind it, nor make a line of the log of his own. */
START_TEST(names_with_control_characters_are_logged_whole)
{
    static const char NAME[] = "gu\0es\nt\xc2\x85!";
    static const char SHOWN[] = "login of user 'gu\\x00es\\x0at\\xc2\\x85!' was refused using "
                                "mechanism AMQPLAIN";
    struct broker *b = broker_start(DEFAULT_CONFIG);
    struct raw *r = expect_offer(b, "PLAIN AMQPLAIN");
    struct raw_bytes response = {.size = 0};

    put_short_string(&response, "LOGIN");
    put_u8(&response, 'S');
    put_long_string(&response, NAME, sizeof(NAME) - 1);
    put_short_string(&response, "PASSWORD");
    put_u8(&response, 'S');
    put_long_string(&response, "guest", 5);
    raw_send_start_ok(r, NULL, "AMQPLAIN", (const char *)response.data, response.size);
    ck_assert(broker_log_awaits(b, SHOWN));
    r = expect_offer(b, "PLAIN AMQPLAIN");
    raw_send_start_ok(r, NULL, "PLAIN", "\0gu\nest\0guest", 13);
    ck_assert(broker_log_awaits(b, "login of user 'gu\\x0aest' was refused using mechanism PLAIN"));
    raw_close_all();
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(a_mechanism_that_the_listener_does_not_list_is_refused)
{
    struct broker *b = broker_start(AMQPLAIN_CONFIG);
    struct raw *r = expect_offer(b, "AMQPLAIN");

    log_in(r, "PLAIN");
    raw_expect_connection_error(r, 503,
                                "COMMAND_INVALID - invalid authentication mechanism 'PLAIN'",
                                AMQP_CONNECTION_START_OK_METHOD);
    r = expect_offer(b, "AMQPLAIN");
    log_in(r, "EXTERNAL");
    raw_expect_connection_error(r, 503,
                                "COMMAND_INVALID - invalid authentication mechanism 'EXTERNAL'",
                                AMQP_CONNECTION_START_OK_METHOD);
    raw_close_all();
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("mechanisms");
    TCase *tcase = tcase_create("mechanisms");

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, passwords_without_tls_are_taken_from_this_machine_alone);
    tcase_add_test(tcase,
                   passwords_without_tls_are_taken_from_elsewhere_where_the_listener_says_so);
    tcase_add_test(tcase, the_loopback_of_another_machine_is_none);
    tcase_add_test(tcase, names_with_control_characters_are_logged_whole);
    tcase_add_test(tcase, a_mechanism_that_the_listener_does_not_list_is_refused);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
