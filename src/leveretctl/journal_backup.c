#include "leveretctl/journal_backup.h"

#include "base/memory.h"
#include "leveretctl/file_copy.h"
#include "store/recovery.h"
#include "store/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* Opening all segments takes milliseconds; one is deleted in between now and then. */
    ATTEMPTS_MAX = 1000,
};

/* A segment that is held open: deleted or not, its bytes stay. */
struct held {
    struct segment_id id;
    int fd;
};

/* The segments of one moment. */
struct snapshot {
    struct held *segments; /* descending */
    size_t count;
};

struct line {
    char *text;
    size_t size;
};

static int fail(struct line line, int rc, const char *path, const char *what)
{
    snprintf(line.text, line.size, "%s: %s: %s", path, what, strerror(-rc));
    return rc;
}

/* ---- One moment ---- */

static void snapshot_free(struct snapshot *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->segments[i].fd >= 0)
            close(s->segments[i].fd);
    }
    free(s->segments);
    *s = (struct snapshot){.segments = NULL};
}

static int compare_descending(const void *a, const void *b)
{
    const struct segment_id *left = &((const struct held *)a)->id;
    const struct segment_id *right = &((const struct held *)b)->id;

    if (left->number != right->number)
        return left->number < right->number ? 1 : -1;
    return (left->salt < right->salt) - (left->salt > right->salt);
}

/* The names alone. Those that were set aside for damage are no part of the journal. */
static int snapshot_list(struct snapshot *s, const char *directory)
{
    DIR *dir = opendir(directory);
    const struct dirent *entry;
    int rc;

    *s = (struct snapshot){.segments = NULL};
    if (dir == NULL)
        return -errno;
    while ((errno = 0, entry = readdir(dir)) != NULL) {
        struct held h = {.fd = -1};
        bool set_aside;

        if (!segment_parse_name(entry->d_name, &h.id, &set_aside) || set_aside)
            continue;
        s->segments = memory_resize(s->segments, s->count + 1, sizeof(*s->segments));
        s->segments[s->count++] = h;
    }
    rc = -errno;
    closedir(dir);
    if (rc < 0)
        snapshot_free(s);
    else if (s->count != 0)
        qsort(s->segments, s->count, sizeof(*s->segments), compare_descending);
    return rc;
}

static int snapshot_hold(struct snapshot *s, const char *directory)
{
    for (size_t i = 0; i < s->count; i++) {
        char *path = segment_path(directory, s->segments[i].id, "");

        s->segments[i].fd = open(path, O_RDONLY | O_CLOEXEC);
        free(path);
        if (s->segments[i].fd < 0)
            return -errno;
    }
    return 0;
}

static bool snapshot_equal(const struct snapshot *a, const struct snapshot *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (compare_descending(&a->segments[i], &b->segments[i]) != 0)
            return false;
    }
    return true;
}

/* Holds all that is there, and looks whether that is still all. Returns 0, -EAGAIN when something
 * changed meanwhile, or -errno. */
static int snapshot_try(struct snapshot *s, const char *directory)
{
    struct snapshot again = {.segments = NULL};
    int rc = snapshot_list(s, directory);

    if (rc < 0)
        return rc;
    rc = snapshot_hold(s, directory);
    if (rc == 0)
        rc = snapshot_list(&again, directory);
    if (rc == 0 && !snapshot_equal(s, &again))
        rc = -EAGAIN;
    snapshot_free(&again);
    if (rc < 0)
        snapshot_free(s);
    return rc == -ENOENT ? -EAGAIN : rc;
}

static int snapshot_take(struct snapshot *s, const char *directory)
{
    int rc = -EAGAIN;

    for (unsigned i = 0; i < ATTEMPTS_MAX && rc == -EAGAIN; i++)
        rc = snapshot_try(s, directory);
    return rc;
}

/* ---- Copying it ---- */

/* From the newest to the oldest, each from its end to its beginning: what is appended meanwhile
 * makes the copy end later, and leaves no gap in it. */
static int copy_segments(const struct snapshot *s, const char *to, struct backup_figures *figures,
                         struct line line)
{
    for (size_t i = 0; i < s->count; i++) {
        char *path = segment_path(to, s->segments[i].id, "");
        uint64_t bytes = 0;
        int rc = file_copy(s->segments[i].fd, path, &bytes);

        if (rc < 0)
            fail(line, rc, path, "cannot be copied");
        free(path);
        if (rc < 0)
            return rc;
        figures->segments++;
        figures->bytes += bytes;
    }
    return 0;
}

static void on_damage(void *context, const char *file, uint64_t offset, uint64_t size,
                      const char *what)
{
    const struct line *line = context;

    if (line->text[0] != '\0')
        return;
    if (size == 0)
        snprintf(line->text, line->size, "%s: %s", file, what);
    else
        snprintf(line->text, line->size, "%s: damaged at offset %" PRIu64 ", %" PRIu64 " bytes: %s",
                 file, offset, size, what);
}

/* Reads the copy as at a start, which also cuts what is torn at its end. */
static int verify(const char *to, struct line line)
{
    struct recovery_options options = {
        .files = &SYSTEM_FILES,
        .directory = to,
        .threads = 1,
        .damage = on_damage,
        .context = &line,
    };
    struct recovered found;
    int rc;

    line.text[0] = '\0';
    rc = recovery_run(&options, &found);
    if (rc < 0) {
        if (line.text[0] == '\0')
            fail(line, rc, to, "cannot be read");
        return rc;
    }
    rc = found.damaged_regions != 0 ? -EBADMSG : 0;
    recovered_free(&found);
    return rc;
}

int journal_backup(const char *from, const char *to, struct backup_figures *figures, char *error,
                   size_t error_size)
{
    struct line line = {.text = error, .size = error_size};
    struct snapshot s;
    int rc;

    if (mkdir(to, 0750) < 0)
        return fail(line, -errno, to, "cannot be created");
    rc = snapshot_take(&s, from);
    if (rc < 0)
        return fail(line, rc, from, "cannot be read");
    rc = copy_segments(&s, to, figures, line);
    snapshot_free(&s);
    if (rc == 0)
        rc = verify(to, line);
    if (rc == 0) {
        rc = directory_sync(to);
        if (rc < 0)
            fail(line, rc, to, "cannot be synced");
    }
    return rc;
}
