/* Listeners on Unix sockets, with TLS and without. */
#include "tests/wire/tls_client.h"
#include "tests/wire/tls_files.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/wire/raw.h"

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "  - {address: \"unix:%s\"}\n"
                             "  - address: unix:%s\n"
                             "    tls: {certificate: %s, key: %s}\n"
                             "workers: @WORKERS@\n";

static char plain_path[128];
static char tls_path[128];
static struct broker *broker;

static const char *config(void)
{
    static char text[4096];

    snprintf(plain_path, sizeof(plain_path), "%s", tls_file("plain.sock"));
    snprintf(tls_path, sizeof(tls_path), "%s", tls_file("tls.sock"));
    snprintf(text, sizeof(text), CONFIG, plain_path, tls_path, tls_file("server.pem"),
             tls_file("server_key.pem"));
    return text;
}

/* The last of the listeners is there. */
static void await_listeners(void)
{
    ck_assert(broker_log_awaits(broker, "tls.sock with TLS"));
}

static void start(void)
{
    broker = broker_start_with_workers(config(), 3);
    await_listeners();
}

static void stop(void)
{
    raw_close_all();
    ck_assert_msg(broker_stop(broker), "the broker did not end well");
}

/* Many connections, so that every worker has some; guest counts as from this machine. */
START_TEST(clients_connect_and_log_in)
{
    struct raw *all[60];

    start();
    for (int i = 0; i < 60; i++) {
        all[i] = raw_connect_unix(plain_path);
        raw_handshake(all[i]);
        raw_open_channel(all[i], 1);
    }
    stop();
}
END_TEST

START_TEST(tls_is_spoken_there_too)
{
    struct tls_terms t;

    start();
    t = (struct tls_terms){.unix_path = tls_path, .ca = tls_file("ca.pem")};
    for (int i = 0; i < 20; i++)
        ck_assert(tls_lets_in(&t));
    stop();
}
END_TEST

START_TEST(the_file_goes_with_the_broker)
{
    struct stat st;

    start();
    ck_assert_int_eq(lstat(plain_path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    stop();
    ck_assert_int_eq(lstat(plain_path, &st), -1);
    ck_assert_int_eq(lstat(tls_path, &st), -1);
}
END_TEST

/* One that was killed leaves it behind, which is no obstacle to the next. */
START_TEST(a_file_that_nobody_listens_on_is_replaced)
{
    start();
    ck_assert(broker_kill(broker));
    broker_launch(broker, config(), 3);
    await_listeners();
    raw_handshake(raw_connect_unix(plain_path));
    stop();
}
END_TEST

/* What leveretd says when it cannot start. */
static void expect_no_start(const char *why)
{
    char path[512];
    char text[1024];
    char output[4096];
    char *arguments[] = {(char *)(uintptr_t) "--config", path, (char *)(uintptr_t) "--data-dir",
                         text, NULL};
    FILE *f;

    snprintf(path, sizeof(path), "%s/second.yaml", scratch_directory());
    f = fopen(path, "w");
    fprintf(f, "listeners: [{address: \"unix:%s\"}]\n", plain_path);
    fclose(f);
    snprintf(text, sizeof(text), "%s/data", scratch_directory());
    ck_assert_int_eq(leveretd_run(arguments, NULL, output, sizeof(output)), 1);
    ck_assert_msg(strstr(output, why) != NULL, "%s", output);
}

START_TEST(a_socket_in_use_is_left_to_its_owner)
{
    start();
    expect_no_start("plain.sock: Address already in use");
    raw_handshake(raw_connect_unix(plain_path));
    stop();
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_left_alone)
{
    struct stat st;
    FILE *f;

    config();
    f = fopen(plain_path, "w");
    fputs("precious", f);
    fclose(f);
    expect_no_start("plain.sock: File exists");
    ck_assert_int_eq(lstat(plain_path, &st), 0);
    ck_assert_int_eq(st.st_size, 8);
    unlink(plain_path);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("unix_socket");
    TCase *tcase = tcase_create("unix_socket");

    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, clients_connect_and_log_in);
    tcase_add_test(tcase, tls_is_spoken_there_too);
    tcase_add_test(tcase, the_file_goes_with_the_broker);
    tcase_add_test(tcase, a_file_that_nobody_listens_on_is_replaced);
    tcase_add_test(tcase, a_socket_in_use_is_left_to_its_owner);
    tcase_add_test(tcase, a_file_that_is_no_socket_is_left_alone);
    return suite;
}

int main(void)
{
    tls_files_make();
    return wire_main_alone(make_suite);
}
