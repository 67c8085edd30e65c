#include "leveretctl/certificate.h"
#include "leveretctl/tls_command.h"
#include "leveretctl/tls_generate.h"
#include "tests/unit/store_helpers.h"
#include "tests/unit/unit.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[TEST_PATH_SIZE];
static char error[TEST_ERROR_SIZE];

static const char *path_of(const char *name)
{
    static char path[TEST_PATH_SIZE];

    join_path(path, directory, name);
    return path;
}

static X509 *read_certificate(const char *name)
{
    FILE *f = fopen(path_of(name), "r");
    X509 *x;

    ck_assert_ptr_nonnull(f);
    x = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    ck_assert_ptr_nonnull(x);
    return x;
}

/* The result of a verification against the directory's CA, X509_V_… */
static int verify(const char *name, int purpose)
{
    X509 *ca = read_certificate("ca_certificate.pem");
    X509 *leaf = read_certificate(name);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int result;

    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, leaf, NULL);
    X509_STORE_CTX_set_purpose(context, purpose);
    X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT);
    X509_verify_cert(context);
    result = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(leaf);
    X509_free(ca);
    return result;
}

static void generate(const char *const *hosts, size_t host_count)
{
    const struct tls_generate_options o = {.directory = directory,
                                           .user = "orders",
                                           .hosts = hosts,
                                           .host_count = host_count,
                                           .days = TLS_GENERATE_DAYS};
    bool new_ca;

    ck_assert_msg(tls_generate(&o, &new_ca, error, sizeof(error)) == 0, "%s", error);
}

static void start(void)
{
    make_test_directory(directory);
}

static void finish(void)
{
    remove_test_directory(directory);
}

