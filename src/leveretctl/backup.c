#include "leveretctl/backup.h"

#include "leveretctl/file_copy.h"
#include "store/data_directory.h"
#include "store/definitions.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct job {
    const char *from;
    const char *to;
    struct backup_figures *figures;
    char *error;
    size_t error_size;
    int rc; /* of the journals */
};

static int fail(const struct job *j, int rc, const char *path, const char *what)
{
    snprintf(j->error, j->error_size, "%s: %s: %s", path, what, strerror(-rc));
    return rc;
}

/* Returns 0, -ENOTEMPTY or another -errno. */
static int check_empty(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int rc = 0;

    if (dir == NULL)
        return -errno;
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strcmp(entry->d_name, "lost+found") != 0)
            rc = -ENOTEMPTY;
    }
    if (rc == 0)
        rc = -errno;
    closedir(dir);
    return rc;
}

static int make_target(const struct job *j)
{
    int rc = mkdir(j->to, 0750) < 0 ? -errno : 0;

    if (rc == -EEXIST)
        rc = check_empty(j->to);
    return rc < 0 ? fail(j, rc, j->to, "cannot be the copy") : 0;
}

static int copy_definitions(const struct job *j)
{
    char *from = data_directory_definitions(j->from);
    char *to = data_directory_definitions(j->to);
    int rc = definitions_backup(from, to, j->error, j->error_size);

    if (rc == 0)
        rc = definitions_verify(to, j->error, j->error_size);
    free(to);
    free(from);
    return rc;
}

static void copy_journal(void *context, uint32_t shard)
{
    struct job *j = context;
    char *from;
    char *to;

    if (j->rc < 0)
        return;
    from = data_directory_journal(j->from, shard);
    to = data_directory_journal(j->to, shard);
    j->rc = journal_backup(from, to, j->figures, j->error, j->error_size);
    free(to);
    free(from);
}

static int copy_journals(struct job *j)
{
    char *to = data_directory_journals(j->to);
    int rc = mkdir(to, 0750) < 0 ? fail(j, -errno, to, "cannot be created") : 0;

    if (rc == 0) {
        rc = data_directory_each_journal(j->from, copy_journal, j);
        if (rc < 0)
            fail(j, rc, j->from, "its journals cannot be read");
        else
            rc = j->rc;
    }
    if (rc == 0) {
        rc = directory_sync(to);
        if (rc < 0)
            fail(j, rc, to, "cannot be synced");
    }
    free(to);
    return rc;
}

int backup(const char *from, const char *to, struct backup_figures *figures, char *error,
           size_t error_size)
{
    struct job j = {
        .from = from, .to = to, .figures = figures, .error = error, .error_size = error_size};
    int rc = data_directory_recognise(from, error, error_size);

    if (rc == 0)
        rc = make_target(&j);
    if (rc == 0)
        rc = copy_definitions(&j);
    if (rc == 0)
        rc = copy_journals(&j);
    if (rc < 0)
        return rc;
    rc = data_directory_stamp(to);
    return rc < 0 ? fail(&j, rc, to, "cannot be finished") : 0;
}
