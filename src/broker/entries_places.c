#include "base/memory.h"
#include "broker/entries_internal.h"

/* Vacant chunks that are not looked for. */
#define VACANT_CHUNKS_MAX 8u

#define DIRECTORY_FIRST_CAPACITY 16u

static bool is_vacant(const struct entry_chunk *chunk)
{
    return chunk->vacant == chunk->end;
}

void entries_depth_chunk_dropped(struct entries *e)
{
    e->depth->dropped++;
    if (is_vacant(e->head))
        e->depth->vacant_chunks--;
}

/* ---- The directory ---- */

static void directory_add(struct chunk_directory *dir, struct entry_chunk *chunk)
{
    if (dir->count == dir->capacity) {
        dir->capacity = dir->capacity != 0 ? 2 * dir->capacity : DIRECTORY_FIRST_CAPACITY;
        dir->chunks = memory_resize(dir->chunks, dir->capacity, sizeof(*dir->chunks));
    }
    dir->chunks[dir->count++] = chunk;
}

/* Brings the directory up to date with the list. Returns where in it the head is. */
static uint32_t directory_follow(struct entries *e)
{
    struct chunk_directory *dir = &e->depth->directory;
    uint64_t gone = e->depth->dropped - dir->first;
    struct entry_chunk *chunk = e->head;

    if (gone >= dir->count) {
        dir->count = 0;
        dir->first = e->depth->dropped;
        gone = 0;
    } else {
        chunk = dir->chunks[dir->count - 1]->next;
        if (gone > dir->count / 2) {
            dir->count -= (uint32_t)gone;
            memmove(dir->chunks, dir->chunks + gone, dir->count * sizeof(struct entry_chunk *));
            dir->first = e->depth->dropped;
            gone = 0;
        }
    }
    for (; chunk != NULL; chunk = chunk->next)
        directory_add(dir, chunk);
    return (uint32_t)gone;
}

/* Frees the vacant chunks between the first and the last. */
static void sweep_chunks(struct entries *e)
{
    struct entry_chunk *before = e->head;

    while (before->next != e->tail) {
        struct entry_chunk *chunk = before->next;

        if (is_vacant(chunk)) {
            before->next = chunk->next;
            entries_free_chunk(chunk);
            e->depth->vacant_chunks--;
        } else {
            before = chunk;
        }
    }
    e->depth->directory.count = 0;
    e->depth->directory.first = e->depth->dropped;
}

/* A slot has become no one's. Chunks that have nothing else are freed when they are most, so that
 * what was taken behind one that stays costs no memory. */
static void count_vacant(struct entries *e, struct entry_chunk *chunk)
{
    struct entries_depth *d = e->depth;
    uint32_t chunks;

    d->gaps = true;
    chunk->vacant++;
    if (!is_vacant(chunk))
        return;
    d->vacant_chunks++;
    if (d->vacant_chunks < VACANT_CHUNKS_MAX)
        return;
    chunks = directory_follow(e);
    chunks = d->directory.count - chunks;
    if (d->vacant_chunks > chunks / 2)
        sweep_chunks(e);
}

/* The last chunk that does not begin behind `sequence`; the head when all do. */
static struct entry_chunk *chunk_of(struct entries *e, uint64_t sequence)
{
    struct entry_chunk *const *chunks;
    uint64_t low, high;

    if (sequence < e->head->base + e->head->end)
        return e->head;
    if (sequence >= e->tail->base)
        return e->tail;

    low = directory_follow(e);
    chunks = e->depth->directory.chunks;
    high = e->depth->directory.count; /* chunks[low] begins at or before it, chunks[high] behind */
    /* Without gaps, the common case, the chunk follows from the difference. */
    if ((sequence - chunks[low]->base) / CHUNK_SLOTS < high - low) {
        uint64_t guess = low + (sequence - chunks[low]->base) / CHUNK_SLOTS;

        if (chunks[guess]->base > sequence)
            high = guess;
        else if (guess + 1 == high || chunks[guess + 1]->base > sequence)
            return chunks[guess];
        else
            low = guess + 1;
    }
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;

        if (chunks[middle]->base <= sequence)
            low = middle;
        else
            high = middle;
    }
    return chunks[low];
}

/* ---- Places ---- */

/* Goes on to the first slot in use from here on. */
static void place_settle(const struct entries *e, struct entry_place *p)
{
    while (p->chunk != NULL) {
        for (uint32_t end = entries_chunk_end(e, p->chunk); p->index < end; p->index++) {
            if (entry_slot_in_use(entry_place_slot(*p)))
                return;
        }
        p->chunk = p->chunk->next;
        p->index = 0;
    }
}

void entries_next_place(const struct entries *e, struct entry_place *p)
{
    p->index++;
    place_settle(e, p);
}

