/* Mail between workers: what one worker wants from what another one owns.
 *
 * A record is a handler and its arguments. Records for the same receiver are gathered in a batch
 * during a worker's turn and posted together at its end: one push, and one wake-up only when the
 * receiver may sleep. Records from one worker to another are handled in the order in which they
 * were appended; that is what keeps the order of a channel. No locks. */
#ifndef LEVERET_SERVER_MAIL_H
#define LEVERET_SERVER_MAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;

/* The start of every record; what follows is the handler's own. Records are aligned to 8 bytes. */
struct mail_record {
    /* Called on the receiver. `r` is the receiver's until it returns. */
    void (*handle)(struct worker *w, struct mail_record *r);
    uint32_t size; /* of the whole record */
    uint32_t from; /* id of the sending worker */
};

struct mail_batch {
    struct mail_batch *next;
    uint32_t size; /* bytes of records in use */
    uint32_t capacity;
    uint32_t last;   /* offset of the last record */
    uint32_t sender; /* id of the worker whose memory it is (worker.c gives it back) */
    uint8_t data[];
};

/* What arrives at a worker: any thread pushes, the owner takes all. */
struct mailbox {
    _Atomic(struct mail_batch *) newest;
    atomic_bool sleeping; /* the owner may be asleep: whoever clears it writes to wake_fd */
    int wake_fd;          /* an eventfd */
};

/* Returns 0 or -errno. */
int mailbox_init(struct mailbox *m);

/* Frees what was not taken, unhandled. */
void mailbox_close(struct mailbox *m);

/* Any thread. Takes over the batch. */
void mailbox_push(struct mailbox *m, struct mail_batch *batch);

/* As mailbox_push(), for what may wait until the owner is awake for another reason. */
void mailbox_push_quietly(struct mailbox *m, struct mail_batch *batch);

/* The owner. Everything that was pushed, oldest first, linked by `next`; NULL when nothing. */
struct mail_batch *mailbox_take(struct mailbox *m);

/* The owner, before it sleeps. Returns whether there is mail, in which case it must not sleep. */
bool mailbox_prepare_sleep(struct mailbox *m);

/* The owner, when it is awake again and has to expect no wake-up. */
void mailbox_awake(struct mailbox *m);

/* The owner, when wake_fd is readable. */
void mailbox_clear_wake(struct mailbox *m);

/* A batch with room for at least `capacity` bytes. Aborts without memory. */
struct mail_batch *mail_batch_create(uint32_t capacity);

/* Appends a record of `size` bytes to `*batch` (NULL: begins one; may move it), everything behind
 * its head uninitialised. Valid until the next append. */
struct mail_record *mail_batch_append(struct mail_batch **batch, uint32_t from, size_t size,
                                      void (*handle)(struct worker *w, struct mail_record *r));

/* The last record of the batch if its handler is `handle`, else NULL: to say more of the same in
 * one record. */
struct mail_record *mail_batch_last(struct mail_batch *batch,
                                    void (*handle)(struct worker *w, struct mail_record *r));

/* Makes the last record of `*batch` `more` bytes longer (may move it). Returns the record. */
struct mail_record *mail_batch_extend_last(struct mail_batch **batch, size_t more);

#endif
