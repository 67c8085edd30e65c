#include "session/unwritten_pages.h"

#include "base/memory.h"

#include <stdlib.h>

struct unwritten_page {
    struct hash_node by_location;
    struct list_node in_order; /* not linked once it failed */
    struct store_location location;
    uint64_t mark;
    struct message *message; /* a reference */
};

static uint64_t hash_of(struct store_location l)
{
    return ((uint64_t)l.segment << 32 | l.offset) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool is_at(const struct hash_node *node, const void *key)
{
    const struct store_location *l = key;
    const struct unwritten_page *p = container_of(node, const struct unwritten_page, by_location);

    return p->location.segment == l->segment && p->location.offset == l->offset;
}

static struct unwritten_page *find(const struct unwritten_pages *u, struct store_location l)
{
    struct hash_node *node;

    if (unwritten_pages_empty(u))
        return NULL;
    node = hash_map_find(&u->by_location, hash_of(l), is_at, &l);
    return node == NULL ? NULL : container_of(node, struct unwritten_page, by_location);
}

static void forget(struct unwritten_pages *u, struct unwritten_page *p)
{
    hash_map_remove(&u->by_location, &p->by_location);
    list_remove(&p->in_order);
    message_unref(p->message);
    free(p);
}

void unwritten_pages_init(struct unwritten_pages *u)
{
    hash_map_init(&u->by_location);
    list_init(&u->in_order);
}

void unwritten_pages_free(struct unwritten_pages *u)
{
    struct hash_node *node;

    while ((node = hash_map_first(&u->by_location)) != NULL)
        forget(u, container_of(node, struct unwritten_page, by_location));
    hash_map_clear(&u->by_location);
}

void unwritten_pages_add(struct unwritten_pages *u, struct store_location location, uint64_t mark,
                         struct message *msg)
{
    struct unwritten_page *p = memory_alloc(sizeof(*p));

    p->location = location;
    p->mark = mark;
    p->message = message_ref(msg);
    hash_map_insert(&u->by_location, &p->by_location, hash_of(location));
    list_append(&u->in_order, &p->in_order);
}

void unwritten_pages_written(struct unwritten_pages *u, uint64_t position)
{
    struct list_node *node;

    while ((node = list_first(&u->in_order)) != NULL) {
        struct unwritten_page *p = container_of(node, struct unwritten_page, in_order);

        if (p->mark > position)
            return;
        forget(u, p);
    }
}

void unwritten_pages_failed(struct unwritten_pages *u)
{
    while (list_take_first(&u->in_order) != NULL) {
    }
}

struct message *unwritten_pages_find(const struct unwritten_pages *u,
                                     struct store_location location)
{
    const struct unwritten_page *p = find(u, location);

    return p != NULL ? p->message : NULL;
}

void unwritten_pages_drop(struct unwritten_pages *u, struct store_location location)
{
    struct unwritten_page *p = find(u, location);

    if (p != NULL)
        forget(u, p);
}
