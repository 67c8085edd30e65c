#include "leveretctl/file_copy.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BLOCK_SIZE = 1024 * 1024,
};

/* Reads what there is of a block. Returns the number of bytes or -errno. */
static ssize_t read_block(int fd, char *block, size_t size, uint64_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = pread(fd, block + done, size - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Reads a block as it was at one moment: a read goes through its pages one by one, and what is
 * appended may overtake it, which leaves a gap. Of two equal reads the first has none: bytes that
 * it came too early for would be in the second. Ends because a block is appended to until it is
 * full. */
static ssize_t read_block_at_once(int fd, char *block, char *again, size_t size, uint64_t offset)
{
    for (;;) {
        ssize_t first = read_block(fd, block, size, offset);
        ssize_t second = first < 0 ? first : read_block(fd, again, size, offset);

        if (second < 0 || (first == second && memcmp(block, again, (size_t)first) == 0))
            return second;
    }
}

static int write_block(int fd, const char *block, size_t size, uint64_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = pwrite(fd, block + done, size - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

static int copy_blocks(int from_fd, int to_fd, uint64_t *bytes)
{
    char *block = memory_alloc(BLOCK_SIZE);
    char *again = memory_alloc(BLOCK_SIZE);
    uint64_t offset;
    struct stat st;
    int rc = 0;

    if (fstat(from_fd, &st) < 0)
        rc = -errno;
    else
        *bytes = (uint64_t)st.st_size;
    for (offset = rc == 0 ? *bytes : 0; offset > 0 && rc == 0;) {
        size_t size = offset % BLOCK_SIZE != 0 ? (size_t)(offset % BLOCK_SIZE) : BLOCK_SIZE;
        ssize_t n;

        offset -= size;
        n = read_block_at_once(from_fd, block, again, size, offset);
        rc = n < 0 ? (int)n : write_block(to_fd, block, (size_t)n, offset);
    }
    free(again);
    free(block);
    return rc;
}

int file_copy(int from_fd, const char *to, uint64_t *bytes)
{
    int to_fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    int rc;

    if (to_fd < 0)
        return -errno;
    rc = copy_blocks(from_fd, to_fd, bytes);
    if (rc == 0 && fsync(to_fd) < 0)
        rc = -errno;
    if (close(to_fd) < 0 && rc == 0)
        rc = -errno;
    if (rc < 0)
        unlink(to);
    return rc;
}

int directory_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0)
        return -errno;
    if (fsync(fd) < 0)
        rc = -errno;
    close(fd);
    return rc;
}
