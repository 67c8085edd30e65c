#include "broker/delivery_ages.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 2u

/* More marks are not kept, they are thinned out. */
#define MOST_MARKS 64u

/* The mark that stands for a delivery; the first one for those before it as well. */
static uint32_t find(const struct delivery_ages *a, uint64_t number)
{
    uint32_t at = 0;

    while (at + 1 < a->count && a->items[at + 1].number <= number)
        at++;
    return at;
}

/* Forgets the marks of what is settled. */
static void drop_settled(struct delivery_ages *a, uint64_t oldest)
{
    uint32_t settled = find(a, oldest);

    if (settled == 0)
        return;
    a->count -= settled;
    memmove(a->items, a->items + settled, a->count * sizeof(*a->items));
}

/* Two marks become one that stands for the deliveries of both. */
static void thin_out(struct delivery_ages *a)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < a->count; i += 2) {
        a->items[kept].number = a->items[i].number;
        a->items[kept++].until_ms = a->items[i + 1 < a->count ? i + 1 : i].until_ms;
    }
    a->count = kept;
}

static void make_room(struct delivery_ages *a)
{
    if (a->count < a->capacity)
        return;
    if (a->count == MOST_MARKS) {
        thin_out(a);
        return;
    }
    a->capacity = a->capacity != 0 ? 2 * a->capacity : FIRST_CAPACITY;
    a->items = memory_resize(a->items, a->capacity, sizeof(*a->items));
}

void delivery_ages_note(struct delivery_ages *a, uint64_t number, uint64_t oldest, int64_t now_ms,
                        int64_t step_ms)
{
    drop_settled(a, oldest);
    make_room(a);
    a->next_ms = now_ms + step_ms;
    a->items[a->count++] = (struct delivery_age){.number = number, .until_ms = a->next_ms};
}

int64_t delivery_ages_until(const struct delivery_ages *a, uint64_t number)
{
    return a->items[find(a, number)].until_ms;
}

uint64_t delivery_ages_made_by(const struct delivery_ages *a, int64_t time_ms)
{
    uint32_t made = 0;

    while (made < a->count && a->items[made].until_ms <= time_ms)
        made++;
    if (made == 0)
        return 0;
    return made < a->count ? a->items[made].number : UINT64_MAX;
}

void delivery_ages_begin_anew(struct delivery_ages *a, int64_t now_ms)
{
    for (uint32_t i = a->count; i-- != 0 && a->items[i].until_ms > now_ms;)
        a->items[i].until_ms = now_ms;
    a->next_ms = INT64_MIN;
}

void delivery_ages_forget(struct delivery_ages *a)
{
    a->count = 0;
    a->next_ms = INT64_MIN;
}

void delivery_ages_free(struct delivery_ages *a)
{
    free(a->items);
    *a = (struct delivery_ages){.items = NULL};
}
