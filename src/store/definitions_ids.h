/* Queue ids that are given once. They are reserved in the definitions file in large ranges, ahead
 * of need: what a range has left when the process ends, however it ends, is never given. */
#ifndef LEVERET_STORE_DEFINITIONS_IDS_H
#define LEVERET_STORE_DEFINITIONS_IDS_H

#include "store/definitions_sqlite.h"
#include "store/definitions_writer.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct definitions_ids {
    pthread_mutex_t mutex;
    pthread_cond_t reserved;
    uint64_t next;
    uint64_t end;    /* the first that is not reserved */
    uint64_t wanted; /* the end that is being reserved; 0: none is */
};

/* Reserves the first range, in a transaction of its own. Returns 0, or -errno with the line set. */
int definitions_ids_open(struct definitions_ids *ids, sqlite3 *db, const char *path,
                         struct error_line line);
void definitions_ids_close(struct definitions_ids *ids);

/* Has the file be as before definitions_ids_open(): nothing was taken, and nothing will be. */
void definitions_ids_return(struct definitions_ids *ids, struct definitions_writer *w);

/* The next id, or 0 when the file could not be written to reserve more. Has the writer reserve the
 * next range in time, and waits for it only when it is late. Any thread but the writer's. */
uint64_t definitions_ids_take(struct definitions_ids *ids, struct definitions_writer *w);

/* A row of the counters; and the value of one that is there, otherwise `*value` stays: 0, or -errno
 * with the line set. */
struct row counter_row(const char *name, uint64_t value);
int counter_read(sqlite3 *db, const char *name, uint64_t *value, const char *path,
                 struct error_line line);

#endif
