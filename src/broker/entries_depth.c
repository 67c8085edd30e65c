#include "broker/entries_depth.h"

#include "base/memory.h"
#include "broker/entries_internal.h"

/* So many missing numbers in a row cost slots of no one; more of them cost a new chunk. */
#define GAP_SLOTS 2u

/* Vacant chunks that are not looked for. */
#define VACANT_CHUNKS_MAX 8u

#define RESTORED_FIRST_CAPACITY 64u

/* What came back is put among the restored when it is this share of them, at least. */
#define MERGE_SHARE 16u

#define DIRECTORY_FIRST_CAPACITY 16u

/* Where a waiting message is; `chunk` is NULL behind the last one. */
struct place {
    struct entry_chunk *chunk;
    uint32_t index;
};

static struct entries_depth *depth_of(struct entries *e)
{
    if (e->depth == NULL) {
        e->depth = memory_alloc_zeroed(1, sizeof(*e->depth));
        e->depth->first_paged = UINT64_MAX;
    }
    return e->depth;
}

static void free_depth(struct entries *e)
{
    free(e->depth->restored);
    free(e->depth->directory.chunks);
    free(e->depth);
    e->depth = NULL;
}

static void end_when_empty(struct entries *e)
{
    if (e->waiting == 0 && e->depth->restored_count == 0)
        free_depth(e);
}

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

/* ---- Places ---- */

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

static struct entry_slot *place_slot(struct place p)
{
    return &p.chunk->slots[p.index];
}

static uint64_t place_sequence(struct place p)
{
    return p.chunk->base + p.index;
}

/* Goes on to the first slot in use from here on. */
static void place_settle(const struct entries *e, struct place *p)
{
    while (p->chunk != NULL) {
        for (uint32_t end = entries_chunk_end(e, p->chunk); p->index < end; p->index++) {
            if (entry_slot_in_use(place_slot(*p)))
                return;
        }
        p->chunk = p->chunk->next;
        p->index = 0;
    }
}

static void place_next(const struct entries *e, struct place *p)
{
    p->index++;
    place_settle(e, p);
}

/* The first waiting message with this number or a higher one; some message waits. */
static struct place place_at(struct entries *e, uint64_t sequence)
{
    struct place p = {.chunk = chunk_of(e, sequence)};
    uint32_t end = entries_chunk_end(e, p.chunk);

    if (sequence > p.chunk->base)
        p.index = sequence - p.chunk->base < end ? (uint32_t)(sequence - p.chunk->base) : end;
    if (p.chunk == e->head && p.index < e->head_index)
        p.index = e->head_index;
    place_settle(e, &p);
    return p;
}

/* Where this number waits; `chunk` is NULL when it does not. */
static struct place find_place(struct entries *e, uint64_t sequence)
{
    const struct place nowhere = {.chunk = NULL};
    struct place p;

    if (e->waiting == 0 || sequence < entries_head_sequence(e) || sequence >= e->next_sequence)
        return nowhere;
    depth_of(e);
    p = place_at(e, sequence);
    return p.chunk != NULL && place_sequence(p) == sequence ? p : nowhere;
}

struct entry_slot *entries_find(struct entries *e, uint64_t sequence)
{
    struct place p = find_place(e, sequence);

    return p.chunk != NULL ? place_slot(p) : NULL;
}

/* ---- The first message ---- */

uint64_t entries_depth_count(const struct entries *e)
{
    return e->waiting + e->returned_count + e->depth->restored_count;
}

static struct entry *restored_at(const struct entries_depth *d, uint32_t i)
{
    return &d->restored[d->restored_front + i];
}

enum part { PART_NONE, PART_WAITING, PART_RESTORED, PART_RETURNED };

/* Which part has the message with the lowest number. What came back is older than all that was not
 * taken since, but for what came back before and is among the restored now. */
static enum part first_part(const struct entries *e)
{
    const struct entries_depth *d = e->depth;

