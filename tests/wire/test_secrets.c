/* Passwords are nowhere in the broker's memory when they have been looked at: all that it can write
 * to is searched. */
#include "tests/wire/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/wire/raw.h"

enum {
    CHUNK = 1024 * 1024,
    WRONG_LOGINS = 20,
    /* Larger mappings are a sanitizer's own. */
    MAPPING_MAX = 512 * 1024 * 1024,
};

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "  - address: 127.0.0.1\n"
                             "    port: 0\n"
                             "    tls: {certificate: %s, key: %s}\n"
                             "workers: @WORKERS@\n"
                             "log: {level: debug}\n"
                             "%s%s\n"
                             "users:\n"
                             "  - {name: guest, password: guest, loopback_only: true}\n"
                             "  - {name: app, password: in-the-configuration}\n"
                             "permissions:\n"
                             "  - {user: app, configure: .*, write: .*, read: .*}\n";

static struct broker *broker;
static struct client_tls over;

static void start(const char *key, const char *value)
{
    char config[8192];

    snprintf(config, sizeof(config), CONFIG, tls_file("server.pem"), tls_file("server_key.pem"),
             key, value);
    broker = broker_start_with_workers(config, 2);
    over = (struct client_tls){.port = broker_listener_port(broker, 1), .ca = tls_file("ca.pem")};
}

static void stop(void)
{
    use_tls(NULL);
    raw_close_all();
    ck_assert_msg(broker_stop(broker), "the broker did not end well");
}

static struct client *connect_app(void)
{
    return connect_client_tuned(broker, "app", "in-the-configuration", "/", 0, 131072, 0);
}

/* ---- Searching ---- */

static bool range_holds(int memory, uint64_t begin, uint64_t end, const char *text)
{
    size_t overlap = strlen(text) - 1;
    char *chunk = malloc(CHUNK);
    bool found = false;

    while (!found && begin < end) {
        size_t size = end - begin < CHUNK ? (size_t)(end - begin) : CHUNK;
        ssize_t n = pread(memory, chunk, size, (off_t)begin);

        if (n <= 0)
            break; /* gone meanwhile */
        found = memmem(chunk, (size_t)n, text, strlen(text)) != NULL;
        begin += begin + (uint64_t)n < end ? (uint64_t)n - overlap : (uint64_t)n;
    }
    free(chunk);
    return found;
}

static bool memory_holds(const char *text)
{
    char path[64];
    char line[512];
    bool found = false;
    size_t searched = 0;
    FILE *maps;
    int memory;

    snprintf(path, sizeof(path), "/proc/%d/mem", (int)broker_pid(broker));
    memory = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_msg(memory >= 0, "%s: %s", path, strerror(errno));
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)broker_pid(broker));
    maps = fopen(path, "re");
    ck_assert_ptr_nonnull(maps);
    while (!found && fgets(line, sizeof(line), maps) != NULL) {
        char *rest;
        uint64_t begin = strtoull(line, &rest, 16);
        uint64_t end = strtoull(rest + 1, &rest, 16);

        if (strncmp(rest, " rw", 3) != 0 || end - begin > MAPPING_MAX)
            continue;
        found = range_holds(memory, begin, end, text);
        searched++;
    }
    ck_assert_uint_gt(searched, 0);
    fclose(maps);
    close(memory);
    return found;
}

static void expect_forgotten(const char *password)
{
    ck_assert_msg(!memory_holds(password), "'%s' is in the broker's memory", password);
}

/* ---- Tests ---- */

/* Else the others would be right by finding nothing ever. */
START_TEST(what_is_in_memory_is_found)
{
    struct channel *ch;

    start("", "");
    ch = open_channel(connect_app());
    declare_queue(ch, "name-of-some-queue", 0, NO_ARGS);
    ck_assert(memory_holds("name-of-some-queue"));
    close_client(ch->client);
    stop();
}
END_TEST

START_TEST(passwords_of_the_configuration_are_forgotten)
{
    start("", "");
    expect_forgotten("in-the-configuration");
    stop();
}
END_TEST

static const bool OVER_TLS[] = {false, true};

START_TEST(passwords_of_logins_are_forgotten)
{
    struct client *c;

    start("login: ", "{backoff_max_ms: 0}");
    use_tls(OVER_TLS[_i] ? &over : NULL);
    c = connect_app();
    expect_forgotten("in-the-configuration");
    /* It fits a register, and looking at it is interrupted many times. */
    for (int i = 0; i < WRONG_LOGINS; i++)
        ck_assert_int_ne(try_connect(broker, "app", "a-wrong-password", "/").reply_type,
                         AMQP_RESPONSE_NORMAL);
    ck_assert(broker_log_awaits(broker, "wrong password"));
    expect_forgotten("a-wrong-password");
    close_client(c);
    stop();
}
END_TEST

/* Messages take another way through TLS when the login is over. */
START_TEST(messages_come_over_tls_after_the_login)
{
    struct channel *ch;

    start("", "");
    use_tls(&over);
    ch = open_channel(connect_app());
    declare_queue(ch, "q", 0, NO_ARGS);
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    publish(ch, "q", "a");
    expect_delivery(ch, "a", 0);
    close_client(ch->client);
    stop();
}
END_TEST

