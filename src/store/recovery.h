/* Reading the segments of a journal's directory at start: what every queue held when the broker
 * ended, however it ended.
 *
 * A torn tail (the last segment's end, written but not synced) is cut at the last good record.
 * Damage elsewhere is reported with file and offset, the records that can still be read are kept,
 * and the damaged file is set aside under another name (never deleted) once its live messages are
 * in new segments. What has a segment's name and is another file is set aside at once. Segments are
 * scanned in parallel. */
#ifndef LEVERET_STORE_RECOVERY_H
#define LEVERET_STORE_RECOVERY_H

#include "broker/store_location.h"
#include "store/file_layer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One message that a queue held. */
struct recovered_message {
    uint64_t sequence;
    struct store_location location;
    uint32_t delivery_count; /* 0: never delivered */
    uint32_t body_size;
};

/* When a message ends in its queue: a time of day. */
struct recovered_expiry {
    uint64_t sequence;
    int64_t expires_ms;
};

/* One queue's, ascending by sequence. */
struct recovered_queue {
    uint64_t id;
    uint64_t next_sequence;   /* above every sequence number that was ever recorded */
    uint64_t delivered_below; /* what was below it was delivered at least once */
    struct recovered_message *messages;
    size_t count;
    struct recovered_expiry *expiries; /* ascending by sequence; of what is gone too */
    size_t expiry_count;
};

struct recovered_segment {
    uint32_t segment;
    uint64_t size_bytes;
    bool damaged;
    bool shares; /* it has references: several queues may hold one of its messages */
};

struct recovered {
    struct recovered_queue *queues; /* ascending by id */
    size_t queue_count;
    struct recovered_segment *segments; /* ascending */
    size_t segment_count;
    uint64_t cut_bytes;       /* of the torn tail */
    uint64_t cut_records;     /* whole records in it that could not be trusted */
    uint64_t damaged_regions; /* elsewhere */
    bool clean;               /* the journal was closed in order, or there was none */
};

struct recovery_options {
    const struct file_layer *files;
    const char *directory;
    uint32_t threads;
    /* Called now and then, on the calling thread: bytes scanned and bytes in all. May be NULL. */
    void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
    /* Called for each damaged region; with a size of 0 for what is wrong with a file, or the
     * directory, as a whole. May be NULL. */
    void (*damage)(void *context, const char *file, uint64_t offset, uint64_t size,
                   const char *what);
    void *context;
};

/* Scans the directory. Returns 0 and what was found, to be freed with recovered_free(), or -errno:
 * -EINVAL when a segment is of a newer format (told through `damage`). */
int recovery_run(const struct recovery_options *options, struct recovered *out);
void recovered_free(struct recovered *r);

#endif
