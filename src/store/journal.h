/* A journal: what the durable queues of one worker must remember over a restart, appended to
 * segment files and made durable in groups (group commit).
 *
 * Appending copies into memory and never waits. journal_submit() hands what was gathered to the
 * journal's thread, which writes it and syncs it; when that is done, `notify` is called on that
 * thread, and the owner calls journal_collect() on its own. While one group is being synced the
 * next one gathers: one sync serves all that waited in the meantime.
 *
 * A segment is deleted when nothing in it is needed any more: no message of it is live, and no
 * state record in it is a queue's newest. Sparse segments are emptied by appending what is live in
 * them again (compaction). All functions are the owner's, except where they say otherwise. */
#ifndef LEVERET_STORE_JOURNAL_H
#define LEVERET_STORE_JOURNAL_H

#include "base/list.h"
#include "broker/message.h"
#include "broker/store_location.h"
#include "store/file_layer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct journal;

enum journal_sync {
    JOURNAL_SYNC_ALWAYS,   /* durable means synced */
    JOURNAL_SYNC_INTERVAL, /* durable means written; synced at least every interval_ms */
    JOURNAL_SYNC_NEVER,    /* durable means written */
};

struct journal_options {
    const struct file_layer *files; /* the system's, or a test's */
    const char *directory;          /* exists; this journal's alone */
    uint64_t segment_size_bytes;    /* a new segment begins beyond it (64 MiB) */
    enum journal_sync sync;
    uint32_t sync_interval_ms;
    uint32_t compact_below_percent; /* live bytes at which a segment is compacted (50) */
    /* Called on the journal's thread when journal_collect() or a finished read has something. */
    void (*notify)(void *context);
    /* Fills the state of a queue as of now: everything below `*head` is settled, but for the
     * `*kept_count` sequence numbers at `*kept` (ascending; valid until the next call). */
    void (*queue_state)(void *context, uint64_t queue_id, uint64_t *head, const uint64_t **kept,
                        uint32_t *kept_count);
    /* Compaction: whether the queue holds the message `sequence` at `location`. Without it (NULL)
     * nothing is compacted. */
    bool (*is_live)(void *context, uint64_t queue_id, uint64_t sequence,
                    struct store_location location);
    /* How often a message was delivered that came back or is out (0: not known here). What a state
     * record tells of a kept message. May be NULL. */
    uint32_t (*delivery_count)(void *context, uint64_t queue_id, uint64_t sequence);
    /* Compaction: whether the queue still holds the message `sequence` at `from`; if so it is at
     * `to` from now on. Called after the copy at `to` is durable. */
    bool (*relocate)(void *context, uint64_t queue_id, uint64_t sequence,
                     struct store_location from, struct store_location to);
    void *context;
    uint64_t compact_bytes_per_s; /* read for compaction at most (0: 32 MiB) */
    uint64_t reserve_bytes;       /* of the disk, kept for when it is full (0: nothing is) */
    /* Journals that share a disk share this count of those that are short of space: while one is,
     * none of them takes messages, which would take what it gave back. May be NULL. */
    atomic_uint *shortages;
};

/* A durable queue as its journal sees it. Sits inside the owner's object; zeroed at first. */
struct journal_queue {
    uint64_t id;                 /* unique for ever, > 0 */
    struct list_node dirty;      /* has settled messages since its newest state record */
    struct list_node in_segment; /* its newest state record's segment, while there is one */
    uint32_t state_segment;
    /* The journal's own. */
    uint64_t delivered_group;
    uint64_t next_sequence;   /* above every one recorded */
    uint64_t delivered_below; /* the highest recorded */
    uint64_t settle_window;   /* the window of the settle record that can still take more, */
    size_t settle_at;         /* where it is in the gathered bytes, */
    size_t delivered_at;
    uint64_t settle_group; /* and in which group */
};

/* Opens the journal of a directory after recovery (store/recovery.h), which has told the live
 * bytes of each old segment; new records go to a new segment. Starts its thread. Returns 0, or
 * -errno: -EOVERFLOW when a file there has a number behind which there are hardly any. */
int journal_open(struct journal **out, const struct journal_options *options);

/* Writes and syncs what is gathered, ends the thread, frees the journal. Returns its
 * journal_synced_end(). */
uint64_t journal_close(struct journal *j);

/* ---- Recovery's part ----
 *
 * Between journal_open() and the first journal_submit(), in this order: every recovered segment,
 * every recovered queue that still exists, every recovered message of those. */

/* Adopts a segment file found at start. `shares`: several queues may hold one of its messages. */
void journal_adopt_segment(struct journal *j, uint32_t segment, uint64_t size_bytes, bool shares);

/* The adopted segment is damaged: it is emptied, and set aside instead of deleted. */
void journal_adopt_damaged(struct journal *j, uint32_t segment);

/* Adopts a queue found at start (instead of journal_queue_init()): its state is recorded anew at
 * the first journal_submit(), so that old segments are needed for their messages alone. Must be
 * called for every durable queue that exists, also without messages. */
void journal_adopt_queue(struct journal *j, struct journal_queue *q, uint64_t id,
                         uint64_t next_sequence, uint64_t delivered_below);

/* Counts a recovered message as live, as journal_append_message() does for a new one. */
void journal_adopt_message(struct journal *j, struct store_location location);

/* ---- Appending ---- */

void journal_queue_init(struct journal_queue *q, uint64_t id);

/* The queue is deleted: forgets its state record. Its live messages are released by the caller. */
void journal_queue_release(struct journal *j, struct journal_queue *q);

/* Records that the queue holds `msg` as `sequence`. A message that goes to several queues one right
 * after the other is written once. `expires_ms` is the time of day at which it ends in this queue,
 * 0: never. Returns where its bytes are. */
