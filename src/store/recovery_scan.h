/* Reading one segment file from end to end: what its records say, and where it is damaged. The
 * records are kept in the order of the file, with their offsets, so that what turns out to be
 * beyond the segment's end can be left out. Any thread, one at a time for each scan. */
#ifndef LEVERET_STORE_RECOVERY_SCAN_H
#define LEVERET_STORE_RECOVERY_SCAN_H

#include "base/buffer.h"
#include "base/hash_map.h"
#include "store/file_layer.h"
#include "store/segment.h"

#include <stdatomic.h>

/* `queue` is an index into the scan's queues, `at` the record's offset. */
struct scanned_message {
    uint64_t sequence;
    uint32_t queue;
    uint32_t at;
    uint32_t location; /* store_location's offset */
    uint32_t body_size;
};

/* A message that expires. */
struct scanned_expiry {
    uint64_t sequence;
    int64_t expires_ms;
    uint32_t queue;
    uint32_t at;
};

struct scanned_settle {
    uint64_t window;
    uint32_t queue;
    uint32_t at;
    uint8_t bits[SETTLE_WINDOW / 8];
};

/* DELIVERED (`delivery_count` 0), RETURNED, and, with queue UINT32_MAX, FREED. */
struct scanned_note {
    uint64_t sequence;
    uint32_t queue;
    uint32_t at;
    uint32_t delivery_count;
};

struct scanned_state {
    uint64_t next_sequence;
    uint64_t head;
    uint64_t delivered_below;
    uint32_t queue;
    uint32_t at;
    size_t runs; /* the first in the scan's runs */
    size_t run_count;
};

/* Bytes that are no good records. */
struct scanned_region {
    uint64_t begin;
    uint64_t end;
    uint64_t records_before; /* good ones */
};

struct segment_scan {
    struct segment_id id;
    uint64_t file_size;
    uint64_t end;        /* behind the last good record */
    uint64_t data_end;   /* behind the last byte that is not zero */
    uint64_t proven_end; /* what is below was synced: damage there is no torn tail */
    uint64_t records;
    struct segment_id holds; /* another segment, whose header it has; number 0: none */
    bool strange;            /* it does not begin as any segment does */
    bool ended;              /* the last record tells that the journal was closed */
    bool references;         /* there are any */
    uint32_t format;         /* when it is newer, or 0 */
    bool unknown_record;     /* sound, but of a type that only a newer program can know */
    int error;               /* -errno: it could not be opened */
    uint64_t segments_at;    /* where the newest SEGMENTS record is, or 0 */
    struct buffer segments;  /* its entries, as two uint32_t each */
    struct buffer queues;    /* uint64_t: ids */
    struct buffer messages;
    struct buffer expiries;
    struct buffer settles;
    struct buffer notes;
    struct buffer states;
    struct buffer runs; /* struct state_run */
    struct buffer regions;
    /* While scanning. */
    struct hash_map queue_indexes;
    uint64_t last_queue_id;
    uint32_t last_queue;
};

/* Scans the file; adds to `*done_bytes` as it goes. */
void segment_scan(struct segment_scan *s, const struct file_layer *files, const char *directory,
                  _Atomic uint64_t *done_bytes);
void segment_scan_free(struct segment_scan *s);

#endif
