#include "session/confirms.h"

#include "base/memory.h"

#include <stdlib.h>

#define CONFIRMS_MIN_CAPACITY 64u
/* A ring up to this size is kept while nothing waits. */
#define CONFIRMS_KEPT_CAPACITY 4096u

struct confirm_slot {
    uint32_t pending;
    bool refused;
    bool told;
};

void confirms_init(struct confirms *c)
{
    *c = (struct confirms){.ring = NULL, .first = 1, .last = 0};
}

void confirms_free(struct confirms *c)
{
    free(c->ring);
    free(c->early);
    confirms_init(c);
}

static struct confirm_slot *slot(const struct confirms *c, uint64_t number)
{
    return &c->ring[number & (c->capacity - 1)];
}

static void grow(struct confirms *c)
{
    uint32_t capacity = c->capacity != 0 ? 2 * c->capacity : CONFIRMS_MIN_CAPACITY;
    struct confirm_slot *ring = memory_alloc(capacity * sizeof(*ring));

    for (uint64_t n = c->first; c->capacity != 0 && n <= c->last; n++)
        ring[n & (capacity - 1)] = *slot(c, n);
    free(c->ring);
    c->ring = ring;
    c->capacity = capacity;
}

static void note_early(struct confirms *c, uint64_t number)
{
    if (c->early_count == c->early_capacity) {
        c->early_capacity = c->early_capacity != 0 ? 2 * c->early_capacity : CONFIRMS_MIN_CAPACITY;
        c->early = memory_resize(c->early, c->early_capacity, sizeof(*c->early));
    }
    c->early[c->early_count++] = number;
}

uint64_t confirms_add(struct confirms *c, uint32_t pending, bool refused)
{
    if (c->last + 1 - c->first == c->capacity)
        grow(c);
    c->last++;
    *slot(c, c->last) = (struct confirm_slot){.pending = pending, .refused = refused};
    if (pending != 0)
        c->waiting++;
    else if (c->waiting != 0)
        note_early(c, c->last);
    return c->last;
}

void confirms_settle(struct confirms *c, uint64_t number, bool accepted)
{
    struct confirm_slot *s = slot(c, number);

    if (!accepted)
        s->refused = true;
    if (--s->pending != 0)
        return;
    c->waiting--;
    if (number != c->first)
        note_early(c, number);
}

bool confirms_reportable(const struct confirms *c)
{
    return c->early_count != 0 || (c->first <= c->last && slot(c, c->first)->pending == 0);
}

/* The run of settled numbers at the front: accepted ones together, refused ones singly. */
static void report_front(struct confirms *c,
                         void (*tell)(void *context, uint64_t number, bool multiple, bool accepted),
                         void *context)
{
    uint64_t accepted_first = 0;
    uint64_t accepted_last = 0;

    for (; c->first <= c->last && slot(c, c->first)->pending == 0; c->first++) {
        const struct confirm_slot *s = slot(c, c->first);

        if (s->told)
            continue;
        if (!s->refused) {
            if (accepted_first == 0)
                accepted_first = c->first;
            accepted_last = c->first;
            continue;
        }
        if (accepted_first != 0)
            tell(context, accepted_last, accepted_last != accepted_first, true);
        accepted_first = 0;
        tell(context, c->first, false, false);
    }
    if (accepted_first != 0)
        tell(context, accepted_last, accepted_last != accepted_first, true);
}

void confirms_report(struct confirms *c,
                     void (*tell)(void *context, uint64_t number, bool multiple, bool accepted),
                     void *context)
{
    report_front(c, tell, context);
    for (uint32_t i = 0; i < c->early_count; i++) {
        uint64_t number = c->early[i];

        if (number < c->first || slot(c, number)->told)
            continue;
        slot(c, number)->told = true;
        tell(context, number, false, !slot(c, number)->refused);
    }
    c->early_count = 0;
    if (c->first > c->last && c->capacity > CONFIRMS_KEPT_CAPACITY) {
        free(c->ring);
        c->ring = NULL;
        c->capacity = 0;
    }
}
