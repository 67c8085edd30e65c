/* Loaded into a broker with LD_PRELOAD: makes writes and syncs of files fail while the control file
 * that LEVERET_DISK_FAULTS names says so. It holds up to three letters and a number:
 *
 *     w | s | -        writes fail, syncs fail, nothing fails
 *     l | t            writes take long, syncs take long
 *     j | p | d        only below journal/, only below paged/, only the definitions,
 *     0 to 9           or only below journal/ and this number
 *     number           with this errno, or so many milliseconds
 *
 * such as "wj28". A failing write of several runs writes the first half of its first run, as a full
 * disk may. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static bool concerns(char files, const char *path)
{
    char one[] = "/journal/N/";

    if (files == 'j')
        return strstr(path, "/journal/") != NULL;
    if (files == 'p')
        return strstr(path, "/paged/") != NULL;
    if (files == 'd')
        return strstr(path, "/definitions.sqlite") != NULL;
    one[sizeof(one) - 3] = files;
    return strstr(path, one) != NULL;
}

static int failure_of(char operation, int fd)
{
    const char *control = getenv("LEVERET_DISK_FAULTS");
    char link[64];
    char path[1024];
    char text[16];
    ssize_t n;
    int file;

    if (control == NULL)
        return 0;
    file = open(control, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    n = read(file, text, sizeof(text) - 1);
    close(file);
    if (n < 3 || text[0] != operation)
        return 0;
    text[n] = '\0';
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    if (n < 0)
        return 0;
    path[n] = '\0';
    return concerns(text[1], path) ? atoi(text + 2) : 0;
}

static void take_time(char operation, int fd)
{
    int ms = failure_of(operation, fd);
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L};

    if (ms != 0)
        nanosleep(&t, NULL);
}

static void *real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (function == NULL)
        abort();
    return function;
}

#define PWRITEV(name) \
    ssize_t name(int fd, const struct iovec *runs, int count, off_t offset); \
    ssize_t name(int fd, const struct iovec *runs, int count, off_t offset) \
    { \
        ssize_t (*next)(int, const struct iovec *, int, off_t); \
        int error = failure_of('w', fd); \
\
        *(void **)&next = real(#name); \
        take_time('l', fd); \
        if (error == 0) \
            return next(fd, runs, count, offset); \
        if (count > 1 && runs[0].iov_len > 1) \
            next(fd, &(struct iovec){runs[0].iov_base, runs[0].iov_len / 2}, 1, offset); \
        errno = error; \
        return -1; \
    }

#define PWRITE(name) \
    ssize_t name(int fd, const void *data, size_t size, off_t offset); \
    ssize_t name(int fd, const void *data, size_t size, off_t offset) \
    { \
        ssize_t (*next)(int, const void *, size_t, off_t); \
        int error = failure_of('w', fd); \
\
        *(void **)&next = real(#name); \
        if (error == 0) \
            return next(fd, data, size, offset); \
        errno = error; \
        return -1; \
    }

#define SYNC(name) \
    int name(int fd); \
    int name(int fd) \
    { \
        int (*next)(int); \
        int error = failure_of('s', fd); \
\
        *(void **)&next = real(#name); \
        take_time('t', fd); \
        if (error == 0) \
            return next(fd); \
        errno = error; \
        return -1; \
    }

PWRITEV(pwritev)
PWRITEV(pwritev64)
PWRITE(pwrite)
PWRITE(pwrite64)
SYNC(fdatasync)
SYNC(fsync)
