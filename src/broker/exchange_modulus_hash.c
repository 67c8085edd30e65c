/* The modulus hash exchange: of the bindings, in the order of their routing keys and then of their
 * destinations, the one whose place is the hash of the message's routing keys modulo their number
 * (RabbitMQ's rabbitmq_sharding). Every binding that comes or goes moves most keys. */
#include "broker/binding.h"
#include "broker/erlang_hash.h"
#include "broker/exchange.h"
#include "broker/exchange_router.h"
#include "broker/route.h"

#include "base/memory.h"

#include <stdlib.h>

#define MIN_CAPACITY 4u

struct modulus_hash {
    struct binding **sorted;
    uint32_t count;
    uint32_t capacity;
};

static int compare_bytes(struct bytes a, struct bytes b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter != 0 ? memcmp(a.data, b.data, shorter) : 0;

    if (order != 0)
        return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

static struct bytes destination_name(const struct binding *b)
{
    uintptr_t destination = b->link.value;

    return destination_is_exchange(destination) ? exchange_name(destination_exchange(destination))
                                                : destination_queue(destination)->name;
}

/* As RabbitMQ keeps them: by key, exchanges before queues, by name. What only differs in its
 * arguments leads to the same place. */
static int compare(const struct binding *a, const struct binding *b)
{
    bool to_exchange = destination_is_exchange(a->link.value);
    int order = compare_bytes(binding_key(a), binding_key(b));

    if (order != 0)
        return order;
    if (to_exchange != destination_is_exchange(b->link.value))
        return to_exchange ? -1 : 1;
    return compare_bytes(destination_name(a), destination_name(b));
}

/* The first place whose binding is not before `b`. */
static uint32_t find_place(const struct modulus_hash *m, const struct binding *b)
{
    uint32_t low = 0;
    uint32_t high = m->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare(m->sorted[middle], b) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void modulus_hash_add(void *state, struct binding *b)
{
    struct modulus_hash *m = state;
    uint32_t place = find_place(m, b);

    if (m->count == m->capacity) {
        m->capacity = m->capacity != 0 ? 2 * m->capacity : MIN_CAPACITY;
        m->sorted = memory_resize(m->sorted, m->capacity, sizeof(struct binding *));
    }
    memmove(&m->sorted[place + 1], &m->sorted[place],
            (m->count - place) * sizeof(struct binding *));
    m->sorted[place] = b;
    m->count++;
}

static void modulus_hash_remove(void *state, struct binding *b)
{
    struct modulus_hash *m = state;
    uint32_t place = find_place(m, b);

    while (m->sorted[place] != b)
        place++;
    m->count--;
    memmove(&m->sorted[place], &m->sorted[place + 1],
            (m->count - place) * sizeof(struct binding *));
}

static void modulus_hash_clear(void *state)
{
    free(((struct modulus_hash *)state)->sorted);
}

static void modulus_hash_match(const void *state, struct route_search *s)
{
    const struct modulus_hash *m = state;
    uint32_t hash;

    if (m->count == 0)
        return;
    hash = erlang_hash_binaries(s->request->routing_keys, s->request->routing_key_count);
    route_search_found(s, m->sorted[hash % m->count]->link.value);
}

const struct exchange_router exchange_modulus_hash = {
    .type = "x-modulus-hash",
    .state_size = sizeof(struct modulus_hash),
    .clear = modulus_hash_clear,
    .add = modulus_hash_add,
    .remove = modulus_hash_remove,
    .match = modulus_hash_match,
};
