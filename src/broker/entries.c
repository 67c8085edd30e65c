#include "broker/entries_internal.h"

#include "base/memory.h"

#include <threads.h>

/* Spare chunks a thread keeps, for its busy queues that run empty again and again. */
#define SPARE_CHUNKS_MAX 128u

#define RETURNED_FIRST_CAPACITY 8u

/* The array keeps up to this capacity when it has become empty. */
#define RETURNED_KEPT_CAPACITY 8u

struct chunk_cache {
    struct entry_chunk *first;
    uint32_t count;
    bool freed_at_exit; /* the thread's end frees the cache */
};

static thread_local struct chunk_cache chunk_cache;
static tss_t chunk_cache_key;
static once_flag chunk_cache_once = ONCE_FLAG_INIT;

static void chunk_cache_free(void *cache)
{
    struct chunk_cache *c = cache;

    while (c->first != NULL) {
        struct entry_chunk *chunk = c->first;

        c->first = chunk->next;
        free(chunk);
    }
    c->count = 0;
    c->freed_at_exit = false;
}

static void chunk_cache_create_key(void)
{
    /* Without a key the spare chunks of threads that end are lost, and nothing else. */
    (void)tss_create(&chunk_cache_key, chunk_cache_free);
}

static struct entry_chunk *chunk_alloc(void)
{
    struct chunk_cache *cache = &chunk_cache;
    struct entry_chunk *chunk = cache->first;

    if (chunk == NULL)
        return malloc(sizeof(*chunk) + CHUNK_SLOTS * sizeof(chunk->slots[0]));
    cache->first = chunk->next;
    cache->count--;
    return chunk;
}

void entries_free_chunk(struct entry_chunk *chunk)
{
    struct chunk_cache *cache = &chunk_cache;

    if (cache->count == SPARE_CHUNKS_MAX || chunk->end != CHUNK_SLOTS) {
        free(chunk);
        return;
    }
    if (!cache->freed_at_exit) {
        call_once(&chunk_cache_once, chunk_cache_create_key);
        (void)tss_set(chunk_cache_key, cache);
        cache->freed_at_exit = true;
    }
    chunk->next = cache->first;
    cache->first = chunk;
    cache->count++;
}

void entries_init(struct entries *e)
{
    *e = (struct entries){.next_sequence = 1, .returned_in_order = true};
}

bool entries_grow_tail(struct entries *e, uint64_t base)
{
    struct entry_chunk *chunk = chunk_alloc();

    if (chunk == NULL)
        return false;
    chunk->next = NULL;
    chunk->base = base;
    chunk->end = CHUNK_SLOTS;
    chunk->vacant = 0;
    if (e->tail != NULL) {
        e->tail->next = chunk;
    } else {
        e->head = chunk;
        e->head_index = 0;
    }
    e->tail = chunk;
    e->tail_used = 0;
    return true;
}

uint64_t entries_append(struct entries *e, struct message *m, struct store_location location)
{
    struct entry_slot *slot;

    if ((e->tail == NULL || e->tail_used == e->tail->end) &&
        !entries_grow_tail(e, e->next_sequence))
        return 0;
    slot = &e->tail->slots[e->tail_used++];
    slot->message = m;
    slot->location = location;
    e->waiting++;
    e->resident_bytes += message_footprint(m);
    e->body_bytes += m->body_size;
    return e->next_sequence++;
}

void entries_drop_head_chunk(struct entries *e)
{
    struct entry_chunk *empty = e->head;

    if (e->depth != NULL)
        entries_depth_chunk_dropped(e);
    e->head = empty->next;
    e->head_index = 0;
    if (e->head == NULL)
        e->tail = NULL;
    entries_free_chunk(empty);
}

static void free_returned(struct entries *e)
{
    free(e->returned);
    e->returned = NULL;
    e->returned_capacity = 0;
}

void entries_forget_returned(struct entries *e)
{
    e->returned_front = 0;
    e->returned_count = 0;
    e->returned_in_order = true;
    e->returned_sorted = false;
    free_returned(e);
}

typedef void (*location_release)(void *context, struct store_location location);

static void drop(struct message *m, struct store_location location, location_release release,
                 void *context)
{
    if (m != NULL)
        message_unref(m);
    if (release != NULL && !store_location_is_none(location))
        release(context, location);
}

static void clear_returned(struct entries *e, location_release release, void *context)
{
    for (uint32_t i = 0; i < e->returned_count; i++) {
        const struct entry *entry = &e->returned[e->returned_front + i];

        drop(entry->message, entry->location, release, context);
    }
    entries_forget_returned(e);
}

static void clear_waiting(struct entries *e, location_release release, void *context)
{
    while (e->head != NULL) {
        uint32_t end = entries_chunk_end(e, e->head);

        for (uint32_t i = e->head_index; i < end; i++)
            drop(e->head->slots[i].message, e->head->slots[i].location, release, context);
        entries_drop_head_chunk(e);
    }
    e->waiting = 0;
    e->resident_bytes = 0;
}

void entries_clear(struct entries *e,
                   void (*release)(void *context, struct store_location location), void *context)
{
    clear_returned(e, release, context);
    clear_waiting(e, release, context);
    if (e->depth != NULL)
        entries_depth_clear(e, release, context);
    e->body_bytes = 0;
}

static void slide_returned(struct entries *e)
{
    memmove(e->returned, e->returned + e->returned_front, e->returned_count * sizeof(*e->returned));
    e->returned_front = 0;
}

