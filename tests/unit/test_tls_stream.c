/* A TLS stream over a socket pair, against OpenSSL's own client: what it does at the edges that a
 * peer over a network hardly meets. */
#include "leveretctl/certificate.h"
#include "net/tls.h"
#include "net/tls_tickets.h"
#include "tests/unit/store_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    AREA = STREAM_READ_MIN,
};

struct fixture {
    char directory[TEST_PATH_SIZE];
    struct tls_context *context;
    struct tls_turn turn;
    struct stream stream;
    SSL_CTX *client_context;
    SSL *client;
    int client_fd;
    uint8_t area[AREA];
};

static void no_blocking(int fd)
{
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void make_context(struct fixture *f)
{
    const struct certificate_terms terms = {
        .use = CERTIFICATE_OF_SERVER, .common_name = "a", .not_after_s = 3600};
    char certificate[TEST_PATH_SIZE];
    char key[TEST_PATH_SIZE];
    char error[TLS_ERROR_SIZE] = "";
    const struct tls_identity identity = {.certificate = certificate, .key = key};
    const struct tls_options o = {
        .identities = &identity,
        .identity_count = 1,
        .min_version = TLS_VERSION_1_2,
        .max_version = TLS_VERSION_1_3,
        .session_tickets = true,
        .ticket_rotation_s = 60,
        .kernel_tls = true,
    };
    struct certificate c;

    join_path(certificate, f->directory, "a.pem");
    join_path(key, f->directory, "a_key.pem");
    ck_assert_int_eq(certificate_issue(&c, &terms, NULL, error, sizeof(error)), 0);
    ck_assert_int_eq(certificate_write(&c, certificate, error, sizeof(error)), 0);
    ck_assert_int_eq(certificate_write_key(&c, key, NULL, error, sizeof(error)), 0);
    certificate_release(&c);
    ck_assert_msg(tls_context_create(&f->context, &o, error) == 0, "%s", error);
}

static struct fixture *start(int version)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int pair[2];

    make_test_directory(f->directory);
    make_context(f);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    no_blocking(pair[0]);
    no_blocking(pair[1]);
    f->turn.left_ns = TLS_TURN_NS;
    stream_init_tls(&f->stream, pair[0], f->context, &f->turn);
    f->client_fd = pair[1];
    f->client_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(f->client_context, version);
    f->client = SSL_new(f->client_context);
    SSL_set_fd(f->client, f->client_fd);
    SSL_set_connect_state(f->client);
    return f;
}

static void finish(struct fixture *f)
{
    stream_close(&f->stream);
    tls_context_unref(f->context);
    SSL_free(f->client);
    SSL_CTX_free(f->client_context);
    close(f->client_fd);
    remove_test_directory(f->directory);
    free(f);
}

/* Both go on until the handshake is over. */
static void shake_hands(struct fixture *f)
{
    for (int i = 0; i < 10 && !stream_tls_established(&f->stream); i++) {
        f->turn.left_ns = TLS_TURN_NS;
        SSL_do_handshake(f->client);
        ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), -EAGAIN);
    }
    ck_assert(stream_tls_established(&f->stream));
    ck_assert_int_eq(SSL_do_handshake(f->client), 1);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

START_TEST(a_used_up_turn_leaves_handshakes_for_the_next_one)
{
    struct fixture *f = start(TLS1_3_VERSION);

    SSL_do_handshake(f->client);
    f->turn.left_ns = 0;
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), -EAGAIN);
    SSL_do_handshake(f->client);
    ck_assert_int_eq(SSL_get_state(f->client), TLS_ST_CW_CLNT_HELLO); /* nothing has come back */
    f->turn.left_ns = 1;
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), -EAGAIN);
    ck_assert_int_le(f->turn.left_ns, 0); /* what it took is counted */
    ck_assert_int_eq(SSL_do_handshake(f->client), 1);
    finish(f);
}
END_TEST

START_TEST(an_established_stream_does_not_wait_for_turns)
{
    struct fixture *f = start(TLS1_3_VERSION);

    shake_hands(f);
    f->turn.left_ns = 0;
    ck_assert_int_eq(SSL_write(f->client, "abc", 3), 3);
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), 3);
    ck_assert_mem_eq(f->area, "abc", 3);
    finish(f);
}
END_TEST

