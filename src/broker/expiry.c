#include "broker/expiry.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 8u
#define RUN_COUNT_MAX ((1u << 23) - 1)

/* An array that has become empty is freed above this capacity. */
#define KEPT_CAPACITY 32u

/* Runs that are gone and not looked for. */
#define GONE_RUNS_MAX 64u

static_assert(sizeof(struct expiry_run) == 16, "the cost of a message that expires");

/* By half, so that never more than a third of the memory is idle. */
static uint32_t grown(uint32_t capacity)
{
    return capacity != 0 ? capacity + capacity / 2 : FIRST_CAPACITY;
}

/* ---- Runs ---- */

static struct expiry_run *run_at(const struct expiry_runs *r, uint32_t i)
{
    return &r->items[r->front + i];
}

void expiry_runs_clear(struct expiry_runs *r)
{
    free(r->items);
    *r = (struct expiry_runs){.items = NULL};
}

static void slide(struct expiry_runs *r)
{
    memmove(r->items, run_at(r, 0), r->count * sizeof(*r->items));
    r->front = 0;
}

static void make_room(struct expiry_runs *r)
{
    if (r->front + r->count < r->capacity)
        return;
    if (r->front > r->capacity / 4) {
        slide(r);
        return;
    }
    r->capacity = grown(r->capacity);
    r->items = memory_resize(r->items, r->capacity, sizeof(*r->items));
}

static bool continues(const struct expiry_run *run, uint64_t sequence, uint64_t code)
{
    return !run->out_of_order && run->code == code && run->count != 0 &&
           run->count < RUN_COUNT_MAX && run->sequence + run->count == sequence;
}

bool expiry_runs_add(struct expiry_runs *r, uint64_t sequence, uint64_t code)
{
    bool out_of_order = r->count != 0 && code < r->latest;
    struct expiry_run *run;

    if (r->count != 0 && continues(run_at(r, r->count - 1), sequence, code)) {
        run = run_at(r, r->count - 1);
        run->count = (run->count + 1u) & RUN_COUNT_MAX;
        return false;
    }
    make_room(r);
    run = run_at(r, r->count++);
    *run = (struct expiry_run){.sequence = sequence,
                               .code = code & EXPIRY_CODE_MAX,
                               .count = 1,
                               .out_of_order = out_of_order};
    if (out_of_order) {
        r->out_of_order++;
        if (r->next == r->count - 1)
            r->next++;
    } else {
        r->latest = code;
    }
    return out_of_order;
}

/* Goes on to the first run that is in order and not gone. */
static void settle_next(struct expiry_runs *r)
{
    while (r->next < r->count &&
           (run_at(r, r->next)->count == 0 || run_at(r, r->next)->out_of_order))
        r->next++;
}

static void pop_front(struct expiry_runs *r)
{
    const struct expiry_run *run = run_at(r, 0);

    if (run->count == 0)
        r->gone--;
    else if (run->out_of_order)
        r->out_of_order--;
    r->front++;
    r->count--;
    if (r->next != 0)
        r->next--;
    else
        settle_next(r);
}

static void are_empty(struct expiry_runs *r)
{
    if (r->capacity > KEPT_CAPACITY)
        expiry_runs_clear(r);
    r->front = 0;
    r->next = 0;
}

uint64_t expiry_runs_at_head(struct expiry_runs *r, uint64_t sequence)
{
    struct expiry_run *run;

    while (r->count != 0 && run_at(r, 0)->sequence + run_at(r, 0)->count <= sequence)
        pop_front(r);
    if (r->count == 0) {
        are_empty(r);
        return 0;
    }
    run = run_at(r, 0);
    if (run->sequence > sequence)
        return 0;
    run->count = (run->count - (sequence - run->sequence)) & RUN_COUNT_MAX;
    run->sequence = sequence;
    return run->code;
}

const struct expiry_run *expiry_runs_next(const struct expiry_runs *r)
{
    return r->next < r->count ? run_at(r, r->next) : NULL;
}

/* Forgets the runs that are gone when they are most: what expired behind one that stays. */
static void sweep(struct expiry_runs *r)
{
    uint32_t next = r->next;
    uint32_t kept = 0;

    if (r->gone < GONE_RUNS_MAX || r->gone < r->count / 2)
        return;
    for (uint32_t i = 0; i < r->count; i++) {
        if (i == next)
            r->next = kept;
        if (run_at(r, i)->count != 0)
            *run_at(r, kept++) = *run_at(r, i);
    }
    if (next >= r->count)
        r->next = kept;
    r->count = kept;
    r->gone = 0;
}

