#include "store/recovery_look.h"

#include "base/memory.h"
#include "store/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct look {
    const struct recovery_options *options;
    int result; /* of the last thing that was wrong */
};

static void tell(struct look *l, const char *path, int rc, const char *what)
{
    l->result = rc;
    if (l->options->damage != NULL)
        l->options->damage(l->options->context, path, 0, 0, what);
}

static void look_at_header(struct look *l, int fd, struct segment_id id, const char *path)
{
    const struct file_layer *files = l->options->files;
    uint8_t header[SEGMENT_HEADER_SIZE];
    uint32_t format = 0;
    size_t size = 0;
    char what[80];

    /* What cannot be read is damage, of which recovery makes the best. */
    if (file_read_full(files, fd, header, sizeof(header), 0, &size) < 0 ||
        segment_check_header(header, size, id, &format) != -ENOTSUP)
        return;
    snprintf(what, sizeof(what), "format %u is newer than this program's (%d)", format,
             SEGMENT_FORMAT);
    tell(l, path, -EINVAL, what);
}

static void look_at(struct look *l, struct segment_id id, const char *path)
{
    const struct file_layer *files = l->options->files;
    int fd = files->open(files->context, path, O_RDONLY, 0);
    uint64_t size;
    int rc;

    if (fd < 0) {
        tell(l, path, fd, strerror(-fd));
        return;
    }
    rc = files->size(files->context, fd, &size);
    if (rc < 0)
        tell(l, path, rc, strerror(-rc));
    else
        look_at_header(l, fd, id, path);
    files->close(files->context, fd);
}

static void look_at_name(void *context, const char *name)
{
    struct look *l = context;
    struct segment_id id;
    bool set_aside;
    char *path;

    if (!segment_parse_name(name, &id, &set_aside) || set_aside)
        return;
    path = segment_path(l->options->directory, id, "");
    if (id.number > SEGMENT_NUMBER_MAX)
        tell(l, path, -EOVERFLOW, "cannot be a segment: no other could follow its number");
    else
        look_at(l, id, path);
    free(path);
}

int recovery_look(const struct recovery_options *options)
{
    const struct file_layer *files = options->files;
    struct look l = {.options = options};
    int rc = files->list(files->context, options->directory, look_at_name, &l);

    if (rc < 0)
        tell(&l, options->directory, rc, strerror(-rc));
    return l.result;
}