static void run(int status, char *command, char *user, char *password)
{
    char *arguments[] = {command, user, password, NULL};
    char output[4096];

    ck_assert_msg(leveretctl_run(broker, arguments, output, sizeof(output)) == status, "%s",
                  output);
    expect_forgotten(password);
}

START_TEST(passwords_of_the_admin_socket_are_forgotten)
{
    start("", "");
    run(0, "add_user", "dyn", "password-of-add-user");
    run(0, "change_password", "dyn", "password-of-a-change");
    run(0, "authenticate_user", "dyn", "password-of-a-change");
    run(1, "authenticate_user", "dyn", "password-that-is-none");
    stop();
}
END_TEST

/* So many queues before the user that all grows that can. */
static void write_definitions(const char *path, const char *number)
{
    FILE *f = fopen(path, "we");

    ck_assert_ptr_nonnull(f);
    fprintf(f, "{\"users\": [");
    for (int i = 0; i < 200; i++)
        fprintf(f, "{\"name\": \"u%d\", \"password_hash\": \"\", \"tags\": \"\"},", i);
    fprintf(f, "{\"name\": \"dyn\", \"password\": \"password-of-definitions\", \"tags\": \"\"}],");
    fprintf(f, "\"vhosts\": [{\"name\": \"/\"}], \"queues\": [");
    for (int i = 0; i < 200; i++)
        fprintf(f, "%s{\"name\": \"q%d\", \"vhost\": \"/\", \"arguments\": {\"x-number\": %s}}",
                i == 0 ? "" : ",", i, number);
    fprintf(f, "]}");
    ck_assert_int_eq(fclose(f), 0);
}

static void expect_user(void)
{
    char *arguments[] = {"list_users", NULL};
    char output[16384];

    ck_assert_int_eq(leveretctl_run(broker, arguments, output, sizeof(output)), 0);
    ck_assert_ptr_nonnull(strstr(output, "dyn"));
}

/* Numbers beyond 64 bits have the text read again, in a copy. */
static const char *const NUMBERS[] = {"1", "123456789012345678901234567890"};

START_TEST(passwords_of_definitions_are_forgotten)
{
    char path[512];
    char *arguments[] = {"import_definitions", path, NULL};
    char output[16384];

    start("", "");
    snprintf(path, sizeof(path), "%s/definitions.json", scratch_directory());
    write_definitions(path, NUMBERS[_i]);
    (void)leveretctl_run(broker, arguments, output, sizeof(output));
    expect_user();
    expect_forgotten("password-of-definitions");
    stop();
}
END_TEST

START_TEST(passwords_of_the_definitions_at_the_start_are_forgotten)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/definitions.json", scratch_directory());
    write_definitions(path, NUMBERS[0]);
    start("load_definitions: ", path);
    expect_user();
    expect_forgotten("password-of-definitions");
    stop();
}
END_TEST

static void write_passphrase(const char *path, const char *text, size_t times)
{
    FILE *f = fopen(path, "we");

    ck_assert_ptr_nonnull(f);
    while (times-- > 0)
        fputs(text, f);
    fputs("\n", f);
    ck_assert_int_eq(fclose(f), 0);
}

/* One that fits and one that is too long to be any. */
START_TEST(passphrases_of_keys_are_forgotten)
{
    static const char WITH_PASSPHRASE[] =
        "listeners:\n"
        "  - address: 127.0.0.1\n"
        "    port: @PORT@\n"
        "    tls: {certificate: %s, key: %s, key_passphrase_file: %s}\n"
        "workers: @WORKERS@\n";
    char config[4096];
    char path[512];

    snprintf(path, sizeof(path), "%s/passphrase", scratch_directory());
    write_passphrase(path, "open sesame", 1);
    snprintf(config, sizeof(config), WITH_PASSPHRASE, tls_file("encrypted.pem"),
             tls_file("encrypted_key.pem"), path);
    broker = broker_start_with_workers(config, 2);
    expect_forgotten("open sesame");
    write_passphrase(path, "too-long-a-passphrase", 1000);
    broker_reload(broker, config);
    ck_assert(broker_log_awaits(broker, "the first line must be a passphrase of 1 to "));
    expect_forgotten("too-long-a-passphrase");
    stop();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("secrets");
    TCase *tc = tcase_create("secrets");

    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, what_is_in_memory_is_found);
    tcase_add_test(tc, passwords_of_the_configuration_are_forgotten);
    tcase_add_loop_test(tc, passwords_of_logins_are_forgotten, 0, 2);
    tcase_add_test(tc, messages_come_over_tls_after_the_login);
    tcase_add_test(tc, passwords_of_the_admin_socket_are_forgotten);
    tcase_add_loop_test(tc, passwords_of_definitions_are_forgotten, 0, 2);
    tcase_add_test(tc, passwords_of_the_definitions_at_the_start_are_forgotten);
    tcase_add_test(tc, passphrases_of_keys_are_forgotten);
    return s;
}

int main(void)
{
    tls_files_make();
    return wire_main_alone(make_suite);
}
