#include "session/delivery_tags.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>

#define DELIVERY_TAGS_NUMBER_MASK (UINT64_MAX >> 1)
#define DELIVERY_TAGS_MIN_CAPACITY 16u
/* A ring up to this size is kept while it is empty. */
#define DELIVERY_TAGS_KEPT_CAPACITY 1024u

void delivery_tags_init(struct delivery_tags *u)
{
    *u = (struct delivery_tags){.ring = NULL, .first_tag = 1};
}

void delivery_tags_free(struct delivery_tags *u)
{
    free(u->ring);
    delivery_tags_init(u);
}

static struct delivery_tag_entry *slot(const struct delivery_tags *u, uint64_t tag)
{
    return &u->ring[tag & (u->capacity - 1)];
}

static void grow(struct delivery_tags *u)
{
    uint32_t capacity = u->capacity != 0 ? 2 * u->capacity : DELIVERY_TAGS_MIN_CAPACITY;
    struct delivery_tag_entry *ring = memory_alloc(capacity * sizeof(*ring));

    for (uint32_t i = 0; i < u->length; i++) {
        uint64_t tag = u->first_tag + i;

        ring[tag & (capacity - 1)] = *slot(u, tag);
    }
    free(u->ring);
    u->ring = ring;
    u->capacity = capacity;
}

void delivery_tags_add(struct delivery_tags *u, uint64_t tag, struct subscription *s,
                       uint64_t number)
{
    if (u->length == 0)
        u->first_tag = tag;
    assert(tag >= u->first_tag + u->length);
    while (u->first_tag + u->length <= tag) {
        if (u->length == u->capacity)
            grow(u);
        slot(u, u->first_tag + u->length)->subscription = NULL;
        u->length++;
    }
    *slot(u, tag) = (struct delivery_tag_entry){
        .subscription = s,
        .number = number & DELIVERY_TAGS_NUMBER_MASK,
    };
    u->count++;
}

struct delivery_tag_entry *delivery_tags_find(struct delivery_tags *u, uint64_t tag)
{
    struct delivery_tag_entry *entry;

    if (tag < u->first_tag || tag - u->first_tag >= u->length)
        return NULL;
    entry = slot(u, tag);
    return entry->subscription != NULL ? entry : NULL;
}

void delivery_tags_remove(struct delivery_tags *u, uint64_t tag)
{
    slot(u, tag)->subscription = NULL;
    u->count--;
    while (u->length != 0 && slot(u, u->first_tag)->subscription == NULL) {
        u->first_tag++;
        u->length--;
    }
    if (u->length == 0 && u->capacity > DELIVERY_TAGS_KEPT_CAPACITY) {
        free(u->ring);
        u->ring = NULL;
        u->capacity = 0;
    }
}

uint64_t delivery_tags_first(const struct delivery_tags *u)
{
    return u->length != 0 ? u->first_tag : 0;
}

uint64_t delivery_tags_next(const struct delivery_tags *u, uint64_t tag)
{
    uint64_t end = u->first_tag + u->length;

    for (tag = tag < u->first_tag ? u->first_tag : tag + 1; tag < end; tag++) {
        if (slot(u, tag)->subscription != NULL)
            return tag;
    }
    return 0;
}