static void mark_gone(struct expiry_runs *r, struct expiry_run *run)
{
    run->count = 0;
    r->gone++;
    settle_next(r);
    sweep(r);
}

void expiry_runs_drop_next(struct expiry_runs *r)
{
    struct expiry_run *run = run_at(r, r->next);

    if (run->count == 1) {
        mark_gone(r, run);
        return;
    }
    run->sequence++;
    run->count = (run->count - 1u) & RUN_COUNT_MAX;
}

/* The first run that does not begin before `sequence`; `count` when all do. */
static uint32_t find(const struct expiry_runs *r, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = r->count;
    uint64_t guess;

    /* Where each message is a run, the place is the difference. */
    guess = r->count != 0 ? sequence - run_at(r, 0)->sequence : 0;
    if (guess < r->count && run_at(r, (uint32_t)guess)->sequence == sequence)
        return (uint32_t)guess;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (run_at(r, middle)->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void expiry_runs_drop(struct expiry_runs *r, uint64_t sequence)
{
    uint32_t at = find(r, sequence);
    struct expiry_run *run;

    if (at == r->count)
        return;
    run = run_at(r, at);
    if (run->sequence != sequence || !run->out_of_order || run->count == 0)
        return;
    r->out_of_order--;
    mark_gone(r, run);
}

/* ---- The heap ---- */

void expiry_heap_clear(struct expiry_heap *h)
{
    free(h->items);
    *h = (struct expiry_heap){.items = NULL};
}

void expiry_heap_add(struct expiry_heap *h, uint64_t sequence, uint64_t code)
{
    const struct expiry_run added = {
        .sequence = sequence, .code = code & EXPIRY_CODE_MAX, .count = 1};
    uint32_t hole;

    if (h->count == h->capacity) {
        h->capacity = grown(h->capacity);
        h->items = memory_resize(h->items, h->capacity, sizeof(*h->items));
    }
    hole = h->count++;
    while (hole != 0 && expiry_run_before(&added, &h->items[(hole - 1) / 2])) {
        h->items[hole] = h->items[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    h->items[hole] = added;
}

/* Moves the hole down until `last` may fill it. */
static void sift_down(struct expiry_heap *h, uint32_t hole, struct expiry_run last)
{
    for (;;) {
        uint32_t child = 2 * hole + 1;

        if (child >= h->count)
            break;
        if (child + 1 < h->count && expiry_run_before(&h->items[child + 1], &h->items[child]))
            child++;
        if (!expiry_run_before(&h->items[child], &last))
            break;
        h->items[hole] = h->items[child];
        hole = child;
    }
    h->items[hole] = last;
}

static void shrink(struct expiry_heap *h)
{
    if (h->count == 0) {
        expiry_heap_clear(h);
    } else if (h->count < h->capacity / 4 && h->capacity > FIRST_CAPACITY) {
        h->capacity /= 2;
        h->items = memory_resize(h->items, h->capacity, sizeof(*h->items));
    }
}

void expiry_heap_drop_first(struct expiry_heap *h)
{
    h->count--;
    if (h->count != 0)
        sift_down(h, 0, h->items[h->count]);
    shrink(h);
}

static int compare(const void *a, const void *b)
{
    if (expiry_run_before(a, b))
        return -1;
    return expiry_run_before(b, a);
}

void expiry_heap_filter(struct expiry_heap *h,
                        bool (*is_needed)(void *context, const struct expiry_run *run),
                        void *context)
{
    uint32_t kept = 0;

    /* In order, which makes a heap too, so that what is there twice can be seen. */
    if (h->count != 0)
        qsort(h->items, h->count, sizeof(*h->items), compare);
    for (uint32_t i = 0; i < h->count; i++) {
        uint64_t sequence = h->items[i].sequence;

        if ((kept == 0 || h->items[kept - 1].sequence != sequence) &&
            is_needed(context, &h->items[i]))
            h->items[kept++] = h->items[i];
    }
    h->count = kept;
    shrink(h);
}
