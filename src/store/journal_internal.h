/* What the journal's parts share. The owner's part is touched by the owner alone; what the threads
 * share with it is under the locks named beside it. */
#ifndef LEVERET_STORE_JOURNAL_INTERNAL_H
#define LEVERET_STORE_JOURNAL_INTERNAL_H

#include "base/buffer.h"
#include "base/hash_map.h"
#include "store/journal.h"
#include "store/segment.h"
#include "store/shared_bodies.h"

#include <pthread.h>
#include <stdatomic.h>

/* A segment file, as the owner counts it. */
struct journal_segment {
    struct hash_node by_number;
    struct list_node in_all;
    struct list_node in_work; /* the list of those to free, or to compact */
    struct list states;       /* queues whose newest state record is here */
    struct segment_id id;
    uint64_t size_bytes;    /* appended */
    uint64_t durable_bytes; /* of them */
    uint64_t weight;        /* of all messages appended here, in location_weight()s */
    uint64_t live_weight;   /* of those that queues hold, each once */
    uint64_t live_count;    /* how often queues hold them */
    struct shared_bodies shared;
    uint64_t free_mark; /* freeing: deleted when this is synced */
    bool sealed;
    bool damaged;
    bool shares;    /* found at start, with messages that several queues may hold */
    bool compacted; /* what could be copied was */
    bool freeing;
};

/* Consecutive bytes of a group for one segment. */
struct journal_piece {
    struct segment_id segment;
    uint32_t offset; /* in the file */
    bool ends;       /* the segment is complete behind it */
    size_t begin;    /* in the group's bytes */
    size_t end;
};

/* What is written together. */
struct journal_group {
    struct buffer bytes;
    struct journal_piece *pieces;
    uint32_t piece_count;
    uint32_t piece_capacity;
    uint64_t end;    /* journal_appended() at its end */
    bool needs_sync; /* holds more than settled and delivered records */
    bool force_sync; /* synced whatever the mode */
};

/* A message that was copied, waiting for the copy to be synced. */
struct relocation {
    uint64_t queue_id;
    uint64_t sequence;
    struct store_location from;
    struct store_location to;
};

enum compaction_state {
    COMPACTION_IDLE,
    COMPACTION_READING, /* a chunk is on its way */
    COMPACTION_COPIED,  /* its copies wait for a sync */
};

/* A piece of a segment, read for compaction. */
struct compaction_chunk {
    struct segment_id segment;
    uint64_t begin;
    uint64_t limit; /* the segment's end */
    int64_t not_before_ns;
    struct buffer bytes;
    struct buffer offsets; /* uint32_t: good messages and references, in the bytes */
    uint64_t next;         /* where the next chunk begins */
    int error;
};

struct compaction {
    enum compaction_state state;
    struct journal_segment *segment;
    struct compaction_chunk chunk;
    struct buffer message; /* the last MESSAGE record seen: references follow it */
    struct store_location message_from;
    struct store_location message_to; /* its copy, when there is one */
    struct buffer relocations;        /* struct relocation */
    uint64_t mark;
};

/* The file that is written: the writer thread's. */
struct journal_writer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* there is work */
    pthread_cond_t idle; /* there is none */
    /* Under the lock. */
    struct journal_group *group; /* being written, or NULL */
    bool stop;
    uint64_t written; /* marks */
    uint64_t synced;
    struct segment_id synced_segment;
    uint64_t synced_offset;
    int error;
    _Atomic uint64_t syncs;
    /* The thread's own. */
    int fd; /* of `segment`, or -1 */
    struct segment_id segment;
    uint64_t offset;    /* where the next piece goes */
    uint64_t zeroed_to; /* the file has zeros up to here */
    bool unsynced;      /* the file has bytes that are not synced */
    bool unsynced_directory;
    int sealed[8]; /* complete files that are not synced yet */
    int sealed_count;
    int64_t sync_due_ns;
};

struct journal_reader {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    struct list tasks;
    struct list done;
    bool stop;
    struct compaction_chunk *chunk; /* to read, or NULL */
    bool chunk_done;
    /* The thread's own. */
    struct reader_file {
        struct segment_id segment;
        int fd;
    } files[16];
    uint32_t next_file;
    struct buffer bytes;
};

struct journal {
    struct journal_options options;
    char *directory;
    uint32_t salt;

    /* Segments. */
    struct hash_map by_number;
    struct list segments; /* ascending */
    struct journal_segment *active;
    struct journal_segment *last_found;
    uint32_t last_number;
    uint32_t adopted_number; /* the last of those found at start */
    struct list to_free;
    struct list freeing;
    struct list sparse;
    struct list dirty;         /* queues with settled messages since their newest state record */
    bool states_due;           /* their states are to be recorded: a segment began */
    struct buffer found_files; /* struct segment_id: the directory at start */

    /* Gathering. */
    struct journal_group groups[2];
    struct journal_group *gather;
    struct journal_group *in_flight; /* with the writer, or NULL */
    struct buffer scratch;
    uint64_t group_number; /* rises when open settle records close */
    size_t group_record;   /* where the GROUP record is in the gathered bytes */
    bool has_group_record;
    size_t last_message;                   /* a MESSAGE record in the gathered bytes, */
    const struct message *last_message_of; /* whose it is, or NULL */
    struct store_location last_location;
    uint64_t appended;
    uint64_t durable;
    uint64_t synced;
    struct segment_id synced_segment;
    uint64_t synced_offset;
    bool submitted; /* what is gathered waits for the writer */
    bool failed;
    bool short_of_space;
    uint64_t space_left; /* while short: what the journal may still take */
    uint64_t compacted_bytes;