/* All that has come is read in one call, so the socket's readiness is the stream's. */
START_TEST(a_read_takes_all_records_that_have_come)
{
    struct fixture *f = start(versions[_i]);
    uint8_t expected[3000];
    size_t at = 0;

    shake_hands(f);
    for (int i = 0; i < 30; i++) {
        memset(expected + at, 'a' + i, 100);
        ck_assert_int_eq(SSL_write(f->client, expected + at, 100), 100);
        at += 100;
    }
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), 3000);
    ck_assert_mem_eq(f->area, expected, 3000);
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), -EAGAIN);
    finish(f);
}
END_TEST

/* Large records in pieces that end anywhere. */
START_TEST(cut_records_come_out_whole)
{
    enum { TOTAL = 300000 };

    struct fixture *f = start(versions[_i]);
    uint8_t *sent = malloc(TOTAL);
    size_t written = 0;
    size_t got = 0;

    shake_hands(f);
    for (size_t i = 0; i < TOTAL; i++)
        sent[i] = (uint8_t)(i * 7 + i / 251);
    SSL_set_mode(f->client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    while (got < TOTAL) {
        ssize_t n;

        if (written < TOTAL) {
            int w = SSL_write(f->client, sent + written, (int)(TOTAL - written));

            written += w > 0 ? (size_t)w : 0;
        }
        n = stream_read(&f->stream, f->area, AREA);
        if (n == -EAGAIN)
            continue;
        ck_assert_int_gt(n, 0);
        ck_assert_mem_eq(f->area, sent + got, (size_t)n);
        got += (size_t)n;
    }
    free(sent);
    finish(f);
}
END_TEST

static void fill(uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 31 + i / 4093);
}

/* A socket that takes little at a time: what was not taken is given again, with more behind it. */
START_TEST(writes_go_on_where_the_socket_stopped)
{
    enum { TOTAL = 2 * 1024 * 1024 };

    struct fixture *f = start(versions[_i]);
    uint8_t *data = malloc(TOTAL);
    uint8_t *read = malloc(TOTAL);
    size_t taken = 0;
    size_t got = 0;
    int refused = 0;

    shake_hands(f);
    fill(data, TOTAL);
    while (got < TOTAL) {
        size_t left = TOTAL - taken;
        /* As output has them: small runs, one large, and ever more of them. */
        size_t sizes[4] = {10, 300, 40000, 7000};
        struct iovec runs[4];
        int count = 0;
        int n;

        for (size_t at = taken; count < 4 && left != 0; count++) {
            size_t size = sizes[count] < left ? sizes[count] : left;

            runs[count] = (struct iovec){.iov_base = data + at, .iov_len = size};
            at += size;
            left -= size;
        }
        if (count != 0) {
            ssize_t w = stream_writev(&f->stream, runs, count);

            ck_assert(w > 0 || w == -EAGAIN);
            refused += w == -EAGAIN;
            taken += w > 0 ? (size_t)w : 0;
            if (w > 0)
                continue;
        }
        while (got < TOTAL && (n = SSL_read(f->client, read + got, (int)(TOTAL - got))) > 0)
            got += (size_t)n;
    }
    ck_assert_int_gt(refused, 0);
    ck_assert_mem_eq(read, data, TOTAL);
    free(data);
    free(read);
    finish(f);
}
END_TEST

/* Many runs become few records: a record is as large as it may be. */
START_TEST(small_runs_share_a_record)
{
    struct fixture *f = start(TLS1_3_VERSION);
    uint8_t data[6400];
    struct iovec runs[64];

    shake_hands(f);
    fill(data, sizeof(data));
    for (size_t i = 0; i < 64; i++)
        runs[i] = (struct iovec){.iov_base = data + 100 * i, .iov_len = 100};
    ck_assert_int_eq(stream_writev(&f->stream, runs, 64), sizeof(data));
    /* The client reads a record at a time. */
    ck_assert_int_eq(SSL_read(f->client, f->area, AREA), sizeof(data));
    ck_assert_mem_eq(f->area, data, sizeof(data));
    finish(f);
}
END_TEST

