#include "store/data_directory.h"

#include "tests/unit/store_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[TEST_PATH_SIZE]; /* the test's own */
static char path[TEST_PATH_SIZE];      /* of the data directory in it */
static char error[TEST_ERROR_SIZE];

static void start(void)
{
    make_test_directory(directory);
    join_path(path, directory, "data");
    error[0] = '\0';
}

static void finish(void)
{
    remove_test_directory(directory);
}

static void write_in_data(const char *name, const char *content)
{
    char file[TEST_PATH_SIZE];

    join_path(file, path, name);
    write_test_file(file, bytes_from_string(content));
}

static bool is_in_data(const char *name)
{
    char file[TEST_PATH_SIZE];
    struct stat st;

    join_path(file, path, name);
    return lstat(file, &st) == 0;
}

static struct data_directory expect_open(void)
{
    struct data_directory d;

    ck_assert_msg(data_directory_open(&d, path, error, sizeof(error)) == 0, "%s", error);
    return d;
}

/* One line that begins with the path. */
static void expect_refused(int rc, const char *line)
{
    struct data_directory d;

    ck_assert_int_eq(data_directory_open(&d, path, error, sizeof(error)), rc);
    ck_assert_msg(strncmp(error, path, strlen(path)) == 0, "%s", error);
    ck_assert_msg(strstr(error, line) != NULL, "%s", error);
    ck_assert_ptr_null(strchr(error, '\n'));
}

START_TEST(missing_directory_is_created_with_its_layout)
{
    struct data_directory d;
    struct buffer stamp;
    char file[TEST_PATH_SIZE];
    struct stat st;

    start();
    d = expect_open();
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777 & ~0750U, 0);
    ck_assert(is_in_data("journal"));
    ck_assert(is_in_data("paged"));
    join_path(file, path, "leveret.format");
    stamp = read_test_file(file);
    ck_assert(bytes_equal_string(buffer_bytes(&stamp), "leveret data 1\n"));
    buffer_free(&stamp);
    data_directory_close(&d);

    d = expect_open(); /* and again, with what is there */
    data_directory_close(&d);
    finish();
}
END_TEST

START_TEST(empty_directory_is_taken_and_so_is_a_new_file_system)
{
    char inside[TEST_PATH_SIZE];
    struct data_directory d;

    start();
    ck_assert_int_eq(mkdir(path, 0700), 0);
    join_path(inside, path, "lost+found");
    ck_assert_int_eq(mkdir(inside, 0700), 0);
    d = expect_open();
    data_directory_close(&d);
    ck_assert(is_in_data("lost+found"));
    finish();
}
END_TEST

START_TEST(start_that_was_cut_short_is_finished)
{
    struct data_directory d;

    start();
    ck_assert_int_eq(mkdir(path, 0700), 0);
    write_in_data("leveret.lock", "1\n");
    write_in_data("leveret.format.new", "lev");
    d = expect_open();
    data_directory_close(&d);
    ck_assert_int_eq(data_directory_recognise(path, error, sizeof(error)), 0);
    finish();
}
END_TEST

START_TEST(file_in_its_place_is_refused)
{
    struct buffer content;

    start();
    write_test_file(path, bytes_from_string("mine"));
    expect_refused(-ENOTDIR, "is not a directory");
    content = read_test_file(path);
    ck_assert(bytes_equal_string(buffer_bytes(&content), "mine"));
    buffer_free(&content);
    finish();
}
END_TEST

START_TEST(directory_above_must_exist)
{
    start();
    join_path(path, directory, "a/b");
    expect_refused(-ENOENT, "cannot be created: No such file or directory");
    finish();
}
END_TEST

START_TEST(foreign_files_are_refused_and_nothing_is_added)
{
    start();
    ck_assert_int_eq(mkdir(path, 0700), 0);
    write_in_data("holiday.jpg", "mine");
    expect_refused(-ENOTEMPTY, "is not empty: it holds holiday.jpg");
    ck_assert_int_eq(data_directory_recognise(path, error, sizeof(error)), -ENOENT);
    ck_assert(!is_in_data("leveret.lock"));
    ck_assert(!is_in_data("leveret.format"));
    ck_assert(!is_in_data("journal"));
    finish();
}
END_TEST

