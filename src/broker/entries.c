#include "broker/entries_internal.h"

#include "base/memory.h"
#include "broker/entry_list.h"

#include <threads.h>

/* Spare chunks a thread keeps, for its busy queues that run empty again and again. */
#define SPARE_CHUNKS_MAX 128u

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
    *e = (struct entries){.next_sequence = 1};
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

static void free_delivered(struct entries *e)
{
    entry_list_free(e->delivered);
    free(e->delivered);
    e->delivered = NULL;
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

static void clear_delivered(struct entries *e, location_release release, void *context)
{
    struct entry_cursor at = {.block = 0};
    const struct entry *entry;

    for (; (entry = entry_list_at(e->delivered, at)) != NULL; entry_list_next(e->delivered, &at))
        drop(entry->message, entry->location, release, context);
    free_delivered(e);
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
    if (e->delivered != NULL)
        clear_delivered(e, release, context);
    clear_waiting(e, release, context);
    if (e->depth != NULL)
        entries_end_depth(e);
    e->body_bytes = 0;
}

/* ---- What was delivered before ---- */

uint64_t entries_delivered_count(const struct entries *e)
{
    return e->delivered->count;
}

void entries_add_delivered(struct entries *e, const struct entry *entry)
{
    if (e->delivered == NULL) {
        e->delivered = memory_alloc(sizeof(*e->delivered));
        entry_list_init(e->delivered);
    }
    entry_list_add(e->delivered, entry);
}

void entries_return(struct entries *e, const struct entry *entry, uint32_t body_size)
{
    assert(entry->sequence < entries_head_sequence(e));
    e->body_bytes += body_size;
    entries_add_delivered(e, entry);
    if (entry->message == NULL)
        entries_need_depth(e)->paged_bytes += body_size;
    if (e->depth != NULL)
        entries_depth_returned(e, entry->sequence);
}

void entries_delivered_taken(struct entries *e)
{
    if (e->delivered->count == 0)
        free_delivered(e);
}

void entries_take_delivered(struct entries *e, struct entry *out)
{
    entry_list_take_first(e->delivered, out);
    e->body_bytes -= out->message->body_size;
    entries_delivered_taken(e);
}

static bool take_delivered_at(struct entries *e, uint64_t sequence, struct entry *out)
{
    struct entry_cursor at;
    const struct entry *entry =
        e->delivered != NULL ? entry_list_find(e->delivered, sequence, &at) : NULL;

    if (entry == NULL)
        return false;
    entries_forget_bytes(e, entry->message);
    entry_list_take(e->delivered, at, out);
    entries_delivered_taken(e);
    return true;
}

void entries_visit_delivered(const struct entries *e,
                             void (*visit)(void *context, struct entry *entry), void *context)
{
    struct entry_cursor at = {.block = 0};
    struct entry *entry;

    if (e->delivered == NULL)
        return;
    for (; (entry = entry_list_at(e->delivered, at)) != NULL; entry_list_next(e->delivered, &at))
        visit(context, entry);
}

/* ---- All ---- */

bool entries_take(struct entries *e, uint64_t sequence, struct entry *out)
{
    if (e->depth == NULL && e->waiting != 0 && sequence == entries_head_sequence(e)) {
        entries_take_waiting(e, out);
        return true;
    }
    if (!take_delivered_at(e, sequence, out) && !entries_take_waiting_at(e, sequence, out))
        return false;
    entries_end_depth_when_empty(e);
    return true;
}

bool entries_has(struct entries *e, uint64_t sequence)
{
    struct entry_cursor at;

    if (e->delivered != NULL && entry_list_find(e->delivered, sequence, &at) != NULL)
        return true;
    if (e->depth != NULL)
        return entries_find(e, sequence) != NULL;
    return sequence >= entries_head_sequence(e) && sequence < e->next_sequence;
}

uint64_t entries_first(const struct entries *e, uint64_t *expiry)
{
    const struct entry *first;

    if (!entries_delivered_first(e)) {
        *expiry = 0;
        return entries_head_sequence(e);
    }
    first = entry_list_first(e->delivered);
    *expiry = first->expiry;
    return first->sequence;
}

bool entries_take_first(struct entries *e, struct entry *out)
{
    if (e->depth != NULL)
        return entries_depth_take_first(e, out);
    if (e->delivered != NULL) {
        entries_take_delivered(e, out);
        return true;
    }
    if (e->waiting == 0)
        return false;
    entries_take_waiting(e, out);
    return true;
}
