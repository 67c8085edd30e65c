#include "session/expired_tags.h"

#include "base/memory.h"
#include "session/channel.h"
#include "session/queue_home.h"
#include "session/shard.h"
#include "session/subscription.h"

#include <stdlib.h>
#include <string.h>

/* Fewer entries are not swept. */
#define SWEEP_MIN 64u

/* ---- Numbers ---- */

void number_runs_free(struct number_runs *r)
{
    free(r->items);
    *r = (struct number_runs){.items = NULL};
}

static void number_runs_add(struct number_runs *r, uint64_t first, uint64_t last)
{
    if (r->count != 0 && r->items[r->count - 1].last + 1 == first) {
        r->items[r->count - 1].last = last;
        return;
    }
    if (r->count == r->capacity) {
        r->capacity = r->capacity != 0 ? 2 * r->capacity : 4;
        r->items = memory_resize(r->items, r->capacity, sizeof(*r->items));
    }
    r->items[r->count++] = (struct number_run){.first = first, .last = last};
}

static int compare_runs(const void *a, const void *b)
{
    const struct number_run *x = a;
    const struct number_run *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

static int compare_number(const void *key, const void *run)
{
    uint64_t number = *(const uint64_t *)key;
    const struct number_run *r = run;

    return (number > r->last) - (number < r->first);
}

static bool number_runs_has(const struct number_runs *r, uint64_t number)
{
    return r->count != 0 &&
           bsearch(&number, r->items, r->count, sizeof(*r->items), compare_number) != NULL;
}

/* ---- Tags ---- */

static void forget_first(struct expired_tags *e)
{
    e->forgotten = e->runs[0].last;
    queue_handle_unref(e->runs[0].queue);
    e->count--;
    memmove(e->runs, e->runs + 1, e->count * sizeof(*e->runs));
}

/* The first run that ends at the tag or behind it; `count` when there is none. */
static uint32_t find(const struct expired_tags *e, uint64_t tag)
{
    uint32_t low = 0;
    uint32_t high = e->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (e->runs[middle].last < tag)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct expired_tags *e, uint32_t at, uint64_t tag, struct queue_handle *queue)
{
    if (e->count == e->capacity) {
        e->capacity = e->capacity != 0 ? 2 * e->capacity : 4;
        e->runs = memory_resize(e->runs, e->capacity, sizeof(*e->runs));
    }
    memmove(e->runs + at + 1, e->runs + at, (e->count - at) * sizeof(*e->runs));
    e->runs[at] = (struct expired_run){.first = tag, .last = tag, .queue = queue_handle_ref(queue)};
    e->count++;
}

static void remember(struct expired_tags *e, uint64_t tag, struct queue_handle *queue)
{
    uint32_t at;

    if (tag <= e->forgotten)
        return;
    at = find(e, tag);
    if (at != 0 && e->runs[at - 1].last + 1 == tag && e->runs[at - 1].queue == queue) {
        e->runs[at - 1].last = tag;
        return;
    }
    insert(e, at, tag, queue);
    if (e->count > EXPIRED_TAG_RUNS)
        forget_first(e);
}

bool expired_tags_has(const struct expired_tags *e, uint64_t tag)
{
    uint32_t at;

    if (tag == 0)
        return false;
    if (tag <= e->forgotten)
        return true;
    at = find(e, tag);
    return at != e->count && e->runs[at].first <= tag;
}

void expired_tags_count_late(struct channel *ch, uint64_t tag)
{
    const struct expired_tags *e = &ch->expired;

    if (tag > e->forgotten)
        queue_count_late_at_home(ch->shard, e->runs[find(e, tag)].queue, 1);
}

void expired_tags_free(struct expired_tags *e)
{
    for (uint32_t i = 0; i < e->count; i++)
        queue_handle_unref(e->runs[i].queue);
    free(e->runs);
    *e = (struct expired_tags){.runs = NULL};
}

/* ---- Sweeping ---- */

static void sort_numbers(struct channel *ch)
{
    list_for_each(&ch->subscriptions, node) {
        struct number_runs *r = &container_of(node, struct subscription, in_channel)->taken_back;

        if (r->count != 0)
            qsort(r->items, r->count, sizeof(*r->items), compare_runs);
    }
}

static void forget_numbers(struct channel *ch)
{
    list_for_each(&ch->subscriptions, node)
        number_runs_free(&container_of(node, struct subscription, in_channel)->taken_back);
}

static bool is_sweep_due(const struct channel *ch)
{
    return ch->expired.stale >= SWEEP_MIN && ch->expired.stale >= ch->unacked.count / 2;
}

/* Takes what went back out of the ring. */
static void sweep(struct channel *ch)
{
    uint64_t tag = delivery_tags_first(&ch->unacked);

    sort_numbers(ch);
    while (tag != 0) {
        const struct delivery_tag_entry *entry = delivery_tags_find(&ch->unacked, tag);
        struct subscription *s = entry->subscription;

        if (number_runs_has(&s->taken_back, entry->number)) {
            remember(&ch->expired, tag, s->queue);
            delivery_tags_remove(&ch->unacked, tag);
            subscription_settled(s, 1);
        }
        tag = delivery_tags_next(&ch->unacked, tag);
    }
    forget_numbers(ch);
    ch->expired.stale = 0;
}

void expired_tags_add(struct channel *ch, struct subscription *s, uint64_t first, uint64_t last)
{
    number_runs_add(&s->taken_back, first, last);
    ch->expired.stale += (uint32_t)(last - first + 1);
    if (is_sweep_due(ch))
        channel_touch(ch);
}

void expired_tags_tidy(struct channel *ch)
{
    if (ch->state == CHANNEL_OPEN && is_sweep_due(ch))
        sweep(ch);
}
