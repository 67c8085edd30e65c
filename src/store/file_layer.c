#include "store/file_layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int system_open(void *context, const char *path, int flags, mode_t mode)
{
    int fd;

    (void)context;
    do
        fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, mode); /* does not wait for a FIFO */
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int system_close(void *context, int fd)
{
    (void)context;
    return close(fd) < 0 ? -errno : 0;
}

static ssize_t system_pread(void *context, int fd, void *out, size_t size, uint64_t offset)
{
    ssize_t n;

    (void)context;
    do
        n = pread(fd, out, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t system_pwritev(void *context, int fd, const struct iovec *runs, int count,
                              uint64_t offset)
{
    ssize_t n;

    (void)context;
    do
        n = pwritev(fd, runs, count, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int system_datasync(void *context, int fd)
{
    (void)context;
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int system_size(void *context, int fd, uint64_t *out)
{
    struct stat st;

    (void)context;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    *out = (uint64_t)st.st_size;
    return 0;
}

static int system_linked(void *context, int fd)
{
    struct stat st;

    (void)context;
    if (fstat(fd, &st) < 0)
        return -errno;
    return st.st_nlink != 0 ? 0 : -ENOENT;
}

static uint64_t system_next_data(void *context, int fd, uint64_t offset)
{
    off_t at = lseek(fd, (off_t)offset, SEEK_DATA);
    struct stat st;

    (void)context;
    if (at >= 0)
        return (uint64_t)at;
    return errno == ENXIO && fstat(fd, &st) == 0 ? (uint64_t)st.st_size : offset;
}

static int system_truncate(void *context, int fd, uint64_t size)
{
    (void)context;
    return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static int system_preallocate(void *context, int fd, uint64_t size)
{
    (void)context;
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0 ? -errno : 0;
}

static int system_rename(void *context, const char *from, const char *to)
{
    (void)context;
    return rename(from, to) < 0 ? -errno : 0;
}

static int system_unlink(void *context, const char *path)
{
    (void)context;
    return unlink(path) < 0 ? -errno : 0;
}

static int system_sync_directory(void *context, const char *path)
{
    int fd = system_open(context, path, O_RDONLY | O_DIRECTORY, 0);
    int rc;

    if (fd < 0)
        return fd;
    rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int system_list(void *context, const char *path,
                       void (*found)(void *found_context, const char *name), void *found_context)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    int rc;

    (void)context;
    if (directory == NULL)
        return -errno;
    errno = 0;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.')
            found(found_context, entry->d_name);
        errno = 0;
    }
    rc = -errno;
    closedir(directory);
    return rc;
}

const struct file_layer SYSTEM_FILES = {
    .open = system_open,
    .close = system_close,
    .pread = system_pread,
    .pwritev = system_pwritev,
    .datasync = system_datasync,
    .size = system_size,
    .linked = system_linked,
    .next_data = system_next_data,
    .truncate = system_truncate,
    .preallocate = system_preallocate,
    .rename = system_rename,
    .unlink = system_unlink,
    .sync_directory = system_sync_directory,
    .list = system_list,
};

int file_write_all(const struct file_layer *files, int fd, const void *data, size_t size,
                   uint64_t offset)
{
    const uint8_t *p = data;

    while (size != 0) {
        struct iovec run = {.iov_base = (void *)(uintptr_t)p, .iov_len = size};
        ssize_t n = files->pwritev(files->context, fd, &run, 1, offset);

        if (n < 0)
            return (int)n;
        if (n == 0)
            return -EIO;
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int file_read_full(const struct file_layer *files, int fd, void *out, size_t size, uint64_t offset,
                   size_t *read)
{
    uint8_t *p = out;

    *read = 0;
    while (*read < size) {
        ssize_t n = files->pread(files->context, fd, p + *read, size - *read, offset + *read);

        if (n < 0)
            return (int)n;
        if (n == 0)
            return 0;
        *read += (size_t)n;
    }
    return 0;
}
