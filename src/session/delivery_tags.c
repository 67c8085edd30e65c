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
    *u = (struct delivery_tags){.ring = NULL};
}

void delivery_tags_free(struct delivery_tags *u)
{
    free(u->ring);
    delivery_tags_init(u);
}

/* The entry at a distance from the oldest one. */
static struct delivery_tag_entry *at(const struct delivery_tags *u, uint32_t distance)
{
    return &u->ring[(u->first + distance) & (u->capacity - 1)];
}

static void grow(struct delivery_tags *u)
{
    uint32_t capacity = u->capacity != 0 ? 2 * u->capacity : DELIVERY_TAGS_MIN_CAPACITY;
    struct delivery_tag_entry *ring = memory_alloc(capacity * sizeof(*ring));

    for (uint32_t i = 0; i < u->length; i++)
        ring[i] = *at(u, i);
    free(u->ring);
    u->ring = ring;
    u->capacity = capacity;
    u->first = 0;
}

/* Closes the gaps that settled entries left. */
static void compact(struct delivery_tags *u)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < u->length; i++) {
        if (at(u, i)->subscription != NULL)
            *at(u, kept++) = *at(u, i);
    }
    u->length = kept;
}

void delivery_tags_add(struct delivery_tags *u, uint64_t tag, struct subscription *s,
                       uint64_t number)
{
    assert(u->length == 0 || tag > at(u, u->length - 1)->tag);
    if (u->length == u->capacity) {
        if (u->count >= u->capacity / 2)
            grow(u);
        else
            compact(u);
    }
    *at(u, u->length++) = (struct delivery_tag_entry){
        .subscription = s,
        .tag = tag,
        .number = number & DELIVERY_TAGS_NUMBER_MASK,
    };
    u->count++;
}

/* How far from the oldest entry the first one with this tag or a higher one is. */
static uint32_t distance_to(const struct delivery_tags *u, uint64_t tag)
{
    uint32_t low = 0;
    uint32_t high = u->length;

    if (u->length == 0 || tag <= at(u, 0)->tag)
        return 0;
    /* Without gaps, the common case, the distance is the difference. */
    if (tag - at(u, 0)->tag < u->length) {
        low = (uint32_t)(tag - at(u, 0)->tag);
        if (at(u, low)->tag == tag)
            return low;
        high = low; /* gaps only bring it nearer */
        low = 0;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (at(u, middle)->tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct delivery_tag_entry *delivery_tags_find(struct delivery_tags *u, uint64_t tag)
{
    uint32_t distance = distance_to(u, tag);
    struct delivery_tag_entry *entry;

    if (distance == u->length)
        return NULL;
    entry = at(u, distance);
    return entry->tag == tag && entry->subscription != NULL ? entry : NULL;
}

void delivery_tags_remove(struct delivery_tags *u, uint64_t tag)
{
    at(u, distance_to(u, tag))->subscription = NULL;
    u->count--;
    while (u->length != 0 && at(u, 0)->subscription == NULL) {
        u->first = (u->first + 1) & (u->capacity - 1);
        u->length--;
    }
    if (u->length == 0 && u->capacity > DELIVERY_TAGS_KEPT_CAPACITY)
        delivery_tags_free(u);
}

uint64_t delivery_tags_first(const struct delivery_tags *u)
{
    return u->length != 0 ? at(u, 0)->tag : 0;
}

uint64_t delivery_tags_next(const struct delivery_tags *u, uint64_t tag)
{
    if (tag == UINT64_MAX)
        return 0;
    for (uint32_t i = distance_to(u, tag + 1); i < u->length; i++) {
        if (at(u, i)->subscription != NULL)
            return at(u, i)->tag;
    }
    return 0;
}
