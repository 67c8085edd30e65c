#include "broker/entries_internal.h"

/* ---- Bytes ---- */

/* One that is not in memory is about to leave: it takes the average with it. */
static void forget_paged_bytes(struct entries *e)
{
    uint64_t average = e->depth->paged_bytes / entries_paged(e);

    e->depth->paged_bytes -= average;
    e->body_bytes -= average;
}

void entries_forget_bytes(struct entries *e, const struct message *m)
{
    if (m != NULL)
        e->body_bytes -= m->body_size;
    else
        forget_paged_bytes(e);
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

/* ---- Paging out ---- */

static uint32_t delivered_paged(const struct entries *e)
{
    return e->delivered != NULL ? e->delivered->paged : 0;
}

uint64_t entries_paged(const struct entries *e)
{
    return e->depth != NULL ? e->depth->paged + delivered_paged(e) : 0;
}

static uint64_t ahead_of_waiting(const struct entries *e)
{
    uint64_t delivered = e->delivered != NULL ? e->delivered->loaded : 0;

    return delivered + e->depth->first_paged - entries_head_sequence(e);
}

uint64_t entries_ahead(const struct entries *e)
{
    if (entries_paged(e) == 0)
        return UINT64_MAX;
    if (delivered_paged(e) != 0 && e->delivered->first_paged < e->depth->first_paged)
        return e->delivered->loaded;
    return ahead_of_waiting(e);
}

void entries_depth_returned(struct entries *e, uint64_t sequence)
{
    if (sequence < e->depth->delivered_page_next)
        e->depth->delivered_page_next = sequence;
}

static bool find_page_start(const struct entries *e, uint64_t keep_first, uint64_t *start)
{
    uint64_t came_back = entries_count(e) - e->waiting;
    uint64_t kept = keep_first > came_back ? keep_first - came_back : 0;

    if (kept >= e->waiting)
        return false;
    *start = entries_sequence_behind(e, kept);
    if (e->depth != NULL && e->depth->page_next > *start)
        *start = e->depth->page_next;
    return *start < e->next_sequence;
}

bool entries_has_place(struct store_location *location, struct message *m,
                       const struct entries_page *p)
{
    if (store_location_is_none(*location))
        *location = p->page(p->context, m);
    return !store_location_is_none(*location);
}

uint64_t entries_let_go(struct message *m)
{
    uint64_t given_back = 0;

    if (atomic_load_explicit(&m->references, memory_order_relaxed) == 1)
        given_back = message_footprint(m);
    message_unref(m);
    return given_back;
}

/* Where to begin among what was delivered before. */
static struct entry_cursor delivered_page_start(const struct entries *e, uint64_t keep_first)
{
    const struct entry_list *l = e->delivered;
    uint32_t keep = keep_first < l->count ? (uint32_t)keep_first : l->count;
    struct entry_cursor kept = entry_list_behind(l, keep);
    struct entry_cursor next = entry_list_seek(l, e->depth->delivered_page_next);

    if (next.block != kept.block)
        return next.block > kept.block ? next : kept;
    return next.index > kept.index ? next : kept;
}

/* Drops messages that were delivered before. Returns the bytes given back; `*left` is how many more
 * may be looked at. */
static uint64_t page_out_delivered(struct entries *e, const struct entries_page *p, uint32_t *left)
{
    struct entry_list *l = e->delivered;
    struct entry_cursor at;
    struct entry *entry;
    uint64_t given_back = 0;

    if (l == NULL || l->paged == l->count || l->count <= p->keep_first)
        return 0;
    entries_need_depth(e);
    at = delivered_page_start(e, p->keep_first);
    entry = entry_list_at(l, at);
    while (entry != NULL && entry->sequence <= p->up_to_sequence && *left != 0) {
        entry_list_skip_paged(l, &at);
        entry = entry_list_at(l, at);
        if (entry == NULL || entry->sequence > p->up_to_sequence) {
            e->depth->delivered_page_next = p->up_to_sequence + 1;
            break;
        }
        e->depth->delivered_page_next = entry->sequence + 1;
        --*left;
        if (entries_has_place(&entry->location, entry->message, p)) {
            e->depth->paged_bytes += entry->message->body_size;
            given_back += entries_let_go(entry_list_page(l, at));
        }
        entry_list_next(l, &at);
        entry = entry_list_at(l, at);
    }
    return given_back;
}

/* Drops one message from memory. Returns the bytes given back. */
static uint64_t page_out_one(struct entries *e, struct entry_place where,
                             const struct entries_page *p)
{
    struct entry_slot *slot = entry_place_slot(where);
    struct message *m = slot->message;

    if (m == NULL || !entries_has_place(&slot->location, m, p))
        return 0;
    slot->message = NULL;
    e->resident_bytes -= message_footprint(m);
    e->depth->paged_bytes += m->body_size;
    e->depth->paged++;
    if (entry_place_sequence(where) < e->depth->first_paged)
        e->depth->first_paged = entry_place_sequence(where);
    return entries_let_go(m);
}

static uint64_t page_out_waiting(struct entries *e, const struct entries_page *p, uint32_t left)
{
    uint64_t given_back = 0;
    uint64_t start;
    struct entry_place where;

    if (!find_page_start(e, p->keep_first, &start) || start > p->up_to_sequence)
        return 0;
    entries_need_depth(e);
    where = entries_place_at(e, start);
    for (; left != 0 && where.chunk != NULL; left--) {
        if (entry_place_sequence(where) > p->up_to_sequence)
            break;
        given_back += page_out_one(e, where, p);
        e->depth->page_next = entry_place_sequence(where) + 1;
        entries_next_place(e, &where);
    }
    return given_back;
}

uint64_t entries_page_out(struct entries *e, const struct entries_page *p)
{
    uint32_t left = p->max_messages;
    uint64_t given_back = page_out_delivered(e, p, &left);

    return given_back + page_out_waiting(e, p, left);
}

void entries_page_again(struct entries *e)
{
    if (e->depth == NULL)
        return;
    e->depth->page_next = 0;
    e->depth->delivered_page_next = 0;
}

/* ---- Paging in ---- */

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
    const struct entry *entry;
    uint32_t looked = 0;

    if (delivered_paged(e) != 0) {
        struct entry_cursor at = entry_list_seek(e->delivered, e->delivered->first_paged);

        for (; looked < max && (entry = entry_list_at(e->delivered, at)) != NULL; looked++) {
            if (entry->message == NULL)
                list_add(&list, entry->sequence, entry->location);
            entry_list_next(e->delivered, &at);
        }
    }
    if (e->depth->paged == 0)
        return list.count;
    for (struct entry_place p = entries_place_at(e, e->depth->first_paged);
         p.chunk != NULL && looked < max; looked++) {
        if (entry_place_slot(p)->message == NULL)
            list_add(&list, entry_place_sequence(p), entry_place_slot(p)->location);
        entries_next_place(e, &p);
    }
    return list.count;
}

