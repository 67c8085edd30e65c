/* The format of a journal's segment files.
 *
 * A segment is a header of 64 bytes and records behind each other, little endian, each beginning at
 * a multiple of 8 and padded to one. A record's head has two checksums: `check` over the head
 * alone, so that its size can be trusted when its content is damaged, and a CRC32C over the whole
 * record. Both also cover the segment's number, its salt (drawn when it is made, part of its name)
 * and the record's offset: what lies in the file from another life of its blocks, or inside a
 * message that a stranger wrote, never passes for a record. Any thread. */
#ifndef LEVERET_STORE_SEGMENT_H
#define LEVERET_STORE_SEGMENT_H

#include "broker/message.h"
#include "broker/store_location.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_FORMAT 2 /* 1: without expiries */
#define SEGMENT_HEADER_SIZE 64
#define SEGMENT_NAME_SIZE 40
#define SEGMENT_NUMBER_MAX (UINT32_MAX - (UINT32_C(1) << 24)) /* at a start: others follow */
#define RECORD_HEAD_SIZE 32
#define RECORD_ALIGNMENT 8
#define RECORD_SIZE_MAX (UINT32_MAX - 64)

struct segment_id {
    uint32_t number; /* ascending, from 1 */
    uint32_t salt;
};

enum record_type {
    RECORD_MESSAGE = 1, /* a queue holds a message: exchange, routing key, properties, body */
    RECORD_REFERENCE,   /* another queue holds the message before it in the segment */
    RECORD_SETTLE,      /* messages left a queue: a window of 256 sequence numbers as bits */
    RECORD_DELIVERED,   /* everything below `sequence` was delivered */
    RECORD_RETURNED,    /* how often a message that came back was delivered */
    RECORD_STATE,       /* a queue's head and the messages below it that are kept */
    RECORD_GROUP,       /* a group begins; what is below offset `sequence` had been synced */
    RECORD_SEGMENTS,    /* the other segments there are, and where each ends */
    RECORD_FREED,       /* segment `sequence` is about to be deleted */
    RECORD_END,         /* nothing follows; `sequence` is one of: */
};

enum end_kind {
    END_OF_SEGMENT = 0, /* it was full: another one follows */
    END_OF_JOURNAL = 1, /* it was closed */
};

#define SETTLE_WINDOW 256 /* a SETTLE record's `sequence` is a multiple of it */
#define SETTLE_SIZE (RECORD_HEAD_SIZE + SETTLE_WINDOW / 8)
#define REFERENCE_SIZE (RECORD_HEAD_SIZE + 4)
#define EXPIRY_SIZE 8 /* more, at the end of a MESSAGE or REFERENCE: its queue ends it in time */
#define RETURNED_SIZE (RECORD_HEAD_SIZE + 4)
#define MESSAGE_FIXED_SIZE (RECORD_HEAD_SIZE + 4)
#define STATE_FIXED_SIZE (RECORD_HEAD_SIZE + 16)
#define SEGMENTS_ENTRY_SIZE 8

struct record {
    enum record_type type;
    uint32_t size; /* with its head, without padding */
    uint64_t queue_id;
    uint64_t sequence;
    const uint8_t *payload; /* behind the head */
    uint32_t payload_size;
};

static inline uint32_t record_padded(uint32_t size)
{
    return (size + (RECORD_ALIGNMENT - 1)) & ~(uint32_t)(RECORD_ALIGNMENT - 1);
}

/* ---- Names and headers ---- */

void segment_name(char out[SEGMENT_NAME_SIZE], struct segment_id id);

/* Whether `name` is a segment's; `*set_aside` tells that it was damaged and kept for reference. */
bool segment_parse_name(const char *name, struct segment_id *out, bool *set_aside);

/* "DIRECTORY/NAME", or with `suffix` behind it. Freed by the caller. */
char *segment_path(const char *directory, struct segment_id id, const char *suffix);
#define SEGMENT_DAMAGED_SUFFIX ".damaged"

void segment_write_header(uint8_t out[SEGMENT_HEADER_SIZE], struct segment_id id,
                          int64_t created_ms);

/* The header of another format, for tests of what refuses it. */
void segment_write_header_of(uint8_t out[SEGMENT_HEADER_SIZE], struct segment_id id,
                             int64_t created_ms, uint32_t format);

/* Returns 0, -EBADMSG when it is no header of this segment, -ENOTSUP when it is of a newer format,
 * whose number is in `*format`. */
int segment_check_header(const uint8_t *data, size_t size, struct segment_id id, uint32_t *format);

/* Whether the data begins with a sound header, of whatever segment: then `*id` is which. */
bool segment_read_header(const uint8_t *data, size_t size, struct segment_id *id);

