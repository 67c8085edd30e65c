/* A journal's owner for tests: queues that remember what they hold, and what the journal promised.
 */
#ifndef LEVERET_TESTS_JOURNAL_OWNER_H
#define LEVERET_TESTS_JOURNAL_OWNER_H

#include "base/buffer.h"
#include "store/journal.h"
#include "store/recovery.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define OWNER_QUEUES 4
#define OWNER_DIRECTORY "/j"

struct owned_message {
    bool held;
    bool ever;            /* was appended in this test, perhaps in an earlier life */
    uint64_t appended_at; /* journal_appended() behind it */
    uint64_t settled_at;  /* and behind its settled record, 0: never settled */
    uint32_t delivery_count;
    struct store_location location;
};

struct owned_queue {
    struct journal_queue journal;
    uint64_t next_sequence;
    uint64_t capacity;
    struct owned_message *messages; /* by sequence number */
};

struct owner {
    struct journal *journal;
    struct journal_options options;
    struct owned_queue queues[OWNER_QUEUES]; /* the ids are the indexes + 1 */
    struct buffer kept;
    pthread_mutex_t lock;
    pthread_cond_t notified;
    uint64_t notifications; /* under the lock */
    uint64_t seen;
    uint64_t relocated;
    int error; /* of the last JOURNAL_FAILED */
    uint32_t failures;
    /* What recovery told. */
    struct recovered recovered;
    uint32_t damages;
    char last_damage[512];
};

/* An owner without a journal: options can be changed before owner_open(). The directory is
 * OWNER_DIRECTORY in `files`. */
void owner_init(struct owner *o, const struct file_layer *files);
void owner_free(struct owner *o);

/* Recovers and opens. Returns 0, or what recovery_run() or journal_open() returned. */
int owner_open(struct owner *o);

/* Closes the journal; what the queues held is forgotten, as by the end of a process. */
void owner_close(struct owner *o);

/* What message `sequence` of a queue says, at most 64 KiB of it: every byte is known from the
 * numbers. */
struct message *owner_message(uint64_t queue_id, uint64_t sequence, uint32_t body_size);

uint64_t owner_publish(struct owner *o, uint32_t queue, uint32_t body_size);

/* One message for the first `count` queues, whose next sequence numbers must be equal. */
void owner_publish_to_all(struct owner *o, uint32_t count, uint32_t body_size);
void owner_settle(struct owner *o, uint32_t queue, uint64_t sequence);
void owner_purge(struct owner *o, uint32_t queue);
bool owner_holds(const struct owner *o, uint32_t queue, uint64_t sequence);
uint64_t owner_count(const struct owner *o, uint32_t queue);

/* One turn: submit, and collect what there is. */
void owner_turn(struct owner *o);

/* Turns until everything appended is durable, or the journal failed. */
void owner_commit(struct owner *o);

/* Turns until the condition holds; fails the test after 30 s. */
void owner_wait(struct owner *o, bool (*condition)(struct owner *o));

/* Reads a queue's messages back and checks every byte. */
void owner_check_content(struct owner *o, uint32_t queue);

#endif