struct store_location journal_append_message(struct journal *j, struct journal_queue *q,
                                             uint64_t sequence, const struct message *msg,
                                             int64_t expires_ms);

/* Records that the message is gone from the queue, and releases its bytes. */
void journal_append_settle(struct journal *j, struct journal_queue *q, uint64_t sequence,
                           struct store_location location);

/* Records that everything below `sequence` was delivered at least once. */
void journal_append_delivered(struct journal *j, struct journal_queue *q, uint64_t sequence);

/* Records how often a message that came back was delivered. */
void journal_append_returned(struct journal *j, struct journal_queue *q, uint64_t sequence,
                             uint32_t delivery_count);

/* Records the queue's state (options.queue_state): what a purge does at once for all. The bytes
 * are released with journal_release_message(). */
void journal_append_state(struct journal *j, struct journal_queue *q);

/* Releases a message's bytes without a record: the queue is purged or deleted. */
void journal_release_message(struct journal *j, struct store_location location);

/* ---- Group commit ---- */

/* Rises with every append; what is appended is durable once journal_durable() has reached the value
 * journal_appended() had afterwards. */
uint64_t journal_appended(const struct journal *j);
uint64_t journal_durable(const struct journal *j);

/* A place in the files: rises with the segments and within them. */
static inline uint64_t journal_place(uint32_t segment, uint64_t offset)
{
    return (uint64_t)segment << 32 | offset;
}

/* Up to where this run has synced its files, 0 at first. They never end before that again: whatever
 * has a smaller end has lost something. */
uint64_t journal_synced_end(const struct journal *j);

/* Bytes appended that the journal's thread has not been given: it is at work on what was appended
 * before. */
uint64_t journal_gathered_bytes(const struct journal *j);

/* The end of a turn, with every queue's state as the records tell it: has the gathered records
 * written unless a write is under way (then they follow it). No system call of its own beyond
 * waking the thread. With nothing but settled and delivered records gathered, nothing is synced for
 * them alone: they count as durable when written, and are synced with what follows, after a second
 * at most.
 *
 * Also begins a new segment when the last is full and does a piece of what frees old ones: of the
 * options, queue_state, delivery_count and is_live are called here (and by journal_append_state()
 * and journal_retry()), relocate by journal_collect(). */
void journal_submit(struct journal *j);

/* What was settled shall be recorded, and synced with what is gathered (tx.commit): to be called
 * before journal_appended() tells what to wait for. */
void journal_request_sync(struct journal *j);

/* Whether a message is live anywhere. O(segments). */
bool journal_has_live(const struct journal *j);

/* Begins another segment when none of the last one's messages is live, so that its space comes back
 * before it is full: for who appends nothing for long. */
void journal_end_dead_segment(struct journal *j);

/* Bytes of memory that are kept for what is gathered and written. */
size_t journal_memory_bytes(const struct journal *j);

/* Gives that memory back, but for a little, when nothing is gathered and nothing under way: for who
 * appends nothing for long. Returns whether it was so. */
bool journal_give_back(struct journal *j);

enum journal_progress {
    JOURNAL_NOTHING,
    JOURNAL_ADVANCED, /* journal_durable() rose */
    JOURNAL_FAILED,   /* a write or sync failed: see below */
};

/* After `notify`. On JOURNAL_FAILED everything appended after journal_durable() is lost and never
 * becomes durable, `*error` is the errno, and the journal takes no more until journal_retry().
 * The segment that failed is left as it is and never written again.
 *
 * Messages of the lost records: their locations are still counted, so release them
 * (journal_release_message(), or journal_append_settle() when they are gone). */
enum journal_progress journal_collect(struct journal *j, int *error);

/* Whether appends are refused (since a failure): then append calls record nothing, and
 * journal_append_message() returns no location. */
bool journal_is_failed(const struct journal *j);

/* Whether journal_append_message() returns a location. It does not after a failure, nor while this
 * journal or one that shares its disk is short of space: since a write found none (ENOSPC), until
 * the reserve is whole again. A journal that is short and not failed goes on with everything but
 * messages: it records what is settled with each journal_retry(), journal_request_sync() and
 * journal_append_state(), and gives segments back. */
bool journal_takes_messages(const struct journal *j);

/* Tries to go on after a failure with a new segment, written and synced, into the reserve when
 * there was no space; and to make the reserve whole again. Returns 0 when the journal has what it
 * needs to take messages, else -errno: to be called again after a while, -ENOSPC also by a journal
 * that is not failed any more. Blocks for one small write. */
int journal_retry(struct journal *j);

/* Whether journal_retry() is needed: after a failure, or when there was no space for a reserve at
 * journal_open(). */
bool journal_wants_retry(const struct journal *j);

/* ---- Reading back ---- */

/* Reads messages on the journal's read thread. `locations`, each durable, is copied. When done,
 * `notify` is called and journal_take_read() gives the result. `token` comes back with it. */
void journal_read(struct journal *j, const struct store_location *locations, uint32_t count,
                  void *token);

struct journal_read_result {
    void *token;
    int error; /* 0, or -errno: then there are no messages */
    uint32_t count;
    struct message **messages; /* NULL for what is damaged; one reference each, for the caller; the
                                * array is freed by journal_read_result_free() */
};

/* A finished read, oldest first. Returns false when there is none. */
bool journal_take_read(struct journal *j, struct journal_read_result *out);
void journal_read_result_free(struct journal_read_result *r);

/* ---- Figures ---- */

struct journal_figures {
    uint64_t segments;
    uint64_t bytes;      /* of all segment files */
    uint64_t live_bytes; /* of messages that queues hold, each once */
    uint64_t syncs;
    uint64_t records;
    uint64_t compacted_bytes;
};

void journal_figures(const struct journal *j, struct journal_figures *out);

#endif
