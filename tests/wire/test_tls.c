/* TLS as clients see it: who gets in and who does not, and why, according to the log; certificates
 * by host; what a handshake may look like on the wire; reload. */
#include "tests/wire/tls_client.h"
#include "tests/wire/tls_files.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/wire/raw.h"

enum {
    MIB = 1024 * 1024,
    CONFIG_SIZE = 8192,
};

/* The program runs each test against one broker with one more listener, with TLS. */
static struct broker *broker;
static uint16_t tls_port;

/* Lines of the listener's tls section: "KEY: FILE" for each NAME=FILE pair. */
#define SERVER "      certificate: $server.pem\n      key: $server_key.pem\n"

/* A configuration with a plain listener and one with TLS; `$` is the directory of certificates. */
static void make_config(char out[CONFIG_SIZE], const char *tls, const char *rest)
{
    size_t size;

    size = (size_t)snprintf(out, CONFIG_SIZE,
                            "listeners:\n"
                            "  - {address: 127.0.0.1, port: @PORT@}\n"
                            "  - address: 127.0.0.1\n"
                            "    port: 0\n"
                            "    tls:\n");
    for (const char *p = tls; *p != '\0'; p++) {
        if (*p == '$')
            size += (size_t)snprintf(out + size, CONFIG_SIZE - size, "%s", tls_file(""));
        else
            out[size++] = *p;
    }
    snprintf(out + size, CONFIG_SIZE - size, "workers: @WORKERS@\n%s", rest);
}

static void start_with(const char *tls, const char *rest)
{
    char config[CONFIG_SIZE];

    make_config(config, tls, rest);
    broker = broker_start_with_workers(config, 2);
    tls_port = broker_listener_port(broker, 1);
}

static void start(const char *tls)
{
    start_with(tls, "");
}

static void stop(void)
{
    use_tls(NULL);
    ck_assert_msg(broker_stop(broker), "the broker did not end well");
}

static struct tls_terms terms(void)
{
    return (struct tls_terms){.port = tls_port, .ca = tls_file("ca.pem")};
}

static void expect_log(const char *text)
{
    if (broker_log_awaits(broker, text))
        return;
    broker_show_log(broker);
    ck_abort_msg("the log lacks '%s'", text);
}

/* ---- What is agreed on ---- */

static const struct {
    const char *config;
    int client_min;
    int client_max;
    const char *agreed; /* NULL: nothing */
} VERSIONS[] = {
    {"", 0, 0, "TLSv1.3"},
    {"", 0, TLS1_2_VERSION, "TLSv1.2"},
    {"      max_version: 1.2\n", 0, 0, "TLSv1.2"},
    {"      min_version: 1.3\n", 0, TLS1_2_VERSION, NULL},
    {"      max_version: 1.2\n", TLS1_3_VERSION, 0, NULL},
    {"", 0, TLS1_1_VERSION, NULL},
};

START_TEST(versions_are_those_that_both_speak)
{
    char config[512];
    struct tls_client *c;
    struct tls_terms t;

    snprintf(config, sizeof(config), SERVER "%s", VERSIONS[_i].config);
    start(config);
    t = terms();
    t.min_version = VERSIONS[_i].client_min;
    t.max_version = VERSIONS[_i].client_max;
    if (t.max_version == TLS1_1_VERSION)
        t.ciphers = "ALL:@SECLEVEL=0";
    if (VERSIONS[_i].agreed == NULL) {
        ck_assert(!tls_lets_in(&t));
        expect_log("the TLS handshake failed: unsupported protocol");
    } else {
        c = tls_connect(&t);
        ck_assert_str_eq(SSL_get_version(tls_client_ssl(c)), VERSIONS[_i].agreed);
        tls_client_free(c);
    }
    stop();
}
END_TEST

START_TEST(no_common_cipher_is_told)
{
    struct tls_terms t;

    start(SERVER "      ciphers: ECDHE-ECDSA-AES256-GCM-SHA384\n");
    t = terms();
    t.max_version = TLS1_2_VERSION;
    t.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
    ck_assert(!tls_lets_in(&t));
    expect_log("the TLS handshake failed: no shared cipher");
    t.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384";
    ck_assert(tls_lets_in(&t));
    stop();
}
END_TEST

START_TEST(no_common_curve_is_told)
{
    struct tls_terms t;

    start(SERVER "      curves: P-384\n      ciphersuites: TLS_AES_128_GCM_SHA256\n");
    t = terms();
    t.curves = "P-256";
    ck_assert(!tls_lets_in(&t));
    expect_log("the TLS handshake failed: no suitable key share");
    t.curves = "P-384";
    ck_assert(tls_lets_in(&t));
    stop();
}
END_TEST

START_TEST(alpn_is_amqp_or_nothing)
{
    struct tls_terms t;
    struct tls_client *c;
    const unsigned char *protocol;
    unsigned size;

    start(SERVER);
    t = terms();
    t.alpn = "amqp";
    c = tls_connect(&t);
    SSL_get0_alpn_selected(tls_client_ssl(c), &protocol, &size);
    ck_assert_uint_eq(size, 4);
    ck_assert_mem_eq(protocol, "amqp", 4);
    tls_client_free(c);
    t.alpn = "http/1.1";
    ck_assert(!tls_lets_in(&t));
    expect_log("the peer offers other protocols than amqp (ALPN)");
    stop();
}
END_TEST

/* ---- Who gets in ---- */

/* A client gets in; or, with a reason, it does not and one line of the log names its address and
 * the reason, which may be in two parts. */