START_TEST(newer_format_is_refused_and_nothing_is_added)
{
    start();
    ck_assert_int_eq(mkdir(path, 0700), 0);
    write_in_data("leveret.format", "leveret data 2\n");
    expect_refused(-ENOTSUP, "has format 2, newer than this leveret's 1");
    ck_assert_int_eq(data_directory_recognise(path, error, sizeof(error)), -ENOTSUP);
    ck_assert(!is_in_data("leveret.lock"));
    ck_assert(!is_in_data("journal"));
    finish();
}
END_TEST

START_TEST(stamp_that_cannot_be_read_is_refused)
{
    static const char *const STAMPS[] = {
        "",
        "leveret data\n",
        "leveret data 0\n",
        "leveret data -1\n",
        "leveret data 1\nmore\n",
        "leveret data 99999999999999999999\n",
        "another program's\n",
        "leveret data 1 and very much more than a stamp has in it, line upon line upon line\n",
    };

    start();
    ck_assert_int_eq(mkdir(path, 0700), 0);
    for (size_t i = 0; i < sizeof(STAMPS) / sizeof(STAMPS[0]); i++) {
        struct data_directory d;
        int rc;

        write_in_data("leveret.format", STAMPS[i]);
        rc = data_directory_open(&d, path, error, sizeof(error));
        ck_assert_msg(rc == -EBADMSG || rc == -ENOTSUP, "'%s': %d", STAMPS[i], rc);
        ck_assert_ptr_nonnull(strstr(error, path));
        ck_assert(!is_in_data("leveret.lock"));
    }
    finish();
}
END_TEST

START_TEST(journals_without_definitions_are_refused)
{
    struct data_directory d;

    start();
    d = expect_open();
    data_directory_close(&d);
    d = expect_open(); /* there is nothing yet that could be missed */
    ck_assert_int_eq(data_directory_make_journal(&d, 0), 0);
    data_directory_close(&d);
    expect_refused(-EBADMSG, "definitions.sqlite is missing or empty, and there are journals");
    write_in_data("definitions.sqlite", "");
    expect_refused(-EBADMSG, "definitions.sqlite is missing or empty, and there are journals");
    write_in_data("definitions.sqlite", "something");
    d = expect_open();
    data_directory_close(&d);
    finish();
}
END_TEST

START_TEST(second_process_is_refused_and_told_who_has_it)
{
    struct data_directory d;
    char expected[64];

    start();
    d = expect_open();
    snprintf(expected, sizeof(expected), "is in use by process %ld", (long)getpid());
    expect_refused(-EBUSY, expected);
    ck_assert_int_eq(data_directory_recognise(path, error, sizeof(error)), 0);
    data_directory_close(&d);
    d = expect_open();
    data_directory_close(&d);
    finish();
}
END_TEST

