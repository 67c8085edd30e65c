/* SASL EXTERNAL: who a client with a certificate is. */
#include "tests/wire/tls_client.h"
#include "tests/wire/tls_files.h"

#include <openssl/asn1.h>
#include <stdio.h>
#include <string.h>

#include "tests/wire/raw.h"

static const char CONFIG[] =
    "listeners:\n"
    "  - {address: 127.0.0.1, port: @PORT@, mechanisms: [PLAIN, EXTERNAL]}\n"
    "  - address: 127.0.0.1\n"
    "    port: 0\n"
    "    mechanisms: [%s]\n"
    "    tls:\n"
    "      certificate: %s\n"
    "      key: %s\n"
    "      ca: %s\n"
    "      verify: %s\n"
    "%s"
    "workers: @WORKERS@\n"
    "log: {level: debug}\n"
    "users:\n"
    "  - {name: guest, password: guest, loopback_only: true}\n"
    "  - {name: host.clients.example, password: x}\n"
    "  - {name: someone@clients.example, password: x}\n"
    "  - {name: someone, password: x}\n"
    "  - {name: 192.0.2.7, password: x}\n"
    "  - {name: '2001:db8::7', password: x}\n"
    "  - {name: CN=guest, password: x}\n"
    "permissions:\n"
    "  - {user: guest, configure: .*, write: .*, read: .*}\n"
    "  - {user: host.clients.example, configure: .*, write: .*, read: .*}\n"
    "  - {user: someone@clients.example, configure: .*, write: .*, read: .*}\n"
    "  - {user: someone, configure: .*, write: .*, read: .*}\n"
    "  - {user: 192.0.2.7, configure: .*, write: .*, read: .*}\n"
    "  - {user: '2001:db8::7', configure: .*, write: .*, read: .*}\n"
    "  - {user: CN=guest, configure: .*, write: .*, read: .*}\n";

static struct broker *broker;
static struct client_tls over;

static void start_with(const char *mechanisms, const char *verify, const char *rule)
{
    char config[8192];

    snprintf(config, sizeof(config), CONFIG, mechanisms, tls_file("server.pem"),
             tls_file("server_key.pem"), tls_file("ca.pem"), verify, rule);
    broker = broker_start_with_workers(config, 2);
    over = (struct client_tls){.port = broker_listener_port(broker, 1),
                               .ca = tls_file("ca.pem"),
                               .certificate = tls_file("guest.pem"),
                               .key = tls_file("guest_key.pem"),
                               .external = true};
    use_tls(&over);
}

static void start(const char *verify, const char *rule)
{
    start_with("PLAIN, AMQPLAIN, EXTERNAL", verify, rule);
}