/* Whether it may be the beginning of a segment, of which a power loss left a part at least. */
bool segment_may_begin(const uint8_t *data, size_t size);

/* ---- Locations ----
 *
 * The low bits of a location's offset, free because records are aligned, tell the size class of the
 * message's record: what is counted as live for it. */

struct store_location segment_location(uint32_t segment, uint32_t offset, uint32_t record_size);

static inline uint32_t location_offset(struct store_location l)
{
    return l.offset & ~(uint32_t)(RECORD_ALIGNMENT - 1);
}

/* What a message of the location's size class counts for, and the most its record can be (0: no
 * limit). */
uint32_t location_weight(struct store_location l);
uint32_t location_size_limit(struct store_location l);

/* ---- Writing ---- */

/* Fills in a record's head, except for its checksums. `at` has room for the padded size; the
 * padding is zeroed. */
void record_put(uint8_t *at, enum record_type type, uint32_t size, uint64_t queue_id,
                uint64_t sequence);

/* The size of a MESSAGE record, 0 when it is too large for one; and the record itself. `expires_ms`
 * is a time of day, 0 when the message never expires in its queue. */
uint32_t record_message_size(const struct message *m, int64_t expires_ms);
void record_put_message(uint8_t *at, uint32_t size, uint64_t queue_id, uint64_t sequence,
                        const struct message *m, int64_t expires_ms);

/* The same for the content of a MESSAGE record as that of another queue's or place. */
uint32_t record_copy_size(const struct record *r, int64_t expires_ms);
void record_put_message_copy(uint8_t *at, uint32_t size, const struct record *r, uint64_t queue_id,
                             uint64_t sequence, int64_t expires_ms);

/* A REFERENCE. */
static inline uint32_t record_reference_size(int64_t expires_ms)
{
    return expires_ms != 0 ? REFERENCE_SIZE + EXPIRY_SIZE : REFERENCE_SIZE;
}

void record_put_reference(uint8_t *at, uint64_t queue_id, uint64_t sequence,
                          uint32_t location_offset, int64_t expires_ms);

/* Whether a MESSAGE record has just this message's content. */
bool record_is_message(const uint8_t *record, const struct message *m);

/* What stands behind the head of a RETURNED and a STATE, and in each entry of a SEGMENTS record. */
void record_put_u32(uint8_t *at, uint32_t v);
void state_put_fixed(uint8_t *at, uint64_t head, uint64_t delivered_below);
void segments_put_entry(uint8_t *entry, uint32_t number, uint32_t end);

/* Changes a record that is not sealed yet. */
void record_set_sequence(uint8_t *at, uint64_t sequence);
void settle_set(uint8_t *at, uint64_t sequence);

/* Puts the checksums into the records at `data`, which begins at `offset` of the segment. */
void records_seal(uint8_t *data, size_t size, struct segment_id id, uint32_t offset);

/* ---- Reading ---- */

enum record_check {
    RECORD_GOOD,
    RECORD_SHORT,   /* a plausible head; the record goes on behind the data */
    RECORD_CORRUPT, /* a good head, damaged content: `size` can be trusted */
    RECORD_NONE,    /* no record begins here */
    RECORD_UNKNOWN, /* sound, but of a type this program does not know */
};

/* Reads the record at the beginning of `data`, which is at `offset` of the segment. */
enum record_check record_read(struct record *out, const uint8_t *data, size_t size,
                              struct segment_id id, uint32_t offset);

/* As record_read(), for a record that was read with success before. */
void record_parse(struct record *out, const uint8_t *data);

uint32_t record_u32(const struct record *r, uint32_t at);
uint64_t record_u64(const struct record *r, uint32_t at);

/* When the message of a MESSAGE or REFERENCE expires in its queue, 0: never. */
int64_t record_expires_ms(const struct record *r);

/* A MESSAGE record's body size, and the message, with one reference. NULL without memory. */
uint32_t record_body_size(const struct record *r);
struct message *record_message(const struct record *r);

/* ---- State records ---- */

/* One run of kept sequence numbers. */
struct state_run {
    uint64_t first;
    uint64_t count;
    uint32_t delivery_count; /* 0: not told */
};

/* The most bytes `runs` runs take behind the fixed part; and what one takes, written at `at`.
 * `previous_end` is the end of the run before it (0 at first). */
#define STATE_RUN_SIZE_MAX 25
size_t state_put_run(uint8_t *at, const struct state_run *run, uint64_t previous_end);

/* Walks the runs: `*at` begins as 0, `run` as zeroes. Returns false behind the last. */
bool state_next_run(const struct record *r, uint32_t *at, struct state_run *run);

#endif