    if (e->returned_count != 0 &&
        (d->restored_count == 0 ||
         e->returned[e->returned_front].sequence < restored_at(d, 0)->sequence))
        return PART_RETURNED;
    if (d->restored_count != 0 &&
        (e->waiting == 0 || restored_at(d, 0)->sequence < entries_head_sequence(e)))
        return PART_RESTORED;
    return e->waiting != 0 ? PART_WAITING : PART_NONE;
}

static bool part_can_take(const struct entries *e, enum part part)
{
    switch (part) {
    case PART_NONE:
        return false;
    case PART_WAITING:
        return e->head->slots[e->head_index].message != NULL;
    case PART_RESTORED:
        return e->depth->restored_loaded != 0;
    case PART_RETURNED:
        return true;
    }
    return false;
}

uint64_t entries_depth_first(const struct entries *e, uint64_t *expiry)
{
    const struct entry *first;

    switch (first_part(e)) {
    case PART_NONE:
    case PART_WAITING:
        *expiry = 0;
        return entries_head_sequence(e);
    case PART_RESTORED:
        first = restored_at(e->depth, 0);
        *expiry = first->expiry;
        return first->sequence;
    case PART_RETURNED:
        first = &e->returned[e->returned_front];
        *expiry = first->expiry;
        return first->sequence;
    }
    return 0;
}

bool entries_depth_can_take(const struct entries *e)
{
    return part_can_take(e, first_part(e));
}

/* Makes the head a slot in use. */
static void settle_head(struct entries *e)
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

static void free_restored(struct entries_depth *d)
{
    free(d->restored);
    d->restored = NULL;
    d->restored_front = 0;
    d->restored_capacity = 0;
}

/* Gives back the half that is not needed any more. */
static void halve_restored(struct entries_depth *d)
{
    memmove(d->restored, restored_at(d, 0), d->restored_count * sizeof(*d->restored));
    d->restored_front = 0;
    d->restored_capacity /= 2;
    d->restored = memory_resize(d->restored, d->restored_capacity, sizeof(*d->restored));
}

static void shrink_restored(struct entries_depth *d)
{
    if (d->restored_count == 0)
        free_restored(d);
    else if (d->restored_front > d->restored_capacity / 2 && d->restored_capacity > 1)
        halve_restored(d);
}

static void take_restored(struct entries *e, struct entry *out)
{
    struct entries_depth *d = e->depth;

    *out = *restored_at(d, 0);
    e->body_bytes -= out->message->body_size;
    d->restored_front++;
    d->restored_count--;
    d->restored_loaded--;
    shrink_restored(d);
}

bool entries_depth_take_first(struct entries *e, struct entry *out)
{
    enum part part = first_part(e);

    if (!part_can_take(e, part))
        return false;
    switch (part) {
    case PART_NONE:
        return false;
    case PART_WAITING:
        entries_take_waiting(e, out);
        if (e->depth->gaps)
            settle_head(e);
        break;
    case PART_RESTORED:
        take_restored(e, out);
        break;
    case PART_RETURNED:
        entries_take_returned(e, out);
        break;
    }
    end_when_empty(e);
    return true;
}

void entries_depth_clear(struct entries *e,
                         void (*release)(void *context, struct store_location location),
                         void *context)
{
    for (uint32_t i = 0; i < e->depth->restored_count; i++) {
        const struct entry *entry = restored_at(e->depth, i);

        if (entry->message != NULL)
            message_unref(entry->message);
        if (release != NULL && !store_location_is_none(entry->location))
            release(context, entry->location);
    }
    free_depth(e);
}

void entries_visit_returned(const struct entries *e,
                            void (*visit)(void *context, struct entry *entry), void *context)
{
    for (uint32_t i = 0; i < e->returned_count; i++)
        visit(context, &e->returned[e->returned_front + i]);
    if (e->depth == NULL)
        return;
    for (uint32_t i = 0; i < e->depth->restored_count; i++)
        visit(context, restored_at(e->depth, i));
}