/* Where an entry that was delivered before is, and is not in memory. Returns false when there is
 * none. */
static bool find_delivered_missing(const struct entries *e, uint64_t sequence,
                                   struct entry_cursor *at)
{
    const struct entry *entry;

    if (delivered_paged(e) == 0)
        return false;
    entry = entry_list_find(e->delivered, sequence, at);
    return entry != NULL && entry->message == NULL;
}

/* Where a message waits that is not in memory; `chunk` is NULL when there is none. */
static struct entry_place find_missing(struct entries *e, uint64_t sequence)
{
    struct entry_place p = {.chunk = NULL};

    if (e->depth->paged != 0)
        p = entries_find_place(e, sequence);
    if (p.chunk != NULL && entry_place_slot(p)->message != NULL)
        p.chunk = NULL;
    return p;
}

bool entries_put(struct entries *e, uint64_t sequence, struct message *m)
{
    struct entry_cursor at;
    struct entry_place p;

    if (e->depth == NULL)
        return false;
    if (find_delivered_missing(e, sequence, &at)) {
        learn_paged_bytes(e, m->body_size);
        entry_list_put(e->delivered, at, m);
        return true;
    }
    p = find_missing(e, sequence);
    if (p.chunk == NULL)
        return false;
    learn_paged_bytes(e, m->body_size);
    entry_place_slot(p)->message = m;
    e->depth->paged--;
    e->resident_bytes += message_footprint(m);
    return true;
}

bool entries_lose(struct entries *e, uint64_t sequence, struct store_location *location)
{
    struct entry_cursor at;
    struct entry lost;
    struct entry_place p;

    if (e->depth == NULL)
        return false;
    if (find_delivered_missing(e, sequence, &at)) {
        forget_paged_bytes(e);
        entry_list_take(e->delivered, at, &lost);
        entries_delivered_taken(e);
        *location = lost.location;
        return true;
    }
    p = find_missing(e, sequence);
    if (p.chunk == NULL)
        return false;
    *location = entry_place_slot(p)->location;
    forget_paged_bytes(e);
    entries_vacate(e, p);
    e->depth->paged--;
    return true;
}

void entries_find_first_paged(struct entries *e)
{
    struct entries_depth *d = e->depth;
    struct entry_place p;

    if (d->paged == 0) {
        d->first_paged = UINT64_MAX;
        return;
    }
    p = entries_place_at(e, d->first_paged);
    while (entry_place_slot(p)->message != NULL)
        entries_next_place(e, &p);
    d->first_paged = entry_place_sequence(p);
}

void entries_tidy_paged(struct entries *e)
{
    if (e->depth == NULL)
        return;
    entries_settle_head(e);
    if (e->delivered != NULL)
        entry_list_tidy(e->delivered);
    entries_find_first_paged(e);
    entries_end_depth_when_empty(e);
}
