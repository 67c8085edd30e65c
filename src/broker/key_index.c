#include "broker/key_index.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>

#define KEY_SET_MIN_CAPACITY 2u
#define KEY_INDEX_MIN_CAPACITY 4u

static struct key_array *array_resize(struct key_array *array, uint32_t capacity)
{
    array = memory_resize(array, 1, sizeof(*array) + capacity * sizeof(array->slots[0]));
    array->capacity = capacity;
    return array;
}

static void array_put(struct key_array *array, uint32_t i, struct key_link *link)
{
    array->slots[i] = (struct key_slot){.value = link->value, .link = link};
    link->position = i;
}

void key_set_add(struct key_set *s, struct key_link *link)
{
    if (s->count == 0) {
        link->position = 0;
        s->one = link;
        s->count = 1;
        return;
    }
    if (s->count == 1) {
        struct key_link *first = s->one;

        s->many = array_resize(NULL, KEY_SET_MIN_CAPACITY);
        array_put(s->many, 0, first);
    } else if (s->count == s->many->capacity) {
        s->many = array_resize(s->many, 2 * s->count);
    }
    array_put(s->many, s->count++, link);
}

void key_set_remove(struct key_set *s, struct key_link *link)
{
    struct key_link *last;

    assert(s->count > 0 && key_set_link(s, link->position) == link);
    if (s->count == 1) {
        s->one = NULL;
        s->count = 0;
        return;
    }
    last = s->many->slots[--s->count].link;
    array_put(s->many, link->position, last);
    if (s->count == 1) {
        struct key_link *left = s->many->slots[0].link;

        free(s->many);
        s->one = left;
    } else if (s->count < s->many->capacity / 4) {
        s->many = array_resize(s->many, s->many->capacity / 2);
    }
}

/* Puts a set into its place among the slots: behind those whose home is not behind its own. The
 * others up to the next free slot move one on. */
static void place(const struct key_index *x, struct key_set set)
{
    uint32_t mask = x->capacity - 1;
    uint32_t i = set.hash & mask;

    for (; x->slots[i].count != 0; i = (i + 1) & mask) {
        struct key_set *slot = &x->slots[i];

        if (((i - slot->hash) & mask) < ((i - set.hash) & mask)) {
            struct key_set moved = *slot;

            *slot = set;
            set = moved;
        }
    }
    x->slots[i] = set;
}

static void rebuild(struct key_index *x, uint32_t capacity)
{
    struct key_index resized = {
        .slots = memory_alloc_table(capacity, sizeof(struct key_set)),
        .capacity = capacity,
        .used = x->used,
    };

    for (uint32_t i = 0; i < x->capacity; i++) {
        if (x->slots[i].count != 0)
            place(&resized, x->slots[i]);
    }
    free(x->slots);
    *x = resized;
}

/* Up to four fifths full: a look-up then reads a few neighbours in one or two lines. */
static bool is_full(const struct key_index *x)
{
    return (uint64_t)(x->used + 1) * 5 > (uint64_t)x->capacity * 4;
}

void key_index_add_set(struct key_index *x, const struct key_set *set, uint32_t hash)
{
    struct key_set placed = *set;

    assert(set->count != 0);
    if (is_full(x))
        rebuild(x, x->capacity != 0 ? 2 * x->capacity : KEY_INDEX_MIN_CAPACITY);
    placed.hash = hash;
    place(x, placed);
    x->used++;
}

void key_index_add(struct key_index *x, struct key_link *link, uint32_t hash, key_same same,
                   const void *key)
{
    struct key_set *found = key_index_find(x, hash, same, key);
    struct key_set alone = {.count = 0};

    if (found != NULL) {
        key_set_add(found, link);
        return;
    }
    key_set_add(&alone, link);
    key_index_add_set(x, &alone, hash);
}

/* Empties a slot and moves up those behind it that are not at home, so that no marks of the deleted
 * are needed. */
static void vacate(struct key_index *x, uint32_t hole)
{
    uint32_t mask = x->capacity - 1;

    for (uint32_t i = (hole + 1) & mask;
         x->slots[i].count != 0 && ((i - x->slots[i].hash) & mask) != 0; i = (i + 1) & mask) {
        x->slots[hole] = x->slots[i];
        hole = i;
    }
    x->slots[hole] = (struct key_set){.count = 0};
    x->used--;
}

bool key_index_remove(struct key_index *x, struct key_set *found, struct key_link *link)
{
    key_set_remove(found, link);
    if (found->count != 0)
        return false;
    vacate(x, (uint32_t)(found - x->slots));
    if (x->used == 0) {
        free(x->slots);
        *x = (struct key_index){.slots = NULL};
    } else if (x->capacity > KEY_INDEX_MIN_CAPACITY && x->used < x->capacity / 8) {
        rebuild(x, x->capacity / 2);
    }
    return true;
}
