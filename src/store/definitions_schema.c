#include "store/definitions_schema.h"

#include "base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Names and texts are arbitrary bytes, arguments are AMQP field tables as they are on the wire
 * (without their length), a parameter's value is the only field of such a table, under the empty
 * key: all are BLOBs. `checksum` is row_checksum() of the columns before it. */
static const char VERSION_1[] =
    "CREATE TABLE counters ("
    " name BLOB NOT NULL PRIMARY KEY,"
    " value INTEGER NOT NULL,"
    " checksum INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE vhosts ("
    " name BLOB NOT NULL PRIMARY KEY,"
    " checksum INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE users ("
    " name BLOB NOT NULL PRIMARY KEY,"
    " password_hash BLOB NOT NULL,"
    " tags BLOB NOT NULL,"
    " checksum INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE permissions ("
    " vhost BLOB NOT NULL,"
    " user BLOB NOT NULL,"
    " configure BLOB NOT NULL,"
    " write BLOB NOT NULL,"
    " read BLOB NOT NULL,"
    " checksum INTEGER NOT NULL,"
    " PRIMARY KEY (vhost, user)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE topic_permissions ("
    " vhost BLOB NOT NULL,"
    " user BLOB NOT NULL,"
    " exchange BLOB NOT NULL,"
    " write BLOB NOT NULL,"
    " read BLOB NOT NULL,"
    " checksum INTEGER NOT NULL,"
    " PRIMARY KEY (vhost, user, exchange)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE exchanges ("
    " vhost BLOB NOT NULL,"
    " name BLOB NOT NULL,"
    " type BLOB NOT NULL,"
    " auto_delete INTEGER NOT NULL,"
    " internal INTEGER NOT NULL,"
    " arguments BLOB NOT NULL,"
    " checksum INTEGER NOT NULL,"
    " PRIMARY KEY (vhost, name)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE queues ("
    " vhost BLOB NOT NULL,"
    " name BLOB NOT NULL,"
    " id INTEGER NOT NULL,"
    " shard INTEGER NOT NULL,"
    " auto_delete INTEGER NOT NULL,"
    " arguments BLOB NOT NULL,"
    " checksum INTEGER NOT NULL,"
    " PRIMARY KEY (vhost, name)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE bindings ("
    " vhost BLOB NOT NULL,"
    " destination BLOB NOT NULL,"
    " to_exchange INTEGER NOT NULL,"
    " source BLOB NOT NULL,"
    " routing_key BLOB NOT NULL,"
    " arguments BLOB NOT NULL,"
    " checksum INTEGER NOT NULL,"
    " PRIMARY KEY (vhost, destination, to_exchange, source, routing_key, arguments)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE INDEX bindings_by_source ON bindings (vhost, source);"

    "CREATE TABLE policies ("
    " vhost BLOB NOT NULL,"
    " name BLOB NOT NULL,"
    " pattern BLOB NOT NULL,"
    " apply_to BLOB NOT NULL,"
    " priority INTEGER NOT NULL,"
    " operator INTEGER NOT NULL,"
    " definition BLOB NOT NULL,"
    " checksum INTEGER NOT NULL,"
    " PRIMARY KEY (vhost, operator, name)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE parameters ("
    " vhost BLOB NOT NULL,"
    " component BLOB NOT NULL,"
    " name BLOB NOT NULL,"
    " value BLOB NOT NULL,"
    " checksum INTEGER NOT NULL,"
    " PRIMARY KEY (vhost, component, name)"
    ") STRICT, WITHOUT ROWID;";

/* What a removed user takes along is found by its name. */
static const char VERSION_2[] =
    "CREATE INDEX permissions_by_user ON permissions (user);"
    "CREATE INDEX topic_permissions_by_user ON topic_permissions (user);";

static const char VERSION_3[] = "CREATE TABLE delays ("
                                " vhost BLOB NOT NULL,"
                                " exchange BLOB NOT NULL,"
                                " id INTEGER NOT NULL,"
                                " shard INTEGER NOT NULL,"
                                " checksum INTEGER NOT NULL,"
                                " PRIMARY KEY (vhost, exchange)"
                                ") STRICT, WITHOUT ROWID;";

static const struct migration STEPS[] = {
    {.sql = VERSION_1},
    {.sql = VERSION_2},
    {.sql = VERSION_3},
};