/* ---- Recovery ---- */

static bool grow_restored(struct entries_depth *d)
{
    uint32_t capacity =
        d->restored_capacity != 0 ? 2 * d->restored_capacity : RESTORED_FIRST_CAPACITY;
    struct entry *grown;

    if (d->restored_count < d->restored_capacity)
        return true;
    grown = realloc(d->restored, capacity * sizeof(*grown));
    if (grown == NULL)
        return false;
    d->restored = grown;
    d->restored_capacity = capacity;
    return true;
}

static bool restore_delivered(struct entries_depth *d, const struct entry *entry)
{
    if (!grow_restored(d))
        return false;
    if (entry->message == NULL)
        d->restored_paged++;
    else if (d->restored_loaded == d->restored_count)
        d->restored_loaded++;
    d->restored[d->restored_count++] = *entry;
    return true;
}

/* No more messages go into the tail chunk: gives back the slots that are left. */
static void close_tail(struct entries *e)
{
    struct entry_chunk *closed;

    if (e->tail == NULL || e->tail_used == e->tail->end)
        return;
    e->tail->end = e->tail_used;
    closed = realloc(e->tail, sizeof(*closed) + e->tail_used * sizeof(closed->slots[0]));
    if (closed == NULL)
        return;
    if (e->depth->before_tail != NULL)
        e->depth->before_tail->next = closed;
    else
        e->head = closed;
    e->tail = closed;
}

/* Makes the next slot of the tail chunk the one for `sequence`. */
static bool make_room(struct entries *e, uint64_t sequence)
{
    uint64_t missing = e->tail != NULL ? sequence - e->tail->base - e->tail_used : 0;

    if (missing != 0) {
        e->depth->gaps = true;
        e->depth->taken_below = sequence;
    }
    if (e->tail == NULL || missing > GAP_SLOTS || sequence - e->tail->base >= e->tail->end) {
        struct entry_chunk *before;

        close_tail(e);
        before = e->tail;
        if (!entries_grow_tail(e, sequence))
            return false;
        e->depth->before_tail = before;
        return true;
    }
    e->tail->vacant += (uint32_t)missing;
    while (missing-- != 0)
        e->tail->slots[e->tail_used++] = (struct entry_slot){.message = NULL};
    return true;
}

static bool restore_waiting(struct entries *e, const struct entry *entry)
{
    struct entries_depth *d = e->depth;

    if (!make_room(e, entry->sequence))
        return false;
    e->tail->slots[e->tail_used++] =
        (struct entry_slot){.message = entry->message, .location = entry->location};
    e->waiting++;
    if (entry->message != NULL) {
        e->resident_bytes += message_footprint(entry->message);
        return true;
    }
    if (d->paged++ == 0)
        d->first_paged = entry->sequence;
    return true;
}

bool entries_restore(struct entries *e, const struct entry *entry, uint32_t body_size)
{
    struct entries_depth *d = depth_of(e);
    bool restored;

    assert(entry->sequence >= e->next_sequence);
    assert(entry->message != NULL || !store_location_is_none(entry->location));
    restored = entry->delivery_count != 0 ? restore_delivered(d, entry) : restore_waiting(e, entry);
    if (!restored)
        return false;
    e->next_sequence = entry->sequence + 1;
    e->body_bytes += body_size;
    if (entry->message == NULL)
        d->paged_bytes += body_size;
    return true;
}

void entries_restore_done(struct entries *e, uint64_t next_sequence)
{
    if (next_sequence > e->next_sequence)
        e->next_sequence = next_sequence;
    if (e->depth == NULL)
        return;
    if (e->tail != NULL && e->tail->base + e->tail_used != e->next_sequence) {
        close_tail(e);
        e->depth->gaps = true;
        e->depth->taken_below = e->next_sequence;
    }
    e->depth->before_tail = NULL;
    e->depth->page_next = e->resident_bytes == 0 ? e->next_sequence : 0;
    end_when_empty(e);
}

