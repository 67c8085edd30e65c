#include "base/log.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/leveret-test-log-XXXXXX";
static char path[64];
static char content[1 << 20];

static void start(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/log", directory);
    ck_assert_int_eq(log_open_file(path), 0);
}

static void finish(void)
{
    ck_assert_int_eq(log_open_file(NULL), 0);
    unlink(path);
    ck_assert_int_eq(rmdir(directory), 0);
}

static const char *read_file(const char *name)
{
    FILE *f = fopen(name, "re");
    size_t size;

    ck_assert_ptr_nonnull(f);
    size = fread(content, 1, sizeof(content) - 1, f);
    content[size] = '\0';
    fclose(f);
    return content;
}

/* The line's text behind its time, which must look like 2024-01-31T12:00:00.000Z. */
static const char *behind_time(const char *line)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";

    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        if (form[i] == 'd')
            ck_assert(line[i] >= '0' && line[i] <= '9');
        else
            ck_assert_int_eq(line[i], form[i]);
    }
    return line + sizeof(form) - 1;
}

START_TEST(text_line_has_time_level_component_and_text)
{
    start();
    log_info("server", "listening on %s:%d", "127.0.0.1", 5672);
    ck_assert_str_eq(behind_time(read_file(path)), " info server: listening on 127.0.0.1:5672\n");
    finish();
}
END_TEST

START_TEST(json_line_has_the_same_fields)
{
    static const char start_of_line[] = "{\"time\":\"";

    start();
    log_set_format(LOG_FORMAT_JSON);
    log_warning("config", "say \"%s\"", "a\\b");
    read_file(path);
    ck_assert_int_eq(strncmp(content, start_of_line, strlen(start_of_line)), 0);
    ck_assert_str_eq(
        behind_time(content + strlen(start_of_line)),
        "\",\"level\":\"warning\",\"component\":\"config\",\"text\":\"say \\\"a\\\\b\\\"\"}\n");
    finish();
}
END_TEST

START_TEST(lines_below_the_level_are_not_written)
{
    start();
    log_debug("server", "one");
    log_set_level(LOG_LEVEL_ERROR);
    log_info("server", "two");
    log_warning("server", "three");
    ck_assert(!log_enabled(LOG_LEVEL_WARNING));
    ck_assert(log_enabled(LOG_LEVEL_ERROR));
    ck_assert_str_eq(read_file(path), "");
    log_error("server", "four");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("server", "five");
    read_file(path);
    ck_assert_ptr_nonnull(strstr(content, " error server: four\n"));
    ck_assert_ptr_nonnull(strstr(content, " debug server: five\n"));
    finish();
}
END_TEST

START_TEST(peer_cannot_forge_a_line)
{
    start();
    log_info("connection", "user '%s'", "x\n2024 info server: all well\r\x1b[2J\x7f");
    ck_assert_str_eq(
        behind_time(read_file(path)),
        " info connection: user 'x\\x0a2024 info server: all well\\x0d\\x1b[2J\\x7f'\n");
    finish();
}
END_TEST

START_TEST(bytes_that_are_not_utf8_are_escaped)
{
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x90\x87",
         "z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x90\x87"},
        {"a\xc2\x85z\xc2\xa0", "a\\u0085z\xc2\xa0"},
        {"\x80", "\\ufffd"},
        {"\xff", "\\ufffd"},
        {"\xc3", "\\ufffd"},
        {"\xc3(", "\\ufffd("},
        {"\xc0\xaf", "\\ufffd\\ufffd"},
        {"\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"},
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
    };

    start();
    log_set_format(LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[128];

        ck_assert_int_eq(truncate(path, 0), 0);
        log_info("test", "%s", cases[i].text);
        snprintf(expected, sizeof(expected), "\"text\":\"%s\"}\n", cases[i].json);
        ck_assert_msg(strstr(read_file(path), expected) != NULL, "case %zu: %s", i, content);
    }
    finish();
}
END_TEST

START_TEST(long_line_is_cut_and_ended)
{
    char text[5000];

    memset(text, '\n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    start();
    log_set_format(LOG_FORMAT_JSON);
    log_info("test", "%s", text);
    read_file(path);
    ck_assert_uint_gt(strlen(content), (size_t)2000 * 6);
    ck_assert_uint_lt(strlen(content), (size_t)2100 * 6);
    ck_assert_str_eq(content + strlen(content) - 3, "\"}\n");
    finish();
}
END_TEST

START_TEST(reopening_follows_a_rotation)
{
    char rotated[80];

    start();
    snprintf(rotated, sizeof(rotated), "%s.1", path);
    log_info("test", "before");
    ck_assert_int_eq(rename(path, rotated), 0);
    log_info("test", "between");
    ck_assert_int_eq(log_open_file(path), 0);
    log_info("test", "after");
    read_file(rotated);
    ck_assert_ptr_nonnull(strstr(content, "before"));
    ck_assert_ptr_nonnull(strstr(content, "between"));
    ck_assert_ptr_null(strstr(content, "after"));
    ck_assert_str_eq(behind_time(read_file(path)), " info test: after\n");
    unlink(rotated);
    finish();
}
END_TEST

START_TEST(unopenable_file_leaves_the_log_where_it_was)
{
    start();
    ck_assert_int_eq(log_open_file("/nonexistent/leveret.log"), -ENOENT);
    log_info("test", "still here");
    ck_assert_ptr_nonnull(strstr(read_file(path), "still here"));
    finish();
}
END_TEST

START_TEST(file_is_not_for_others)
{
    struct stat st;

    umask(0);
    start();
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777u, 0640);
    finish();
}
END_TEST

enum { WRITERS = 4, LINES_EACH = 500 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES_EACH; i++)
        log_info("test", "%s", (const char *)arg);
    return NULL;
}

START_TEST(lines_of_several_threads_do_not_mix)
{
    static char texts[WRITERS][200];
    pthread_t threads[WRITERS];
    unsigned lines = 0;
    char *rest;

    start();
    for (size_t i = 0; i < WRITERS; i++) {
        memset(texts[i], 'a' + (int)i, sizeof(texts[i]) - 1);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, texts[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);

    read_file(path);
    for (char *line = strtok_r(content, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        const char *text = behind_time(line) + strlen(" info test: ");

        ck_assert(text[0] >= 'a' && text[0] < 'a' + WRITERS);
        ck_assert_str_eq(text, texts[text[0] - 'a']);
        lines++;
    }
    ck_assert_uint_eq(lines, WRITERS * LINES_EACH);
    finish();
}
END_TEST

UNIT_MAIN("log", text_line_has_time_level_component_and_text, json_line_has_the_same_fields,
          lines_below_the_level_are_not_written, peer_cannot_forge_a_line,
          bytes_that_are_not_utf8_are_escaped, long_line_is_cut_and_ended,
          reopening_follows_a_rotation, unopenable_file_leaves_the_log_where_it_was,
          file_is_not_for_others, lines_of_several_threads_do_not_mix)
