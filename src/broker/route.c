#include "broker/route.h"

#include "base/memory.h"
#include "broker/binding.h"
#include "broker/delay.h"
#include "broker/exchange.h"

#include <stdlib.h>

#define POINTER_SET_MIN_MARKS 64u
#define POINTER_LIST_MIN_CAPACITY 16u

void pointer_set_reset(struct pointer_set *s)
{
    s->count = 0;
    s->generation++;
}

static struct pointer_mark *mark_slot(const struct pointer_set *s, const void *pointer)
{
    uint32_t mask = s->mark_capacity - 1;
    uint32_t i = (uint32_t)(((uintptr_t)pointer * 0x9e3779b97f4a7c15u) >> 32) & mask;

    while (s->marks[i].generation == s->generation && s->marks[i].pointer != pointer)
        i = (i + 1) & mask;
    return &s->marks[i];
}

static void mark(struct pointer_set *s, const void *pointer)
{
    *mark_slot(s, pointer) = (struct pointer_mark){.pointer = pointer, .generation = s->generation};
}

static void grow_marks(struct pointer_set *s)
{
    struct pointer_mark *old = s->marks;
    uint32_t old_capacity = s->mark_capacity;

    s->mark_capacity = old_capacity != 0 ? 2 * old_capacity : POINTER_SET_MIN_MARKS;
    s->marks = memory_alloc_zeroed(s->mark_capacity, sizeof(struct pointer_mark));
    for (uint32_t i = 0; i < old_capacity; i++) {
        if (old[i].generation == s->generation)
            mark(s, old[i].pointer);
    }
    free(old);
}

static bool add_to_few(struct pointer_set *s, const void *pointer)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->few[i] == pointer)
            return false;
    }
    s->few[s->count++] = pointer;
    return true;
}

bool pointer_set_add(struct pointer_set *s, const void *pointer)
{
    struct pointer_mark *slot;

    if (s->count < POINTER_SET_FEW)
        return add_to_few(s, pointer);
    if (2 * (s->count + 1) > s->mark_capacity)
        grow_marks(s);
    if (s->count == POINTER_SET_FEW) {
        for (uint32_t i = 0; i < POINTER_SET_FEW; i++)
            mark(s, s->few[i]);
    }
    slot = mark_slot(s, pointer);
    if (slot->generation == s->generation)
        return false;
    *slot = (struct pointer_mark){.pointer = pointer, .generation = s->generation};
    s->count++;
    return true;
}

static void pointer_set_free(struct pointer_set *s)
{
    free(s->marks);
}

void pointer_list_append(struct pointer_list *l, const void *pointer)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity != 0 ? 2 * l->capacity : POINTER_LIST_MIN_CAPACITY;
        l->items = memory_resize(l->items, l->capacity, sizeof(l->items[0]));
    }
    l->items[l->count++] = pointer;
}

void route_init(struct route *r)
{
    struct route_search *s = memory_alloc_zeroed(1, sizeof(*s));

    s->seen_queues.generation = 1;
    s->seen_exchanges.generation = 1;
    s->seen_nodes.generation = 1;
    *r = (struct route){.scratch = s};
}

void route_seed(struct route *r, uint64_t seed)
{
    struct route_search *s = r->scratch;

    random_sequence_seed(&s->random, seed);
}

void route_free(struct route *r)
{
    struct route_search *s = r->scratch;

    pointer_set_free(&s->seen_queues);
    pointer_set_free(&s->seen_exchanges);
    pointer_set_free(&s->seen_nodes);
    free(s->exchanges.items);
    for (size_t i = 0; i < sizeof(s->nodes) / sizeof(s->nodes[0]); i++)
        free(s->nodes[i].items);
    free(s->header_index.slots);
    free(s);
    free(r->queues);
    *r = (struct route){.queues = NULL};
}

/* Headers */

/* Below this many a scan is as good as an index. */
#define HEADER_INDEX_MIN_FIELDS 12u

static uint32_t *header_slot(const struct header_index *x, const struct table *headers,
                             struct bytes key)
{
    uint32_t mask = x->in_use - 1;
    uint32_t i = (uint32_t)bytes_hash(key) & mask;

    while (x->slots[i] != 0 && !bytes_equal(headers->fields[x->slots[i] - 1].key, key))
        i = (i + 1) & mask;
    return &x->slots[i];
}

static void index_headers(struct header_index *x, const struct table *headers)
{
    uint32_t wanted = 32;

    x->in_use = 0;
    if (headers->count < HEADER_INDEX_MIN_FIELDS)
        return;
    while (wanted < 2 * headers->count)
        wanted *= 2;
    if (wanted > x->capacity) {
        x->slots = memory_resize(x->slots, wanted, sizeof(x->slots[0]));
        x->capacity = wanted;
    }
    memset(x->slots, 0, wanted * sizeof(x->slots[0]));
    x->in_use = wanted;
    for (uint32_t i = 0; i < headers->count; i++) {
        uint32_t *slot = header_slot(x, headers, headers->fields[i].key);

        if (*slot == 0)
            *slot = i + 1;
    }
}

