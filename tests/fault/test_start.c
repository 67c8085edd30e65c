/* Data directories that a broker must not use: one clear line, exit status not 0, nothing touched.
 */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/bulk.h"
#include "tests/wire/harness.h"

static const char CONFIG[] = "listeners:\n"
                             "  - {address: 127.0.0.1, port: @PORT@}\n"
                             "workers: @WORKERS@\n";

static const struct bulk ORDERS = {.queue = "orders", .size = 100, .persistent = true};

/* The names, sizes and contents below a directory, as a checksum says. The lock is left out: its
 * content is the process that has it. */
static void fingerprint(const char *path, char out[128])
{
    char command[1024];
    FILE *p;

    snprintf(command, sizeof(command),
             "cd '%s' && find . ! -name '*-shm' ! -name leveret.lock -printf '%%p %%s %%m\\n' "
             "-type f -exec cksum {} + | sort | cksum",
             path);
    p = popen(command, "re");
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_nonnull(fgets(out, 128, p));
    pclose(p);
}

/* Runs leveretd on `data`: it ends at once with a line that holds `reason`. Returns how many lines
 * of errors there are. */
static int count_refusals(const char *data, const char *reason)
{
    static char output[16384];
    char config[1024];
    char *arguments[] = {(char *)(uintptr_t) "--config", config, (char *)(uintptr_t) "--data-dir",
                         (char *)(uintptr_t)data, NULL};
    FILE *f;
    int status;
    int lines = 0;

    snprintf(config, sizeof(config), "%s/leveret.yaml", scratch_directory());
    f = fopen(config, "we");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "listeners:\n  - {address: 127.0.0.1, port: 0}\n");
    fclose(f);
    status = leveretd_run(arguments, NULL, output, sizeof(output));
    ck_assert_msg(status > 0 && status < 126, "leveretd left with %d: %s", status, output);
    ck_assert_msg(strstr(output, reason) != NULL, "expected '%s' in: %s", reason, output);
    ck_assert_msg(strstr(output, "listening on") == NULL, "it listened first: %s", output);
    for (const char *p = output; (p = strstr(p, "Z error ")) != NULL; p++)
        lines++;
    return lines;
}

static void expect_refusal(const char *data, const char *reason)
{
    ck_assert_int_eq(count_refusals(data, reason), 1);
}

static void expect_untouched_refusal(const char *data, const char *reason)
{
    char before[128];
    char after[128];

    fingerprint(data, before);
    expect_refusal(data, reason);
    fingerprint(data, after);
    ck_assert_str_eq(before, after);
}

/* A data directory with a queue of ten messages, whose broker has ended. */
static struct broker *used_directory(char data[512])
{
    struct broker *b = broker_prepare();

    broker_launch(b, CONFIG, 2);
    bulk_declare(b, "orders", true);
    bulk_fill(b, &ORDERS, 0, 10);
    ck_assert(broker_end(b));
    broker_data_directory(b, data, 512);
    return b;
}

static void write_file(const char *directory, const char *name, const char *content)
{
    char path[1024];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    fputs(content, f);
    fclose(f);
}

START_TEST(foreign_files_are_left_alone)
{
    struct broker *b = broker_prepare();
    char data[512];

    broker_data_directory(b, data, sizeof(data));
    write_file(data, "thesis.tex", "\\documentclass{article}");
    expect_untouched_refusal(data, "is not a data directory of leveret");
    ck_assert(broker_stop(b));
}
END_TEST

/* Of a broker that was killed, whose last changes are in SQLite's log alone: without it, and
 * without what tells that there was one. */
static const struct {
    const char *remove;
    const char *reason;
} losses[] = {
    {"rm %s/definitions.sqlite-wal", "definitions.sqlite-wal: is missing"},
    {"rm %s/definitions.sqlite-wal %s/definitions.sqlite-shm", "older than journal"},
};
enum { LOSSES = sizeof(losses) / sizeof(losses[0]) };

START_TEST(definitions_without_their_last_changes_are_refused)
{
    struct broker *b = broker_prepare();
    char data[512];
    char command[1200];

    broker_launch(b, CONFIG, 2);
    bulk_declare(b, "orders", true);
    bulk_fill(b, &ORDERS, 0, 10);
    ck_assert(broker_kill(b));
    broker_data_directory(b, data, sizeof(data));
    snprintf(command, sizeof(command), losses[_i].remove, data, data);
    ck_assert_int_eq(system(command), 0);
    expect_refusal(data, losses[_i].reason);
    expect_refusal(data, losses[_i].reason);
    ck_assert(broker_stop(b));
}
END_TEST

/* What has a segment's name and is no file, and a name behind which there is no other. */
static const struct {
    const char *make;
    const char *reason;
} impostors[] = {
    {"mkfifo %s/journal/1/000000fe-01234567.segment", "000000fe-01234567.segment: Invalid"},
    {"mkdir %s/journal/1/000000fe-01234567.segment", "000000fe-01234567.segment: Is a directory"},
    {"ln -s nowhere %s/journal/1/000000fe-01234567.segment", "000000fe-01234567.segment: No such"},
    {"touch %s/journal/1/ffffffff-01234567.segment", "no other could follow"},
    {"touch %s/journal/7", "journal/7: Not a directory"},
    {"rm -r %1$s/journal && touch %1$s/journal", "journals cannot be read: Not a directory"},
};
enum { IMPOSTORS = sizeof(impostors) / sizeof(impostors[0]) };

START_TEST(impostors_among_segments_are_refused)
{
    char data[512];
    char command[1024];
    struct broker *b = used_directory(data);

    snprintf(command, sizeof(command), impostors[_i].make, data);
    ck_assert_int_eq(system(command), 0);
    expect_untouched_refusal(data, impostors[_i].reason);
    ck_assert(broker_stop(b));
}
END_TEST

