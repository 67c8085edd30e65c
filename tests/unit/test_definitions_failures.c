/* Disks that fail under the definitions: a VFS between SQLite and the system's makes writes and
 * syncs of the file and its log fail. */
#include "store/definitions.h"
#include "tests/unit/store_helpers.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The disk ---- */

static atomic_bool writes_fail;
static atomic_bool syncs_fail;
static atomic_int failures;

struct failing_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *system_vfs;
static sqlite3_io_methods methods;

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct failing_file *)(void *)f)->real;
}

static int file_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int file_read(sqlite3_file *f, void *out, int size, sqlite3_int64 offset)
{
    return real_of(f)->pMethods->xRead(real_of(f), out, size, offset);
}

static int file_write(sqlite3_file *f, const void *data, int size, sqlite3_int64 offset)
{
    if (writes_fail) {
        failures++;
        return SQLITE_FULL;
    }
    return real_of(f)->pMethods->xWrite(real_of(f), data, size, offset);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
    if (syncs_fail) {
        failures++;
        return SQLITE_IOERR_FSYNC;
    }
    return real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *out)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), out);
}

static int file_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int file_check_lock(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int file_control(sqlite3_file *f, int operation, void *argument)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), operation, argument);
}

static int file_sector_size(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int file_characteristics(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int file_shm_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct failing_file *f = (struct failing_file *)(void *)file;
    int code;

    (void)vfs;
    f->real = (sqlite3_file *)(void *)(f + 1);
    code = system_vfs->xOpen(system_vfs, name, f->real, flags, out);
    f->base.pMethods = f->real->pMethods != NULL ? &methods : NULL;
    return code;
}

static void use_failing_disk(void)
{
    static sqlite3_vfs vfs;

    if (system_vfs != NULL)
        return;
    system_vfs = sqlite3_vfs_find(NULL);
    vfs = *system_vfs;
    vfs.zName = "failing";
    vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(struct failing_file) + system_vfs->szOsFile;
    vfs.xOpen = vfs_open;
    ck_assert_int_eq(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

/* ---- The tests ---- */

static char directory[TEST_PATH_SIZE];
static char path[TEST_PATH_SIZE];

static struct definitions *start(void)
{
    use_failing_disk();
    make_test_directory(directory);
    join_path(path, directory, "definitions.sqlite");
    return expect_definitions(path);
}

static void finish(void)
{
    remove_test_directory(directory);
}

struct result {
    int value;
    unsigned answers;
};

/* Read after wait_for_definitions() only. */
static void on_done(void *context, int result)
{
    struct result *r = context;

    r->value = result;
    r->answers++;
}

static void add_queue(struct definitions *d, const char *name, uint64_t id, struct result *out)
{
    struct queue_definition q = {
        .vhost = bytes_from_string("/"), .name = bytes_from_string(name), .id = id};

    *out = (struct result){.value = 1};
    definitions_add_queue(d, &q, (struct definitions_done){on_done, out});
}

static void expect_result(struct definitions *d, const struct result *r, int value)
{
    wait_for_definitions(d);
    ck_assert_uint_eq(r->answers, 1);
    ck_assert_int_eq(r->value, value);
}

static void expect_text(const char *file, const char *expected)
{
    struct definitions *d = expect_definitions(file);
    char *found = definitions_text(d, NULL);

    ck_assert_str_eq(found, expected);
    free(found);
    definitions_close(d);
}

START_TEST(full_disk_refuses_changes_until_there_is_room)
{
    struct definitions *d = start();
    struct result before;
    struct result during;
    struct result after;

    add_queue(d, "before", 1, &before);
    expect_result(d, &before, 0);
    writes_fail = true;
    for (unsigned i = 0; i < 3; i++) {
        add_queue(d, "during", 2, &during);
        expect_result(d, &during, -ENOSPC);
    }
    ck_assert_int_gt(failures, 0);
    writes_fail = false;
    add_queue(d, "after", 3, &after);
    expect_result(d, &after, 0);
    definitions_close(d);
    expect_text(path, "queue /:after id=3 shard=0 []\n"
                      "queue /:before id=1 shard=0 []\n"
                      "queue /:during id=2 shard=0 []\n");
    finish();
}
END_TEST

START_TEST(failed_sync_refuses_the_change_and_the_next_is_tried)
{
    struct definitions *d = start();
    struct result during;
    struct result after;

    syncs_fail = true;
    add_queue(d, "during", 2, &during);
    wait_for_definitions(d);
    ck_assert_uint_eq(during.answers, 1);
    ck_assert_int_lt(during.value, 0);
    syncs_fail = false;
    add_queue(d, "after", 3, &after);
    expect_result(d, &after, 0);
    definitions_close(d);
    expect_text(path, "queue /:after id=3 shard=0 []\nqueue /:during id=2 shard=0 []\n");
    finish();
}
END_TEST

/* A barrier that comes when the change before it has already failed. */
START_TEST(barrier_fails_while_something_before_it_is_not_written)
{
    struct definitions *d = start();
    struct result during;

    writes_fail = true;
    add_queue(d, "during", 2, &during);
    ck_assert_int_eq(wait_for_definitions(d), -ENOSPC);
    ck_assert_int_eq(wait_for_definitions(d), -ENOSPC);
    ck_assert_uint_eq(during.answers, 1);
    writes_fail = false;
    ck_assert_int_eq(wait_for_definitions(d), 0);
    ck_assert_uint_eq(during.answers, 1);
    definitions_close(d);
    expect_text(path, "queue /:during id=2 shard=0 []\n");
    finish();
}
END_TEST

static bool has_queue_in_file(void)
{
    sqlite3 *db;
    sqlite3_stmt *s = NULL;
    bool found;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    found = sqlite3_prepare_v2(db, "SELECT 1 FROM queues", -1, &s, NULL) == SQLITE_OK &&
            sqlite3_step(s) == SQLITE_ROW;
    sqlite3_finalize(s);
    sqlite3_close(db);
    return found;
}

START_TEST(what_failed_is_written_when_there_is_room_without_being_asked)
{
    struct definitions *d = start();
    struct result during;

    writes_fail = true;
    add_queue(d, "during", 2, &during);
    ck_assert_int_eq(wait_for_definitions(d), -ENOSPC);
    writes_fail = false;
    while (!has_queue_in_file())
        sched_yield();
    definitions_close(d);
    finish();
}
END_TEST

/* A user that was put and taken away while nothing could be written is not there afterwards, and
 * what came with it neither. */
START_TEST(changes_of_users_that_failed_are_made_in_their_order)
{
    struct definitions *d = start();
    const struct value limit = value_int64(7);
    const struct user_definition u = {.name = bytes_from_string("u")};
    const struct permission_definition p = {.vhost = bytes_from_string("/"), .user = u.name};
    const struct parameter_definition limits = {
        .component = bytes_from_string(PARAMETER_USER_LIMITS), .name = u.name, .value = &limit};
    const struct policy_definition policy = {.vhost = bytes_from_string("/"),
                                             .name = bytes_from_string("p"),
                                             .apply_to = bytes_from_string("all")};
    struct result first = {.value = 1};
    struct result second = {.value = 1};

    writes_fail = true;
    definitions_add_user(d, &u, (struct definitions_done){on_done, &first});
    definitions_add_permission(d, &p, (struct definitions_done){NULL, NULL});
    definitions_add_parameter(d, &limits, (struct definitions_done){NULL, NULL});
    expect_result(d, &first, -ENOSPC);
    definitions_remove_user(d, u.name, (struct definitions_done){on_done, &second});
    definitions_add_policy(d, &policy, (struct definitions_done){NULL, NULL});
    expect_result(d, &second, -ENOSPC);
    writes_fail = false;
    ck_assert_int_eq(wait_for_definitions(d), 0);
    definitions_close(d);
    expect_text(path, "policy /:p '' all 0 []\n");
    finish();
}
END_TEST

/* The pages of a failed commit are in the log, whole: a crash right behind must not believe them.
 */
START_TEST(refused_change_does_not_come_back_after_a_crash)
{
    struct definitions *d = start();
    char other[TEST_PATH_SIZE];
    char from[TEST_PATH_SIZE];
    char to[TEST_PATH_SIZE];
    struct result before;
    struct result during;

    add_queue(d, "before", 1, &before);
    expect_result(d, &before, 0);
    syncs_fail = true;
    add_queue(d, "during", 2, &during);
    wait_for_definitions(d);
    ck_assert_int_lt(during.value, 0);

    /* What a crash here would leave. */
    join_path(other, directory, "crashed.sqlite");
    for (unsigned i = 0; i < 2; i++) {
        static const char *const SUFFIXES[] = {"", "-wal"};
        struct buffer content;

        snprintf(from, sizeof(from), "%.400s%s", path, SUFFIXES[i]);
        snprintf(to, sizeof(to), "%.400s%s", other, SUFFIXES[i]);
        content = read_test_file(from);
        write_test_file(to, buffer_bytes(&content));
        buffer_free(&content);
    }
    syncs_fail = false;
    expect_text(other, "queue /:before id=1 shard=0 []\n");
    definitions_close(d);
    finish();
}
END_TEST

/* All that was queued together fails together, each answered once. */
START_TEST(every_change_of_a_failed_group_is_told)
{
    enum { COUNT = 500 };
    static struct result results[COUNT];
    struct definitions *d = start();
    unsigned refused = 0;

    writes_fail = true;
    for (unsigned i = 0; i < COUNT; i++) {
        char name[32];

        snprintf(name, sizeof(name), "q%u", i);
        add_queue(d, name, i + 1, &results[i]);
    }
    wait_for_definitions(d);
    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(results[i].answers, 1);
        refused += results[i].value == -ENOSPC;
    }
    ck_assert_uint_eq(refused, COUNT);
    definitions_close(d);
    writes_fail = false;
    expect_text(path, "");
    finish();
}
END_TEST

START_TEST(opening_on_a_full_disk_is_told)
{
    char error[TEST_ERROR_SIZE] = "";
    struct definitions *d = start();

    definitions_close(d);
    writes_fail = true;
    ck_assert_int_eq(definitions_open(&d, path, error, sizeof(error)), -ENOSPC);
    ck_assert_msg(strstr(error, "No space left on device") != NULL, "%s", error);
    writes_fail = false;
    expect_text(path, "");
    finish();
}
END_TEST

/* Without room for more, ids end rather than repeat. */
START_TEST(ids_end_when_no_more_can_be_reserved)
{
    struct definitions *d = start();
    uint64_t last = 0;
    uint64_t id;

    writes_fail = true;
    while ((id = definitions_next_queue_id(d)) != 0) {
        if (id != last + 1)
            ck_abort_msg("%llu follows %llu", (unsigned long long)id, (unsigned long long)last);
        last = id;
        if (id > 4 * 1024 * 1024)
            ck_abort_msg("ids that were not reserved");
    }
    writes_fail = false;
    ck_assert_uint_eq(definitions_next_queue_id(d), last + 1);
    definitions_close(d);
    finish();
}
END_TEST

/* The file, its log, and both. */
START_TEST(changes_of_a_file_that_is_gone_are_refused_until_it_is_back)
{
    static const struct {
        bool file;
        bool log;
    } gone[] = {{true, false}, {false, true}, {true, true}};

    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        struct definitions *d = start();
        char log[PATH_MAX], file_aside[PATH_MAX], log_aside[PATH_MAX];
        struct result before, during, after;

        snprintf(log, sizeof(log), "%s-wal", path);
        snprintf(file_aside, sizeof(file_aside), "%s.aside", path);
        snprintf(log_aside, sizeof(log_aside), "%s.aside-wal", path);
        add_queue(d, "before", 1, &before);
        expect_result(d, &before, 0);
        ck_assert(!gone[i].file || rename(path, file_aside) == 0);
        ck_assert(!gone[i].log || rename(log, log_aside) == 0);
        add_queue(d, "during", 2, &during);
        ck_assert_int_eq(wait_for_definitions(d), -ENOENT);
        ck_assert_int_eq(during.value, -ENOENT);
        ck_assert(!gone[i].file || rename(file_aside, path) == 0);
        ck_assert(!gone[i].log || rename(log_aside, log) == 0);
        add_queue(d, "after", 3, &after);
        expect_result(d, &after, 0);
        definitions_close(d);
        expect_text(path, "queue /:after id=3 shard=0 []\n"
                          "queue /:before id=1 shard=0 []\n"
                          "queue /:during id=2 shard=0 []\n");
        finish();
    }
}
END_TEST

UNIT_MAIN("definitions_failures", full_disk_refuses_changes_until_there_is_room,
          failed_sync_refuses_the_change_and_the_next_is_tried,
          barrier_fails_while_something_before_it_is_not_written,
          what_failed_is_written_when_there_is_room_without_being_asked,
          changes_of_users_that_failed_are_made_in_their_order,
          refused_change_does_not_come_back_after_a_crash, every_change_of_a_failed_group_is_told,
          changes_of_a_file_that_is_gone_are_refused_until_it_is_back,
          opening_on_a_full_disk_is_told, ids_end_when_no_more_can_be_reserved)
