/* The schema of the definitions file: its tables, its version (SQLite's user_version) and the way
 * from each version to the next. SQLite's application_id marks the file as one of leveret's. */
#ifndef LEVERET_STORE_DEFINITIONS_SCHEMA_H
#define LEVERET_STORE_DEFINITIONS_SCHEMA_H

#include "store/definitions_sqlite.h"

#include <sqlite3.h>

enum {
    DEFINITIONS_APPLICATION_ID = 0x6c767274, /* "lvrt" */
};

/* The step from one version to the next: version N is what the first N of a list give. */
struct migration {
    const char *sql;
};

struct migrations {
    const struct migration *steps;
    int count; /* the newest version */
};

/* Those of this program. */
extern const struct migrations DEFINITIONS_MIGRATIONS;

/* Whether the file is one that this program can read or bring up to date; changes nothing. Returns
 * 0 and the version (0: an empty file), -ENOTSUP for a newer version, -EBADMSG when it is damaged
 * or not a definitions file, or another -errno; the line is set. */
int definitions_schema_inspect(sqlite3 *db, const struct migrations *m, const char *path,
                               int *version, struct error_line line);

/* Brings a file of `version` up to the newest, each step in a transaction of its own, and holds the
 * schema in the file against what the steps give. Returns 0, or -errno with the line set: then the
 * file is as the last good step left it. */
int definitions_schema_migrate(sqlite3 *db, const struct migrations *m, const char *path,
                               int version, struct error_line line);

#endif
