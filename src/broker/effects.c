#include "broker/effects.h"

#include "base/memory.h"

#define EFFECTS_FIRST_CAPACITY 64u

void effects_init(struct effects *e)
{
    *e = (struct effects){.items = NULL, .count = 0, .capacity = 0};
}

void effects_free(struct effects *e)
{
    free(e->items);
    effects_init(e);
}

struct effect *effects_add(struct effects *e, enum effect_type type, struct queue *q)
{
    struct effect *added;

    if (e->count == e->capacity) {
        e->capacity = e->capacity != 0 ? 2 * e->capacity : EFFECTS_FIRST_CAPACITY;
        e->items = memory_resize(e->items, e->capacity, sizeof(*e->items));
    }
    added = &e->items[e->count++];
    *added = (struct effect){.type = type, .queue = q};
    return added;
}
