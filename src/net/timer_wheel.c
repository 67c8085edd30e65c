#include "net/timer_wheel.h"

#include <limits.h>

#define SLOT_BITS 6
#define SLOT_MASK (TIMER_WHEEL_SLOTS - 1)
#define WHEEL_SPAN_BITS (SLOT_BITS * TIMER_WHEEL_LEVELS)

void timer_wheel_init(struct timer_wheel *w, int64_t now_ms)
{
    w->now_ms = now_ms;
    w->present_ms = now_ms;
    for (int level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        w->occupied[level] = 0;
        for (int slot = 0; slot < TIMER_WHEEL_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
    }
}

void timer_init(struct timer *t, void (*on_due)(struct timer *t))
{
    list_node_init(&t->node);
    t->due_ms = 0;
    t->slot = 0;
    t->on_due = on_due;
}

/* A timer sits at the level of the highest group of six bits in which its due time differs from
 * now: every timer of a level comes before those of the levels above. */
static int level_of(int64_t now_ms, int64_t due_ms)
{
    uint64_t different = (uint64_t)(now_ms ^ due_ms);

    if (different == 0)
        return 0;
    return (63 - __builtin_clzll(different)) / SLOT_BITS;
}

static void link_timer(struct timer_wheel *w, struct timer *t)
{
    int level = level_of(w->now_ms, t->due_ms);
    int slot = (int)(((uint64_t)t->due_ms >> (level * SLOT_BITS)) & SLOT_MASK);

    t->slot = (uint16_t)(level * TIMER_WHEEL_SLOTS + slot);
    list_append(&w->slots[level][slot], &t->node);
    w->occupied[level] |= UINT64_C(1) << slot;
}

void timer_set(struct timer_wheel *w, struct timer *t, int64_t due_ms)
{
    const int64_t horizon_ms = (INT64_C(1) << (WHEEL_SPAN_BITS - 1)) - 1;

    timer_cancel(w, t);
    if (due_ms <= w->present_ms)
        due_ms = w->present_ms + 1;
    if (due_ms > w->now_ms + horizon_ms)
        due_ms = w->now_ms + horizon_ms;
    if (level_of(w->now_ms, due_ms) >= TIMER_WHEEL_LEVELS)
        due_ms = w->now_ms | (horizon_ms >> 1);
    t->due_ms = due_ms;
    link_timer(w, t);
}

static void forget_if_empty(struct timer_wheel *w, int level, int slot)
{
    if (list_empty(&w->slots[level][slot]))
        w->occupied[level] &= ~(UINT64_C(1) << slot);
}

void timer_cancel(struct timer_wheel *w, struct timer *t)
{
    if (!timer_is_set(t))
        return;
    list_remove(&t->node);
    forget_if_empty(w, t->slot / TIMER_WHEEL_SLOTS, t->slot % TIMER_WHEEL_SLOTS);
}

/* The first occupied slot and the time at which it begins. */
static bool next_slot(const struct timer_wheel *w, int *level, int *slot, int64_t *begins_ms)
{
    for (int l = 0; l < TIMER_WHEEL_LEVELS; l++) {
        uint64_t above;

        if (w->occupied[l] == 0)
            continue;
        above = ((uint64_t)w->now_ms >> ((l + 1) * SLOT_BITS)) << ((l + 1) * SLOT_BITS);
        *level = l;
        *slot = __builtin_ctzll(w->occupied[l]);
        *begins_ms = (int64_t)(above | (uint64_t)*slot << (l * SLOT_BITS));
        return true;
    }
    return false;
}

/* Fires the timers of a slot of the lowest level, spreads those of a higher one over the levels
 * below it. Timers set meanwhile are due later and so go elsewhere. */
static void turn_slot(struct timer_wheel *w, int level, int slot)
{
    struct list due;
    struct list_node *node;

    list_init(&due);
    list_splice(&due, &w->slots[level][slot]);
    w->occupied[level] &= ~(UINT64_C(1) << slot);
    while ((node = list_take_first(&due)) != NULL) {
        struct timer *t = container_of(node, struct timer, node);

        if (t->due_ms <= w->now_ms)
            t->on_due(t);
        else
            link_timer(w, t);
    }
}

void timer_wheel_advance(struct timer_wheel *w, int64_t now_ms)
{
    int level;
    int slot;
    int64_t begins_ms;

    if (now_ms > w->present_ms)
        w->present_ms = now_ms;
    while (next_slot(w, &level, &slot, &begins_ms) && begins_ms <= now_ms) {
        w->now_ms = begins_ms;
        turn_slot(w, level, slot);
    }
    if (now_ms > w->now_ms)
        w->now_ms = now_ms;
}

int timer_wheel_timeout_ms(const struct timer_wheel *w, int64_t now_ms)
{
    int level;
    int slot;
    int64_t begins_ms;

    if (!next_slot(w, &level, &slot, &begins_ms))
        return -1;
    if (begins_ms <= now_ms)
        return 0;
    return begins_ms - now_ms > INT_MAX ? INT_MAX : (int)(begins_ms - now_ms);
}
