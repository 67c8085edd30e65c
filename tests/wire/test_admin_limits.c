/* What a client of the admin socket can make the broker hold in memory and write in its log. */
#include "tests/wire/harness.h"

#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BODY_MAX = 65536,
    FLOOD = 300,
    LINES_A_SECOND = 20,
};

static const char CONFIG[] = "listeners: [{address: 127.0.0.1, port: @PORT@}]\n"
                             "workers: @WORKERS@\n"
                             "admin: {max_body_size: 64KiB}\n";

static struct broker *broker;

static void start(void)
{
    broker = broker_start_with_workers(CONFIG, 1);
    ck_assert(broker_log_awaits(broker, "is ready"));
}

static void stop(void)
{
    ck_assert_msg(broker_stop(broker), "the broker did not end well");
}

/* ---- A client ---- */

static int connect_admin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[600];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    broker_data_directory(broker, path, 512);
    strcat(path, "/admin.sock");
    ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path));
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void send_text(int fd, const char *text, size_t size)
{
    ck_assert_int_eq(send(fd, text, size, MSG_NOSIGNAL), (int)size);
}

/* Spaces, which no definitions begin with that are any. */
static void send_body(int fd, size_t size)
{
    char *body = malloc(size);

    memset(body, ' ', size);
    send_text(fd, body, size);
    free(body);
}

static void send_head(int fd, size_t body_size)
{
    char head[256];

    snprintf(head, sizeof(head),
             "POST /api/definitions HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", body_size);
    send_text(fd, head, strlen(head));
}

static void await_read(int fd)
{
    int64_t deadline = now_ms() + deadline_ms();
    int left = 1;

    while (left != 0) {
        ck_assert_int_eq(ioctl(fd, SIOCOUTQ, &left), 0);
        ck_assert_msg(now_ms() < deadline, "the broker does not read");
    }
}

static void expect_answer(int fd, const char *begin, const char *text)
{
    int64_t deadline = now_ms() + deadline_ms();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char answer[4096];
    size_t size = 0;

    do {
        ssize_t n;

        ck_assert_int_eq(poll(&p, 1, (int)(deadline > now_ms() ? deadline - now_ms() : 0)), 1);
        n = recv(fd, answer + size, sizeof(answer) - 1 - size, 0);
        ck_assert_msg(n > 0, "the broker closes without '%s'", text);
        size += (size_t)n;
        answer[size] = '\0';
    } while (strstr(answer, text) == NULL && size < sizeof(answer) - 1);
    ck_assert_msg(strncmp(answer, begin, strlen(begin)) == 0, "%s", answer);
    ck_assert_msg(strstr(answer, text) != NULL, "%s", answer);
}

/* ---- Tests ---- */

static const char *definitions_of(size_t size)
{
    static char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/definitions.json", scratch_directory());
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "{%*s}", (int)size - 2, "");
    ck_assert_int_eq(fclose(f), 0);
    return path;
}

START_TEST(a_body_beyond_the_limit_is_refused)
{
    static const char REFUSAL[] = "a body has at most 65536 bytes (admin.max_body_size)";
    char *arguments[] = {(char *)(uintptr_t) "import_definitions", NULL, NULL};
    char output[4096];

    start();
    arguments[1] = (char *)(uintptr_t)definitions_of(BODY_MAX);
    ck_assert_int_eq(leveretctl_run(broker, arguments, output, sizeof(output)), 0);
    arguments[1] = (char *)(uintptr_t)definitions_of(BODY_MAX + 1);
    ck_assert_int_eq(leveretctl_run(broker, arguments, output, sizeof(output)), 1);
    ck_assert_msg(strstr(output, REFUSAL) != NULL, "%s", output);
    stop();
}
END_TEST

/* Two whose bodies are held leave no room for a third; when one of them goes there is some. */
START_TEST(bodies_that_come_in_together_have_a_limit)
{
    static const char REFUSAL[] = "2 times 65536 bytes (admin.max_body_size)";
    int held[2];
    int fd;

    start();
    for (int i = 0; i < 2; i++) {
        held[i] = connect_admin();
        send_head(held[i], BODY_MAX);
        send_body(held[i], BODY_MAX - 1);
        await_read(held[i]);
    }
    fd = connect_admin();
    send_head(fd, 1000);
    send_body(fd, 1000);
    expect_answer(fd, "HTTP/1.1 503 ", REFUSAL);
    send_body(held[0], 1);
    expect_answer(held[0], "HTTP/1.1 400 ", "line ");
    send_head(fd, 1000);
    send_body(fd, 1000);
    expect_answer(fd, "HTTP/1.1 400 ", "line ");
    close(held[0]);
    close(held[1]);
    close(fd);
    stop();
}
END_TEST

START_TEST(complaints_about_requests_are_few_and_the_others_counted)
{
    static const char NONSENSE[] = "GET /api/overview HTTP/1.1\r\nHost: x\r\n"
                                   "Content-Length: nonsense\r\n\r\n";
    static const char LINE[] = " warning admin: ";
    static const char LEFT_OUT[] = " more complaints about requests; 20 a second are listed\n";
    int64_t deadline = now_ms() + deadline_ms();
    int64_t begin;
    unsigned lines;

    start();
    begin = now_ms();
    for (int i = 0; i < FLOOD; i++) {
        int fd = connect_admin();

        send_text(fd, NONSENSE, strlen(NONSENSE));
        expect_answer(fd, "HTTP/1.1 400 ", "\r\n");
        close(fd);
    }
    /* There are one or two about each. */
    while (broker_log_count(broker, LINE) + broker_log_sum(broker, LEFT_OUT) < FLOOD)
        ck_assert_msg(now_ms() < deadline, "they are not told of");
    lines = broker_log_count(broker, LINE) - broker_log_count(broker, LEFT_OUT);
    ck_assert_uint_ge(lines, LINES_A_SECOND);
    ck_assert_uint_le(lines, (unsigned)((now_ms() - begin) / 1000 + 1) * LINES_A_SECOND);
    stop();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("admin_limits");
    TCase *tcase = tcase_create("admin_limits");

    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, a_body_beyond_the_limit_is_refused);
    tcase_add_test(tcase, bodies_that_come_in_together_have_a_limit);
    tcase_add_test(tcase, complaints_about_requests_are_few_and_the_others_counted);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