/* Makes room for one more behind the last. */
static void grow_returned(struct entries *e)
{
    if (e->returned_front + e->returned_count < e->returned_capacity)
        return;
    if (e->returned_front > e->returned_capacity / 2) {
        slide_returned(e);
        return;
    }
    e->returned_capacity =
        e->returned_capacity != 0 ? 2 * e->returned_capacity : RETURNED_FIRST_CAPACITY;
    e->returned = memory_resize(e->returned, e->returned_capacity, sizeof(*e->returned));
}

static void heap_push(struct entries *e, const struct entry *entry)
{
    uint32_t hole = e->returned_count++;

    while (hole != 0 && e->returned[(hole - 1) / 2].sequence > entry->sequence) {
        e->returned[hole] = e->returned[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    e->returned[hole] = *entry;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;

    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

void entries_sort_returned(struct entries *e)
{
    e->returned_sorted = true;
    if (e->returned_in_order)
        return;
    qsort(e->returned, e->returned_count, sizeof(*e->returned), compare_entries);
    e->returned_in_order = true;
}

/* Where among what came back, which is in order, this number is or would be. */
static uint32_t find_returned(const struct entries *e, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = e->returned_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (e->returned[e->returned_front + middle].sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert_returned(struct entries *e, const struct entry *entry)
{
    uint32_t at = find_returned(e, entry->sequence);
    struct entry *place = &e->returned[e->returned_front + at];

    memmove(place + 1, place, (e->returned_count - at) * sizeof(*place));
    *place = *entry;
    e->returned_count++;
}

void entries_return(struct entries *e, const struct entry *entry)
{
    uint32_t end;

    assert(entry->sequence < entries_head_sequence(e));
    e->body_bytes += entry->message->body_size;
    grow_returned(e);
    end = e->returned_front + e->returned_count;
    if (e->returned_in_order &&
        (e->returned_count == 0 || e->returned[end - 1].sequence < entry->sequence)) {
        e->returned[end] = *entry;
        e->returned_count++;
        return;
    }
    if (e->returned_sorted) {
        insert_returned(e, entry);
        return;
    }
    if (e->returned_front != 0)
        slide_returned(e);
    e->returned_in_order = false;
    heap_push(e, entry);
}

/* Moves the hole at the root down until `last` may fill it. */
static void fill_root(struct entries *e, struct entry last)
{
    uint32_t count = e->returned_count;
    uint32_t hole = 0;

    for (;;) {
        uint32_t child = 2 * hole + 1;

        if (child >= count)
            break;
        if (child + 1 < count && e->returned[child + 1].sequence < e->returned[child].sequence)
            child++;
        if (e->returned[child].sequence >= last.sequence)
            break;
        e->returned[hole] = e->returned[child];
        hole = child;
    }
    e->returned[hole] = last;
}

static void returned_are_gone(struct entries *e)
{
    e->returned_front = 0;
    e->returned_in_order = true;
    e->returned_sorted = false;
    if (e->returned_capacity > RETURNED_KEPT_CAPACITY)
        free_returned(e);
}

void entries_take_returned(struct entries *e, struct entry *out)
{
    *out = e->returned[e->returned_front];
    e->body_bytes -= out->message->body_size;
    e->returned_count--;
    if (e->returned_count == 0) {
        returned_are_gone(e);
    } else if (e->returned_in_order) {
        e->returned_front++;
    } else {
        fill_root(e, e->returned[e->returned_count]);
    }
}

static bool has_returned(struct entries *e, uint64_t sequence)
{
    uint32_t at;

    if (e->returned_count == 0)
        return false;
    entries_sort_returned(e);
    at = find_returned(e, sequence);
    return at < e->returned_count && e->returned[e->returned_front + at].sequence == sequence;
}

bool entries_take_returned_at(struct entries *e, uint64_t sequence, struct entry *out)
{
    struct entry *first;
    uint32_t at;

    if (!has_returned(e, sequence))
        return false;
    at = find_returned(e, sequence);
    first = &e->returned[e->returned_front];
    *out = first[at];
    e->body_bytes -= out->message->body_size;
    e->returned_count--;
    if (at < e->returned_count / 2) {
        memmove(first + 1, first, at * sizeof(*first));
        e->returned_front++;
    } else {
        memmove(first + at, first + at + 1, (e->returned_count - at) * sizeof(*first));
    }
    if (e->returned_count == 0)
        returned_are_gone(e);
    return true;
}

bool entries_take(struct entries *e, uint64_t sequence, struct entry *out)
{
    if (e->depth == NULL && e->waiting != 0 && sequence == entries_head_sequence(e)) {
        entries_take_waiting(e, out);
        return true;
    }
    if (sequence < entries_head_sequence(e) && entries_take_returned_at(e, sequence, out))
        return true;
    return entries_depth_take(e, sequence, out);
}

bool entries_has(struct entries *e, uint64_t sequence)
{
    uint64_t head = entries_head_sequence(e);

    if (sequence < head && has_returned(e, sequence))
        return true;
    if (e->depth != NULL)
        return entries_depth_has(e, sequence);
    return sequence >= head && sequence < e->next_sequence;
}

uint64_t entries_first(const struct entries *e, uint64_t *expiry)
{
    if (e->depth != NULL)
        return entries_depth_first(e, expiry);
    if (e->returned_count == 0) {
        *expiry = 0;
        return entries_head_sequence(e);
    }
    *expiry = e->returned[e->returned_front].expiry;
    return e->returned[e->returned_front].sequence;
}

bool entries_take_first(struct entries *e, struct entry *out)
{
    if (e->depth != NULL)
        return entries_depth_take_first(e, out);
    if (e->returned_count != 0) {
        entries_take_returned(e, out);
        return true;
    }
    if (e->waiting == 0)
        return false;
    entries_take_waiting(e, out);
    return true;
}
