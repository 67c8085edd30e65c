#include "broker/delivery_deadlines.h"

/* Beside the code of a deadline: its time is in the heap. */
#define IN_HEAP (UINT64_C(1) << 63)

/* Times in the heap that stand for nothing any more, beyond as many as there are deliveries. */
#define HEAP_SPARE 64u

static uint64_t code_of(uint64_t deadline)
{
    return deadline & ~IN_HEAP;
}

static bool is_settled(const struct unacked *u, uint32_t distance)
{
    return unacked_is_settled(unacked_at(u, distance));
}

/* Where the delivery of a time in the heap is; `span` when the time stands for nothing any more. */
static uint32_t find(const struct unacked *u, const struct expiry_run *time)
{
    uint32_t distance = unacked_find(u, time->sequence);

    if (distance == u->span || unacked_at(u, distance)->number != time->sequence ||
        is_settled(u, distance) || *unacked_deadline_at(u, distance) != (time->code | IN_HEAP))
        return u->span;
    return distance;
}

static bool is_needed(void *context, const struct expiry_run *time)
{
    const struct unacked *u = context;

    return find(u, time) != u->span;
}

static void add_to_heap(struct delivery_deadlines *d, struct unacked *u, uint64_t number,
                        uint64_t code)
{
    if (d->heap.count == d->heap.capacity && d->heap.count >= 2 * u->count + HEAP_SPARE)
        expiry_heap_filter(&d->heap, is_needed, u);
    expiry_heap_add(&d->heap, number, code);
}

void delivery_deadlines_add(struct delivery_deadlines *d, struct unacked *u, int64_t due_ms)
{
    uint64_t code = expiry_encode(due_ms);
    uint32_t distance = u->span - 1;

    unacked_need_deadlines(u);
    if (u->count == 1)
        d->latest = 0;
    if (code >= d->latest) {
        d->latest = code;
        *unacked_deadline_at(u, distance) = code;
        return;
    }
    *unacked_deadline_at(u, distance) = code | IN_HEAP;
    add_to_heap(d, u, unacked_at(u, distance)->number, code);
}

/* All get the same time: they are in order then. */
static uint32_t move_all(struct delivery_deadlines *d, struct unacked *u, uint64_t code)
{
    for (uint32_t i = 0; i < u->span; i++) {
        uint64_t *deadline = unacked_deadline_at(u, i);

        if (*deadline == 0 || is_settled(u, i))
            continue;
        *deadline = code;
        d->latest = code;
    }
    expiry_heap_clear(&d->heap);
    d->next = 0;
    return u->count;
}

static void move_one(struct delivery_deadlines *d, struct unacked *u, uint32_t distance,
                     uint64_t code)
{
    uint64_t *deadline = unacked_deadline_at(u, distance);

    if (*deadline == 0 || *deadline == (code | IN_HEAP))
        return;
    *deadline = code | IN_HEAP;
    add_to_heap(d, u, unacked_at(u, distance)->number, code);
}

static uint32_t count_unsettled(const struct unacked *u, uint64_t first, uint64_t last)
{
    uint32_t count = 0;

    for (uint32_t i = unacked_find(u, first); i < u->span && unacked_at(u, i)->number <= last; i++)
        count += !is_settled(u, i);
    return count;
}

uint32_t delivery_deadlines_move(struct delivery_deadlines *d, struct unacked *u, uint64_t first,
                                 uint64_t last, int64_t due_ms)
{
    uint64_t code = expiry_encode(due_ms);
    uint32_t moved = 0;

    if (u->count == 0)
        return 0;
    if (u->deadlines == NULL)
        return count_unsettled(u, first, last);
    if (first <= unacked_at(u, 0)->number && last >= u->next_number - 1)
        return move_all(d, u, code);
    for (uint32_t i = unacked_find(u, first); i < u->span && unacked_at(u, i)->number <= last;
         i++) {
        if (is_settled(u, i))
            continue;
        move_one(d, u, i, code);
        moved++;
    }
    return moved;
}

/* Goes on to the first one in order that is not settled; `span` when there is none. */
static uint32_t first_in_order(struct delivery_deadlines *d, const struct unacked *u)
{
    uint32_t distance = unacked_find(u, d->next);

    while (distance < u->span) {
        uint64_t deadline = *unacked_deadline_at(u, distance);

        if (!is_settled(u, distance) && deadline != 0 && (deadline & IN_HEAP) == 0)
            break;
        distance++;
    }
    d->next = distance < u->span ? unacked_at(u, distance)->number : u->next_number;
    return distance;
}

/* The same for the heap. */
static uint32_t first_of_heap(struct delivery_deadlines *d, const struct unacked *u)
{
    while (d->heap.count != 0) {
        uint32_t distance = find(u, &d->heap.items[0]);

        if (distance != u->span)
            return distance;
        expiry_heap_drop_first(&d->heap);
    }
    return u->span;
}

int64_t delivery_deadlines_first(struct delivery_deadlines *d, const struct unacked *u,
                                 uint32_t *distance)
{
    uint32_t in_order;
    uint32_t moved;

    if (u->deadlines == NULL || u->count == 0)
        return EXPIRY_NEVER;
    in_order = first_in_order(d, u);
    moved = first_of_heap(d, u);
    *distance = in_order;
    if (moved != u->span && (in_order == u->span || code_of(*unacked_deadline_at(u, moved)) <
                                                        *unacked_deadline_at(u, in_order)))
        *distance = moved;
    if (*distance == u->span)
        return EXPIRY_NEVER;
    return expiry_decode(code_of(*unacked_deadline_at(u, *distance)));
}

void delivery_deadlines_tidy(struct delivery_deadlines *d, const struct unacked *u)
{
    if (d->heap.count == 0)
        return;
    if (u->count == 0)
        expiry_heap_clear(&d->heap);
    else if (d->heap.count > 2 * u->count + HEAP_SPARE)
        expiry_heap_filter(&d->heap, is_needed, (void *)(uintptr_t)u);
}

void delivery_deadlines_free(struct delivery_deadlines *d)
{
    expiry_heap_clear(&d->heap);
}
