/* A segment file of any content is scanned to its end: its records are put together, and its
 * messages rebuilt. The first byte tells whether the records get right checksums before, so that
 * what stands in them is reached. */
#include "base/memory.h"
#include "store/recovery_merge.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t *data;
    size_t size;
};

static int input_open(void *context, const char *path, int flags, mode_t mode)
{
    (void)context;
    (void)path;
    (void)flags;
    (void)mode;
    return 3;
}

static int input_close(void *context, int fd)
{
    (void)context;
    (void)fd;
    return 0;
}

static ssize_t input_pread(void *context, int fd, void *out, size_t size, uint64_t offset)
{
    const struct input *in = context;

    (void)fd;
    if (offset >= in->size)
        return 0;
    if (size > in->size - offset)
        size = in->size - (size_t)offset;
    memcpy(out, in->data + offset, size);
    return (ssize_t)size;
}

static int input_size(void *context, int fd, uint64_t *out)
{
    (void)fd;
    *out = ((const struct input *)context)->size;
    return 0;
}

static uint64_t input_next_data(void *context, int fd, uint64_t offset)
{
    (void)context;
    (void)fd;
    return offset;
}

static const struct segment_id ID = {.number = 1, .salt = 2};

/* Gives checksums to what could be records one behind the other. */
static void seal(struct input *in)
{
    size_t at = SEGMENT_HEADER_SIZE;

    while (at + RECORD_HEAD_SIZE <= in->size) {
        uint32_t record_size;

        memcpy(&record_size, in->data + at + 4, sizeof(record_size));
        record_size %= 512;
        if (record_size < RECORD_HEAD_SIZE)
            record_size = RECORD_HEAD_SIZE;
        if (record_padded(record_size) > in->size - at)
            return;
        memcpy(in->data + at + 4, &record_size, sizeof(record_size));
        in->data[at + 8] = (uint8_t)(in->data[at + 8] % 11);
        records_seal(in->data + at, record_padded(record_size), ID, (uint32_t)at);
        at += record_padded(record_size);
    }
}

static void rebuild_messages(const struct input *in)
{
    struct record r;

    for (size_t at = SEGMENT_HEADER_SIZE; at + RECORD_HEAD_SIZE <= in->size; at += 8) {
        struct message *m;

        if (record_read(&r, in->data + at, in->size - at, ID, (uint32_t)at) != RECORD_GOOD ||
            r.type != RECORD_MESSAGE)
            continue;
        m = record_message(&r);
        if (m != NULL)
            message_unref(m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {0};
    struct file_layer files = {.context = &in,
                               .open = input_open,
                               .close = input_close,
                               .pread = input_pread,
                               .size = input_size,
                               .next_data = input_next_data};
    struct scanned scanned = {.scan.id = ID, .end = UINT64_MAX};
    struct recovered recovered = {0};
    _Atomic uint64_t done = 0;

    if (size < 1 || size > 65536)
        return 0;
    in.size = size - 1;
    in.data = malloc(in.size + 1);
    if (in.data == NULL)
        return 0;
    memcpy(in.data, data + 1, in.size);
    if ((data[0] & 1) != 0)
        seal(&in);
    segment_scan(&scanned.scan, &files, "/", &done);
    if (!scanned.scan.unknown_record)
        recovery_merge(&scanned, 1, &recovered);
    rebuild_messages(&in);
    segment_scan_free(&scanned.scan);
    recovered_free(&recovered);
    free(in.data);
    return 0;
}