static void expect_entry(const struct tls_terms *t, const char *reason, const char *rest)
{
    struct tls_client *c = tls_client_new(t);
    struct sockaddr_in own = {.sin_port = 0};
    socklen_t size = sizeof(own);
    char error[256];
    char line[512];

    ck_assert_int_eq(getsockname(tls_client_fd(c), (struct sockaddr *)&own, &size), 0);
    ck_assert_int_eq(tls_client_shake_hands(c, error, sizeof(error)) && tls_client_talks(c),
                     reason == NULL);
    if (reason != NULL) {
        snprintf(line, sizeof(line), "127.0.0.1:%u: the TLS handshake failed: %s%s",
                 (unsigned)ntohs(own.sin_port), reason, rest);
        expect_log(line);
    }
    tls_client_free(c);
}

static const struct {
    const char *verify;
    const char *client; /* whose certificate is shown; NULL: none */
    const char *log;    /* NULL: it gets in */
} CLIENTS[] = {
    {"none", NULL, NULL},
    {"none", "foreign", NULL},
    {"peer", NULL, NULL},
    {"peer", "guest", NULL},
    {"peer", "foreign",
     "the peer's certificate is refused: unable to get local issuer certificate "
     "(/CN=foreign)"},
    {"peer", "selfmade",
     "the peer's certificate is refused: self-signed certificate (/CN=selfmade)"},
    {"peer", "expired", "the peer's certificate is refused: certificate has expired (/CN=expired)"},
    {"require", "guest", NULL},
    {"require", NULL, "peer did not return a certificate"},
    {"require", "early",
     "the peer's certificate is refused: certificate is not yet valid (/CN=early)"},
    {"require", "revoked", "the peer's certificate is refused: certificate revoked (/CN=revoked)"},
    {"require", "server",
     "the peer's certificate is refused: unsuitable certificate purpose "
     "(/CN=localhost)"},
};

START_TEST(clients_are_held_to_what_verify_says)
{
    bool verifies = strcmp(CLIENTS[_i / 2].verify, "none") != 0;
    const char *client = CLIENTS[_i / 2].client;
    const char *log = CLIENTS[_i / 2].log;
    char config[512];
    char name[64];
    struct tls_terms t;

    snprintf(config, sizeof(config), SERVER "      ca: $ca.pem\n      verify: %s\n%s",
             CLIENTS[_i / 2].verify, verifies ? "      crl: $crl.pem\n" : "");
    start(config);
    t = terms();
    t.max_version = _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    if (client != NULL) {
        snprintf(name, sizeof(name), "%s.pem", client);
        t.certificate = tls_file(name);
        snprintf(name, sizeof(name), "%s_key.pem", client);
        t.key = tls_file(name);
    }
    expect_entry(&t, log != NULL ? "" : NULL, log);
    stop();
}
END_TEST

static const struct {
    const char *check; /* NULL: the default */
    const char *lists;
    const char *client;
    const char *refused; /* NULL: it gets in */
} REVOCATIONS[] = {
    {NULL, "crl_all", "nested", NULL},
    {NULL, "crl_all", "nested_revoked", "certificate revoked (/CN=nested_revoked)"},
    {NULL, "crl_all", "orphan", "certificate revoked (/CN=fallen)"},
    {NULL, "crl", "nested", "unable to get certificate CRL (/CN=nested)"},
    {"chain", "crl_all", "nested", NULL},
    {"chain", "crl_all", "orphan", "certificate revoked (/CN=fallen)"},
    {"chain", "crl_middle", "nested", "unable to get certificate CRL (/CN=middle)"},
    {"chain", "crl_old", "guest", "CRL has expired (/CN=guest)"},
    {"peer", "crl_middle", "nested", NULL},
    {"peer", "crl_all", "orphan", NULL},
    {"peer", "crl_all", "nested_revoked", "certificate revoked (/CN=nested_revoked)"},
    {"peer", "crl", "nested", "unable to get certificate CRL (/CN=nested)"},
    {"chain\n      depth: 0", "crl_all", "nested",
     "certificate chain too long (/CN=middle) (tls.depth)"},
    {"best_effort", "crl_all", "nested", NULL},
    {"best_effort", "crl", "nested", NULL},
    {"best_effort", "crl_middle", "guest", NULL},
    {"best_effort", "crl_old", "guest", NULL},
    {"best_effort", "crl", "orphan", "certificate revoked (/CN=fallen)"},
    {"best_effort", "crl_old", "revoked", "certificate revoked (/CN=revoked)"},
    {"best_effort", "crl_middle", "nested_revoked", "certificate revoked (/CN=nested_revoked)"},
    {"best_effort", "crl", "foreign", "unable to get local issuer certificate (/CN=foreign)"},
};

START_TEST(revocation_is_looked_for_where_crl_check_says)
{
    const char *check = REVOCATIONS[_i].check;
    char config[512];
    char name[64];
    struct tls_terms t;

    snprintf(config, sizeof(config),
             SERVER "      ca: $ca.pem\n      verify: require\n      crl: $%s.pem\n%s%s\n",
             REVOCATIONS[_i].lists, check != NULL ? "      crl_check: " : "",
             check != NULL ? check : "");
    start(config);
    t = terms();
    snprintf(name, sizeof(name), "%s.pem", REVOCATIONS[_i].client);
    t.certificate = tls_file(name);
    snprintf(name, sizeof(name), "%s_key.pem", REVOCATIONS[_i].client);
    t.key = tls_file(name);
    expect_entry(&t, REVOCATIONS[_i].refused != NULL ? "the peer's certificate is refused: " : NULL,
                 REVOCATIONS[_i].refused);
    stop();
}
END_TEST

START_TEST(a_client_that_does_not_trust_the_server_is_told_of)
{
    struct tls_terms t;

    start(SERVER);
    t = terms();
    t.ca = tls_file("stranger.pem");
    ck_assert(!tls_lets_in(&t));
    expect_log("the TLS handshake failed: the peer refuses: tlsv1 alert unknown ca");
    stop();
}
END_TEST

