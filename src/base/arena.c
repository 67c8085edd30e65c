#include "base/arena.h"

#include "base/memory.h"

#include <stdalign.h>
#include <stdlib.h>

/* The first block is small because most tables are; later ones double up to the maximum. */
#define ARENA_FIRST_BLOCK_SIZE 128u
#define ARENA_MAX_BLOCK_SIZE 65536u

struct arena_block {
    struct arena_block *older;
    size_t size;
    size_t used;
    alignas(max_align_t) uint8_t data[];
};

void arena_init(struct arena *a)
{
    a->blocks = NULL;
}

void arena_free(struct arena *a)
{
    struct arena_block *block = a->blocks;

    while (block != NULL) {
        struct arena_block *older = block->older;

        free(block);
        block = older;
    }
    arena_init(a);
}

static struct arena_block *block_for(struct arena *a, size_t size)
{
    struct arena_block *block = a->blocks;
    size_t block_size = ARENA_FIRST_BLOCK_SIZE;

    if (block != NULL && block->size - block->used >= size)
        return block;
    if (block != NULL && block->size < ARENA_MAX_BLOCK_SIZE)
        block_size = 2 * block->size;
    else if (block != NULL)
        block_size = ARENA_MAX_BLOCK_SIZE;
    if (block_size < size)
        block_size = size;

    block = memory_alloc_zeroed(1, sizeof(*block) + block_size);
    block->size = block_size;
    block->older = a->blocks;
    a->blocks = block;
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t mask = alignof(max_align_t) - 1;
    size_t rounded = (size + mask) & ~mask;
    struct arena_block *block = block_for(a, rounded);
    void *piece = block->data + block->used;

    block->used += rounded;
    return piece;
}

struct bytes arena_copy(struct arena *a, struct bytes b)
{
    uint8_t *copy;

    if (b.size == 0)
        return bytes_of(NULL, 0);
    copy = arena_alloc(a, b.size);
    memcpy(copy, b.data, b.size);
    return bytes_of(copy, b.size);
}
