/* Queues that an import makes: they come together in batches, are spread over the workers, and each
 * worker makes those that will be at home there. */
#ifndef LEVERET_ADMIN_IMPORT_QUEUES_H
#define LEVERET_ADMIN_IMPORT_QUEUES_H

#include "admin/ask.h"
#include "admin/definition_reader.h"
#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct import_queue;
struct vhost;

struct import_queues {
    struct asker *asker;
    /* What became of a queue: it was made or was there; or why not, for one line. */
    void (*done)(void *context, const char *place, bool created, const char *reason);
    void *context;
    struct arena arena; /* of the batch */
    struct import_queue *items;
    size_t count;
    uint32_t next_worker;
};

void import_queues_init(struct import_queues *q, struct asker *a,
                        void (*done)(void *context, const char *place, bool created,
                                     const char *reason),
                        void *context);
void import_queues_release(struct import_queues *q);

/* Adds one to the batch, copying it; a batch that is full is made. */
void import_queues_add(struct import_queues *q, struct vhost *v, const struct definition_record *r,
                       const char *place);

/* Makes the batch and tells of each. */
void import_queues_flush(struct import_queues *q);

#endif
