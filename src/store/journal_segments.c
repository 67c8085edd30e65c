#include "store/journal_internal.h"

#include "base/memory.h"

#include <assert.h>

static uint64_t hash_of(uint32_t number)
{
    return number * UINT64_C(0x9e3779b97f4a7c15);
}

static bool has_number(const struct hash_node *node, const void *key)
{
    const uint32_t *number = key;

    return container_of(node, const struct journal_segment, by_number)->id.number == *number;
}

struct journal_segment *journal_segment_add(struct journal *j, struct segment_id id)
{
    struct journal_segment *s = memory_alloc_zeroed(1, sizeof(*s));

    s->id = id;
    list_init(&s->states);
    list_node_init(&s->in_work);
    list_append(&j->segments, &s->in_all);
    hash_map_insert(&j->by_number, &s->by_number, hash_of(id.number));
    j->last_found = s;
    return s;
}

struct journal_segment *journal_segment_find(struct journal *j, uint32_t number)
{
    struct hash_node *n;

    if (j->last_found != NULL && j->last_found->id.number == number)
        return j->last_found;
    n = hash_map_find(&j->by_number, hash_of(number), has_number, &number);
    if (n == NULL)
        return NULL;
    j->last_found = container_of(n, struct journal_segment, by_number);
    return j->last_found;
}

static void forget(struct journal *j, struct journal_segment *s)
{
    list_for_each_safe(&s->states, n) {
        container_of(n, struct journal_queue, in_segment)->state_segment = 0;
        list_remove(n);
    }
    shared_bodies_free(&s->shared);
    list_remove(&s->in_all);
    list_remove(&s->in_work);
    hash_map_remove(&j->by_number, &s->by_number);
    if (j->last_found == s)
        j->last_found = NULL;
    free(s);
}

void journal_segment_drop(struct journal *j, struct journal_segment *s)
{
    journal_space_freed(j, s->size_bytes);
    journal_reader_remove(j, s->id, s->damaged);
    forget(j, s);
}

void journal_segments_free(struct journal *j)
{
    struct list_node *n;

    while ((n = list_first(&j->segments)) != NULL)
        forget(j, container_of(n, struct journal_segment, in_all));
    while (list_take_first(&j->dirty) != NULL) {
    }
    hash_map_clear(&j->by_number);
}

/* ---- What is live ---- */

void journal_hold(struct journal *j, struct store_location l)
{
    struct journal_segment *s = journal_segment_find(j, l.segment);

    assert(s != NULL);
    s->live_count++;
    s->live_weight += location_weight(l);
    s->weight += location_weight(l);
}

void journal_hold_more(struct journal *j, struct store_location l)
{
    struct journal_segment *s = journal_segment_find(j, l.segment);

    assert(s != NULL && s->live_count != 0);
    s->live_count++;
    shared_bodies_add(&s->shared, location_offset(l), 1);
}

void journal_hold_found(struct journal *j, struct store_location l)
{
    struct journal_segment *s = journal_segment_find(j, l.segment);

    assert(s != NULL);
    s->live_count++;
    if (!s->shares || shared_bodies_add(&s->shared, location_offset(l), 0) == 1)
        s->live_weight += location_weight(l);
}

void journal_release(struct journal *j, struct store_location l)
{
    struct journal_segment *s;

    if (store_location_is_none(l))
        return;
    s = journal_segment_find(j, l.segment);
    assert(s != NULL && s->live_count != 0);
    s->live_count--;
    if (shared_bodies_remove(&s->shared, location_offset(l)) == 0)
        s->live_weight -= location_weight(l);
    /* Perhaps nobody holds it any more: nobody more can. */
    if (l.segment == j->last_location.segment && l.offset == j->last_location.offset)
        j->last_message_of = NULL;
    journal_segment_consider(j, s);
}

uint64_t journal_segment_live_bytes(const struct journal_segment *s)
{
    if (s->weight == 0)
        return 0;
    if (s->live_weight >= s->weight)
        return s->size_bytes;
    return (uint64_t)((double)s->size_bytes * (double)s->live_weight / (double)s->weight);
}

void journal_segment_consider(struct journal *j, struct journal_segment *s)
{
    if (!s->sealed || s->freeing || s == j->compaction.segment)
        return;
    if (s->live_count == 0) {
        list_remove(&s->in_work);
        list_append(&j->to_free, &s->in_work);
        return;
    }
    if (s->compacted || j->options.is_live == NULL || list_linked(&s->in_work))
        return;
    if (s->damaged || s->live_weight * 100 < s->weight * j->options.compact_below_percent)
        list_append(&j->sparse, &s->in_work);
}

/* ---- Freeing ----
 *
 * A sealed segment without live messages is needed for two things only: the newest state records in
 * it, and the settled records of queues that have no newer state record. Of the latter there are
 * none: when a segment is full, every queue with settled records since its newest state record gets
 * one in the next segment. The former are appended again. The segment is deleted once all that is
 * synced, so whatever a crash leaves has either the segment or what replaces it. */

void journal_free_begin(struct journal *j)
{
    struct list_node *n;

    while ((n = list_take_first(&j->to_free)) != NULL) {
        struct journal_segment *s = container_of(n, struct journal_segment, in_work);

        s->freeing = true;
        while ((n = list_first(&s->states)) != NULL)
            journal_append_state(j, container_of(n, struct journal_queue, in_segment));
        journal_append_freed(j, s->id.number);
        s->free_mark = j->appended;
        list_append(&j->freeing, &s->in_work);
        if (j->options.sync == JOURNAL_SYNC_NEVER || j->short_of_space)
            j->gather->force_sync = true;
    }
}

void journal_free_finish(struct journal *j)
{
    struct list_node *n;

    while ((n = list_first(&j->freeing)) != NULL) {
        struct journal_segment *s = container_of(n, struct journal_segment, in_work);

        if (s->free_mark > j->synced)
            return;
        journal_segment_drop(j, s);
    }
}

/* ---- Failure ---- */

/* Where a segment of this run surely ends. */
static uint64_t sure_end(const struct journal *j, const struct journal_segment *s)
{
    if (j->options.sync != JOURNAL_SYNC_ALWAYS)
        return s->durable_bytes;
    if (s->id.number == j->synced_segment.number)
        return j->synced_offset;
    return s->id.number < j->synced_segment.number ? s->size_bytes : 0;
}

void journal_segments_failed(struct journal *j)
{
    struct list_node *n;

    while ((n = list_take_first(&j->freeing)) != NULL) {
        struct journal_segment *s = container_of(n, struct journal_segment, in_work);

        s->freeing = false;
        list_append(&j->to_free, n);
    }
    list_for_each(&j->segments, node) {
        struct journal_segment *s = container_of(node, struct journal_segment, in_all);

        if (s->id.number <= j->adopted_number || s->id.number < j->synced_segment.number)
            continue;
        s->size_bytes = sure_end(j, s);
        s->durable_bytes = s->size_bytes;
        s->sealed = true;
        list_for_each(&s->states, state) {
            struct journal_queue *q = container_of(state, struct journal_queue, in_segment);

            if (!list_linked(&q->dirty))
                list_append(&j->dirty, &q->dirty);
        }
    }
}
