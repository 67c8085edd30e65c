/* A growable run of bytes that owns its memory. One thread at a time. */
#ifndef LEVERET_BASE_BUFFER_H
#define LEVERET_BASE_BUFFER_H

#include "base/bytes.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
};

/* An empty buffer; allocates nothing. */
void buffer_init(struct buffer *b);

/* Frees the memory; the buffer is empty and usable again. */
void buffer_free(struct buffer *b);

/* Forgets the content, keeps the memory. */
static inline void buffer_clear(struct buffer *b)
{
    b->size = 0;
}

/* Makes room for `more` bytes behind the content and returns where they go. The caller writes
 * there and adds to `size` what it used. Grows by doubling; aborts without memory. */
uint8_t *buffer_reserve(struct buffer *b, size_t more);

/* Appends a copy of the bytes. */
void buffer_append(struct buffer *b, struct bytes bytes);

/* Appends formatted text, without a terminator. */
void buffer_append_format(struct buffer *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops `count` bytes (<= size) from the front. Costs a move of the rest. */
void buffer_consume(struct buffer *b, size_t count);

static inline struct bytes buffer_bytes(const struct buffer *b)
{
    return bytes_of(b->data, b->size);
}

#endif
