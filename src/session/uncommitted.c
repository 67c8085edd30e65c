#include "session/uncommitted.h"

#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>

/* Names whose hashes are equal share a change: one of them then waits in vain, for a commit. */
struct uncommitted_change {
    struct hash_node by_key;
    struct list_node in_order;
    uint64_t position; /* in the definitions, behind it */
};

enum kind { KIND_EXCHANGE = 1, KIND_QUEUE, KIND_BINDING };

void uncommitted_init(struct uncommitted *u, struct definitions *d)
{
    u->definitions = d;
    hash_map_init(&u->by_key);
    list_init(&u->changes);
}

static void drop(struct uncommitted *u, struct uncommitted_change *c)
{
    list_remove(&c->in_order);
    hash_map_remove(&u->by_key, &c->by_key);
    free(c);
}

static struct uncommitted_change *first(const struct uncommitted *u)
{
    struct list_node *n = list_first(&u->changes);

    return n != NULL ? container_of(n, struct uncommitted_change, in_order) : NULL;
}

void uncommitted_free(struct uncommitted *u)
{
    struct uncommitted_change *c;

    while ((c = first(u)) != NULL)
        drop(u, c);
    hash_map_clear(&u->by_key);
}

/* ---- Keys ---- */

static uint64_t key_of(enum kind kind, struct bytes name)
{
    return bytes_hash_seeded(name, (uint64_t)kind);
}

static uint64_t key_of_binding(const struct binding_declaration *b)
{
    uint64_t key = key_of(KIND_BINDING, b->source);

    key = bytes_hash_seeded(b->destination, key + (b->to_exchange ? 1 : 0));
    return bytes_hash_seeded(b->routing_key, key);
}

static bool any(const struct hash_node *node, const void *key)
{
    (void)node;
    (void)key;
    return true;
}

static struct uncommitted_change *find(const struct uncommitted *u, uint64_t key)
{
    struct hash_node *n = hash_map_find(&u->by_key, key, any, NULL);

    return n != NULL ? container_of(n, struct uncommitted_change, by_key) : NULL;
}

/* ---- Noting ---- */

static void drop_committed(struct uncommitted *u)
{
    struct uncommitted_change *c;

    while ((c = first(u)) != NULL && definitions_reached(u->definitions, c->position))
        drop(u, c);
}

static void note(struct uncommitted *u, uint64_t key)
{
    struct uncommitted_change *c;

    drop_committed(u);
    c = find(u, key);
    if (c == NULL) {
        c = memory_alloc(sizeof(*c));
        hash_map_insert(&u->by_key, &c->by_key, key);
    } else {
        list_remove(&c->in_order);
    }
    c->position = definitions_position(u->definitions);
    list_append(&u->changes, &c->in_order);
}

void uncommitted_note_exchange(struct uncommitted *u, struct bytes name)
{
    note(u, key_of(KIND_EXCHANGE, name));
}

void uncommitted_note_queue(struct uncommitted *u, struct bytes name)
{
    note(u, key_of(KIND_QUEUE, name));
}

void uncommitted_note_binding(struct uncommitted *u, const struct binding_declaration *b)
{
    note(u, key_of_binding(b));
}

/* ---- Looking ---- */

static bool has(const struct uncommitted *u, uint64_t key)
{
    const struct uncommitted_change *c = find(u, key);

    return c != NULL && !definitions_reached(u->definitions, c->position);
}

bool uncommitted_has_exchange(const struct uncommitted *u, struct bytes name)
{
    return has(u, key_of(KIND_EXCHANGE, name));
}

bool uncommitted_has_queue(const struct uncommitted *u, struct bytes name)
{
    return has(u, key_of(KIND_QUEUE, name));
}

bool uncommitted_has_binding(const struct uncommitted *u, const struct binding_declaration *b)
{
    return has(u, key_of_binding(b)) || uncommitted_has_exchange(u, b->source) ||
           (b->to_exchange ? uncommitted_has_exchange(u, b->destination)
                           : uncommitted_has_queue(u, b->destination));
}
