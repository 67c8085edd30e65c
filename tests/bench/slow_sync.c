/* Loaded into a broker with LD_PRELOAD: a sync of a file takes LEVERET_SLOW_SYNC_US microseconds
 * longer, as on a disk that is slower than the one at hand. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void take_longer(void)
{
    const char *text = getenv("LEVERET_SLOW_SYNC_US");
    long us = text == NULL ? 0 : strtol(text, NULL, 10);
    struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

#define SYNC(name) \
    int name(int fd); \
    int name(int fd) \
    { \
        int (*next)(int); \
\
        *(void **)&next = dlsym(RTLD_NEXT, #name); \
        if (next == NULL) \
            abort(); \
        take_longer(); \
        return next(fd); \
    }

SYNC(fdatasync)
SYNC(fsync)
