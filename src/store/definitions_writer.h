/* The thread that writes the definitions file. Changes are queued by any thread; it takes all that
 * are there, runs them in one transaction, commits, and tells each what became of it. When the
 * transaction fails nothing of it is in the file, and each of its changes is told why. They stay
 * ahead of all that come later and are tried again with them, and once a second, until the file has
 * them: so a change or a barrier is told of success only when all before it is in the file. */
#ifndef LEVERET_STORE_DEFINITIONS_WRITER_H
#define LEVERET_STORE_DEFINITIONS_WRITER_H

#include "store/definitions.h"
#include "store/definitions_row.h"

#include <sqlite3.h>

enum change_kind {
    CHANGE_NOTHING, /* a barrier */
    CHANGE_SET_COUNTER,
    CHANGE_ADD_VHOST,
    CHANGE_REMOVE_VHOST,
    CHANGE_ADD_USER,
    CHANGE_REMOVE_USER,
    CHANGE_ADD_PERMISSION,
    CHANGE_REMOVE_PERMISSION,
    CHANGE_ADD_TOPIC_PERMISSION,
    CHANGE_REMOVE_TOPIC_PERMISSION,
    CHANGE_REMOVE_TOPIC_PERMISSIONS, /* of a user in a virtual host */
    CHANGE_ADD_PARAMETER,
    CHANGE_REMOVE_PARAMETER,
    CHANGE_ADD_POLICY,
    CHANGE_REMOVE_POLICY,
    CHANGE_ADD_DELAYS,
    CHANGE_ADD_EXCHANGE,
    CHANGE_REMOVE_EXCHANGE,
    CHANGE_ADD_QUEUE,
    CHANGE_REMOVE_QUEUE,
    CHANGE_ADD_BINDING,
    CHANGE_REMOVE_BINDING,
    CHANGE_KIND_COUNT,
};

struct definitions_writer;

/* Starts the thread. The connection is the writer's until definitions_writer_stop() (others may
 * read with it before the first change). Returns 0 or -errno. */
int definitions_writer_start(struct definitions_writer **out, sqlite3 *db, const char *path);

/* Commits what is queued, ends the thread. */
void definitions_writer_stop(struct definitions_writer *w);

/* Queues a change of the row, which is copied. Any thread. What the row is: see the parameters of
 * the kind's statements in definitions_writer.c. The queue is as long as there are callers who wait
 * for their answer. */
void definitions_writer_add(struct definitions_writer *w, enum change_kind kind,
                            const struct row *row, struct definitions_done done);

/* How many changes were queued, and up to which of them all are in the file. Any thread. */
uint64_t definitions_writer_queued(struct definitions_writer *w);
uint64_t definitions_writer_committed(const struct definitions_writer *w);

#endif