const struct table *route_search_headers(struct route_search *s)
{
    static const struct table none = {.fields = NULL};
    const struct route_request *request = s->request;

    if (s->headers == NULL) {
        if (request->headers != NULL)
            s->headers = request->headers(request->context);
        if (s->headers == NULL)
            s->headers = &none;
        index_headers(&s->header_index, s->headers);
    }
    return s->headers;
}

const struct value *route_search_header(struct route_search *s, struct bytes key)
{
    const struct table *headers = route_search_headers(s);
    uint32_t slot;

    if (s->header_index.in_use == 0)
        return table_get_bytes(headers, key);
    slot = *header_slot(&s->header_index, headers, key);
    return slot != 0 ? &headers->fields[slot - 1].value : NULL;
}

/* Findings */

static void add_queue(struct route_search *s, struct queue_handle *h)
{
    struct route *out = s->out;

    if (!pointer_set_add(&s->seen_queues, h))
        return;
    if (out->count == out->capacity) {
        out->capacity = out->capacity != 0 ? 2 * out->capacity : POINTER_LIST_MIN_CAPACITY;
        out->queues = memory_resize(out->queues, out->capacity, sizeof(out->queues[0]));
    }
    out->queues[out->count++] = h;
}

static void add_exchange(struct route_search *s, const struct exchange *e)
{
    if (pointer_set_add(&s->seen_exchanges, e))
        pointer_list_append(&s->exchanges, e);
}

void route_search_found(struct route_search *s, uintptr_t destination)
{
    s->matched = true;
    if (destination_is_exchange(destination))
        add_exchange(s, destination_exchange(destination));
    else
        add_queue(s, destination_queue(destination));
}

void route_search_found_set(struct route_search *s, const struct key_set *set)
{
    if (set->count == 1) {
        route_search_found(s, set->one->value);
        return;
    }
    for (uint32_t i = 0; i < set->count; i++)
        route_search_found(s, set->many->slots[i].value);
}

/* The default exchange: every queue is bound to it by its name (AMQP 0-9-1 §3.1.3.1). As an
 * alternate exchange it routes nothing, for these bindings are not real ones (RabbitMQ). */
static void match_queue_names(const struct topology *t, struct route_search *s)
{
    for (uint32_t i = 0; i < s->request->routing_key_count; i++) {
        struct queue_handle *h = topology_find_queue(t, s->request->routing_keys[i]);

        if (h != NULL)
            route_search_found(s, destination_of_queue(h));
    }
}

/* What is delayed waits in the exchange, and goes where it leads when that is over. */
static bool search_delays(const struct exchange *e, struct route_search *s)
{
    s->out->beyond_key = true;
    if (delay_of(route_search_header(s, bytes_from_string(DELAY_HEADER))) == 0)
        return false;
    add_queue(s, e->delays);
    return true;
}

static void search_exchange(const struct topology *t, const struct exchange *e,
                            struct route_search *s)
{
    if (e->delays != NULL && search_delays(e, s))
        return;
    s->matched = false;
    if (e->router->reads_headers)
        s->out->beyond_key = true;
    e->router->match(e->state, s);
    if (!s->matched && e->has_alternate) {
        const struct exchange *alternate = topology_find_exchange(t, e->alternate);

        if (alternate != NULL && alternate->router != NULL)
            add_exchange(s, alternate);
    }
}

void topology_route(const struct topology *t, const struct exchange *e,
                    const struct route_request *request, struct route *out)
{
    struct route_search *s = out->scratch;

    out->count = 0;
    out->beyond_key = false;
    s->out = out;
    s->request = request;
    s->headers = NULL;
    s->exchanges.count = 0;
    pointer_set_reset(&s->seen_queues);
    pointer_set_reset(&s->seen_exchanges);

    if (e->router == NULL) {
        match_queue_names(t, s);
        return;
    }
    add_exchange(s, e);
    for (uint32_t i = 0; i < s->exchanges.count; i++)
        search_exchange(t, s->exchanges.items[i], s);
}

/* Looking ahead */

void route_hint_add(struct route_hint *hint, const struct key_index *x, uint32_t hash)
{
    if (hint->count == sizeof(hint->places) / sizeof(hint->places[0]))
        return;
    key_index_prefetch(x, hash);
    hint->places[hint->count].index = x;
    hint->places[hint->count++].hash = hash;
}

void exchange_look_ahead(const struct exchange *e, struct bytes routing_key,
                         struct route_hint *hint)
{
    hint->count = 0;
    if (e->router != NULL && e->router->look_ahead != NULL)
        e->router->look_ahead(e->state, routing_key, hint);
}

void route_hint_follow(const struct route_hint *hint)
{
    for (uint32_t i = 0; i < hint->count; i++)
        key_index_prefetch_filed(hint->places[i].index, hint->places[i].hash);
}