struct entry_place entries_place_at(struct entries *e, uint64_t sequence)
{
    struct entry_place p = {.chunk = chunk_of(e, sequence)};
    uint32_t end = entries_chunk_end(e, p.chunk);

    if (sequence > p.chunk->base)
        p.index = sequence - p.chunk->base < end ? (uint32_t)(sequence - p.chunk->base) : end;
    if (p.chunk == e->head && p.index < e->head_index)
        p.index = e->head_index;
    place_settle(e, &p);
    return p;
}

struct entry_place entries_find_place(struct entries *e, uint64_t sequence)
{
    const struct entry_place nowhere = {.chunk = NULL};
    struct entry_place p;

    if (e->waiting == 0 || sequence < entries_head_sequence(e) || sequence >= e->next_sequence)
        return nowhere;
    entries_need_depth(e);
    p = entries_place_at(e, sequence);
    return p.chunk != NULL && entry_place_sequence(p) == sequence ? p : nowhere;
}

struct entry_slot *entries_find(struct entries *e, uint64_t sequence)
{
    struct entry_place p = entries_find_place(e, sequence);

    return p.chunk != NULL ? entry_place_slot(p) : NULL;
}

uint64_t entries_sequence_behind(const struct entries *e, uint64_t count)
{
    struct entry_place p = {.chunk = e->head, .index = e->head_index};

    if (e->depth == NULL || !e->depth->gaps)
        return entries_head_sequence(e) + count;
    while (count-- != 0)
        entries_next_place(e, &p);
    return entry_place_sequence(p);
}

void entries_settle_head(struct entries *e)
{
    if (e->waiting == 0) {
        while (e->head != NULL)
            entries_drop_head_chunk(e);
        return;
    }
    while (!entry_slot_in_use(&e->head->slots[e->head_index])) {
        if (++e->head_index == e->head->end)
            entries_drop_head_chunk(e);
    }
}

void entries_vacate(struct entries *e, struct entry_place p)
{
    uint64_t sequence = entry_place_sequence(p);

    *entry_place_slot(p) = (struct entry_slot){.message = NULL};
    e->waiting--;
    if (sequence >= e->depth->taken_below)
        e->depth->taken_below = sequence + 1;
    count_vacant(e, p.chunk);
}

/* ---- Taking out of order ---- */

static void take_at(struct entries *e, struct entry_place p, struct entry *out)
{
    struct entries_depth *d = e->depth;
    const struct entry_slot slot = *entry_place_slot(p);

    *out = (struct entry){
        .message = slot.message, .sequence = entry_place_sequence(p), .location = slot.location};
    entries_forget_bytes(e, slot.message);
    entries_vacate(e, p);
    if (slot.message != NULL)
        e->resident_bytes -= message_footprint(slot.message);
    else
        d->paged--;
    entries_settle_head(e);
    if (slot.message == NULL && out->sequence == d->first_paged)
        entries_find_first_paged(e);
}

/* The first that waits, in memory or not. */
static void take_head(struct entries *e, struct entry *out)
{
    struct entries_depth *d = e->depth;

    if (e->head->slots[e->head_index].message != NULL) {
        entries_take_waiting(e, out);
    } else {
        *out = (struct entry){.sequence = entries_head_sequence(e),
                              .location = e->head->slots[e->head_index].location};
        entries_forget_bytes(e, NULL);
        e->head_index++;
        e->waiting--;
        d->paged--;
        if (e->waiting == 0 || e->head_index == e->head->end)
            entries_drop_head_chunk(e);
    }
    if (d->gaps)
        entries_settle_head(e);
    if (out->message == NULL)
        entries_find_first_paged(e);
}

bool entries_take_waiting_at(struct entries *e, uint64_t sequence, struct entry *out)
{
    struct entry_place p = entries_find_place(e, sequence);

    if (p.chunk == NULL)
        return false;
    if (sequence == entries_head_sequence(e))
        take_head(e, out);
    else
        take_at(e, p, out);
    return true;
}

uint64_t entries_whole_from(const struct entries *e)
{
    uint64_t head = entries_head_sequence(e);

    return e->depth != NULL && e->depth->taken_below > head ? e->depth->taken_below : head;
}

void entries_visit_waiting(const struct entries *e, uint64_t below,
                           void (*visit)(void *context, struct entry *entry), void *context)
{
    struct entry_place p = {.chunk = e->head, .index = e->head_index};

    place_settle(e, &p);
    while (p.chunk != NULL && entry_place_sequence(p) < below) {
        struct entry entry = {.message = entry_place_slot(p)->message,
                              .sequence = entry_place_sequence(p),
                              .location = entry_place_slot(p)->location};

        visit(context, &entry);
        entries_next_place(e, &p);
    }
}
