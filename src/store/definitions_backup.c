/* Copying a definitions file while a broker may be writing it. */
#include "store/definitions.h"
#include "store/definitions_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Creates an empty file that was not there. */
static int create(const char *path, struct error_line line)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

    if (fd < 0) {
        int rc = -errno;

        error_line_set(line, path, "cannot be created: %s", strerror(-rc));
        return rc;
    }
    close(fd);
    return 0;
}

static int copy(sqlite3 *from_db, sqlite3 *to_db, const char *to, struct error_line line)
{
    sqlite3_backup *backup = sqlite3_backup_init(to_db, "main", from_db, "main");
    int code;

    if (backup == NULL)
        return definitions_fail(to_db, sqlite3_errcode(to_db), to, "cannot be written", line);
    /* In one go: what the broker commits meanwhile is not part of it and does not restart it. */
    sqlite3_backup_step(backup, -1);
    code = sqlite3_backup_finish(backup);
    return code == SQLITE_OK ? 0 : definitions_fail(to_db, code, to, "cannot be written", line);
}

int definitions_backup(const char *from, const char *to, char *error, size_t error_size)
{
    struct error_line line = {.text = error, .size = error_size};
    sqlite3 *from_db;
    sqlite3 *to_db;
    int rc = definitions_connect(&from_db, from, SQLITE_OPEN_READWRITE, line);

    if (rc < 0)
        return rc;
    /* The log is the broker's to take in, also when none runs. */
    sqlite3_db_config(from_db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    rc = create(to, line);
    if (rc < 0)
        goto out_from;
    rc = definitions_connect(&to_db, to, SQLITE_OPEN_READWRITE, line);
    if (rc == 0) {
        rc = copy(from_db, to_db, to, line);
        sqlite3_close(to_db);
    }
    if (rc < 0)
        unlink(to);
out_from:
    sqlite3_close(from_db);
    return rc;
}
