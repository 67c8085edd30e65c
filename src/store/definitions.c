#include "store/definitions.h"

#include "base/log.h"
#include "base/memory.h"
#include "store/definitions_internal.h"
#include "store/definitions_schema.h"
#include "store/definitions_sqlite.h"
#include "store/definitions_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Opening ---- */

/* Creates the file if it is missing and keeps other brokers out. SQLite itself is left in its
 * normal locking mode, so that a backup may read beside the broker; its locks are of another kind
 * (fcntl) than this one (flock), and the system drops them when any descriptor of the file is
 * closed: this one is closed last. */
static int lock_file(struct definitions *d, struct error_line line)
{
    d->lock_fd = open(d->path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (d->lock_fd < 0) {
        int rc = -errno;

        error_line_set(line, d->path, "cannot be opened: %s", strerror(-rc));
        return rc;
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK) {
        int rc = -errno;

        error_line_set(line, d->path, "cannot be locked: %s", strerror(-rc));
        return rc;
    }
    error_line_set(line, d->path, "is in use by another process");
    return -EBUSY;
}

/* SQLite takes a file that is shorter than its smallest page for an empty one. */
static int check_size(const struct definitions *d, struct error_line line)
{
    enum { SMALLEST_PAGE_SIZE = 512 };
    struct stat st;

    if (fstat(d->lock_fd, &st) < 0) {
        int rc = -errno;

        error_line_set(line, d->path, "cannot be read: %s", strerror(-rc));
        return rc;
    }
    if (st.st_size == 0 || st.st_size >= SMALLEST_PAGE_SIZE)
        return 0;
    error_line_set(line, d->path, "damaged: it has %lld bytes", (long long)st.st_size);
    return -EBADMSG;
}

/* The path of SQLite's write-ahead log or its index; free() it. */
static char *path_with(const struct definitions *d, const char *suffix)
{
    size_t size = strlen(d->path) + strlen(suffix) + 1;
    char *path = memory_alloc(size);

    snprintf(path, size, "%s%s", d->path, suffix);
    return path;
}

/* SQLite makes the log before its index and removes it after that. */
static bool wal_is_missing(const struct definitions *d, const char *wal)
{
    char *shm = path_with(d, "-shm");
    bool missing = access(wal, F_OK) < 0 && errno == ENOENT && access(shm, F_OK) == 0;

    free(shm);
    return missing;
}

static int inspect_wal(const struct definitions *d, struct error_line line)
{
    char *wal = path_with(d, "-wal");
    struct wal_report report;
    int rc = definitions_wal_inspect(wal, &report);

    if (rc < 0) {
        error_line_set(line, wal, "cannot be read: %s", strerror(-rc));
    } else if (report.damaged) {
        error_line_set(line, wal, "damaged at offset %" PRIu64 ": committed changes would be lost",
                       report.damaged_offset);
        rc = -EBADMSG;
    } else if (wal_is_missing(d, wal)) {
        error_line_set(line, wal, "is missing: committed changes would be lost");
        rc = -EBADMSG;
    } else if (report.cut_frames != 0) {
        log_warning("definitions",
                    "%s: %" PRIu64 " pages of unfinished changes at its end are "
                    "dropped",
                    wal, report.cut_frames);
    }
    free(wal);
    return rc;
}

static int prepare_file(struct definitions *d, struct error_line line)
{
    int version = 0;
    int code;
    int rc = definitions_schema_inspect(d->db, &DEFINITIONS_MIGRATIONS, d->path, &version, line);

    if (rc == 0 && sqlite3_db_readonly(d->db, "main") == 1) {
        /* The file itself could be opened for writing. */
        error_line_set(line, d->path, "damaged: its head forbids writing");
        rc = -EBADMSG;
    }
    if (rc == 0 && version > 0)
        rc = definitions_check(d->db, d->path, line);
    if (rc < 0)
        return rc;
    code = definitions_execute(d->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                      "PRAGMA journal_size_limit=4194304");
    if (code != SQLITE_OK)
        return definitions_fail(d->db, code, d->path, "cannot be written", line);
    return definitions_schema_migrate(d->db, &DEFINITIONS_MIGRATIONS, d->path, version, line);
}

/* Closes a file that is refused. What is in its log stays there; an empty log goes, as it came. */
static void close_untouched(const struct definitions *d)
{
    char *wal = path_with(d, "-wal");
    struct stat st;

    if (stat(wal, &st) == 0 && st.st_size > 0)
        sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(d->db);
    free(wal);
}

int definitions_open(struct definitions **out, const char *path, char *error, size_t error_size)
{
    struct error_line line = {.text = error, .size = error_size};
    struct definitions *d = memory_alloc_zeroed(1, sizeof(*d));
    int rc;

    *out = NULL;
    d->path = bytes_to_string(bytes_from_string(path));
    rc = lock_file(d, line);
    if (rc < 0)
        goto fail_lock;
    rc = check_size(d, line);
    if (rc == 0)
        rc = inspect_wal(d, line);
    if (rc < 0)
        goto fail_lock;
    rc = definitions_connect(&d->db, path, SQLITE_OPEN_READWRITE, line);
    if (rc < 0)
        goto fail_lock;
    rc = prepare_file(d, line);
    if (rc < 0)
        goto fail_connection;
    rc = definitions_ids_open(&d->ids, d->db, path, line);
    if (rc < 0)
        goto fail_connection;
    rc = definitions_writer_start(&d->writer, d->db, d->path);
    if (rc < 0) {
        error_line_set(line, path, "its thread cannot be started: %s", strerror(-rc));
        goto fail_ids;
    }
    *out = d;
    return 0;

fail_ids:
    definitions_ids_close(&d->ids);
fail_connection:
    close_untouched(d);
fail_lock:
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    free(d->path);
    free(d);
    return rc;
}

void definitions_close(struct definitions *d)
{
    definitions_writer_stop(d->writer);
    definitions_ids_close(&d->ids);
    if (sqlite3_close(d->db) != SQLITE_OK)
        log_error("definitions", "%s: cannot be closed: %s", d->path, sqlite3_errmsg(d->db));
    close(d->lock_fd);
    free(d->path);
    free(d);
}

uint64_t definitions_least_queue_id(const struct definitions *d)
{
    return d->ids.next;
}

void definitions_return_queue_ids(struct definitions *d)
{
    definitions_ids_return(&d->ids, d->writer);
}

uint64_t definitions_next_queue_id(struct definitions *d)
{
    return definitions_ids_take(&d->ids, d->writer);
}

enum {
    COUNTER_NAME_SIZE = 32,
};

static void name_journal(char name[COUNTER_NAME_SIZE], uint32_t shard)
{
    snprintf(name, COUNTER_NAME_SIZE, "journal %" PRIu32, shard);
}

void definitions_note_journal(struct definitions *d, uint32_t shard, uint64_t end)
{
    char name[COUNTER_NAME_SIZE];
    struct row row;

    name_journal(name, shard);
    row = counter_row(name, end);
    definitions_writer_add(d->writer, CHANGE_SET_COUNTER, &row,
                           (struct definitions_done){.call = NULL});
}

int definitions_noted_journal(struct definitions *d, uint32_t shard, uint64_t *end, char *error,
                              size_t error_size)
{
    char name[COUNTER_NAME_SIZE];

    name_journal(name, shard);
    *end = 0;
    return counter_read(d->db, name, end, d->path,
                        (struct error_line){.text = error, .size = error_size});
}