    struct compaction compaction;
    struct journal_writer writer;
    struct journal_reader reader;
};

/* ---- journal_segments.c: what each segment holds, and when it goes ---- */

struct journal_segment *journal_segment_add(struct journal *j, struct segment_id id);
struct journal_segment *journal_segment_find(struct journal *j, uint32_t number);
void journal_segments_free(struct journal *j);

/* A queue holds the message there: as its bytes are written, as one more beside those that hold it,
 * or as was found at start. */
void journal_hold(struct journal *j, struct store_location l);
void journal_hold_more(struct journal *j, struct store_location l);
void journal_hold_found(struct journal *j, struct store_location l);
void journal_release(struct journal *j, struct store_location l);

/* Forgets the segment and deletes its file (or sets it aside). */
void journal_segment_drop(struct journal *j, struct journal_segment *s);

uint64_t journal_segment_live_bytes(const struct journal_segment *s);

/* Looks whether the segment can be freed or is worth compacting. */
void journal_segment_consider(struct journal *j, struct journal_segment *s);

/* Appends what makes dead segments unneeded; deletes those for which that is synced. */
void journal_free_begin(struct journal *j);
void journal_free_finish(struct journal *j);

/* After a failure: nothing that was not synced makes a segment unneeded. */
void journal_segments_failed(struct journal *j);

/* ---- journal_append.c ---- */

/* Room for a record in the active segment. Returns where it goes, and its offset there. */
uint8_t *journal_reserve(struct journal *j, uint32_t size, uint32_t *offset);

/* Nothing follows in the active segment. */
void journal_append_end(struct journal *j, enum end_kind kind);

/* Ends the active segment, if any, and begins another. */
void journal_roll(struct journal *j);

/* The states of all dirty queues. What stands in older segments about settled messages is not
 * needed any more, once this is synced: they may be freed if their messages allow it. */
void journal_append_states(struct journal *j);
void journal_append_freed(struct journal *j, uint32_t segment);
struct store_location journal_append_copy(struct journal *j, const uint8_t *record,
                                          uint64_t queue_id, uint64_t sequence, int64_t expires_ms);
void journal_append_reference(struct journal *j, uint64_t queue_id, uint64_t sequence,
                              struct store_location target, int64_t expires_ms);
void journal_append_delivery_count(struct journal *j, uint64_t queue_id, uint64_t sequence,
                                   uint32_t delivery_count);

/* ---- journal_space.c: the reserve, and doing without space ---- */

/* At journal_open() and journal_close(). */
void journal_space_open(struct journal *j);
void journal_space_close(struct journal *j);

/* The journal failed with -errno. */
void journal_space_failed(struct journal *j, int rc);

/* Gives the reserve's space to what the journal writes. */
void journal_space_release(struct journal *j);

/* Ends a shortage if there is space. Returns 0 when there is none (any more), or -errno. */
int journal_space_restore(struct journal *j);

/* What was appended, and what a deleted segment gives back. */
void journal_space_used(struct journal *j, uint64_t size);
void journal_space_freed(struct journal *j, uint64_t size);

/* The size at which a segment ends. */
uint64_t journal_segment_limit(const struct journal *j);

/* Whether there is space for what is live in the segment once more. */
bool journal_space_compacts(const struct journal *j, const struct journal_segment *s);

/* ---- journal_writer.c ---- */

#define JOURNAL_ZEROS_SIZE ((size_t)64 << 10)
extern const uint8_t journal_zeros[JOURNAL_ZEROS_SIZE];

/* What each of the journal's threads does first: signals are others' business. */
void journal_thread_begin(const char *name);

int journal_writer_start(struct journal *j);
void journal_writer_stop(struct journal *j);

/* Hands the gathered group over when the writer is idle. Returns false when it is not. */
bool journal_writer_hand_over(struct journal *j);

/* Takes the writer's news: marks, and the group it is done with. Returns 0 or a failure's -errno.
 */
int journal_writer_take_news(struct journal *j, uint64_t *durable);

void journal_writer_wait_idle(struct journal *j);
void journal_writer_clear_error(struct journal *j);

/* The context of the file layer's functions. */
static inline void *journal_files(const struct journal *j)
{
    return j->options.files->context;
}

/* ---- journal_reads.c ---- */

int journal_reader_start(struct journal *j);
void journal_reader_stop(struct journal *j);

/* Deletes a segment's file, or sets it aside, behind the reads that were asked for before. */
void journal_reader_remove(struct journal *j, struct segment_id id, bool set_aside);

void journal_reader_read_chunk(struct journal *j, struct compaction_chunk *chunk);
bool journal_reader_chunk_done(struct journal *j);

/* ---- journal_compaction.c ---- */

void journal_compaction_step(struct journal *j);   /* at journal_submit() */
void journal_compaction_settle(struct journal *j); /* at journal_collect() */
void journal_compaction_cancel(struct journal *j);
void journal_compaction_free(struct journal *j);

/* Forgets a group's content, and its memory when that is large. */
void journal_group_clear(struct journal_group *g);

#endif
