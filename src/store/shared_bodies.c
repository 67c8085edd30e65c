#include "store/shared_bodies.h"

#include "base/memory.h"

#include <stdlib.h>

#define FIRST_CAPACITY 64u

void shared_bodies_free(struct shared_bodies *b)
{
    free(b->slots);
    *b = (struct shared_bodies){.slots = NULL};
}

/* Where the search for an offset begins. Offsets ascend in steps of a record: they are mixed. */
static uint32_t home_of(const struct shared_bodies *b, uint32_t offset)
{
    return (offset * UINT32_C(0x9e3779b1)) >> 7 & (b->capacity - 1);
}

/* The slot of an offset, or the free one where it would be; there is a free one. */
static struct shared_body *find(const struct shared_bodies *b, uint32_t offset)
{
    uint32_t i = home_of(b, offset);

    while (b->slots[i].offset != 0 && b->slots[i].offset != offset)
        i = (i + 1) & (b->capacity - 1);
    return &b->slots[i];
}

static void grow(struct shared_bodies *b)
{
    struct shared_bodies grown = {.capacity = b->capacity != 0 ? 2 * b->capacity : FIRST_CAPACITY,
                                  .count = b->count};

    grown.slots = memory_alloc_zeroed(grown.capacity, sizeof(*grown.slots));
    for (uint32_t i = 0; i < b->capacity; i++) {
        if (b->slots[i].offset != 0)
            *find(&grown, b->slots[i].offset) = b->slots[i];
    }
    free(b->slots);
    *b = grown;
}

uint32_t shared_bodies_add(struct shared_bodies *b, uint32_t offset, uint32_t before)
{
    struct shared_body *slot;

    if (b->count >= b->capacity - b->capacity / 4)
        grow(b);
    slot = find(b, offset);
    if (slot->offset == 0) {
        *slot = (struct shared_body){.offset = offset, .holders = before};
        b->count++;
    }
    return ++slot->holders;
}

/* Moves up those that would not be found any more past a slot that becomes free. */
static void free_slot(struct shared_bodies *b, uint32_t hole)
{
    uint32_t mask = b->capacity - 1;

    for (uint32_t i = (hole + 1) & mask; b->slots[i].offset != 0; i = (i + 1) & mask) {
        uint32_t home = home_of(b, b->slots[i].offset);

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            b->slots[hole] = b->slots[i];
            hole = i;
        }
    }
    b->slots[hole].offset = 0;
    b->count--;
}

uint32_t shared_bodies_remove(struct shared_bodies *b, uint32_t offset)
{
    struct shared_body *slot;

    if (b->count == 0)
        return 0;
    slot = find(b, offset);
    if (slot->offset == 0)
        return 0;
    if (--slot->holders != 0)
        return slot->holders;
    free_slot(b, (uint32_t)(slot - b->slots));
    if (b->count == 0)
        shared_bodies_free(b);
    return 0;
}
