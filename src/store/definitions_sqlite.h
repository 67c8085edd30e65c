/* What every user of SQLite in the store does the same way: open a connection with the settings of
 * the definitions file, run a text of SQL, and turn SQLite's codes into -errno and one line. */
#ifndef LEVERET_STORE_DEFINITIONS_SQLITE_H
#define LEVERET_STORE_DEFINITIONS_SQLITE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

/* One line for the log and its length. */
struct error_line {
    char *text;
    size_t size;
};

/* Writes the line "PATH: …". Control characters in the path are the log's to escape. */
void error_line_set(struct error_line line, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Opens a connection; `flags` as sqlite3_open_v2. Returns 0 and *out to be closed with
 * sqlite3_close(), or -errno with the line set. */
int definitions_connect(sqlite3 **out, const char *path, int flags, struct error_line line);

/* Runs SQL without results. Returns an SQLite code. */
int definitions_execute(sqlite3 *db, const char *sql);

/* The integer that a query gives in its first row. Returns an SQLite code. */
int definitions_query_integer(sqlite3 *db, const char *sql, sqlite3_int64 *out);

/* SQLite's code (not SQLITE_OK) of the last call on `db` as -errno: -EBADMSG for damage, -ENOSPC,
 * -EBUSY, … */
int definitions_errno(sqlite3 *db, int code);

/* As definitions_errno, and sets the line to what could not be done and why. */
int definitions_fail(sqlite3 *db, int code, const char *path, const char *what,
                     struct error_line line);

/* Whether the file and, once it was written to, its log still are where they were opened: what is
 * committed to one that was deleted or moved away is found by no restart. */
bool definitions_are_in_place(sqlite3 *db);

/* Goes through the whole file for damage. Returns 0, or -EBADMSG or another -errno with the line
 * set. */
int definitions_check(sqlite3 *db, const char *path, struct error_line line);

#endif