/* The last segment of the last journal: what is before it is left alone as well. */
START_TEST(a_segment_of_a_newer_format_is_refused)
{
    /* Segment 9, salt 0x01234567, format 999, and its checksum. */
    static const uint8_t header[64] = {
        'l',  'e',  'v',  'e',  'r',         'e',         't',         'J',
        231,  3,    0,    0,    9,           0,           0,           0,
        0x67, 0x45, 0x23, 0x01, [60] = 0x82, [61] = 0x38, [62] = 0x60, [63] = 0x94,
    };
    char data[512];
    char path[600];
    struct broker *b = used_directory(data);
    FILE *f;

    snprintf(path, sizeof(path), "%s/journal/1/00000009-01234567.segment", data);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(header, 1, sizeof(header), f), sizeof(header));
    fclose(f);
    expect_untouched_refusal(data, "format 999 is newer than this program's");
    ck_assert_int_eq(unlink(path), 0);
    broker_launch(b, CONFIG, 1);
    bulk_drain(b, &ORDERS, 0, 10);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(file_in_place_of_a_directory)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/file", scratch_directory());
    write_file(scratch_directory(), "file", "something");
    expect_refusal(path, "is not a directory");
}
END_TEST

START_TEST(newer_format_is_refused)
{
    char data[512];
    struct broker *b = used_directory(data);

    write_file(data, "leveret.format", "leveret data 999\n");
    expect_untouched_refusal(data, "has format 999, newer than this leveret's");
    write_file(data, "leveret.format", "leveret data 1\n");
    broker_launch(b, CONFIG, 1);
    bulk_drain(b, &ORDERS, 0, 10);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(second_broker_on_the_same_directory_is_refused)
{
    char data[512];
    char reason[64];
    int status;
    struct broker *b = used_directory(data);

    broker_launch(b, CONFIG, 1);
    snprintf(reason, sizeof(reason), "is in use by process %ld", (long)broker_pid(b));
    /* It stands still, so that whatever changes is the second's doing. */
    ck_assert_int_eq(kill(broker_pid(b), SIGSTOP), 0);
    ck_assert_int_eq(waitpid(broker_pid(b), &status, WUNTRACED), broker_pid(b));
    ck_assert(WIFSTOPPED(status));
    expect_untouched_refusal(data, reason);
    ck_assert_int_eq(kill(broker_pid(b), SIGCONT), 0);
    bulk_drain(b, &ORDERS, 0, 10);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(damaged_definitions_are_refused)
{
    char data[512];
    char path[600];
    struct broker *b = used_directory(data);
    struct stat st;
    uint8_t was[4096];
    uint8_t zeros[sizeof(was)] = {0};
    int fd;

    snprintf(path, sizeof(path), "%s/definitions.sqlite", data);
    ck_assert_int_eq(stat(path, &st), 0);
    fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(was)) {
        ssize_t n = pread(fd, was, sizeof(was), at);

        if (memcmp(was, zeros, sizeof(was)) == 0)
            continue;
        ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), at), n);
        expect_untouched_refusal(data, "definitions");
        ck_assert_int_eq(pwrite(fd, was, (size_t)n, at), n);
    }
    close(fd);
    broker_launch(b, CONFIG, 1);
    bulk_drain(b, &ORDERS, 0, 10);
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(missing_definitions_are_refused)
{
    char data[512];
    char path[600];
    struct broker *b = used_directory(data);

    snprintf(path, sizeof(path), "%s/definitions.sqlite", data);
    ck_assert_int_eq(unlink(path), 0);
    expect_untouched_refusal(data, "missing or empty, and there are journals");
    ck_assert(broker_stop(b));
}
END_TEST

/* Also root cannot write to a file system that is mounted read-only. */
START_TEST(unwritable_directory_is_refused)
{
    struct broker *b = broker_prepare();
    char data[512];

    broker_data_directory(b, data, sizeof(data));
    if (mount("leveret-test", data, "tmpfs", MS_RDONLY, "size=1m") < 0) {
        printf("nothing can be mounted: not tested\n");
    } else {
        expect_refusal(data, "Read-only file system");
        ck_assert_int_eq(umount2(data, MNT_DETACH), 0);
    }
    ck_assert(broker_stop(b));
}
END_TEST

START_TEST(full_directory_is_refused)
{
    struct broker *b = broker_prepare();
    char data[512];

    broker_data_directory(b, data, sizeof(data));
    if (mount("leveret-test", data, "tmpfs", 0, "size=12k") < 0) {
        printf("nothing can be mounted: not tested\n");
    } else {
        expect_refusal(data, "No space left on device");
        ck_assert_int_eq(umount2(data, MNT_DETACH), 0);
    }
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("start");
    TCase *tcase = tcase_create("start");

    tcase_set_timeout(tcase, 12.0 * deadline_ms() / 1000.0);
    tcase_add_test(tcase, foreign_files_are_left_alone);
    tcase_add_loop_test(tcase, definitions_without_their_last_changes_are_refused, 0, LOSSES);
    tcase_add_loop_test(tcase, impostors_among_segments_are_refused, 0, IMPOSTORS);
    tcase_add_test(tcase, a_segment_of_a_newer_format_is_refused);
    tcase_add_test(tcase, file_in_place_of_a_directory);
    tcase_add_test(tcase, newer_format_is_refused);
    tcase_add_test(tcase, second_broker_on_the_same_directory_is_refused);
    tcase_add_test(tcase, damaged_definitions_are_refused);
    tcase_add_test(tcase, missing_definitions_are_refused);
    tcase_add_test(tcase, unwritable_directory_is_refused);
    tcase_add_test(tcase, full_directory_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
