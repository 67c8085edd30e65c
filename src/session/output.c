#include "session/output.h"

#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#define OUTPUT_REFERENCES 24
#define OUTPUT_RUNS 64

struct output_reference {
    struct message *message;
    struct bytes run;
    uint32_t at; /* goes out before the data at this offset */
};

struct output_chunk {
    struct output_chunk *next;
    uint32_t size;     /* bytes of data in use */
    uint32_t capacity; /* of data */
    uint32_t sent;     /* bytes of data written */
    uint32_t reference_count;
    uint32_t reference_first; /* the first that is not written wholly */
    struct output_reference references[OUTPUT_REFERENCES];
    uint8_t data[];
};

void output_pool_init(struct output_pool *p)
{
    p->spare = NULL;
    p->spare_count = 0;
}

void output_pool_release(struct output_pool *p)
{
    while (p->spare != NULL) {
        struct output_chunk *chunk = p->spare;

        p->spare = chunk->next;
        free(chunk);
    }
    p->spare_count = 0;
}

static struct output_chunk *chunk_take(struct output_pool *p, size_t capacity)
{
    struct output_chunk *chunk = p->spare;

    if (capacity > OUTPUT_CHUNK_SIZE || chunk == NULL) {
        if (capacity < OUTPUT_CHUNK_SIZE)
            capacity = OUTPUT_CHUNK_SIZE;
        chunk = memory_alloc(sizeof(*chunk) + capacity);
        chunk->capacity = (uint32_t)capacity;
    } else {
        p->spare = chunk->next;
        p->spare_count--;
    }
    chunk->next = NULL;
    chunk->size = 0;
    chunk->sent = 0;
    chunk->reference_count = 0;
    chunk->reference_first = 0;
    return chunk;
}

static void chunk_give(struct output_pool *p, struct output_chunk *chunk)
{
    for (uint32_t i = chunk->reference_first; i < chunk->reference_count; i++)
        message_unref(chunk->references[i].message);
    if (chunk->capacity != OUTPUT_CHUNK_SIZE || p->spare_count == OUTPUT_SPARE_CHUNKS) {
        free(chunk);
        return;
    }
    chunk->next = p->spare;
    p->spare = chunk;
    p->spare_count++;
}

void output_init(struct output *o, struct output_pool *p)
{
    *o = (struct output){.pool = p};
}

void output_release(struct output *o)
{
    while (o->first != NULL) {
        struct output_chunk *chunk = o->first;

        o->first = chunk->next;
        chunk_give(o->pool, chunk);
    }
    o->last = NULL;
    o->pending_bytes = 0;
}

static void add_chunk(struct output *o, size_t capacity)
{
    struct output_chunk *chunk = chunk_take(o->pool, capacity);

    if (o->last != NULL)
        o->last->next = chunk;
    else
        o->first = chunk;
    o->last = chunk;
}

uint8_t *output_reserve(struct output *o, size_t size)
{
    if (o->last == NULL || o->last->capacity - o->last->size < size)
        add_chunk(o, size);
    return o->last->data + o->last->size;
}

void output_commit(struct output *o, size_t used)
{
    o->last->size += (uint32_t)used;
    o->pending_bytes += used;
    assert(o->last->size <= o->last->capacity);
}

void output_add_reference(struct output *o, struct message *msg, struct bytes run)
{
    struct output_chunk *chunk;

    if (run.size == 0)
        return;
    if (o->last == NULL || o->last->reference_count == OUTPUT_REFERENCES)
        add_chunk(o, OUTPUT_CHUNK_SIZE);
    chunk = o->last;
    chunk->references[chunk->reference_count++] = (struct output_reference){
        .message = message_ref(msg),
        .run = run,
        .at = chunk->size,
    };
    o->pending_bytes += run.size;
}

/* The unwritten runs of a chunk, in order. Returns how many `runs` are used afterwards: all of
 * them when some of the chunk had no place. */
static int gather(const struct output_chunk *chunk, struct iovec *runs, int count)
{
    uint32_t at = chunk->sent;

    for (uint32_t i = chunk->reference_first; i < chunk->reference_count; i++) {
        const struct output_reference *r = &chunk->references[i];

        if (r->at > at && count < OUTPUT_RUNS) {
            runs[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)(chunk->data + at),
                                           .iov_len = r->at - at};
            at = r->at;
        }
        if (count == OUTPUT_RUNS)
            return count;
        runs[count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)r->run.data, .iov_len = r->run.size};
    }
    if (chunk->size > at && count < OUTPUT_RUNS)
        runs[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)(chunk->data + at),
                                       .iov_len = chunk->size - at};
    return count;
}

/* Marks up to `written` bytes of the chunk as written. Returns how many of them it held. */
static size_t settle(struct output_chunk *chunk, size_t written)
{
    size_t left = written;

    while (left != 0) {
        struct output_reference *r = &chunk->references[chunk->reference_first];
        bool has_reference = chunk->reference_first < chunk->reference_count;
        size_t data = (has_reference ? r->at : chunk->size) - chunk->sent;
        size_t step = data < left ? data : left;

        chunk->sent += (uint32_t)step;
        left -= step;
        if (step < data || !has_reference)
            break;
        step = r->run.size < left ? r->run.size : left;
        r->run.data += step;
        r->run.size -= step;
        left -= step;
        if (r->run.size != 0)
            break;
        message_unref(r->message);
        chunk->reference_first++;
    }
    return written - left;
}

static bool chunk_done(const struct output_chunk *chunk)
{
    return chunk->sent == chunk->size && chunk->reference_first == chunk->reference_count;
}

static void advance(struct output *o, size_t written)
{
    o->pending_bytes -= written;
    while (o->first != NULL) {
        struct output_chunk *chunk = o->first;

        written -= settle(chunk, written);
        if (!chunk_done(chunk))
            return;
        o->first = chunk->next;
        if (o->first == NULL)
            o->last = NULL;
        chunk_give(o->pool, chunk);
    }
}

int output_flush(struct output *o, struct stream *s)
{
    while (o->pending_bytes != 0) {
        struct iovec runs[OUTPUT_RUNS];
        int count = 0;
        ssize_t written;

        for (struct output_chunk *c = o->first; c != NULL && count < OUTPUT_RUNS; c = c->next)
            count = gather(c, runs, count);
        written = stream_writev(s, runs, count);
        if (written < 0)
            return (int)written;
        advance(o, (size_t)written);
    }
    return 0;
}
