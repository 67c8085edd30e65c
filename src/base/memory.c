#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

static void *require(void *p, size_t count, size_t size)
{
    if (p != NULL)
        return p;
    fprintf(stderr, "leveret: out of memory: %zu x %zu bytes were refused\n", count, size);
    abort();
}

void *memory_alloc(size_t size)
{
    return require(malloc(size != 0 ? size : 1), 1, size);
}

void *memory_alloc_zeroed(size_t count, size_t size)
{
    return require(calloc(count != 0 ? count : 1, size != 0 ? size : 1), count, size);
}

void *memory_resize(void *p, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        return require(NULL, count, size);
    return require(realloc(p, total != 0 ? total : 1), count, size);
}