/* Where among the restored this number is, or would be. */
static uint32_t find_restored(const struct entries_depth *d, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = d->restored_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (restored_at(d, middle)->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- Paging ---- */

/* One that is not in memory is about to leave: it takes the average with it. */
static void forget_paged_bytes(struct entries *e)
{
    uint64_t average = e->depth->paged_bytes / entries_paged(e);

    e->depth->paged_bytes -= average;
    e->body_bytes -= average;
}

/* One that was not in memory is about to be there, with this size. */
static void learn_paged_bytes(struct entries *e, uint32_t body_size)
{
    struct entries_depth *d = e->depth;
    uint64_t counted = body_size;

    if (counted > d->paged_bytes || entries_paged(e) == 1)
        counted = d->paged_bytes;
    d->paged_bytes -= counted;
    e->body_bytes += body_size - counted;
}

uint64_t entries_paged(const struct entries *e)
{
    return e->depth != NULL ? e->depth->paged + e->depth->restored_paged : 0;
}

uint64_t entries_ahead(const struct entries *e)
{
    const struct entries_depth *d = e->depth;

    if (entries_paged(e) == 0)
        return UINT64_MAX;
    if (d->restored_paged != 0)
        return e->returned_count + d->restored_loaded;
    return e->returned_count + d->restored_count + d->first_paged - entries_head_sequence(e);
}

/* The number of the waiting message behind the first `count`; there is one. */
static uint64_t sequence_behind(const struct entries *e, uint64_t count)
{
    struct place p = {.chunk = e->head, .index = e->head_index};

    if (e->depth == NULL || !e->depth->gaps)
        return entries_head_sequence(e) + count;
    while (count-- != 0)
        place_next(e, &p);
    return place_sequence(p);
}

static bool find_page_start(const struct entries *e, uint64_t keep_first, uint64_t *start)
{
    uint64_t came_back = entries_count(e) - e->waiting;
    uint64_t kept = keep_first > came_back ? keep_first - came_back : 0;

    if (kept >= e->waiting)
        return false;
    *start = sequence_behind(e, kept);
    if (e->depth != NULL && e->depth->page_next > *start)
        *start = e->depth->page_next;
    return *start < e->next_sequence;
}

/* How many messages are in memory before the first that is not. */
static uint32_t count_loaded(const struct entries_depth *d)
{
    uint32_t n = 0;

    while (n < d->restored_count && restored_at(d, n)->message != NULL)
        n++;
    return n;
}

/* Puts what came back among the restored, where it can leave memory. */
static void merge_returned(struct entries *e)
{
    struct entries_depth *d = depth_of(e);
    uint32_t count = d->restored_count + e->returned_count;
    struct entry *merged = memory_resize(NULL, count, sizeof(*merged));
    const struct entry *returned;
    uint32_t i = 0;
    uint32_t k = 0;

    entries_sort_returned(e);
    returned = e->returned + e->returned_front;
    if (returned[0].sequence < d->restored_page_next)
        d->restored_page_next = returned[0].sequence;
    while (i + k < count) {
        bool from_returned =
            i < e->returned_count &&
            (k == d->restored_count || returned[i].sequence < restored_at(d, k)->sequence);

        merged[i + k] = from_returned ? returned[i] : *restored_at(d, k);
        i += from_returned;
        k += !from_returned;
    }
    entries_forget_returned(e);
    free(d->restored);
    d->restored = merged;
    d->restored_front = 0;
    d->restored_count = count;
    d->restored_capacity = count;
    d->restored_loaded = count_loaded(d);
}

/* Merging costs as much as there is already: it waits until that much has come back. */
static bool is_worth_merging(const struct entries *e, uint64_t keep_first)
{
    uint32_t restored = e->depth != NULL ? e->depth->restored_count : 0;

    return e->returned_count > keep_first && e->returned_count >= restored / MERGE_SHARE;
}

/* Where a message is kept, after asking for a place when it has none. */
static bool has_place(struct store_location *location, struct message *m,
                      const struct entries_page *p)
{
    if (store_location_is_none(*location))
        *location = p->page(p->context, m);
    return !store_location_is_none(*location);
}

/* Returns the bytes given back. */
static uint64_t let_go(struct message *m)
{
    uint64_t given_back = 0;

    if (atomic_load_explicit(&m->references, memory_order_relaxed) == 1)
        given_back = message_footprint(m);
    message_unref(m);
    return given_back;
}

/* Drops messages that came back. Returns the bytes given back; `*left` is how many more may be
 * looked at. */
static uint64_t page_out_restored(struct entries *e, const struct entries_page *p, uint32_t *left)
{
    struct entries_depth *d = e->depth;
    uint64_t given_back = 0;
    uint32_t i;

    if (d == NULL || d->restored_count == d->restored_paged)
        return 0;
    i = find_restored(d, d->restored_page_next);
    if (i < p->keep_first)
        i = (uint32_t)p->keep_first;
    for (; i < d->restored_count && *left != 0; i++) {
        struct entry *entry = restored_at(d, i);

        if (entry->sequence > p->up_to_sequence)
            break;
        d->restored_page_next = entry->sequence + 1;
        if (entry->message == NULL)
            continue;
        --*left;
        if (!has_place(&entry->location, entry->message, p))
            continue;
        d->paged_bytes += entry->message->body_size;
        given_back += let_go(entry->message);
        entry->message = NULL;
        d->restored_paged++;
        if (i < d->restored_loaded)
            d->restored_loaded = i;
    }
    return given_back;
}

/* Drops one message from memory. Returns the bytes given back. */
static uint64_t page_out_one(struct entries *e, struct place where, const struct entries_page *p)
{
    struct entry_slot *slot = place_slot(where);
    struct message *m = slot->message;

    if (m == NULL || !has_place(&slot->location, m, p))
        return 0;
    slot->message = NULL;
    e->resident_bytes -= message_footprint(m);
    e->depth->paged_bytes += m->body_size;
    e->depth->paged++;
    if (place_sequence(where) < e->depth->first_paged)
        e->depth->first_paged = place_sequence(where);
    return let_go(m);
}

static uint64_t page_out_waiting(struct entries *e, const struct entries_page *p, uint32_t left)
{
    uint64_t given_back = 0;
    uint64_t start;
    struct place where;

    if (!find_page_start(e, p->keep_first, &start) || start > p->up_to_sequence)
        return 0;
    depth_of(e);
    where = place_at(e, start);
    for (; left != 0 && where.chunk != NULL; left--) {
        if (place_sequence(where) > p->up_to_sequence)
            break;
        given_back += page_out_one(e, where, p);
        e->depth->page_next = place_sequence(where) + 1;
        place_next(e, &where);
    }
    return given_back;
}

uint64_t entries_page_out(struct entries *e, const struct entries_page *p)
{
    uint32_t left = p->max_messages;
    uint64_t given_back;

    if (is_worth_merging(e, p->keep_first))
        merge_returned(e);
    given_back = page_out_restored(e, p, &left);
    return given_back + page_out_waiting(e, p, left);
}

void entries_page_again(struct entries *e)
{
    if (e->depth == NULL)
        return;
    e->depth->page_next = 0;
    e->depth->restored_page_next = 0;
}

struct paged_list {
    uint64_t *sequences;
    struct store_location *locations;
    uint32_t count;
};

static void list_add(struct paged_list *l, uint64_t sequence, struct store_location location)
{
    l->sequences[l->count] = sequence;
    l->locations[l->count] = location;
    l->count++;
}

uint32_t entries_list_paged(struct entries *e, uint32_t max, uint64_t *sequences,
                            struct store_location *locations)
{
    struct paged_list list = {.sequences = sequences, .locations = locations};
    const struct entries_depth *d = e->depth;
    uint32_t looked = 0;

    for (uint32_t i = d->restored_loaded; i < d->restored_count && looked < max; i++, looked++) {
        if (restored_at(d, i)->message == NULL)
            list_add(&list, restored_at(d, i)->sequence, restored_at(d, i)->location);
    }
    if (d->paged == 0)
        return list.count;
    for (struct place p = place_at(e, d->first_paged); p.chunk != NULL && looked < max; looked++) {
        if (place_slot(p)->message == NULL)
            list_add(&list, place_sequence(p), place_slot(p)->location);
        place_next(e, &p);
    }
    return list.count;
}

static bool restored_is_missing(const struct entries_depth *d, uint32_t at, uint64_t sequence)
{
    return at < d->restored_count && restored_at(d, at)->sequence == sequence &&
           restored_at(d, at)->message == NULL;
}

/* Where a message waits that is not in memory; `chunk` is NULL when there is none. */
static struct place find_missing(struct entries *e, uint64_t sequence)
{
    struct place p = {.chunk = NULL};

    if (e->depth->paged != 0)
        p = find_place(e, sequence);
    if (p.chunk != NULL && place_slot(p)->message != NULL)
        p.chunk = NULL;
    return p;
}

bool entries_put(struct entries *e, uint64_t sequence, struct message *m)
{
    struct entries_depth *d = e->depth;
    struct place p;
    uint32_t at;

    if (d == NULL)
        return false;
    at = find_restored(d, sequence);
    if (restored_is_missing(d, at, sequence)) {
        learn_paged_bytes(e, m->body_size);
        restored_at(d, at)->message = m;
        d->restored_paged--;
        return true;
    }
    p = find_missing(e, sequence);
    if (p.chunk == NULL)
        return false;
    learn_paged_bytes(e, m->body_size);
    place_slot(p)->message = m;
    d->paged--;
    e->resident_bytes += message_footprint(m);
    return true;
}

/* Those before it move up: few, as it is near the front when it is fetched. */
static void lose_restored(struct entries_depth *d, uint32_t at)
{
    memmove(restored_at(d, 1), restored_at(d, 0), at * sizeof(*d->restored));
    d->restored_front++;
    d->restored_count--;
    d->restored_paged--;
    shrink_restored(d);
}

/* Makes a slot no one's. */
static void vacate(struct entries *e, struct place p)
{
    uint64_t sequence = place_sequence(p);

    *place_slot(p) = (struct entry_slot){.message = NULL};
    e->waiting--;
    if (sequence >= e->depth->taken_below)
        e->depth->taken_below = sequence + 1;
    count_vacant(e, p.chunk);
}

bool entries_lose(struct entries *e, uint64_t sequence, struct store_location *location)
{
    struct entries_depth *d = e->depth;
    struct place p;
    uint32_t at;

    if (d == NULL)
        return false;
    at = find_restored(d, sequence);
    if (restored_is_missing(d, at, sequence)) {
        *location = restored_at(d, at)->location;
        forget_paged_bytes(e);
        lose_restored(d, at);
        return true;
    }
    p = find_missing(e, sequence);
    if (p.chunk == NULL)
        return false;
    *location = place_slot(p)->location;
    forget_paged_bytes(e);
    vacate(e, p);
    d->paged--;
    return true;
}

static void find_restored_loaded(struct entries_depth *d)
{
    while (d->restored_loaded < d->restored_count &&
           restored_at(d, d->restored_loaded)->message != NULL)
        d->restored_loaded++;
}

static void find_first_paged(struct entries *e)
{
    struct entries_depth *d = e->depth;
    struct place p;

    if (d->paged == 0) {
        d->first_paged = UINT64_MAX;
        return;
    }
    p = place_at(e, d->first_paged);
    while (place_slot(p)->message != NULL)
        place_next(e, &p);
    d->first_paged = place_sequence(p);
}

void entries_tidy_paged(struct entries *e)
{
    struct entries_depth *d = e->depth;

    if (d == NULL)
        return;
    settle_head(e);
    find_restored_loaded(d);
    find_first_paged(e);
    end_when_empty(e);
}

/* ---- Taking out of order ---- */

/* A message that is taken, in memory or not, takes its bytes with it. */
static void take_bytes(struct entries *e, const struct message *m)
{
    if (m != NULL)
        e->body_bytes -= m->body_size;
    else
        forget_paged_bytes(e);
}

static bool take_restored_at(struct entries *e, uint64_t sequence, struct entry *out)
{
    struct entries_depth *d = e->depth;
    uint32_t at = find_restored(d, sequence);

    if (at == d->restored_count || restored_at(d, at)->sequence != sequence)
        return false;
    *out = *restored_at(d, at);
    take_bytes(e, out->message);
    memmove(restored_at(d, 1), restored_at(d, 0), at * sizeof(*d->restored));
    d->restored_front++;
    d->restored_count--;
    if (out->message == NULL)
        d->restored_paged--;
    if (at < d->restored_loaded)
        d->restored_loaded--;
    find_restored_loaded(d);
    shrink_restored(d);
    return true;
}

static void take_waiting_at(struct entries *e, struct place p, struct entry *out)
{
    struct entries_depth *d = e->depth;
    const struct entry_slot slot = *place_slot(p);

    *out = (struct entry){
        .message = slot.message, .sequence = place_sequence(p), .location = slot.location};
    take_bytes(e, slot.message);
    vacate(e, p);
    if (slot.message != NULL)
        e->resident_bytes -= message_footprint(slot.message);
    else
        d->paged--;
    settle_head(e);
    if (slot.message == NULL && out->sequence == d->first_paged)
        find_first_paged(e);
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
        forget_paged_bytes(e);
        e->head_index++;
        e->waiting--;
        d->paged--;
        if (e->waiting == 0 || e->head_index == e->head->end)
            entries_drop_head_chunk(e);
    }
    if (d->gaps)
        settle_head(e);
    if (out->message == NULL)
        find_first_paged(e);
}

bool entries_depth_take(struct entries *e, uint64_t sequence, struct entry *out)
{
    struct place p;

    if (e->depth == NULL || !take_restored_at(e, sequence, out)) {
        p = find_place(e, sequence);
        if (p.chunk == NULL)
            return false;
        if (sequence == entries_head_sequence(e))
            take_head(e, out);
        else
            take_waiting_at(e, p, out);
    }
    end_when_empty(e);
    return true;
}

bool entries_depth_has(struct entries *e, uint64_t sequence)
{
    uint32_t at = find_restored(e->depth, sequence);

    if (at < e->depth->restored_count && restored_at(e->depth, at)->sequence == sequence)
        return true;
    return find_place(e, sequence).chunk != NULL;
}

uint64_t entries_whole_from(const struct entries *e)
{
    uint64_t head = entries_head_sequence(e);

    return e->depth != NULL && e->depth->taken_below > head ? e->depth->taken_below : head;
}

void entries_visit_waiting(const struct entries *e, uint64_t below,
                           void (*visit)(void *context, struct entry *entry), void *context)
{
    struct place p = {.chunk = e->head, .index = e->head_index};

    place_settle(e, &p);
    while (p.chunk != NULL && place_sequence(p) < below) {
        struct entry entry = {.message = place_slot(p)->message,
                              .sequence = place_sequence(p),
                              .location = place_slot(p)->location};

        visit(context, &entry);
        place_next(e, &p);
    }
}
