/* What a disk asks for one durable write, with nothing around it: writes records of some bytes one
 * behind the other to a file and syncs each (fdatasync), for a time. Prints the percentiles of a
 * write and its sync, in microseconds, as JSON.
 *
 * The file is written with zeros first, as the journal does ahead of small groups: a sync then
 * has no change of the file's size or blocks to commit. That is the lowest floor there is on the
 * usual file systems; --append measures a file that grows instead.
 *
 * usage: sync_floor FILE BYTES SECONDS [--append] */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FILE_BYTES = 64 << 20,
    CHUNK_BYTES = 1 << 20,
    SAMPLES_MAX = 1 << 20,
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "sync_floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_at(int fd, const uint8_t *data, size_t size, off_t offset)
{
    if (pwrite(fd, data, size, offset) != (ssize_t)size)
        fail("write");
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static double percentile_us(const int64_t *sorted, size_t count, double percent)
{
    return (double)sorted[(size_t)((double)(count - 1) * percent / 100)] / 1000;
}

int main(int argc, char **argv)
{
    static int64_t samples[SAMPLES_MAX];
    static uint8_t chunk[CHUNK_BYTES];
    bool append = argc == 5 && strcmp(argv[4], "--append") == 0;
    size_t count = 0;
    size_t size;
    int64_t end;
    int fd;

    if (argc != 4 && !append) {
        fprintf(stderr, "usage: sync_floor FILE BYTES SECONDS [--append]\n");
        return 2;
    }
    size = (size_t)strtoul(argv[2], NULL, 10);
    if (size == 0 || size > CHUNK_BYTES) {
        fprintf(stderr, "sync_floor: between 1 and %d bytes\n", CHUNK_BYTES);
        return 2;
    }
    fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fail(argv[1]);
    for (off_t at = 0; !append && at < FILE_BYTES; at += CHUNK_BYTES)
        write_at(fd, chunk, CHUNK_BYTES, at);
    if (fsync(fd) < 0)
        fail("fsync");
    memset(chunk, 0x5a, size);
    end = now_ns() + (int64_t)(strtod(argv[3], NULL) * 1e9);
    while (count < SAMPLES_MAX && now_ns() < end) {
        int64_t begin = now_ns();

        write_at(fd, chunk, size, (off_t)((count * size) % (FILE_BYTES - CHUNK_BYTES)));
        if (fdatasync(fd) < 0)
            fail("fdatasync");
        samples[count++] = now_ns() - begin;
    }
    unlink(argv[1]);
    close(fd);
    if (count == 0)
        return 1;
    qsort(samples, count, sizeof(samples[0]), compare);
    printf("{\"count\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", count,
           percentile_us(samples, count, 50), percentile_us(samples, count, 99));
    return 0;
}