const struct migrations DEFINITIONS_MIGRATIONS = {
    .steps = STEPS,
    .count = sizeof(STEPS) / sizeof(STEPS[0]),
};

int definitions_schema_inspect(sqlite3 *db, const struct migrations *m, const char *path,
                               int *version, struct error_line line)
{
    sqlite3_int64 application = 0;
    sqlite3_int64 found = 0;
    sqlite3_int64 tables = 0;
    int code = definitions_query_integer(db, "PRAGMA application_id", &application);

    if (code == SQLITE_OK)
        code = definitions_query_integer(db, "PRAGMA user_version", &found);
    if (code == SQLITE_OK)
        code = definitions_query_integer(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (code != SQLITE_OK)
        return definitions_fail(db, code, path, "cannot be read", line);

    if (application != DEFINITIONS_APPLICATION_ID &&
        (application != 0 || found != 0 || tables != 0)) {
        error_line_set(line, path, "not a definitions file of leveret, or damaged");
        return -EBADMSG;
    }
    if (found > m->count) {
        *version = (int)found;
        error_line_set(line, path, "has schema version %d, newer than this leveret's %d", *version,
                       m->count);
        return -ENOTSUP;
    }
    if (found < 0 || (found == 0) != (tables == 0)) {
        error_line_set(line, path, "damaged: schema version %d with %d tables and indexes",
                       (int)found, (int)tables);
        return -EBADMSG;
    }
    *version = (int)found;
    return 0;
}

static int migrate_one(sqlite3 *db, const struct migration *step, int version)
{
    char mark[96];
    int code = definitions_execute(db, "BEGIN IMMEDIATE");

    snprintf(mark, sizeof(mark), "PRAGMA application_id=%d; PRAGMA user_version=%d",
             DEFINITIONS_APPLICATION_ID, version);
    if (code == SQLITE_OK)
        code = definitions_execute(db, step->sql);
    if (code == SQLITE_OK)
        code = definitions_execute(db, mark);
    if (code == SQLITE_OK)
        code = definitions_execute(db, "COMMIT");
    return code;
}

static const char SCHEMA_TEXT[] =
    "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name";

static bool same_text(sqlite3_stmt *a, sqlite3_stmt *b, int column)
{
    const char *left = (const char *)sqlite3_column_text(a, column);
    const char *right = (const char *)sqlite3_column_text(b, column);

    return left != NULL && right != NULL ? strcmp(left, right) == 0 : left == right;
}

static bool same_rows(sqlite3_stmt *a, sqlite3_stmt *b)
{
    int code;

    while ((code = sqlite3_step(a)) == sqlite3_step(b)) {
        if (code != SQLITE_ROW)
            return code == SQLITE_DONE;
        for (int i = 0; i < sqlite3_column_count(a); i++) {
            if (!same_text(a, b, i))
                return false;
        }
    }
    return false;
}

/* Whether the schema in the file is what the steps give in an empty one. */
static bool is_our_schema(sqlite3 *db, const struct migrations *m)
{
    sqlite3 *model = NULL;
    sqlite3_stmt *ours = NULL;
    sqlite3_stmt *theirs = NULL;
    int code = sqlite3_open(":memory:", &model);
    bool same;

    for (int i = 0; i < m->count && code == SQLITE_OK; i++)
        code = definitions_execute(model, m->steps[i].sql);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(model, SCHEMA_TEXT, -1, &ours, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(db, SCHEMA_TEXT, -1, &theirs, NULL);
    same = code == SQLITE_OK && same_rows(ours, theirs);
    sqlite3_finalize(theirs);
    sqlite3_finalize(ours);
    sqlite3_close(model);
    return same;
}

int definitions_schema_migrate(sqlite3 *db, const struct migrations *m, const char *path,
                               int version, struct error_line line)
{
    for (int next = version + 1; next <= m->count; next++) {
        int code = migrate_one(db, &m->steps[next - 1], next);
        char what[64];

        if (code == SQLITE_OK) {
            if (version > 0)
                log_info("definitions", "%s: schema version %d is now %d", path, next - 1, next);
            continue;
        }
        snprintf(what, sizeof(what), "cannot be brought to schema version %d", next);
        int rc = definitions_fail(db, code, path, what, line);
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        return rc;
    }
    if (!is_our_schema(db, m)) {
        error_line_set(line, path, "damaged: its tables are not those of schema version %d",
                       m->count);
        return -EBADMSG;
    }
    return 0;
}