START_TEST(nothing_is_written_before_the_handshake)
{
    struct fixture *f = start(TLS1_3_VERSION);
    const struct iovec run = {.iov_base = f->area, .iov_len = 10};

    ck_assert_int_eq(stream_writev(&f->stream, &run, 1), -EAGAIN);
    shake_hands(f);
    ck_assert_int_eq(stream_writev(&f->stream, &run, 1), 10);
    finish(f);
}
END_TEST

/* The client asks for new keys while the socket takes nothing. What comes behind the question is
 * read, and the stream goes on under the new keys when there is room again. */
START_TEST(a_key_update_amid_a_full_socket_loses_nothing)
{
    struct fixture *f = start(TLS1_3_VERSION);
    uint8_t *data = malloc(16000);
    uint8_t *out = malloc(16000);
    const struct iovec run = {.iov_base = data, .iov_len = 16000};
    size_t got = 0;
    ssize_t n;

    shake_hands(f);
    fill(data, 16000);
    while ((n = stream_writev(&f->stream, &run, 1)) > 0)
        ;
    ck_assert_int_eq(n, -EAGAIN);
    ck_assert_int_eq(SSL_key_update(f->client, SSL_KEY_UPDATE_REQUESTED), 1);
    ck_assert_int_eq(SSL_write(f->client, "behind", 6), 6);
    for (n = -EAGAIN; n == -EAGAIN;) {
        int r = SSL_read(f->client, out, 16000);

        got += r > 0 ? (size_t)r : 0;
        n = stream_read(&f->stream, f->area, AREA);
    }
    ck_assert_int_eq(n, 6);
    ck_assert_mem_eq(f->area, "behind", 6);
    while (got < 1000000) {
        int r = SSL_read(f->client, out, 16000);

        got += r > 0 ? (size_t)r : 0;
        n = stream_writev(&f->stream, &run, 1);
        ck_assert(n > 0 || n == -EAGAIN);
    }
    free(data);
    free(out);
    finish(f);
}
END_TEST

START_TEST(the_end_is_told_by_close_notify)
{
    struct fixture *f = start(versions[_i]);

    shake_hands(f);
    stream_close(&f->stream);
    ck_assert_int_eq(SSL_read(f->client, f->area, AREA), 0);
    ck_assert_int_eq(SSL_get_error(f->client, 0), SSL_ERROR_ZERO_RETURN);
    finish(f);
}
END_TEST

START_TEST(data_before_the_peers_close_notify_is_read_first)
{
    struct fixture *f = start(versions[_i]);

    shake_hands(f);
    ck_assert_int_eq(SSL_write(f->client, "last", 4), 4);
    SSL_shutdown(f->client);
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), 4);
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), 0);
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), 0);
    finish(f);
}
END_TEST

START_TEST(a_forged_record_ends_the_stream_with_a_reason)
{
    static const uint8_t forged[] = {23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8,
                                     9,  0, 1, 2, 3,  4, 5, 6, 7, 8, 9, 0};
    const struct iovec run = {.iov_base = NULL, .iov_len = 0};
    struct fixture *f = start(versions[_i]);

    shake_hands(f);
    ck_assert_int_eq(write(f->client_fd, forged, sizeof(forged)), sizeof(forged));
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), -EPROTO);
    ck_assert_ptr_nonnull(stream_tls_error(&f->stream));
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), -EPROTO);
    ck_assert_int_eq(stream_writev(&f->stream, &run, 1), -EPROTO);
    finish(f);
}
END_TEST

START_TEST(the_first_record_is_waited_for)
{
    static const uint8_t piece[] = {22, 3, 1, 0x40, 0, 1};
    struct fixture *f = start(TLS1_3_VERSION);

    for (size_t i = 0; i < sizeof(piece); i++) {
        ck_assert_int_eq(write(f->client_fd, &piece[i], 1), 1);
        ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), -EAGAIN);
        ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), -EAGAIN);
        ck_assert(!stream_tls_established(&f->stream));
    }
    shutdown(f->client_fd, SHUT_WR);
    ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), 0);
    finish(f);
}
END_TEST

