#include "store/recovery_foreign.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every record has the segment's number and salt in its checksum: one good record is proof. */
static bool is_foreign(const struct segment_scan *s)
{
    return s->error == 0 && s->records == 0 && (s->holds.number != 0 || s->strange);
}

/* Of two files of one number: the one that has more of a segment in it. */
static bool fits_better(const struct segment_scan *a, const struct segment_scan *b)
{
    if (a->records != b->records)
        return a->records > b->records;
    return a->end > b->end;
}

/* What cannot be read, or only by a newer program, ends the start: it is nobody's double. */
static bool is_readable(const struct segment_scan *s)
{
    return s->error == 0 && s->format == 0 && !s->unknown_record;
}

size_t recovery_part_foreign(struct scanned *segments, size_t count)
{
    struct scanned *foreign = memory_resize(NULL, count + 1, sizeof(*foreign));
    size_t foreign_count = 0;
    size_t own = 0;

    for (size_t i = 0; i < count; i++) {
        struct scanned *last = own != 0 ? &segments[own - 1] : NULL;

        if (is_foreign(&segments[i].scan)) {
            foreign[foreign_count++] = segments[i];
        } else if (last != NULL && last->scan.id.number == segments[i].scan.id.number &&
                   is_readable(&last->scan) && is_readable(&segments[i].scan)) {
            if (fits_better(&segments[i].scan, &last->scan)) {
                foreign[foreign_count++] = *last;
                *last = segments[i];
            } else {
                foreign[foreign_count++] = segments[i];
            }
        } else {
            segments[own++] = segments[i];
        }
    }
    memcpy(&segments[own], foreign, foreign_count * sizeof(*foreign));
    free(foreign);
    return own;
}

static void tell(const struct recovery_options *options, const struct segment_scan *s,
                 const char *what)
{
    char *path = segment_path(options->directory, s->id, "");

    if (options->damage != NULL)
        options->damage(options->context, path, 0, 0, what);
    free(path);
}

void recovery_tell_foreign(const struct recovery_options *options, const struct segment_scan *s)
{
    char name[SEGMENT_NAME_SIZE];
    char what[160];

    if (s->holds.number != 0) {
        segment_name(name, s->holds);
        snprintf(what, sizeof(what), "holds %s under another name, and is set aside as *%s", name,
                 SEGMENT_DAMAGED_SUFFIX);
    } else {
        snprintf(what, sizeof(what), "is %s, and is set aside as *%s",
                 s->strange ? "no segment of a journal" : "a second file of the same segment",
                 SEGMENT_DAMAGED_SUFFIX);
    }
    tell(options, s, what);
}

static bool exists(const struct file_layer *files, const char *path)
{
    int fd = files->open(files->context, path, O_RDONLY, 0);

    if (fd >= 0)
        files->close(files->context, fd);
    return fd != -ENOENT;
}

int recovery_set_aside(const struct recovery_options *options, const struct segment_scan *s)
{
    const struct file_layer *files = options->files;
    char *from = segment_path(options->directory, s->id, "");
    char *to = segment_path(options->directory, s->id, SEGMENT_DAMAGED_SUFFIX);
    int rc = exists(files, to) ? -EEXIST : files->rename(files->context, from, to);
    char what[160];

    free(from);
    free(to);
    if (rc == 0)
        return 0;
    snprintf(what, sizeof(what), "cannot be set aside: %s", strerror(-rc));
    tell(options, s, what);
    return rc;
}
