#include "tests/unit/memory_files.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512

static uint8_t *copy_of(const void *data, size_t size)
{
    uint8_t *copy = memory_alloc(size + 1);

    if (size != 0)
        memcpy(copy, data, size);
    return copy;
}

static char *copy_of_string(const char *s)
{
    return (char *)copy_of(s, strlen(s) + 1);
}

static ssize_t fault(struct memory_files *m, enum file_operation operation, size_t size)
{
    if (m->fault == NULL)
        return operation == FILE_WRITE ? (ssize_t)size : 0;
    return m->fault(operation, size);
}

static void record(struct memory_files *m, struct recorded_operation o)
{
    if (!m->record) {
        free(o.data);
        free(o.path);
        return;
    }
    if ((m->operation_count & (m->operation_count - 1)) == 0)
        m->operations = memory_resize(
            m->operations, m->operation_count == 0 ? 1 : m->operation_count * 2, sizeof(o));
    m->operations[m->operation_count++] = o;
}

static void file_resize(struct memory_file *f, size_t size)
{
    if (size > f->capacity) {
        f->capacity = size * 2;
        f->data = memory_resize(f->data, f->capacity, 1);
    }
    if (size > f->size)
        memset(f->data + f->size, 0, size - f->size);
    if (size < f->size || size > f->allocated)
        f->allocated = size;
    f->size = size;
}

static size_t used(const struct memory_files *m)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        if (m->files[i].path != NULL)
            sum += m->files[i].allocated;
    }
    return sum;
}

/* How far a file may grow from what it has, at most to `end`. */
static size_t may_grow_to(const struct memory_files *m, const struct memory_file *f, size_t end)
{
    size_t taken = used(m);
    size_t left = m->space > taken ? m->space - taken : 0;

    if (m->space == 0 || end <= f->allocated || end - f->allocated <= left)
        return end;
    return f->allocated + left;
}

static void file_write(struct memory_file *f, const void *data, size_t size, uint64_t offset)
{
    if (size == 0)
        return;
    if (offset + size > f->size)
        file_resize(f, (size_t)(offset + size));
    memcpy(f->data + offset, data, size);
}

static uint32_t add(struct memory_files *m, const char *path)
{
    m->files = memory_resize(m->files, m->count + 1, sizeof(*m->files));
    m->files[m->count] = (struct memory_file){.path = path ? copy_of_string(path) : NULL};
    return m->count++;
}

struct memory_file *memory_files_find(struct memory_files *m, const char *path)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->files[i].path != NULL && strcmp(m->files[i].path, path) == 0)
            return &m->files[i];
    }
    return NULL;
}

struct memory_file *memory_files_last(struct memory_files *m)
{
    struct memory_file *last = NULL;

    for (uint32_t i = 0; i < m->count; i++) {
        if (m->files[i].path != NULL && (last == NULL || strcmp(m->files[i].path, last->path) > 0))
            last = &m->files[i];
    }
    return last;
}

uint32_t memory_files_existing(struct memory_files *m)
{
    uint32_t n = 0;

    pthread_mutex_lock(&m->lock);
    for (uint32_t i = 0; i < m->count; i++)
        n += m->files[i].path != NULL;
    pthread_mutex_unlock(&m->lock);
    return n;
}

size_t memory_files_used(struct memory_files *m)
{
    size_t size;

    pthread_mutex_lock(&m->lock);
    size = used(m);
    pthread_mutex_unlock(&m->lock);
    return size;
}

void memory_files_set_fault(struct memory_files *m, file_fault call)
{
    pthread_mutex_lock(&m->lock);
    m->fault = call;
    pthread_mutex_unlock(&m->lock);
}

void memory_files_put(struct memory_files *m, const char *path, const void *data, size_t size)
{
    uint32_t index = add(m, path);

    file_write(&m->files[index], data, size, 0);
}

/* ---- The layer: a descriptor is a file's index ---- */

static int memory_open(void *context, const char *path, int flags, mode_t mode)
{
    struct memory_files *m = context;
    struct memory_file *f;
    ssize_t rc;

    (void)mode;
    pthread_mutex_lock(&m->lock);
    f = memory_files_find(m, path);
    if (f != NULL) {
        rc = (flags & O_EXCL) != 0 ? -EEXIST : f - m->files;
    } else if ((flags & O_CREAT) == 0) {
        rc = -ENOENT;
    } else {
        rc = fault(m, FILE_CREATE, 0);
        if (rc == 0) {
            rc = add(m, path);
            record(m, (struct recorded_operation){.operation = FILE_CREATE,
                                                  .file = (uint32_t)rc,
                                                  .path = copy_of_string(path)});
        }
    }
    pthread_mutex_unlock(&m->lock);
    return (int)rc;
}

static int memory_close(void *context, int fd)
{
    (void)context;
    (void)fd;
    return 0;
}

