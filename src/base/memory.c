#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

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

void *memory_alloc_table(size_t count, size_t size)
{
    size_t total;
    void *p;

    if (__builtin_mul_overflow(count, size, &total))
        return require(NULL, count, size);
    if (total < HUGE_PAGE)
        return memory_alloc_zeroed(count, size);
    p = require(aligned_alloc(HUGE_PAGE, (total + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1)), count, size);
    madvise(p, total & ~(HUGE_PAGE - 1), MADV_HUGEPAGE); /* a hint: without it all is as well */
    return memset(p, 0, total);
}

void *memory_resize(void *p, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        return require(NULL, count, size);
    return require(realloc(p, total != 0 ? total : 1), count, size);
}
