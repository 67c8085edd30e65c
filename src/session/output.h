/* What waits to be written to one connection: small things by copy in chunks, large bodies by
 * reference. Nothing is held while nothing waits. One thread: the connection's worker. */
#ifndef LEVERET_SESSION_OUTPUT_H
#define LEVERET_SESSION_OUTPUT_H

#include "broker/message.h"
#include "net/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* The usual size of a chunk's data. */
    OUTPUT_CHUNK_SIZE = 16 * 1024,
    /* Chunks a worker keeps for reuse. */
    OUTPUT_SPARE_CHUNKS = 64,
};

struct output_chunk;

/* A worker's chunks at rest. */
struct output_pool {
    struct output_chunk *spare;
    uint32_t spare_count;
};

struct output {
    struct output_pool *pool;
    struct output_chunk *first; /* being written to the stream */
    struct output_chunk *last;  /* being filled */
    size_t pending_bytes;
};

void output_pool_init(struct output_pool *p);
void output_pool_release(struct output_pool *p);

void output_init(struct output *o, struct output_pool *p);

/* Drops everything that waits. */
void output_release(struct output *o);

/* Room for `size` bytes in a row. The caller writes there and commits what it used, before anything
 * else is added. Aborts without memory. */
uint8_t *output_reserve(struct output *o, size_t size);
void output_commit(struct output *o, size_t used);

/* Adds `run`, which lies inside `msg`, without copying it: a reference is kept until it is
 * written. */
void output_add_reference(struct output *o, struct message *msg, struct bytes run);

/* Writes as much as the stream takes. Returns 0 when nothing waits any more, -EAGAIN when the
 * stream takes no more now, or the stream's error. */
int output_flush(struct output *o, struct stream *s);

#endif