START_TEST(killed_process_leaves_no_lock)
{
    struct data_directory d;
    pid_t child;

    start();
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        d = expect_open();
        kill(getpid(), SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    d = expect_open();
    data_directory_close(&d);
    finish();
}
END_TEST

/* Runs `act` in a process that may write nothing into files of its own or others. */
static int in_child(void (*limit)(void), int expected)
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct data_directory d;
        int rc;

        limit();
        rc = data_directory_open(&d, path, error, sizeof(error));
        if (rc != expected || strstr(error, path) == NULL)
            fprintf(stderr, "returned %d: %s\n", rc, error);
        _exit(rc == expected && strstr(error, path) != NULL ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* As on a full disk, files may be made and not written. */
static void allow_no_bytes(void)
{
    struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
}

START_TEST(disk_that_takes_nothing_is_told_and_left_as_it_was)
{
    start();
    ck_assert_int_eq(in_child(allow_no_bytes, -EFBIG), 0);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(in_child(allow_no_bytes, -EFBIG), 0);
    ck_assert_int_eq(rmdir(path), 0); /* it is empty */
    finish();
}
END_TEST

static void be_nobody(void)
{
    if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
        _exit(2);
}

START_TEST(unwritable_directory_is_refused)
{
    start();
    ck_assert_int_eq(chmod(directory, 0755), 0);
    ck_assert_int_eq(mkdir(path, 0555), 0);
    ck_assert_int_eq(in_child(be_nobody, -EACCES), 0);
    ck_assert_int_eq(chmod(path, 0), 0);
    ck_assert_int_eq(in_child(be_nobody, -EACCES), 0);
    ck_assert_int_eq(chmod(path, 0700), 0);
    ck_assert_int_eq(rmdir(path), 0);
    finish();
}
END_TEST

/* ---- What is in it ---- */

START_TEST(paths_are_below_the_directory)
{
    char *found[] = {
        data_directory_definitions("/data"),
        data_directory_journals("/data"),
        data_directory_journal("/data", 0),
        data_directory_paged("/data", 4294967295),
    };
    static const char *const EXPECTED[] = {"/data/definitions.sqlite", "/data/journal",
                                           "/data/journal/0", "/data/paged/4294967295"};

    for (unsigned i = 0; i < 4; i++) {
        ck_assert_str_eq(found[i], EXPECTED[i]);
        free(found[i]);
    }
}
END_TEST

struct shards {
    uint32_t numbers[8];
    unsigned count;
};

static void collect(void *context, uint32_t shard)
{
    struct shards *s = context;

    ck_assert_uint_lt(s->count, 8);
    s->numbers[s->count++] = shard;
}

START_TEST(journals_are_found_in_ascending_order)
{
    struct shards s = {.count = 0};
    struct data_directory d;

    start();
    d = expect_open();
    ck_assert_int_eq(data_directory_make_journal(&d, 10), 0);
    ck_assert_int_eq(data_directory_make_journal(&d, 2), 0);
    ck_assert_int_eq(data_directory_make_journal(&d, 0), 0);
    ck_assert_int_eq(data_directory_make_journal(&d, 2), 0); /* is there */
    write_in_data("journal/01", "");
    write_in_data("journal/3x", "");
    write_in_data("journal/4294967296", "");
    ck_assert_int_eq(data_directory_each_journal(path, collect, &s), 0);
    ck_assert_uint_eq(s.count, 3);
    ck_assert_uint_eq(s.numbers[0], 0);
    ck_assert_uint_eq(s.numbers[1], 2);
    ck_assert_uint_eq(s.numbers[2], 10);
    data_directory_close(&d);
    finish();
}
END_TEST

START_TEST(wiping_removes_what_was_paged_and_follows_no_link)
{
    struct data_directory d;
    char link[TEST_PATH_SIZE];
    char *kept;

    start();
    d = expect_open();
    kept = data_directory_journals(path);
    ck_assert_int_eq(data_directory_make_journal(&d, 0), 0);
    ck_assert_int_eq(data_directory_make_paged(&d, 0), 0);
    ck_assert_int_eq(data_directory_make_paged(&d, 1), 0);
    write_in_data("paged/0/1", "bodies");
    write_in_data("paged/0/2", "bodies");
    write_in_data("paged/stray", "bodies");
    join_path(link, path, "paged/1/link");
    ck_assert_int_eq(symlink(kept, link), 0);
    ck_assert_int_eq(data_directory_wipe_paged(&d), 0);
    ck_assert(is_in_data("paged"));
    ck_assert(!is_in_data("paged/0"));
    ck_assert(!is_in_data("paged/1"));
    ck_assert(!is_in_data("paged/stray"));
    ck_assert(is_in_data("journal/0"));
    data_directory_close(&d);
    free(kept);
    finish();
}
END_TEST

UNIT_MAIN("data_directory", missing_directory_is_created_with_its_layout,
          empty_directory_is_taken_and_so_is_a_new_file_system,
          start_that_was_cut_short_is_finished, file_in_its_place_is_refused,
          directory_above_must_exist, foreign_files_are_refused_and_nothing_is_added,
          newer_format_is_refused_and_nothing_is_added, stamp_that_cannot_be_read_is_refused,
          journals_without_definitions_are_refused, second_process_is_refused_and_told_who_has_it,
          killed_process_leaves_no_lock, disk_that_takes_nothing_is_told_and_left_as_it_was,
          unwritable_directory_is_refused, paths_are_below_the_directory,
          journals_are_found_in_ascending_order, wiping_removes_what_was_paged_and_follows_no_link)