/* The file of the certificate lacks what is between it and the client's authority. */
START_TEST(the_chain_is_completed_from_the_authorities)
{
    for (int with = 0; with < 2; with++) {
        struct tls_terms t;
        struct tls_client *c;

        start(with == 1 ? "      certificate: $lone.pem\n"
                          "      key: $lone_key.pem\n"
                          "      ca: $authorities_of_lone.pem\n"
                        : "      certificate: $lone.pem\n"
                          "      key: $lone_key.pem\n");
        t = terms();
        ck_assert_int_eq(tls_lets_in(&t), with == 1);
        if (with == 1) {
            c = tls_connect(&t);
            /* Without the root, which the client has or does not trust. */
            ck_assert_int_eq(sk_X509_num(SSL_get_peer_cert_chain(tls_client_ssl(c))), 2);
            tls_client_free(c);
        }
        stop();
    }
}
END_TEST

START_TEST(amqp_without_tls_is_told_of)
{
    struct tls_client *c;
    struct tls_terms t;
    uint8_t alert[64];

    start(SERVER);
    t = terms();
    c = tls_client_new(&t);
    ck_assert_int_eq(send(tls_client_fd(c), "AMQP\0\0\x09\x01", 8, 0), 8);
    while (recv(tls_client_fd(c), alert, sizeof(alert), 0) > 0)
        ;
    expect_log("the TLS handshake failed: the peer speaks AMQP without TLS");
    tls_client_free(c);

    /* And the reverse: the plain listener answers a ClientHello as any other header. */
    t.port = broker_port(broker);
    c = tls_client_new(&t);
    ck_assert(!tls_client_shake_hands(c, (char *)alert, sizeof(alert)));
    expect_log("does not speak AMQP 0-9-1 but TLS, and this listener speaks none");
    tls_client_free(c);
    stop();
}
END_TEST

static const struct {
    const char *host; /* NULL: none is named */
    const char *shown;
} HOSTS[] = {
    {NULL, "localhost"},
    {"localhost", "localhost"},
    {"other.example", "other.example"},
    {"OTHER.example", "other.example"},
    {"a.wild.example", "*.wild.example"},
    {"a.b.wild.example", "localhost"},
    {"unknown.example", "localhost"},
};

START_TEST(the_certificate_is_that_of_the_host)
{
    start(SERVER "      certificates:\n"
                 "        - {certificate: $other.pem, key: $other_key.pem}\n"
                 "        - {certificate: $wild.pem, key: $wild_key.pem}\n");
    for (size_t i = 0; i < 2 * sizeof(HOSTS) / sizeof(HOSTS[0]); i++) {
        struct tls_terms t = terms();
        struct tls_client *c;
        char name[64];

        t.host = HOSTS[i / 2].host;
        t.max_version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
        c = tls_connect(&t);
        tls_client_server_name(c, name, sizeof(name));
        ck_assert_str_eq(name, HOSTS[i / 2].shown);
        tls_client_free(c);
    }
    stop();
}
END_TEST

START_TEST(an_encrypted_key_is_read_with_its_passphrase)
{
    struct tls_terms t;

    start("      certificate: $encrypted.pem\n"
          "      key: $encrypted_key.pem\n"
          "      key_passphrase_file: $passphrase\n");
    t = terms();
    ck_assert(tls_lets_in(&t));
    stop();
}
END_TEST

static const struct {
    const char *tls;
    const char *problem;
} BAD[] = {
    {"      certificate: $none.pem\n      key: $server_key.pem\n",
     "none.pem: no certificate could be read: No such file or directory"},
    {"      certificate: $server.pem\n      key: $none.pem\n",
     "none.pem: No such file or directory"},
    {"      certificate: $server.pem\n      key: $other_key.pem\n",
     "other_key.pem: not the key of "},
    {"      certificate: $server.pem\n      key: $server.pem\n",
     "server.pem: no key could be read"},
    {"      certificate: $encrypted.pem\n      key: $encrypted_key.pem\n",
     "encrypted_key.pem: no key could be read (without key_passphrase_file)"},
    {"      certificate: $encrypted.pem\n      key: $encrypted_key.pem\n"
     "      key_passphrase_file: $wrong_passphrase\n",
     "encrypted_key.pem: no key could be read with the passphrase"},
    {"      certificate: $encrypted.pem\n      key: $encrypted_key.pem\n"
     "      key_passphrase_file: $none\n",
     "none: No such file or directory"},
    {SERVER "      ciphers: NONSENSE\n", "ciphers: 'NONSENSE': no cipher match"},
    {SERVER "      ciphers: ALL:@SECLEVEL=0\n", "ciphers: 'ALL:@SECLEVEL=0' has ADH-"},
    {SERVER "      ciphers: ECDHE+AES128:eNULL:@SECLEVEL=0\n",
     ", which anybody in between can read"},
    {SERVER "      ciphers: aNULL\n", "ciphers: 'aNULL' has none that is safe for TLS 1.2"},
    {SERVER "      ciphersuites: NONSENSE\n", "ciphersuites: 'NONSENSE': "},
    {SERVER "      curves: NONSENSE\n", "curves: 'NONSENSE': "},
    {SERVER "      ca: $server_key.pem\n", "server_key.pem: no certificate could be read"},
    {SERVER "      ca: $ca.pem\n      verify: peer\n      crl: $ca.pem\n",
     "ca.pem: no revocation list could be read"},
    {SERVER "      verify: peer\n", "'verify' needs 'ca'"},
    {SERVER "      crl: $crl.pem\n", "'crl' needs 'verify'"},
    {SERVER "      min_version: 1.3\n      max_version: 1.2\n",
     "'min_version' must not be above 'max_version'"},
    {SERVER "      min_version: 1.1\n", "'min_version' must be 1.2 or 1.3, not '1.1'"},
    {"      certificate: $server.pem\n", "'key' is missing in an entry of tls"},
};