START_TEST(both_certificates_are_good_for_their_purpose_alone)
{
    start();
    generate(NULL, 0);
    ck_assert_int_eq(verify("server_certificate.pem", X509_PURPOSE_SSL_SERVER), X509_V_OK);
    ck_assert_int_eq(verify("client_certificate.pem", X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    ck_assert_int_eq(verify("server_certificate.pem", X509_PURPOSE_SSL_CLIENT),
                     X509_V_ERR_INVALID_PURPOSE);
    ck_assert_int_eq(verify("client_certificate.pem", X509_PURPOSE_SSL_SERVER),
                     X509_V_ERR_INVALID_PURPOSE);
    finish();
}
END_TEST

START_TEST(the_server_goes_by_the_names_of_this_machine_and_those_given)
{
    static const char *const hosts[] = {"broker.example.org", "*.mq.example.org", "192.0.2.7",
                                        "2001:db8::7"};
    X509 *x;

    start();
    generate(hosts, 4);
    x = read_certificate("server_certificate.pem");
    ck_assert_int_eq(X509_check_host(x, "localhost", 0, 0, NULL), 1);
    ck_assert_int_eq(X509_check_host(x, "broker.example.org", 0, 0, NULL), 1);
    ck_assert_int_eq(X509_check_host(x, "a.mq.example.org", 0, 0, NULL), 1);
    ck_assert_int_eq(X509_check_host(x, "other.example.org", 0, 0, NULL), 0);
    ck_assert_int_eq(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    ck_assert_int_eq(X509_check_ip_asc(x, "::1", 0), 1);
    ck_assert_int_eq(X509_check_ip_asc(x, "192.0.2.7", 0), 1);
    ck_assert_int_eq(X509_check_ip_asc(x, "2001:db8::7", 0), 1);
    ck_assert_int_eq(X509_check_ip_asc(x, "192.0.2.8", 0), 0);
    X509_free(x);
    finish();
}
END_TEST

START_TEST(the_client_is_named_after_the_user)
{
    char name[64];
    X509 *x;

    start();
    generate(NULL, 0);
    x = read_certificate("client_certificate.pem");
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof(name));
    ck_assert_str_eq(name, "orders");
    X509_free(x);
    finish();
}
END_TEST

START_TEST(keys_are_for_their_owner_alone)
{
    static const char *const keys[] = {"ca_key.pem", "server_key.pem", "client_key.pem"};

    start();
    generate(NULL, 0);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct stat st;

        ck_assert_int_eq(stat(path_of(keys[i]), &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
    }
    finish();
}
END_TEST

START_TEST(a_second_run_renews_under_the_same_ca)
{
    X509 *ca;
    X509 *server;
    X509 *ca_again;
    X509 *server_again;

    start();
    generate(NULL, 0);
    ca = read_certificate("ca_certificate.pem");
    server = read_certificate("server_certificate.pem");
    generate(NULL, 0);
    ca_again = read_certificate("ca_certificate.pem");
    server_again = read_certificate("server_certificate.pem");
    ck_assert_int_eq(X509_cmp(ca, ca_again), 0);
    ck_assert_int_ne(X509_cmp(server, server_again), 0);
    ck_assert_int_eq(verify("server_certificate.pem", X509_PURPOSE_SSL_SERVER), X509_V_OK);
    X509_free(ca);
    X509_free(server);
    X509_free(ca_again);
    X509_free(server_again);
    finish();
}
END_TEST

START_TEST(half_a_ca_is_refused_and_left_alone)
{
    const struct tls_generate_options o = {.directory = directory, .user = "a", .days = 1};
    bool new_ca;

    start();
    generate(NULL, 0);
    ck_assert_int_eq(unlink(path_of("ca_key.pem")), 0);
    ck_assert_int_eq(tls_generate(&o, &new_ca, error, sizeof(error)), -1);
    ck_assert_ptr_nonnull(strstr(error, "ca_key.pem: No such file"));
    ck_assert_int_eq(verify("server_certificate.pem", X509_PURPOSE_SSL_SERVER), X509_V_OK);
    finish();
}
END_TEST

START_TEST(the_place_of_the_revocation_list_is_told)
{
    static const char *const bad[] = {"x", "http://a,URI:http://b", "http://a b", "ftp://a"};
    struct tls_generate_options o = {
        .directory = directory, .user = "a", .crl_url = "http://ca.example/crl.pem", .days = 1};
    CRL_DIST_POINTS *points;
    bool new_ca;
    X509 *x;

    start();
    ck_assert_msg(tls_generate(&o, &new_ca, error, sizeof(error)) == 0, "%s", error);
    x = read_certificate("server_certificate.pem");
    points = X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL);
    ck_assert_int_eq(sk_DIST_POINT_num(points), 1);
    CRL_DIST_POINTS_free(points);
    X509_free(x);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        o.crl_url = bad[i];
        ck_assert_msg(tls_generate(&o, &new_ca, error, sizeof(error)) == -1, "%s", bad[i]);
    }
    finish();
}
END_TEST

START_TEST(names_that_would_say_more_are_refused)
{
    static const char *const bad[] = {"", "a b", "a,DNS:b", "*", "*.", "a/b", "a:1", "email:x"};
    const struct tls_generate_options base = {
        .directory = directory, .user = "a", .host_count = 1, .days = 1};

    start();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tls_generate_options o = base;
        bool new_ca;

        o.hosts = &bad[i];
        ck_assert_msg(tls_generate(&o, &new_ca, error, sizeof(error)) == -1, "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(error, "is neither the name of a host nor an address"));
    }
    finish();
}
END_TEST

START_TEST(a_key_with_a_passphrase_is_not_read_without)
{
    const struct certificate_terms terms = {
        .use = CERTIFICATE_OF_SERVER, .common_name = "a", .not_after_s = 60};
    char certificate[TEST_PATH_SIZE];
    char key[TEST_PATH_SIZE];
    struct certificate c;

    start();
    join_path(certificate, directory, "a.pem");
    join_path(key, directory, "a_key.pem");
    ck_assert_int_eq(certificate_issue(&c, &terms, NULL, error, sizeof(error)), 0);
    ck_assert_int_eq(certificate_write(&c, certificate, error, sizeof(error)), 0);
    ck_assert_int_eq(certificate_write_key(&c, key, "secret", error, sizeof(error)), 0);
    certificate_release(&c);
    ck_assert_int_eq(certificate_read(&c, certificate, key, error, sizeof(error)), -1);
    ck_assert_ptr_nonnull(strstr(error, "a_key.pem"));
    finish();
}
END_TEST

START_TEST(the_command_line_is_checked)
{
    char *no_command[] = {"tls", NULL};
    char *unknown[] = {"tls", "make", "d", NULL};
    char *no_directory[] = {"tls", "generate", NULL};
    char *too_much[] = {"tls", "generate", "a", "b", NULL};
    char *no_days[] = {"tls", "generate", "--days", "0", "a", NULL};
    char *good[] = {"tls", "generate", "--host", "b.example", "--days", "3", NULL, NULL};

    start();
    good[6] = directory;
    ck_assert_int_eq(tls_command(1, no_command), 2);
    ck_assert_int_eq(tls_command(3, unknown), 2);
    ck_assert_int_eq(tls_command(2, no_directory), 2);
    ck_assert_int_eq(tls_command(4, too_much), 2);
    ck_assert_int_eq(tls_command(5, no_days), 2);
    ck_assert_int_eq(tls_command(7, good), 0);
    ck_assert_int_eq(verify("server_certificate.pem", X509_PURPOSE_SSL_SERVER), X509_V_OK);
    finish();
}
END_TEST

UNIT_MAIN("leveretctl_tls", both_certificates_are_good_for_their_purpose_alone,
          the_server_goes_by_the_names_of_this_machine_and_those_given,
          the_client_is_named_after_the_user, keys_are_for_their_owner_alone,
          a_second_run_renews_under_the_same_ca, half_a_ca_is_refused_and_left_alone,
          names_that_would_say_more_are_refused, the_place_of_the_revocation_list_is_told,
          a_key_with_a_passphrase_is_not_read_without, the_command_line_is_checked)
