#include "store/definitions_sqlite.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    /* Longer than any other process holds the file: leveretctl, while it opens and closes it. */
    BUSY_TIMEOUT_MS = 10000,
};

void error_line_set(struct error_line line, const char *path, const char *format, ...)
{
    va_list arguments;
    int used;

    if (line.size == 0)
        return;
    used = snprintf(line.text, line.size, "%s: ", path);
    if (used < 0 || (size_t)used >= line.size)
        return;
    va_start(arguments, format);
    vsnprintf(line.text + used, line.size - (size_t)used, format, arguments);
    va_end(arguments);
}

int definitions_errno(sqlite3 *db, int code)
{
    int system_errno = db != NULL ? sqlite3_system_errno(db) : 0;

    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return system_errno != 0 ? -system_errno : -EIO;
    default:
        /* The SQL is ours: what it does not find or cannot read is the file's fault. */
        return -EBADMSG;
    }
}

int definitions_fail(sqlite3 *db, int code, const char *path, const char *what,
                     struct error_line line)
{
    int rc = definitions_errno(db, code);

    if (rc == -EBADMSG)
        error_line_set(line, path, "damaged: %s: %s", what, sqlite3_errmsg(db));
    else
        error_line_set(line, path, "%s: %s (%s)", what, strerror(-rc), sqlite3_errmsg(db));
    return rc;
}

int definitions_connect(sqlite3 **out, const char *path, int flags, struct error_line line)
{
    sqlite3 *db = NULL;
    int code =
        sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

    if (code == SQLITE_OK) {
        sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
        sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        /* Nothing uncommitted goes to the log ahead of its commit. */
        code = definitions_execute(db, "PRAGMA cell_size_check=ON; PRAGMA cache_spill=OFF");
    }
    if (code != SQLITE_OK) {
        int rc = definitions_fail(db, code, path, "cannot be opened", line);

        sqlite3_close(db);
        *out = NULL;
        return rc;
    }
    *out = db;
    return 0;
}

int definitions_execute(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int definitions_query_integer(sqlite3 *db, const char *sql, sqlite3_int64 *out)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

    if (code != SQLITE_OK)
        return code;
    code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        *out = sqlite3_column_int64(s, 0);
        code = SQLITE_OK;
    } else if (code == SQLITE_DONE) {
        code = SQLITE_CORRUPT;
    }
    sqlite3_finalize(s);
    return code;
}

bool definitions_are_in_place(sqlite3 *db)
{
    const char *path = sqlite3_db_filename(db, "main");
    int moved = 0;

    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0)
        return false;
    return path == NULL || *path == '\0' || access(sqlite3_filename_wal(path), F_OK) == 0;
}

int definitions_check(sqlite3 *db, const char *path, struct error_line line)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &s, NULL);
    int rc = 0;

    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    if (code != SQLITE_ROW) {
        rc = definitions_fail(db, code, path, "cannot be checked", line);
    } else if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0) {
        char what[160];

        snprintf(what, sizeof(what), "%s", (const char *)sqlite3_column_text(s, 0));
        for (char *c = what; *c != '\0'; c++) {
            if (*c == '\n')
                *c = ' ';
        }
        error_line_set(line, path, "damaged: %s", what);
        rc = -EBADMSG;
    }
    sqlite3_finalize(s);
    return rc;
}
