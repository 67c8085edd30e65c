/* Heap memory for what the broker cannot go on without: these functions never return NULL.
 * When the system refuses, they write what was asked for to standard error and abort. What a
 * peer can make large (bodies, backlogs) is allocated with malloc() and refused by its caller.
 * Everything here is released with free(). Any thread. */
#ifndef LEVERET_BASE_MEMORY_H
#define LEVERET_BASE_MEMORY_H

#include <stddef.h>
#include <stdlib.h> /* free() */

/* `size` bytes, uninitialised. */
void *memory_alloc(size_t size);

/* `count` times `size` bytes, zeroed. Aborts when the product overflows. */
void *memory_alloc_zeroed(size_t count, size_t size);

/* As memory_alloc_zeroed(), for tables that are read all over: a large one is on huge pages where
 * the system has them, so that a look-up does not miss the TLB as well as the cache. */
void *memory_alloc_table(size_t count, size_t size);

/* Grows or shrinks `p` (or NULL) to `count` times `size` bytes. Aborts on overflow. */
void *memory_resize(void *p, size_t count, size_t size);

/* Has the processor fetch what is at `p`, which may be any address, and does not wait for it. The
 * empty asm keeps compilers from taking a function that does nothing else for one that does nothing
 * and dropping its calls (GCC does). */
static inline void memory_prefetch(const void *p)
{
    __builtin_prefetch(p);
    __asm__ volatile("");
}

/* The struct of type `type` whose member `member` is at `pointer`. */
#define container_of(pointer, type, member) \
    ((type *)(void *)(((char *)(pointer)) - offsetof(type, member)))

#endif