static void stop(void)
{
    use_tls(NULL);
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

/* A client that takes EXTERNAL whatever is offered to it is told nothing but that, as RabbitMQ does
 * it; the log tells why. */
static void expect_refusal_of_external(const char *why)
{
    static const char TOLD[] = "\x01\x93" /* 403 */
                               "\x6f"     /* so long is the text */
                               "ACCESS_REFUSED - Login was refused using authentication mechanism "
                               "EXTERNAL. For details see the broker logfile.";
    struct raw_bytes capability = {.size = 0};
    struct raw_bytes properties = {.size = 0};
    struct raw_bytes method = {.size = 0};
    struct raw_bytes frame = {.size = 0};
    struct tls_terms terms = {
        .port = over.port, .ca = over.ca, .certificate = over.certificate, .key = over.key};
    struct tls_client *c = tls_connect(&terms);
    char line[256];
    char answer[512];
    ssize_t n;

    put_short_string(&capability, "authentication_failure_close");
    put_u8(&capability, 't');
    put_u8(&capability, 1);
    put_short_string(&properties, "capabilities");
    put_u8(&properties, 'F');
    put_long_string(&properties, capability.data, capability.size);
    put_u32(&method, AMQP_CONNECTION_START_OK_METHOD);
    put_long_string(&method, properties.data, properties.size);
    put_short_string(&method, "EXTERNAL");
    put_long_string(&method, "guest", 5);
    put_short_string(&method, "en_US");
    put_u8(&frame, AMQP_FRAME_METHOD);
    put_u16(&frame, 0);
    put_long_string(&frame, method.data, method.size);
    put_u8(&frame, AMQP_FRAME_END);
    tls_client_send(c, frame.data, frame.size);
    n = tls_client_read(c, answer, sizeof(answer));
    ck_assert_int_gt(n, 0);
    ck_assert_msg(memmem(answer, (size_t)n, TOLD, sizeof(TOLD) - 1) != NULL, "%.*s", (int)n - 11,
                  answer + 11);
    snprintf(line, sizeof(line), "login of user '' was refused using mechanism EXTERNAL: %s", why);
    expect_log(line);
    tls_client_free(c);
}

/* Whether the mechanism is offered on the listener that clients use now: librabbitmq asks for no
 * other. */
static bool gets_in(void)
{
    return try_connect(broker, "whoever", "", "/").reply_type == AMQP_RESPONSE_NORMAL;
}

static const struct {
    const char *rule;
    const char *user;
} RULES[] = {
    {"", "guest"},
    {"      user_from: common_name\n", "guest"},
    {"      user_from: san_dns\n", "host.clients.example"},
    {"      user_from: san_email\n", "someone@clients.example"},
    {"      user_from: san_email\n      user_pattern: ^(.*)@clients\\.example$\n", "someone"},
    {"      user_from: distinguished_name\n", "CN=guest"},
    {"      user_from: distinguished_name\n      user_pattern: '^CN=([^,+\\\\]+)(,|$)'\n", "guest"},
};

START_TEST(the_rule_says_who_it_is)
{
    char line[128];
    struct channel *ch;

    start(_i % 2 == 0 ? "peer" : "require", RULES[_i].rule);
    ch = open_channel(connect_client_to(broker));
    expect_log(": TLSv1.3, TLS_AES_256_GCM_SHA384");
    snprintf(line, sizeof(line), "user %s opened vhost /", RULES[_i].user);
    expect_log(line);
    declare_queue(ch, "q", 0, NO_ARGS);
    close_client(ch->client);
    stop();
}
END_TEST

START_TEST(a_name_that_no_user_has_is_refused)
{
    tls_files_add_client("nobody");
    start("peer", "");
    over.certificate = tls_file("nobody.pem");
    over.key = tls_file("nobody_key.pem");
    ck_assert(!gets_in());
    expect_log("login of user 'nobody' was refused using mechanism EXTERNAL: unknown user");
    stop();
}
END_TEST

/* RFC 4514 has a backslash before a comma that is part of the name: the pattern of the manual must
 * not take what is in front of it for the user. */
START_TEST(a_comma_in_the_common_name_makes_it_nobody)
{
    tls_files_add_client("guest,O=Example");
    start("peer", "      user_from: distinguished_name\n"
                  "      user_pattern: '^CN=([^,+\\\\]+)(,|$)'\n");
    over.certificate = tls_file("guest,O=Example.pem");
    over.key = tls_file("guest,O=Example_key.pem");
    ck_assert(!gets_in());
    ck_assert(!broker_log_holds(broker, "opened vhost"));
    stop();
}
END_TEST

#define NAME(text) \
    { \
        text, sizeof(text) - 1 \
    }

static const struct {
    const char *rule;
    struct odd_names names;
    const char *told;
} ODD[] = {
    /* Several common names are none of them, but what RabbitMQ makes of them. */
    {"", {.common = {NAME("guest"), NAME("Users")}}, "login of user 'guest,Users' was refused"},
    {"", {.common = {NAME("Users"), NAME("guest")}}, "login of user 'Users,guest' was refused"},
    {"      user_pattern: ',([^,]*)$'\n",
     {.common = {NAME("Users"), NAME("guest")}},
     "user guest opened vhost /"},
    /* What some read to its zero byte is nobody. */
    {"", {.common = {NAME("guest\0.example")}}, "or has a zero byte in it (tls.user_from)"},
    {"", {.common = {NAME("guest"), NAME("\0")}}, "its certificate names no user"},
    {"      user_from: distinguished_name\n      user_pattern: '^CN=([^,+\\\\]+)(,|$)'\n",
     {.common = {NAME("guest\0.example")}},
     "its certificate names no user"},
    {"      user_from: san_dns\n",
     {.common = {NAME("app")}, .dns = NAME("host.clients.example\0.evil")},
     "its certificate names no user"},
    {"      user_from: san_uri\n      user_pattern: ^spiffe://example.org/(.*)$\n",
     {.common = {NAME("app")}, .uri = "spiffe://example.org/guest"},
     "user guest opened vhost /"},
    {"      user_from: san_uri\n",
     {.common = {NAME("guest")}, .dns = NAME("guest")},
     "it has no such name (tls.user_from, tls.user_san_index)"},
    /* Which one of several. */
    {"      user_from: san_dns\n      user_san_index: 1\n",
     {.alternative = "DNS:other,email:someone@clients.example,DNS:guest"},
     "user guest opened vhost /"},
    {"      user_from: san_dns\n      user_san_index: 2\n",
     {.common = {NAME("guest")}, .alternative = "DNS:guest,IP:192.0.2.7,DNS:guest"},
     "it has no such name (tls.user_from, tls.user_san_index)"},
    /* Addresses, as text; those of no length that an address has are none. */
    {"      user_from: san_ip\n",
     {.alternative = "DNS:guest,IP:192.0.2.7"},
     "user 192.0.2.7 opened vhost /"},
    {"      user_from: san_ip\n      user_san_index: 1\n",
     {.alternative = "IP:192.0.2.7,IP:2001:db8:0:0::7"},
     "user 2001:db8::7 opened vhost /"},
    {"      user_from: san_ip\n", {.address = NAME("guest")}, "what is there is no text"},
    /* Other names: text of the two types that are read in one way. */
    {"      user_from: san_other_name\n",
     {.alternative = "otherName:msUPN;UTF8:someone@clients.example"},
     "user someone@clients.example opened vhost /"},
    {"      user_from: san_other_name\n      user_san_index: 1\n",
     {.alternative = "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:x,otherName:1.2.3;PRINTABLE:guest"},
     "user guest opened vhost /"},
    {"      user_from: san_other_name\n",
     {.other = NAME("guest\0.example"), .other_type = V_ASN1_UTF8STRING},
     "what is there is no text, or has a zero byte in it"},
    {"      user_from: san_other_name\n",
     {.other = NAME("guest\xff"), .other_type = V_ASN1_UTF8STRING},
     "what is there is no text"},
    {"      user_from: san_other_name\n",
     {.other = NAME("guest"), .other_type = V_ASN1_OCTET_STRING},
     "what is there is no text"},
    {"      user_from: san_other_name\n",
     {.other = NAME("guest"), .other_type = V_ASN1_IA5STRING},
     "what is there is no text"},
    {"      user_from: san_other_name\n",
     {.other = NAME(""), .other_type = V_ASN1_UTF8STRING},
     "it has no such name"},
    {"      user_from: san_other_name\n",
     {.common = {NAME("guest")}, .alternative = "DNS:guest"},
     "it has no such name (tls.user_from, tls.user_san_index)"},
};

START_TEST(odd_names_are_nobodys)
{
    tls_files_add_odd_client("odd", &ODD[_i].names);
    start_with("EXTERNAL", "peer", ODD[_i].rule);
    over.certificate = tls_file("odd.pem");
    over.key = tls_file("odd_key.pem");
    ck_assert(gets_in() == (strstr(ODD[_i].told, "opened") != NULL));
    expect_log(ODD[_i].told);
    stop();
}
END_TEST

START_TEST(a_name_that_the_pattern_does_not_match_is_nobody)
{
    start("peer", "      user_pattern: ^app-\n");
    ck_assert(!gets_in());
    expect_refusal_of_external("its certificate names no user: tls.user_pattern finds none in its "
                               "name");
    stop();
}
END_TEST

/* Without a certificate that was verified there is nobody: not offered, and refused when asked for
 * all the same. */
START_TEST(without_a_certificate_it_is_not_offered)
{
    struct raw *r;

    start("peer", "");
    over.certificate = NULL;
    ck_assert(!gets_in());
    r = raw_connect(broker);
    raw_send_protocol_header(r);
    raw_expect_method(r, 0, AMQP_CONNECTION_START_METHOD);
    raw_send_start_ok(r, "authentication_failure_close", "EXTERNAL", "guest", 5);
    raw_expect_connection_error(r, 403, "ACCESS_REFUSED*", 0);
    expect_log("using mechanism EXTERNAL: no certificate without TLS (tls of the listener)");
    stop();
}
END_TEST

/* Where EXTERNAL is all that the listener has, a client without a certificate finds nothing that it
 * could take: librabbitmq says so and goes. */
START_TEST(a_listener_with_nothing_else_says_what_is_missing)
{
    amqp_rpc_reply_t reply;

    start_with("EXTERNAL", "peer", "");
    over.certificate = NULL;
    reply = try_connect(broker, "whoever", "", "/");
    ck_assert_int_eq(reply.reply_type, AMQP_RESPONSE_LIBRARY_EXCEPTION);
    ck_assert_int_eq(reply.library_error, AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD);
    expect_log("went away: no mechanism was offered to it: it showed no certificate (tls.verify)");
    expect_refusal_of_external("it showed no certificate (tls.verify)");
    stop();
}
END_TEST

/* There, a password is no way in either. */
START_TEST(a_listener_with_nothing_else_tells_of_a_certificate_that_names_nobody)
{
    start_with("EXTERNAL", "peer", "      user_pattern: ^app-\n");
    ck_assert(!gets_in());
    expect_log("went away: no mechanism was offered to it: its certificate names no user: "
               "tls.user_pattern finds none in its name");
    over.external = false;
    ck_assert(!gets_in());
    stop();
}
END_TEST

/* verify: none asks for no certificate, so whatever a client has says nothing. */
START_TEST(an_unverified_certificate_says_nothing)
{
    start("none", "");
    ck_assert(!gets_in());
    stop();
}
END_TEST

START_TEST(a_password_is_as_good_with_a_certificate)
{
    start("require", "");
    over.external = false;
    close_client(connect_client_to(broker));
    stop();
}
END_TEST

START_TEST(a_pattern_that_is_none_is_told_with_the_configuration)
{
    char path[512];
    char output[4096];
    char *arguments[] = {(char *)(uintptr_t) "--check-config", (char *)(uintptr_t) "--config", path,
                         NULL};
    FILE *f;

    snprintf(path, sizeof(path), "%s/bad.yaml", scratch_directory());
    f = fopen(path, "w");
    fprintf(f,
            "listeners:\n  - tls:\n      certificate: %s\n      key: %s\n"
            "      user_pattern: \"(\"\n",
            tls_file("server.pem"), tls_file("server_key.pem"));
    fclose(f);
    ck_assert_int_eq(leveretd_run(arguments, NULL, output, sizeof(output)), 1);
    ck_assert_msg(strstr(output, "bad.yaml:3: TLS: user_pattern: missing closing parenthesis") !=
                      NULL,
                  "%s", output);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("external");
    TCase *tcase = tcase_create("external");

    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, the_rule_says_who_it_is, 0, sizeof(RULES) / sizeof(RULES[0]));
    tcase_add_test(tcase, a_name_that_no_user_has_is_refused);
    tcase_add_test(tcase, a_comma_in_the_common_name_makes_it_nobody);
    tcase_add_loop_test(tcase, odd_names_are_nobodys, 0, sizeof(ODD) / sizeof(ODD[0]));
    tcase_add_test(tcase, a_name_that_the_pattern_does_not_match_is_nobody);
    tcase_add_test(tcase, without_a_certificate_it_is_not_offered);
    tcase_add_test(tcase, a_listener_with_nothing_else_says_what_is_missing);
    tcase_add_test(tcase, a_listener_with_nothing_else_tells_of_a_certificate_that_names_nobody);
    tcase_add_test(tcase, an_unverified_certificate_says_nothing);
    tcase_add_test(tcase, a_password_is_as_good_with_a_certificate);
    tcase_add_test(tcase, a_pattern_that_is_none_is_told_with_the_configuration);
    return suite;
}

int main(void)
{
    tls_files_make();
    return wire_main_alone(make_suite);
}
