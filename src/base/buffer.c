#include "base/buffer.h"

#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER_MIN_CAPACITY 256u

void buffer_init(struct buffer *b)
{
    *b = (struct buffer){.data = NULL, .size = 0, .capacity = 0};
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    buffer_init(b);
}

static void grow(struct buffer *b, size_t more)
{
    size_t capacity = b->capacity != 0 ? b->capacity : BUFFER_MIN_CAPACITY;
    size_t needed;

    if (__builtin_add_overflow(b->size, more, &needed) || needed > SIZE_MAX / 2)
        needed = capacity = SIZE_MAX; /* more than there can be: memory_resize aborts */
    while (capacity < needed)
        capacity *= 2;
    b->data = memory_resize(b->data, capacity, 1);
    b->capacity = capacity;
}

uint8_t *buffer_reserve(struct buffer *b, size_t more)
{
    if (b->capacity - b->size < more)
        grow(b, more);
    return b->data != NULL ? b->data + b->size : NULL;
}

void buffer_append(struct buffer *b, struct bytes bytes)
{
    uint8_t *room;

    if (bytes.size == 0)
        return;
    room = buffer_reserve(b, bytes.size);
    assert(room != NULL);
    memcpy(room, bytes.data, bytes.size);
    b->size += bytes.size;
}

void buffer_append_format(struct buffer *b, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(length >= 0);

    va_start(args, format);
    vsnprintf((char *)buffer_reserve(b, (size_t)length + 1), (size_t)length + 1, format, args);
    va_end(args);
    b->size += (size_t)length;
}

void buffer_consume(struct buffer *b, size_t count)
{
    assert(count <= b->size);
    b->size -= count;
    if (b->size != 0)
        memmove(b->data, b->data + count, b->size);
}
