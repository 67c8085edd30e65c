#include "base/secret.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    STACK_SIZE = 32 * 1024,
};

void *secret_alloc(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        fprintf(stderr, "leveret: out of memory for a secret\n");
        abort();
    }
    /* Worth having and not worth failing for: a kernel without core dumps has not got it. */
    (void)madvise(p, size, MADV_DONTDUMP);
    return p;
}

void secret_free(void *p, size_t size)
{
    if (p == NULL)
        return;
    explicit_bzero(p, size);
    munmap(p, size);
}

void secret_exclude_from_dumps(void *p, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)p + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)p + size) / page * page;

    if (begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTDUMP);
}

__attribute__((noinline)) void secret_wipe_stack(void)
{
    uint8_t left[STACK_SIZE];

    explicit_bzero(left, sizeof(left));
}

/* ---- Buffers ---- */

uint8_t *secret_reserve(struct buffer *b, size_t more)
{
    struct buffer grown;

    if (b->capacity - b->size >= more)
        return buffer_reserve(b, more);
    buffer_init(&grown);
    buffer_reserve(&grown, b->size + more > 2 * b->capacity ? b->size + more : 2 * b->capacity);
    buffer_append(&grown, buffer_bytes(b));
    secret_buffer_free(b);
    *b = grown;
    return buffer_reserve(b, more);
}

void secret_append(struct buffer *b, struct bytes bytes)
{
    if (bytes.size == 0)
        return;
    memcpy(secret_reserve(b, bytes.size), bytes.data, bytes.size);
    b->size += bytes.size;
}

void secret_buffer_free(struct buffer *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->capacity);
    buffer_free(b);
}