START_TEST(what_is_wrong_with_the_files_is_told_before_the_start)
{
    char config[CONFIG_SIZE];
    char path[512];
    char output[8192];
    char *arguments[] = {(char *)(uintptr_t) "--check-config", (char *)(uintptr_t) "--config", path,
                         NULL};
    FILE *f;
    char *place;

    make_config(config, BAD[_i].tls, "");
    while ((place = strstr(config, "@PORT@")) != NULL)
        memcpy(place, "     0", 6);
    place = strstr(config, "@WORKERS@");
    memcpy(place, "        1", 9);
    snprintf(path, sizeof(path), "%s/bad.yaml", scratch_directory());
    f = fopen(path, "w");
    fputs(config, f);
    fclose(f);
    ck_assert_int_eq(leveretd_run(arguments, NULL, output, sizeof(output)), 1);
    ck_assert_msg(strstr(output, BAD[_i].problem) != NULL, "%s", output);
    ck_assert_msg(strstr(output, "bad.yaml:") != NULL, "%s", output);
}
END_TEST

START_TEST(certificates_that_end_soon_are_warned_of)
{
    start("      certificate: $ending.pem\n      key: $ending_key.pem\n"
          "      certificates:\n"
          "        - {certificate: $ended.pem, key: $ended_key.pem}\n"
          "        - {certificate: $other.pem, key: $other_key.pem}\n");
    expect_log("ending.pem: the certificate of /CN=localhost expires in 10 days (");
    expect_log("ended.pem: the certificate of /CN=localhost has expired (");
    ck_assert(!broker_log_holds(broker, "other.pem: the certificate"));
    stop();
}
END_TEST

#define VERIFYING \
    "      certificate: $chained.pem\n      key: $chained_key.pem\n" \
    "      verify: peer\n      ca: $authorities.pem\n      crl: $lists.pem\n"
#define SECOND_LISTENER "  - address: 127.0.0.1\n    port: 0\n    tls:\n"

static const char *const ENDINGS[] = {
    "chained.pem: the intermediate certificate of /CN=ending expires in 10 days (",
    "chained.pem: the intermediate certificate of /CN=ended has expired (",
    "authorities.pem: the certificate of the authority /CN=ending expires in 10 days (",
    "authorities.pem: the certificate of the authority /CN=ended has expired (",
    "lists.pem: the revocation list of /CN=ending expires in 10 days (",
    "lists.pem: the revocation list of /CN=ended has expired (",
    "lists.pem: the revocation list of /CN=overdue expires in 12 hours (",
};

/* Each once, although two listeners have it, at the start and at a reload. */
START_TEST(whatever_else_ends_soon_is_warned_of)
{
    const char *tls = VERIFYING SECOND_LISTENER VERIFYING;
    char config[CONFIG_SIZE];

    start(tls);
    make_config(config, tls, "");
    for (unsigned times = 1; times <= 2; times++) {
        for (size_t i = 0; i < sizeof(ENDINGS) / sizeof(ENDINGS[0]); i++) {
            expect_log(ENDINGS[i]);
            ck_assert_msg(broker_log_count(broker, ENDINGS[i]) == times, "%s", ENDINGS[i]);
        }
        expect_log(" UTC), when all clients of that authority will be refused (tls.crl_check)");
        expect_log(" UTC): all clients of that authority are refused (tls.crl_check)");
        if (times == 1)
            ck_assert(broker_reloads(broker, config));
    }
    ck_assert(!broker_log_holds(broker, "/CN=lasting"));
    ck_assert(!broker_log_holds(broker, "/CN=weekly"));
    stop();
}
END_TEST

/* A list of a minute and a half, which has less than a fifth of it left two seconds later. */
START_TEST(lists_that_end_while_it_runs_are_warned_of)
{
    int64_t begin = now_ms();

    tls_files_add_list("soon", -70, 20);
    start("      certificate: $server.pem\n      key: $server_key.pem\n"
          "      verify: peer\n      ca: $ca.pem\n      crl: $soon.pem\n");
    if (now_ms() - begin < 900)
        ck_assert(!broker_log_holds(broker, "soon.pem: the revocation list"));
    expect_log("soon.pem: the revocation list of /CN=An authority expires in 0 hours (");
    stop();
}
END_TEST

/* With best_effort an old list refuses nobody, and the log does not say that it does. */
START_TEST(lists_that_may_lack_are_warned_of_as_such)
{
    start(VERIFYING "      crl_check: best_effort\n");
    expect_log("lists.pem: the revocation list of /CN=ending expires in 10 days (");
    expect_log("lists.pem: the revocation list of /CN=ended has expired (");
    ck_assert(!broker_log_holds(broker, "of that authority"));
    stop();
}
END_TEST

/* ---- What goes over it ---- */

/* A queue's message comes over TLS as it went. */
static void expect_body(struct channel *ch, const char *queue, size_t size)
{
    char *body = malloc(size + 1);
    struct delivery d;

    for (size_t i = 0; i < size; i++)
        body[i] = (char)('a' + (i * 31 + i / 4093) % 26);
    body[size] = '\0';
    publish_bytes(ch, "", queue, 0, NULL, body, size);
    d = expect_delivery(ch, NULL, 0);
    ck_assert_uint_eq(d.body_size, size);
    ck_assert_mem_eq(d.body, body, size);
    ack(ch, d.tag, 0);
    free(body);
}

START_TEST(messages_of_all_sizes_come_through)
{
    static const size_t sizes[] = {0,     1,     100,    16000,   16383,    16384,
                                   16385, 32768, 100000, 1000000, 10 * MIB, 3};
    struct client_tls over;
    struct channel *ch;

    start(SERVER);
    over = (struct client_tls){.port = tls_port, .ca = tls_file("ca.pem")};
    use_tls(&over);
    ch = open_channel(connect_client_to(broker));
    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "c", 0, NO_ARGS);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        expect_body(ch, "q", sizes[i]);
    close_client(ch->client);
    stop();
}
END_TEST

/* Whether this process, and so the broker that it starts, can have the kernel's TLS: it is asked as
 * OpenSSL asks it, since the module may only be loaded then. */
