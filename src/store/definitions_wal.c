#include "store/definitions_wal.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HEADER_SIZE = 32,
    FRAME_HEADER_SIZE = 24,
    PAGE_SIZE_MIN = 512,
    PAGE_SIZE_MAX = 65536,
};

static const uint32_t MAGIC = 0x377f0682; /* its lowest bit: checksums over big-endian words */

struct checksum {
    uint32_t a;
    uint32_t b;
};

struct wal {
    int fd;
    bool big_endian;
    uint32_t page_size;
    uint8_t salts[8];
    struct checksum header;
    uint8_t *frame; /* the header and the page of the one read last */
};

static uint32_t read_u32(const uint8_t *p, bool big_endian)
{
    return big_endian ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                      : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static struct checksum checksum_add(struct checksum c, const uint8_t *data, size_t size,
                                    bool big_endian)
{
    for (size_t i = 0; i + 8 <= size; i += 8) {
        c.a += read_u32(data + i, big_endian) + c.b;
        c.b += read_u32(data + i + 4, big_endian) + c.a;
    }
    return c;
}

static struct checksum checksum_at(const uint8_t *p)
{
    return (struct checksum){.a = read_u32(p, true), .b = read_u32(p + 4, true)};
}

static bool checksum_equal(struct checksum a, struct checksum b)
{
    return a.a == b.a && a.b == b.b;
}

/* Reads as much of `size` bytes as there is. Returns the number of bytes or -errno. */
static ssize_t read_at(int fd, uint8_t *out, size_t size, uint64_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = pread(fd, out + done, size - done, (off_t)(offset + done));

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

static uint64_t frame_offset(const struct wal *w, uint64_t index)
{
    return HEADER_SIZE + index * (FRAME_HEADER_SIZE + (uint64_t)w->page_size);
}

/* Returns 1, 0 at the end of the file, or -errno. */
static int read_frame(struct wal *w, uint64_t index)
{
    size_t size = FRAME_HEADER_SIZE + (size_t)w->page_size;
    ssize_t n = read_at(w->fd, w->frame, size, frame_offset(w, index));

    if (n < 0)
        return (int)n;
    return (size_t)n == size;
}

static bool frame_is_of_this_log(const struct wal *w)
{
    return memcmp(w->frame + 8, w->salts, sizeof(w->salts)) == 0;
}

static bool frame_is_commit(const struct wal *w)
{
    return read_u32(w->frame + 4, true) != 0;
}

static struct checksum frame_stored_checksum(const struct wal *w)
{
    return checksum_at(w->frame + 16);
}

/* Whether the frame in hand follows one that had the checksum `before`. */
static bool frame_follows(const struct wal *w, struct checksum before)
{
    struct checksum c = checksum_add(before, w->frame, 8, w->big_endian);

    c = checksum_add(c, w->frame + FRAME_HEADER_SIZE, w->page_size, w->big_endian);
    return frame_is_of_this_log(w) && checksum_equal(c, frame_stored_checksum(w));
}

static bool read_header(struct wal *w, const uint8_t *header)
{
    uint32_t magic = read_u32(header, true);

    w->big_endian = (magic & 1) != 0;
    w->page_size = read_u32(header + 8, true);
    memcpy(w->salts, header + 16, sizeof(w->salts));
    w->header = checksum_at(header + 24);
    return (magic & ~UINT32_C(1)) == MAGIC && w->page_size >= PAGE_SIZE_MIN &&
           w->page_size <= PAGE_SIZE_MAX && (w->page_size & (w->page_size - 1)) == 0 &&
           checksum_equal(w->header,
                          checksum_add((struct checksum){0, 0}, header, 24, w->big_endian));
}

/* Whether the file is zeros from `offset` to its end: room that was given and never written. */
static int is_blank(int fd, uint64_t offset, bool *blank)
{
    uint8_t chunk[4096];

    for (;;) {
        ssize_t n = read_at(fd, chunk, sizeof(chunk), offset);

        if (n < 0)
            return (int)n;
        for (ssize_t i = 0; i < n; i++) {
            if (chunk[i] != 0) {
                *blank = false;
                return 0;
            }
        }
        if ((size_t)n < sizeof(chunk)) {
            *blank = true;
            return 0;
        }
        offset += (size_t)n;
    }
}

/* Reads the frames behind a break at `index`. A commit there with a frame behind it that follows it
 * is proof: that frame was written after the commit had been synced, and all before it. */
static int inspect_behind_break(struct wal *w, uint64_t index, struct wal_report *out)
{
    struct checksum commit = {0, 0};
    bool behind_commit = false;
    int rc;

    for (uint64_t i = index; (rc = read_frame(w, i)) > 0; i++) {
        if (behind_commit && frame_follows(w, commit)) {
            out->damaged = true;
            out->damaged_offset = frame_offset(w, index);
            return 0;
        }
        if (!frame_is_of_this_log(w)) {
            behind_commit = false;
            continue;
        }
        behind_commit = frame_is_commit(w);
        commit = frame_stored_checksum(w);
        out->cut_frames++;
    }
    return rc;
}

static int inspect_frames(struct wal *w, struct wal_report *out)
{
    struct checksum before = w->header;
    uint64_t index = 0;
    uint64_t committed = 0;
    int rc;

    while ((rc = read_frame(w, index)) > 0 && frame_follows(w, before)) {
        before = frame_stored_checksum(w);
        index++;
        if (frame_is_commit(w))
            committed = index;
    }
    out->cut_frames = index - committed;
    if (rc <= 0)
        return rc;
    return inspect_behind_break(w, index, out);
}

static int inspect(struct wal *w, struct wal_report *out)
{
    uint8_t header[HEADER_SIZE];
    ssize_t n = read_at(w->fd, header, sizeof(header), 0);
    bool blank = true;
    int rc;

    if (n < 0)
        return (int)n;
    if (n < HEADER_SIZE || !read_header(w, header)) {
        rc = is_blank(w->fd, 0, &blank);
        out->damaged = !blank;
        return rc;
    }
    w->frame = memory_alloc(FRAME_HEADER_SIZE + (size_t)w->page_size);
    rc = inspect_frames(w, out);
    free(w->frame);
    return rc;
}

int definitions_wal_inspect(const char *path, struct wal_report *out)
{
    struct wal w = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    int rc;

    *out = (struct wal_report){.damaged = false};
    if (w.fd < 0)
        return errno == ENOENT ? 0 : -errno;
    rc = inspect(&w, out);
    close(w.fd);
    return rc;
}
