/* A disk that is full. Consuming frees segments, but only after a record that says so is written.
 * For that each journal keeps a file whose blocks it gives back when a write finds no space: the
 * reserve. From then on it takes no messages, and instead of a record for each settled message it
 * writes the states of the queues now and then, which is small however many were settled. It takes
 * messages again when the reserve is whole and as much again is free. */
#include "store/journal_internal.h"

#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Names that file layers do not list. */
#define RESERVE_FILE ".reserve"
#define HEADROOM_FILE ".headroom"

/* While space is short, a segment ends at this share of the reserve: what is in it is needed no
 * more when its successor has the states, and is given back. */
#define SHORT_SEGMENT_SHARE 8

/* Compaction may take this share of what is left of the reserve. */
#define COMPACTION_SHARE 2

static char *path_of(const struct journal *j, const char *name)
{
    size_t size = strlen(j->directory) + 1 + strlen(name) + 1;
    char *path = memory_alloc(size);

    snprintf(path, size, "%s/%s", j->directory, name);
    return path;
}

/* For file systems that cannot preallocate. */
static int write_zeros(struct journal *j, int fd)
{
    uint64_t size = j->options.reserve_bytes;
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < size; at += JOURNAL_ZEROS_SIZE) {
        uint64_t part = size - at < JOURNAL_ZEROS_SIZE ? size - at : JOURNAL_ZEROS_SIZE;

        rc = file_write_all(j->options.files, fd, journal_zeros, (size_t)part, at);
    }
    return rc;
}

static void remove_file(struct journal *j, const char *name)
{
    char *path = path_of(j, name);

    j->options.files->unlink(journal_files(j), path);
    free(path);
}

/* Has a file take as many bytes of the disk as the reserve has; one that does already is left as it
 * is. Returns 0, or -errno and there is no file. */
static int take_space(struct journal *j, const char *name)
{
    char *path = path_of(j, name);
    int fd = j->options.files->open(journal_files(j), path, O_RDWR | O_CREAT, 0640);
    int rc = fd;

    free(path);
    if (fd < 0)
        return rc;
    rc = j->options.files->preallocate(journal_files(j), fd, j->options.reserve_bytes);
    if (rc == -EOPNOTSUPP)
        rc = write_zeros(j, fd);
    j->options.files->close(journal_files(j), fd);
    if (rc < 0)
        remove_file(j, name);
    return rc;
}

static bool is_lack_of_space(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT;
}

static void begin_shortage(struct journal *j)
{
    if (j->short_of_space)
        return;
    j->short_of_space = true;
    if (j->options.shortages != NULL)
        atomic_fetch_add(j->options.shortages, 1);
}

static void end_shortage(struct journal *j)
{
    if (!j->short_of_space)
        return;
    j->short_of_space = false;
    if (j->options.shortages != NULL)
        atomic_fetch_sub(j->options.shortages, 1);
}

void journal_space_open(struct journal *j)
{
    int rc;

    if (j->options.reserve_bytes == 0)
        return;
    remove_file(j, HEADROOM_FILE); /* a crash may have left it */
    rc = take_space(j, RESERVE_FILE);
    if (rc == 0)
        return;
    log_warning("journal", "%s: no space is reserved: %s", j->directory, strerror(-rc));
    if (is_lack_of_space(rc))
        begin_shortage(j);
}

void journal_space_close(struct journal *j)
{
    end_shortage(j);
}

void journal_space_failed(struct journal *j, int rc)
{
    if (j->options.reserve_bytes != 0 && is_lack_of_space(rc))
        begin_shortage(j);
}

void journal_space_release(struct journal *j)
{
    if (!j->short_of_space)
        return;
    remove_file(j, RESERVE_FILE);
    j->space_left = j->options.reserve_bytes;
}

int journal_space_restore(struct journal *j)
{
    int rc;

    if (!j->short_of_space)
        return 0;
    journal_append_states(j);
    rc = take_space(j, RESERVE_FILE);
    if (rc == 0) {
        rc = take_space(j, HEADROOM_FILE);
        if (rc == 0)
            remove_file(j, HEADROOM_FILE);
        else
            remove_file(j, RESERVE_FILE);
    }
    if (rc == 0)
        end_shortage(j);
    return rc;
}

void journal_space_used(struct journal *j, uint64_t size)
{
    if (j->short_of_space)
        j->space_left -= size < j->space_left ? size : j->space_left;
}

void journal_space_freed(struct journal *j, uint64_t size)
{
    if (j->short_of_space)
        j->space_left += size;
}

uint64_t journal_segment_limit(const struct journal *j)
{
    uint64_t share = j->options.reserve_bytes / SHORT_SEGMENT_SHARE;

    if (j->short_of_space && share < j->options.segment_size_bytes)
        return share;
    return j->options.segment_size_bytes;
}

bool journal_space_compacts(const struct journal *j, const struct journal_segment *s)
{
    return !j->short_of_space || journal_segment_live_bytes(s) <= j->space_left / COMPACTION_SHARE;
}