static bool kernel_knows_tls(void)
{
#ifdef OPENSSL_NO_KTLS
    return false;
#else
    struct tls_terms t = terms();
    struct tls_client *c = tls_client_new(&t);
    bool knows = setsockopt(tls_client_fd(c), IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0;

    tls_client_free(c);
    return knows;
#endif
}

static const struct {
    const char *config;
    bool kernel_may;
} KERNEL_TLS[] = {
    {"", true},
    {"      kernel_tls: true\n", true},
    {"      kernel_tls: false\n", false},
};

/* With a cipher that every kernel with TLS knows. Without it, OpenSSL does as well. */
START_TEST(the_kernel_encrypts_where_it_can_and_may)
{
    char config[512];
    char line[128];
    struct client_tls over;
    struct channel *ch;
    bool kernel_does;

    snprintf(config, sizeof(config),
             SERVER "      max_version: 1.2\n      ciphers: ECDHE+AES128\n%s",
             KERNEL_TLS[_i].config);
    start_with(config, "log: {level: debug}\n");
    kernel_does = KERNEL_TLS[_i].kernel_may && kernel_knows_tls();
    over = (struct client_tls){.port = tls_port, .ca = tls_file("ca.pem")};
    use_tls(&over);
    ch = open_channel(connect_client_to(broker));
    snprintf(line, sizeof(line), "AES128-GCM-SHA256, encrypted by %s\n",
             kernel_does ? "the kernel" : "OpenSSL");
    expect_log(line);
    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "c", 0, NO_ARGS);
    expect_body(ch, "q", 1);
    expect_body(ch, "q", MIB);
    close_client(ch->client);
    stop();
}
END_TEST

/* 40 MiB wait for a consumer that does not read: they stay in the queue, not in its connection, and
 * another one is served meanwhile; then all of it comes. */
START_TEST(a_consumer_that_does_not_read_holds_up_nobody)
{
    enum { COUNT = 640, SIZE = 64 * 1024 };

    static char body[SIZE];
    struct client_tls over;
    struct channel *sleeper;
    struct channel *ch;

    start(SERVER);
    over = (struct client_tls){.port = tls_port, .ca = tls_file("ca.pem")};
    use_tls(&over);
    sleeper = open_channel(connect_client_to(broker));
    ch = open_channel(connect_client_to(broker));
    declare_queue(sleeper, "slow", 0, NO_ARGS);
    consume(sleeper, "slow", "c", NO_ACK, NO_ARGS);
    declare_queue(ch, "fast", 0, NO_ARGS);
    consume(ch, "fast", "c", 0, NO_ARGS);
    confirm_select(ch);
    memset(body, 'x', sizeof(body));
    for (int i = 0; i < COUNT; i++)
        publish_bytes(ch, "", "slow", 0, NULL, body, sizeof(body));
    await_confirms(ch);
    ck_assert_uint_gt(message_count(ch, "slow"), COUNT / 4);
    publish(ch, "fast", "hello");
    expect_delivery(ch, "hello", 0);
    for (int i = 0; i < COUNT; i++) {
        struct delivery d = expect_delivery(sleeper, NULL, 0);

        ck_assert_uint_eq(d.body_size, SIZE);
        if (i % 32 == 0)
            recycle_client(sleeper->client);
    }
    close_client(sleeper->client);
    close_client(ch->client);
    stop();
}
END_TEST