/* Neither a record that is longer than any, nor what does not begin as one. */
START_TEST(what_is_no_first_record_is_not_waited_for)
{
    static const uint8_t beginnings[][5] = {{22, 3, 1, 255, 255}, "GET /"};

    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        struct fixture *f = start(TLS1_3_VERSION);

        ck_assert_int_eq(write(f->client_fd, beginnings[i], 5), 5);
        ck_assert_int_eq(stream_read(&f->stream, f->area, AREA), -EPROTO);
        ck_assert_ptr_nonnull(stream_tls_error(&f->stream));
        finish(f);
    }
}
END_TEST

START_TEST(a_plain_stream_is_none_of_tls)
{
    struct stream s;

    stream_init_plain(&s, -1);
    ck_assert(!stream_is_tls(&s));
    ck_assert(!stream_tls_established(&s));
    ck_assert_ptr_null(stream_tls_error(&s));
}
END_TEST

/* ---- Tickets ---- */

struct ticket {
    unsigned char name[16];
    unsigned char iv[EVP_MAX_IV_LENGTH];
};

static int use(struct tls_tickets *t, int64_t now_s, struct ticket *k, int encrypt)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac_context = EVP_MAC_CTX_new(mac);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int rc = tls_tickets_use(t, now_s, k->name, k->iv, cipher, mac_context, encrypt);

    EVP_CIPHER_CTX_free(cipher);
    EVP_MAC_CTX_free(mac_context);
    EVP_MAC_free(mac);
    return rc;
}

START_TEST(ticket_keys_are_replaced_and_the_former_one_still_opens)
{
    struct tls_tickets *t = tls_tickets_create(60);
    struct ticket first;
    struct ticket second;

    ck_assert_int_eq(use(t, 1000, &first, 1), 1);
    ck_assert_int_eq(use(t, 1059, &first, 0), 1);
    ck_assert_int_eq(use(t, 1060, &second, 1), 1);
    ck_assert_mem_ne(first.name, second.name, sizeof(first.name));
    ck_assert_int_eq(use(t, 1060, &second, 0), 1);
    ck_assert_int_eq(use(t, 1119, &first, 0), 2); /* and a new ticket is due */
    ck_assert_int_eq(use(t, 1120, &first, 0), 0);
    tls_tickets_unref(t);
}
END_TEST

START_TEST(ticket_keys_older_than_two_rotations_open_nothing)
{
    struct tls_tickets *t = tls_tickets_create(60);
    struct ticket k;

    ck_assert_int_eq(use(t, 1000, &k, 1), 1);
    ck_assert_int_eq(use(t, 5000, &k, 0), 0); /* nobody came in between */
    tls_tickets_unref(t);
}
END_TEST

static int run_all(void)
{
    Suite *suite = suite_create("tls_stream");
    TCase *tcase = tcase_create("tls_stream");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, UNIT_TIMEOUT_S);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, a_used_up_turn_leaves_handshakes_for_the_next_one);
    tcase_add_test(tcase, an_established_stream_does_not_wait_for_turns);
    tcase_add_loop_test(tcase, a_read_takes_all_records_that_have_come, 0, 2);
    tcase_add_loop_test(tcase, cut_records_come_out_whole, 0, 2);
    tcase_add_loop_test(tcase, writes_go_on_where_the_socket_stopped, 0, 2);
    tcase_add_test(tcase, small_runs_share_a_record);
    tcase_add_test(tcase, nothing_is_written_before_the_handshake);
    tcase_add_test(tcase, a_key_update_amid_a_full_socket_loses_nothing);
    tcase_add_loop_test(tcase, the_end_is_told_by_close_notify, 0, 2);
    tcase_add_loop_test(tcase, data_before_the_peers_close_notify_is_read_first, 0, 2);
    tcase_add_loop_test(tcase, a_forged_record_ends_the_stream_with_a_reason, 0, 2);
    tcase_add_test(tcase, the_first_record_is_waited_for);
    tcase_add_test(tcase, what_is_no_first_record_is_not_waited_for);
    tcase_add_test(tcase, a_plain_stream_is_none_of_tls);
    tcase_add_test(tcase, ticket_keys_are_replaced_and_the_former_one_still_opens);
    tcase_add_test(tcase, ticket_keys_older_than_two_rotations_open_nothing);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

int main(void)
{
    return run_all();
}