static ssize_t memory_pread(void *context, int fd, void *out, size_t size, uint64_t offset)
{
    struct memory_files *m = context;
    struct memory_file *f;
    ssize_t rc;

    pthread_mutex_lock(&m->lock);
    f = &m->files[fd];
    rc = fault(m, FILE_READ, size);
    if (rc == 0 && offset < f->size) {
        if (size > f->size - offset)
            size = (size_t)(f->size - offset);
        memcpy(out, f->data + offset, size);
        rc = (ssize_t)size;
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static ssize_t memory_pwritev(void *context, int fd, const struct iovec *runs, int count,
                              uint64_t offset)
{
    struct memory_files *m = context;
    size_t size = 0;
    size_t done = 0;
    ssize_t rc;

    for (int i = 0; i < count; i++)
        size += runs[i].iov_len;
    pthread_mutex_lock(&m->lock);
    rc = fault(m, FILE_WRITE, size);
    if (rc > 0) {
        size_t end = may_grow_to(m, &m->files[fd], (size_t)offset + (size_t)rc);

        rc = end > offset ? (ssize_t)(end - offset) : -ENOSPC;
    }
    for (int i = 0; i < count && rc > 0 && done < (size_t)rc; i++) {
        size_t part = runs[i].iov_len;

        if (part > (size_t)rc - done)
            part = (size_t)rc - done;
        file_write(&m->files[fd], runs[i].iov_base, part, offset + done);
        record(m, (struct recorded_operation){.operation = FILE_WRITE,
                                              .file = (uint32_t)fd,
                                              .offset = offset + done,
                                              .data = copy_of(runs[i].iov_base, part),
                                              .size = part});
        done += part;
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static int memory_datasync(void *context, int fd)
{
    struct memory_files *m = context;
    ssize_t rc;

    pthread_mutex_lock(&m->lock);
    rc = fault(m, FILE_SYNC, 0);
    if (rc == 0)
        record(m, (struct recorded_operation){.operation = FILE_SYNC, .file = (uint32_t)fd});
    pthread_mutex_unlock(&m->lock);
    return (int)rc;
}

static int memory_size(void *context, int fd, uint64_t *out)
{
    struct memory_files *m = context;

    pthread_mutex_lock(&m->lock);
    *out = m->files[fd].size;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static int memory_linked(void *context, int fd)
{
    struct memory_files *m = context;
    int rc;

    pthread_mutex_lock(&m->lock);
    rc = m->files[fd].path != NULL ? 0 : -ENOENT;
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static uint64_t memory_next_data(void *context, int fd, uint64_t offset)
{
    (void)context;
    (void)fd;
    return offset;
}

static int memory_truncate(void *context, int fd, uint64_t size)
{
    struct memory_files *m = context;
    ssize_t rc;

    pthread_mutex_lock(&m->lock);
    rc = fault(m, FILE_TRUNCATE, 0);
    if (rc == 0) {
        file_resize(&m->files[fd], (size_t)size);
        record(m, (struct recorded_operation){
                      .operation = FILE_TRUNCATE, .file = (uint32_t)fd, .offset = size});
    }
    pthread_mutex_unlock(&m->lock);
    return (int)rc;
}

static int memory_preallocate(void *context, int fd, uint64_t size)
{
    struct memory_files *m = context;
    struct memory_file *f;
    int rc = 0;

    pthread_mutex_lock(&m->lock);
    f = &m->files[fd];
    if (may_grow_to(m, f, (size_t)size) != size)
        rc = -ENOSPC;
    else if (size > f->allocated)
        f->allocated = (size_t)size;
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static int memory_rename(void *context, const char *from, const char *to)
{
    struct memory_files *m = context;
    struct memory_file *f;
    ssize_t rc;

    pthread_mutex_lock(&m->lock);
    f = memory_files_find(m, from);
    rc = f == NULL ? -ENOENT : fault(m, FILE_RENAME, 0);
    if (rc == 0) {
        free(f->path);
        f->path = copy_of_string(to);
        record(m, (struct recorded_operation){.operation = FILE_RENAME,
                                              .file = (uint32_t)(f - m->files),
                                              .path = copy_of_string(to)});
    }
    pthread_mutex_unlock(&m->lock);
    return (int)rc;
}

static int memory_unlink(void *context, const char *path)
{
    struct memory_files *m = context;
    struct memory_file *f;
    ssize_t rc;

    pthread_mutex_lock(&m->lock);
    f = memory_files_find(m, path);
    rc = f == NULL ? -ENOENT : fault(m, FILE_UNLINK, 0);
    if (rc == 0) {
        free(f->path);
        f->path = NULL;
        record(m, (struct recorded_operation){.operation = FILE_UNLINK,
                                              .file = (uint32_t)(f - m->files)});
    }
    pthread_mutex_unlock(&m->lock);
    return (int)rc;
}

static int memory_sync_directory(void *context, const char *path)
{
    struct memory_files *m = context;
    ssize_t rc;

    (void)path;
    pthread_mutex_lock(&m->lock);
    rc = fault(m, FILE_SYNC_DIRECTORY, 0);
    if (rc == 0)
        record(m, (struct recorded_operation){.operation = FILE_SYNC_DIRECTORY});
    pthread_mutex_unlock(&m->lock);
    return (int)rc;
}

static int memory_list(void *context, const char *path,
                       void (*found)(void *found_context, const char *name), void *found_context)
{
    struct memory_files *m = context;
    size_t size = strlen(path);

    for (uint32_t i = 0; i < m->count; i++) {
        const char *name = m->files[i].path;

        if (name != NULL && strncmp(name, path, size) == 0 && name[size] == '/' &&
            name[size + 1] != '.')
            found(found_context, name + size + 1);
    }
    return 0;
}

void memory_files_init(struct memory_files *m)
{
    memset(m, 0, sizeof(*m));
    pthread_mutex_init(&m->lock, NULL);
    m->layer = (struct file_layer){
        .context = m,
        .open = memory_open,
        .close = memory_close,
        .pread = memory_pread,
        .pwritev = memory_pwritev,
        .datasync = memory_datasync,
        .size = memory_size,
        .linked = memory_linked,
        .next_data = memory_next_data,
        .truncate = memory_truncate,
        .preallocate = memory_preallocate,
        .rename = memory_rename,
        .unlink = memory_unlink,
        .sync_directory = memory_sync_directory,
        .list = memory_list,
    };
}

void memory_files_free(struct memory_files *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        free(m->files[i].path);
        free(m->files[i].data);
    }
    for (size_t i = 0; i < m->operation_count; i++) {
        free(m->operations[i].data);
        free(m->operations[i].path);
    }
    free(m->files);
    free(m->operations);
    pthread_mutex_destroy(&m->lock);
}

void memory_files_copy(struct memory_files *to, struct memory_files *from)
{
    memory_files_init(to);
    to->space = from->space;
    pthread_mutex_lock(&from->lock);
    for (uint32_t i = 0; i < from->count; i++) {
        if (from->files[i].path == NULL)
            continue;
        memory_files_put(to, from->files[i].path, from->files[i].data, from->files[i].size);
        to->files[to->count - 1].allocated = from->files[i].allocated;
    }
    pthread_mutex_unlock(&from->lock);
}

/* ---- Power loss ---- */

static void apply(struct memory_files *m, const struct recorded_operation *o)
{
    struct memory_file *f = &m->files[o->file];

    switch (o->operation) {
    case FILE_CREATE:
    case FILE_RENAME:
        free(f->path);
        f->path = copy_of_string(o->path);
        break;
    case FILE_UNLINK:
        free(f->path);
        f->path = NULL;
        break;
    case FILE_WRITE:
        file_write(f, o->data, o->size, o->offset);
        break;
    case FILE_TRUNCATE:
        file_resize(f, (size_t)o->offset);
        break;
    case FILE_SYNC:
    case FILE_SYNC_DIRECTORY:
    case FILE_READ:
        break;
    }
}

/* A write that was on its way: all of it, nothing, what came before some byte, or some sectors. */
static void apply_in_part(struct memory_files *m, const struct recorded_operation *o,
                          struct random_sequence *random)
{
    struct memory_file *f = &m->files[o->file];
    size_t cut;

    switch (random_sequence_below(random, 4)) {
    case 0:
        file_write(f, o->data, o->size, o->offset);
        break;
    case 1:
        break;
    case 2:
        cut = (size_t)random_sequence_below(random, o->size + 1);
        file_write(f, o->data, cut, o->offset);
        break;
    default:
        for (size_t at = 0; at < o->size;) {
            size_t part = SECTOR - (size_t)((o->offset + at) % SECTOR);

            if (part > o->size - at)
                part = o->size - at;
            if (random_sequence_below(random, 2) == 0)
                file_write(f, o->data + at, part, o->offset + at);
            at += part;
        }
        break;
    }
}

static bool of_directory(enum file_operation o)
{
    return o == FILE_CREATE || o == FILE_RENAME || o == FILE_UNLINK;
}

/* Whether operation `i` was synced by one of those up to `count`. */
static bool is_synced(const struct memory_files *m, size_t i, size_t count)
{
    const struct recorded_operation *o = &m->operations[i];

    for (size_t k = i + 1; k < count; k++) {
        if (of_directory(o->operation)) {
            if (m->operations[k].operation == FILE_SYNC_DIRECTORY)
                return true;
        } else if (m->operations[k].operation == FILE_SYNC && m->operations[k].file == o->file) {
            return true;
        }
    }
    return false;
}

void memory_files_after_power_loss(struct memory_files *to, const struct memory_files *from,
                                   size_t count, struct random_sequence *random)
{
    memory_files_init(to);
    for (uint32_t i = 0; i < from->count; i++)
        add(to, NULL);
    for (size_t i = 0; i < count; i++) {
        const struct recorded_operation *o = &from->operations[i];

        if (is_synced(from, i, count))
            apply(to, o);
        else if (o->operation == FILE_WRITE)
            apply_in_part(to, o, random);
        else if (random_sequence_below(random, 2) == 0)
            apply(to, o);
    }
}
