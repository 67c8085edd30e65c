/* The file operations the store is written on, so that tests can stand between it and the system:
 * record writes and syncs, drop or tear what was not synced, and fail with ENOSPC or EIO. Same
 * meaning and errors (-errno) as the system calls they are named after. Any thread. */
#ifndef LEVERET_STORE_FILE_LAYER_H
#define LEVERET_STORE_FILE_LAYER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct file_layer {
    void *context; /* the first argument of each operation */
    int (*open)(void *context, const char *path, int flags, mode_t mode);
    int (*close)(void *context, int fd);
    ssize_t (*pread)(void *context, int fd, void *out, size_t size, uint64_t offset);
    ssize_t (*pwritev)(void *context, int fd, const struct iovec *runs, int count, uint64_t offset);
    int (*datasync)(void *context, int fd);
    int (*size)(void *context, int fd, uint64_t *out);
    int (*linked)(void *context, int fd); /* -ENOENT: the file has no name any more */
    /* Where data is from `offset` on, the file's end when there is none: holes need not be read. */
    uint64_t (*next_data)(void *context, int fd, uint64_t offset);
    int (*truncate)(void *context, int fd, uint64_t size);
    int (*preallocate)(void *context, int fd, uint64_t size);
    int (*rename)(void *context, const char *from, const char *to);
    int (*unlink)(void *context, const char *path);
    int (*sync_directory)(void *context, const char *path);
    /* Calls back for each name in the directory that does not begin with a dot. */
    int (*list)(void *context, const char *path,
                void (*found)(void *found_context, const char *name), void *found_context);
};

/* The system's. */
extern const struct file_layer SYSTEM_FILES;

/* Writes all of it, going on after short writes. Returns 0 or -errno. */
int file_write_all(const struct file_layer *files, int fd, const void *data, size_t size,
                   uint64_t offset);

/* Reads up to `size` bytes, going on after short reads; fewer in `*read` only at the file's end.
 * Returns 0 or -errno. */
int file_read_full(const struct file_layer *files, int fd, void *out, size_t size, uint64_t offset,
                   size_t *read);

#endif
