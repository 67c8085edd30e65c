#include "broker/unacked.h"

#include "base/memory.h"

#define FIRST_CAPACITY 16u

/* A ring that has become empty is freed above this capacity. */
#define KEPT_CAPACITY 1024u

/* A ring with more slots than this is compacted when three of four are settled. */
#define SPARSE_SPAN 64u

void unacked_init(struct unacked *u)
{
    *u = (struct unacked){.next_number = 1};
}

void unacked_free(struct unacked *u)
{
    assert(u->count == 0);
    free(u->slots);
    free(u->deadlines);
    free(u->pages);
    u->slots = NULL;
    u->deadlines = NULL;
    u->pages = NULL;
    u->capacity = 0;
}

/* The deadlines of a ring that grows, in their new places. */
static uint64_t *grown_deadlines(const struct unacked *u, uint32_t capacity)
{
    uint64_t *deadlines = memory_resize(NULL, capacity, sizeof(*deadlines));

    for (uint32_t i = 0; i < u->span; i++)
        deadlines[i] = *unacked_deadline_at(u, i);
    return deadlines;
}

static void grow(struct unacked *u)
{
    uint32_t capacity = u->capacity != 0 ? 2 * u->capacity : FIRST_CAPACITY;
    struct unacked_slot *slots = memory_resize(NULL, capacity, sizeof(*slots));

    for (uint32_t i = 0; i < u->span; i++)
        slots[i] = *unacked_at(u, i);
    if (u->deadlines != NULL) {
        uint64_t *deadlines = grown_deadlines(u, capacity);

        free(u->deadlines);
        u->deadlines = deadlines;
    }
    free(u->slots);
    u->slots = slots;
    u->capacity = capacity;
    u->first = 0;
}

/* Closes the gaps that settled slots left. */
static void compact(struct unacked *u)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < u->span; i++) {
        const struct unacked_slot *slot = unacked_at(u, i);

        if (unacked_is_settled(slot))
            continue;
        if (u->deadlines != NULL)
            *unacked_deadline_at(u, kept) = *unacked_deadline_at(u, i);
        *unacked_at(u, kept++) = *slot;
    }
    u->span = kept;
}

void unacked_need_deadlines(struct unacked *u)
{
    if (u->deadlines == NULL)
        u->deadlines = memory_alloc_zeroed(u->capacity, sizeof(*u->deadlines));
}

uint64_t unacked_add(struct unacked *u, const struct entry *entry)
{
    struct unacked_slot *slot;

    if (u->span == u->capacity) {
        if (u->count > u->capacity / 2 || u->capacity == 0)
            grow(u);
        else
            compact(u);
    }
    slot = unacked_at(u, u->span);
    slot->entry = *entry;
    slot->number = u->next_number;
    if (u->deadlines != NULL)
        *unacked_deadline_at(u, u->span) = 0;
    u->span++;
    u->count++;
    return u->next_number++;
}

uint32_t unacked_find(const struct unacked *u, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = u->span;
    uint64_t oldest;

    if (u->span == 0)
        return 0;
    oldest = unacked_at(u, 0)->number;
    if (number <= oldest)
        return 0;
    /* Without gaps in the numbers, the common case, the distance is the difference. */
    if (number - oldest < u->span && unacked_at(u, (uint32_t)(number - oldest))->number == number)
        return (uint32_t)(number - oldest);

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (unacked_at(u, middle)->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void reset(struct unacked *u)
{
    u->first = 0;
    u->span = 0;
    free(u->pages);
    u->pages = NULL;
    if (u->capacity > KEPT_CAPACITY)
        unacked_free(u);
}

void unacked_tidy(struct unacked *u)
{
    if (u->count == 0) {
        reset(u);
        return;
    }
    while (unacked_is_settled(unacked_at(u, 0))) {
        u->first = (u->first + 1) & (u->capacity - 1);
        u->span--;
    }
    if (u->span > SPARSE_SPAN && u->count < u->span / 4)
        compact(u);
}

/* ---- Paging ---- */

struct unacked_slot *unacked_next_to_page(struct unacked *u)
{
    if (u->pages == NULL)
        u->pages = memory_alloc_zeroed(1, sizeof(*u->pages));
    for (uint32_t at = unacked_find(u, u->pages->next); at < u->span; at++) {
        struct unacked_slot *slot = unacked_at(u, at);

        if (!unacked_is_settled(slot)) {
            u->pages->next = slot->number;
            return slot;
        }
    }
    u->pages->next = u->next_number;
    return NULL;
}

struct message *unacked_page(struct unacked *u, struct unacked_slot *slot)
{
    struct message *m = slot->entry.message;

    slot->entry.message = NULL;
    u->pages->next = slot->number + 1;
    u->pages->bytes += m->body_size;
    u->pages->count++;
    return m;
}

uint32_t unacked_forget_paged(struct unacked *u)
{
    uint32_t average = (uint32_t)(u->pages->bytes / u->pages->count);

    u->pages->bytes -= average;
    u->pages->count--;
    return average;
}