/* Runs leveret-perf against the TLS listener. Returns its exit status. */
static int run_perf(const char *const options[])
{
    const char *argv[16] = {"leveret-perf"};
    size_t count = 0;
    int status;
    pid_t pid;

    for (; options[count] != NULL; count++)
        argv[count + 1] = options[count];
    argv[count + 1] = "--no-progress";
    pid = fork();
    if (pid == 0) {
        execv("./leveret-perf", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(leveret_perf_speaks_it)
{
    char uri[64];
    const char *const trusting[] = {"--uri",      uri,   "--ca",   tls_file("ca.pem"),
                                    "--messages", "500", "--size", "100..40000",
                                    "--confirms", "50",  NULL};
    const char *const churning[] = {"churn",         "--uri", uri,      "--insecure",
                                    "--connections", "3",     "--time", "0.2",
                                    "--warmup",      "0",     NULL};
    const char *const doubting[] = {"--uri", uri, "--ca", tls_file("stranger.pem"), NULL};

    start(SERVER);
    snprintf(uri, sizeof(uri), "amqps://localhost:%u", (unsigned)tls_port);
    ck_assert_int_eq(run_perf(trusting), 0);
    ck_assert_int_eq(run_perf(churning), 0);
    ck_assert_int_eq(run_perf(doubting), 1);
    stop();
}
END_TEST

START_TEST(a_handshake_may_come_byte_by_byte)
{
    struct tls_client *c;
    struct tls_terms t;

    start(SERVER);
    t = terms();
    t.segment_size = 1;
    t.max_version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    c = tls_connect(&t);
    tls_client_free(c);
    stop();
}
END_TEST

START_TEST(data_may_come_in_the_segment_that_ends_the_handshake)
{
    struct tls_client *c;
    struct tls_terms t;
    uint8_t frame[4096];

    start(SERVER);
    t = terms();
    c = tls_client_new(&t);
    tls_client_hold_last_flight(c);
    tls_client_send(c, "AMQP\0\0\x09\x01", 8);
    ck_assert_int_gt(tls_client_read(c, frame, sizeof(frame)), 0);
    ck_assert_uint_eq(frame[0], 1);
    tls_client_free(c);
    stop();
}
END_TEST

/* The server's answer to another protocol's header, then its close_notify. */
START_TEST(the_end_is_told_by_close_notify)
{
    struct tls_client *c;
    struct tls_terms t;
    char error[256] = "";
    uint8_t answer[64];

    start(SERVER);
    t = terms();
    t.max_version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    c = tls_client_new(&t);
    ck_assert(tls_client_shake_hands(c, error, sizeof(error)));
    tls_client_send(c, "AMQP\1\1\0\x09", 8);
    ck_assert_int_eq(tls_client_read(c, answer, sizeof(answer)), 8);
    ck_assert_mem_eq(answer, "AMQP\0\0\x09\x01", 8);
    ck_assert_int_eq(tls_client_read(c, answer, sizeof(answer)), 0);
    tls_client_free(c);
    stop();
}
END_TEST

/* A client's close_notify ends its connection although its socket stays open. */
START_TEST(close_notify_of_the_client_is_its_end)
{
    struct tls_client *c;
    struct tls_terms t;
    uint8_t rest[4096];
    ssize_t n;

    start(SERVER);
    t = terms();
    c = tls_connect(&t);
    SSL_shutdown(tls_client_ssl(c));
    tls_client_send(c, NULL, 0);
    while ((n = tls_client_read(c, rest, sizeof(rest))) > 0)
        ;
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(recv(tls_client_fd(c), rest, sizeof(rest), 0), 0);
    tls_client_free(c);
    stop();
}
END_TEST

START_TEST(renegotiation_is_refused)
{
    struct tls_client *c;
    struct tls_terms t;
    char error[256] = "";

    start(SERVER);
    t = terms();
    t.max_version = TLS1_2_VERSION;
    c = tls_connect(&t);
    ck_assert_int_eq(SSL_renegotiate(tls_client_ssl(c)), 1);
    ck_assert(!tls_client_shake_hands(c, error, sizeof(error)));
    ck_assert_str_eq(error, "no renegotiation");
    tls_client_free(c);
    ck_assert(tls_lets_in(&t));
    stop();
}
END_TEST

START_TEST(it_is_spoken_over_ipv6)
{
    char config[CONFIG_SIZE];
    struct tls_terms t;
    char *place;

    make_config(config, SERVER, "");
    place = strstr(strstr(config, "127.0.0.1") + 1, "127.0.0.1");
    memcpy(place, "\"::1\"    ", 9);
    broker = broker_start_with_workers(config, 2);
    tls_port = broker_listener_port(broker, 1);
    t = terms();
    t.ipv6 = true;
    ck_assert(tls_lets_in(&t));
    t.ca = tls_file("stranger.pem");
    ck_assert(!tls_lets_in(&t));
    expect_log("[::1]:");
    expect_log(": the TLS handshake failed: the peer refuses: tlsv1 alert unknown ca");
    stop();
}
END_TEST

START_TEST(garbage_ends_only_its_own_connection)
{
    struct tls_terms t;

    start(SERVER);
    t = terms();
    for (unsigned i = 0; i < 50; i++) {
        struct tls_client *c = _i == 0 ? tls_client_new(&t) : tls_connect(&t);
        uint8_t noise[700];

        for (size_t k = 0; k < sizeof(noise); k++)
            noise[k] = (uint8_t)(k * 131 + i * 17 + (k >> 3) * i);
        ck_assert_int_eq(send(tls_client_fd(c), noise, sizeof(noise), MSG_NOSIGNAL), sizeof(noise));
        shutdown(tls_client_fd(c), SHUT_WR);
        while (recv(tls_client_fd(c), noise, sizeof(noise), 0) > 0)
            ;
        tls_client_free(c);
    }
    ck_assert(tls_lets_in(&t));
    stop();
}
END_TEST

/* Hellos that stay unfinished end at the handshake's time-out and hold up nobody before. */
START_TEST(slow_handshakes_end_in_time_and_hold_up_nobody)
{
    enum { SLOW = 200 };

    struct tls_client *slow[SLOW];
    struct channel *ch;
    struct tls_terms t;
    uint8_t hello[4096];
    int64_t begin;

    start_with(SERVER, "limits: {handshake_timeout_ms: @HANDSHAKE_MS@}\n");
    t = terms();
    begin = now_ms();
    for (int i = 0; i < SLOW; i++) {
        size_t size;

        slow[i] = tls_client_new(&t);
        size = tls_client_take_output(slow[i], hello, sizeof(hello));
        ck_assert_int_gt(send(tls_client_fd(slow[i]), hello, size / 2 + (size_t)(i % 3), 0), 0);
    }
    ch = open_channel(connect_client_to(broker));
    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    for (int i = 0; i < 50; i++) {
        publish(ch, "q", "a");
        expect_delivery(ch, "a", 0);
        ck_assert(tls_lets_in(&t));
    }
    for (int i = 0; i < SLOW; i++) {
        while (recv(tls_client_fd(slow[i]), hello, sizeof(hello), 0) > 0)
            ;
        tls_client_free(slow[i]);
    }
    ck_assert_int_ge(now_ms() - begin, 900);
    expect_log("the handshake took longer than ");
    close_client(ch->client);
    stop();
}
END_TEST

START_TEST(idle_connections_are_small)
{
    enum { IDLE = 400 };

    struct tls_client *idle[IDLE];
    struct tls_terms t;
    long before;

    start(SERVER);
    t = terms();
    for (int i = 0; i < 50; i++)
        ck_assert(tls_lets_in(&t));
    before = broker_resident_kib(broker);
    for (int i = 0; i < IDLE; i++)
        idle[i] = tls_connect(&t);
    printf("an idle TLS connection takes %.1f KiB\n",
           (double)(broker_resident_kib(broker) - before) / IDLE);
    if (!broker_is_sanitized())
        ck_assert_int_le(broker_resident_kib(broker) - before, 20 * IDLE);
    for (int i = 0; i < IDLE; i++)
        tls_client_free(idle[i]);
    stop();
}
END_TEST

/* ---- Coming back ---- */

static bool comes_back(const struct tls_terms *t, SSL_SESSION **session)
{
    struct tls_terms again = *t;
    struct tls_client *c;
    bool reused;

    again.session = *session;
    c = tls_connect(&again);
    reused = SSL_session_reused(tls_client_ssl(c)) == 1;
    ck_assert(tls_client_logs_in(c));
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(tls_client_ssl(c));
    tls_client_free(c);
    return reused;
}

static const struct {
    const char *tls;
    bool tickets;
} TICKETS[] = {
    {SERVER, true},
    {SERVER "      session_tickets: false\n", false},
    {SERVER "      ca: $ca.pem\n      verify: peer\n", false},
};

START_TEST(tickets_bring_sessions_back_where_they_are_given)
{
    SSL_SESSION *session = NULL;
    struct tls_terms t;
    char config[CONFIG_SIZE];

    start(TICKETS[_i / 2].tls);
    t = terms();
    t.max_version = _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    ck_assert(!comes_back(&t, &session));
    ck_assert_int_eq(comes_back(&t, &session), TICKETS[_i / 2].tickets);

    /* Also after a reload, which makes a context of its own. */
    make_config(config, TICKETS[_i / 2].tls, "");
    broker_reload(broker, config);
    expect_log("the configuration is in force");
    ck_assert_int_eq(comes_back(&t, &session), TICKETS[_i / 2].tickets);
    SSL_SESSION_free(session);
    stop();
}
END_TEST

/* A ticket costs, and who does not log in has no use for it. */
START_TEST(a_ticket_comes_with_the_login)
{
    struct tls_terms t;
    struct tls_client *c;

    start(SERVER);
    t = terms();
    c = tls_connect(&t);
    ck_assert_str_eq(SSL_get_version(tls_client_ssl(c)), "TLSv1.3");
    ck_assert_int_eq(SSL_SESSION_is_resumable(SSL_get_session(tls_client_ssl(c))), 0);
    ck_assert(tls_client_logs_in(c));
    ck_assert_int_eq(SSL_SESSION_is_resumable(SSL_get_session(tls_client_ssl(c))), 1);
    tls_client_free(c);
    stop();
}
END_TEST

/* A session of before a reload that turns `verify` on shows no certificate, so it lets nobody in;
 * with one the handshake is whole, and the certificate is looked at. */
START_TEST(a_ticket_of_before_vouches_for_nobody)
{
    SSL_SESSION *session = NULL;
    struct tls_terms t;
    char config[CONFIG_SIZE];

    start(SERVER);
    t = terms();
    t.max_version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    comes_back(&t, &session);
    ck_assert(comes_back(&t, &session));
    make_config(config, SERVER "      ca: $ca.pem\n      verify: require\n      crl: $crl.pem\n",
                "");
    broker_reload(broker, config);
    expect_log("the configuration is in force");

    t.session = session;
    expect_entry(&t, "", "peer did not return a certificate");
    t.certificate = tls_file("revoked.pem");
    t.key = tls_file("revoked_key.pem");
    expect_entry(&t, "the peer's certificate is refused: ", "certificate revoked (/CN=revoked)");
    t.certificate = tls_file("guest.pem");
    t.key = tls_file("guest_key.pem");
    ck_assert(!comes_back(&t, &session));
    SSL_SESSION_free(session);
    stop();
}
END_TEST

static const char *const STRICTER[] = {
    SERVER "      ca: $ca.pem\n      verify: require\n      crl: $crl.pem\n",
    SERVER "      ca: $stranger.pem\n      verify: require\n",
};

/* A certificate that was good is looked at again after a reload of authorities or lists, also when
 * its owner would come back with the session. */
START_TEST(a_reload_of_authorities_and_lists_holds_for_who_was_there)
{
    SSL_SESSION *session = NULL;
    struct tls_terms t;
    char config[CONFIG_SIZE];

    start(SERVER "      ca: $ca.pem\n      verify: require\n");
    t = terms();
    t.max_version = _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    t.certificate = tls_file("revoked.pem");
    t.key = tls_file("revoked_key.pem");
    ck_assert(!comes_back(&t, &session));
    ck_assert(!comes_back(&t, &session));
    make_config(config, STRICTER[_i / 2], "");
    broker_reload(broker, config);
    expect_log("the configuration is in force");
    t.session = session;
    expect_entry(&t, "the peer's certificate is refused: ",
                 _i / 2 == 0 ? "certificate revoked (/CN=revoked)"
                             : "self-signed certificate in certificate chain (/CN=An authority)");
    SSL_SESSION_free(session);
    stop();
}
END_TEST

/* ---- Reload ---- */

static char *common_name_now(char out[64])
{
    struct tls_terms t = terms();
    struct tls_client *c = tls_connect(&t);

    tls_client_server_name(c, out, 64);
    tls_client_free(c);
    return out;
}

/* A client that publishes and consumes as long as it is not told to stop. */
struct traffic {
    struct client_tls over;
    atomic_bool stop;
    atomic_int rounds;
    pthread_t thread;
};

static void *run_traffic(void *argument)
{
    struct traffic *t = argument;
    struct channel *ch;

    ch = open_channel(connect_client_to(broker));
    declare_queue(ch, "traffic", 0, NO_ARGS);
    consume(ch, "traffic", "c", NO_ACK, NO_ARGS);
    while (!atomic_load(&t->stop)) {
        publish(ch, "traffic", "a");
        expect_delivery(ch, "a", 0);
        if (atomic_fetch_add(&t->rounds, 1) % 100 == 0)
            recycle_client(ch->client);
    }
    close_client(ch->client);
    return NULL;
}

static void await_rounds(struct traffic *t, int more)
{
    int goal = atomic_load(&t->rounds) + more;
    int64_t deadline = now_ms() + deadline_ms();

    while (atomic_load(&t->rounds) < goal) {
        ck_assert_int_lt(now_ms(), deadline);
        usleep(1000);
    }
}

static void install(const char *name)
{
    char from[64];

    snprintf(from, sizeof(from), "%s.pem", name);
    ck_assert_int_eq(rename(tls_file(from), tls_file("live.pem")), 0);
    snprintf(from, sizeof(from), "%s_key.pem", name);
    ck_assert_int_eq(rename(tls_file(from), tls_file("live_key.pem")), 0);
}

START_TEST(reload_shows_the_new_certificate_and_drops_nobody)
{
    static const char config_lines[] = "      certificate: $live.pem\n      key: $live_key.pem\n";
    struct traffic t = {.rounds = 0};
    char config[CONFIG_SIZE];
    char name[64];

    tls_files_add_server("first", "first.example", 3600);
    install("first");
    start(config_lines);
    make_config(config, config_lines, "");
    ck_assert_str_eq(common_name_now(name), "first.example");
    t.over = (struct client_tls){.port = tls_port, .ca = tls_file("ca.pem")};
    use_tls(&t.over);
    pthread_create(&t.thread, NULL, run_traffic, &t);
    await_rounds(&t, 20);

    tls_files_add_server("second", "second.example", 3600);
    install("second");
    broker_reload(broker, config);
    expect_log("the configuration is in force");
    ck_assert_str_eq(common_name_now(name), "second.example");
    await_rounds(&t, 20);

    /* A key that does not fit: refused with its name, and what was goes on. */
    tls_files_add_server("third", "third.example", 3600);
    ck_assert_int_eq(rename(tls_file("third.pem"), tls_file("live.pem")), 0);
    broker_reload(broker, config);
    expect_log("live_key.pem: not the key of");
    expect_log("the configuration has problems; the former one stays in force");
    ck_assert_str_eq(common_name_now(name), "second.example");
    await_rounds(&t, 20);

    atomic_store(&t.stop, true);
    pthread_join(t.thread, NULL);
    stop();
}
END_TEST

START_TEST(reload_neither_adds_nor_takes_tls_away)
{
    char config[CONFIG_SIZE];
    struct tls_terms t;
    char *place;

    start(SERVER);
    make_config(config, SERVER, "");
    place = strstr(config, "    tls:\n");
    ck_assert_ptr_nonnull(place);
    strcpy(place, "workers: @WORKERS@\n");
    broker_reload(broker, config);
    expect_log("the listener on 127.0.0.1 port 0 goes on as it is until a restart");
    expect_log("the configuration is in force");
    t = terms();
    ck_assert(tls_lets_in(&t));
    stop();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("tls");
    TCase *tcase = tcase_create("tls");

    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, versions_are_those_that_both_speak, 0,
                        sizeof(VERSIONS) / sizeof(VERSIONS[0]));
    tcase_add_test(tcase, no_common_cipher_is_told);
    tcase_add_test(tcase, no_common_curve_is_told);
    tcase_add_test(tcase, alpn_is_amqp_or_nothing);
    tcase_add_loop_test(tcase, clients_are_held_to_what_verify_says, 0,
                        2 * sizeof(CLIENTS) / sizeof(CLIENTS[0]));
    tcase_add_loop_test(tcase, revocation_is_looked_for_where_crl_check_says, 0,
                        sizeof(REVOCATIONS) / sizeof(REVOCATIONS[0]));
    tcase_add_test(tcase, a_client_that_does_not_trust_the_server_is_told_of);
    tcase_add_test(tcase, the_chain_is_completed_from_the_authorities);
    tcase_add_test(tcase, amqp_without_tls_is_told_of);
    tcase_add_test(tcase, the_certificate_is_that_of_the_host);
    tcase_add_test(tcase, an_encrypted_key_is_read_with_its_passphrase);
    tcase_add_loop_test(tcase, what_is_wrong_with_the_files_is_told_before_the_start, 0,
                        sizeof(BAD) / sizeof(BAD[0]));
    tcase_add_test(tcase, certificates_that_end_soon_are_warned_of);
    tcase_add_test(tcase, whatever_else_ends_soon_is_warned_of);
    tcase_add_test(tcase, lists_that_end_while_it_runs_are_warned_of);
    tcase_add_test(tcase, lists_that_may_lack_are_warned_of_as_such);
    tcase_add_test(tcase, messages_of_all_sizes_come_through);
    tcase_add_loop_test(tcase, the_kernel_encrypts_where_it_can_and_may, 0,
                        sizeof(KERNEL_TLS) / sizeof(KERNEL_TLS[0]));
    tcase_add_test(tcase, a_consumer_that_does_not_read_holds_up_nobody);
    tcase_add_test(tcase, leveret_perf_speaks_it);
    tcase_add_loop_test(tcase, a_handshake_may_come_byte_by_byte, 0, 2);
    tcase_add_test(tcase, data_may_come_in_the_segment_that_ends_the_handshake);
    tcase_add_loop_test(tcase, the_end_is_told_by_close_notify, 0, 2);
    tcase_add_test(tcase, close_notify_of_the_client_is_its_end);
    tcase_add_test(tcase, renegotiation_is_refused);
    tcase_add_test(tcase, it_is_spoken_over_ipv6);
    tcase_add_loop_test(tcase, garbage_ends_only_its_own_connection, 0, 2);
    tcase_add_test(tcase, slow_handshakes_end_in_time_and_hold_up_nobody);
    tcase_add_test(tcase, idle_connections_are_small);
    tcase_add_loop_test(tcase, tickets_bring_sessions_back_where_they_are_given, 0,
                        2 * sizeof(TICKETS) / sizeof(TICKETS[0]));
    tcase_add_test(tcase, a_ticket_comes_with_the_login);
    tcase_add_loop_test(tcase, a_ticket_of_before_vouches_for_nobody, 0, 2);
    tcase_add_loop_test(tcase, a_reload_of_authorities_and_lists_holds_for_who_was_there, 0, 4);
    tcase_add_test(tcase, reload_shows_the_new_certificate_and_drops_nobody);
    tcase_add_test(tcase, reload_neither_adds_nor_takes_tls_away);
    return suite;
}

int main(void)
{
    tls_files_make();
    return wire_main_alone(make_suite);
}
