/* Intrusive doubly linked list: the node sits inside the object, linking allocates nothing.
 * Owns nothing. Not synchronised: the objects' owner thread only. */
#ifndef LEVERET_BASE_LIST_H
#define LEVERET_BASE_LIST_H

#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *previous;
    struct list_node *next;
};

/* A list is its sentinel node. */
struct list {
    struct list_node head;
};

static inline void list_init(struct list *l)
{
    l->head.previous = &l->head;
    l->head.next = &l->head;
}

/* Marks a node as not linked; list_linked() tells. */
static inline void list_node_init(struct list_node *n)
{
    n->previous = n;
    n->next = n;
}

static inline bool list_empty(const struct list *l)
{
    return l->head.next == &l->head;
}

/* Whether an initialised node is in some list. */
static inline bool list_linked(const struct list_node *n)
{
    return n->next != n;
}

static inline void list_insert_before(struct list_node *where, struct list_node *n)
{
    n->previous = where->previous;
    n->next = where;
    where->previous->next = n;
    where->previous = n;
}

static inline void list_append(struct list *l, struct list_node *n)
{
    list_insert_before(&l->head, n);
}

static inline void list_prepend(struct list *l, struct list_node *n)
{
    list_insert_before(l->head.next, n);
}

/* Unlinks a node; it may be linked again. Harmless on an initialised, unlinked node. */
static inline void list_remove(struct list_node *n)
{
    n->previous->next = n->next;
    n->next->previous = n->previous;
    list_node_init(n);
}

/* The first node, or NULL. */
static inline struct list_node *list_first(const struct list *l)
{
    return list_empty(l) ? NULL : l->head.next;
}

/* The node behind `n`, or NULL at the end. */
static inline struct list_node *list_next(const struct list *l, const struct list_node *n)
{
    return n->next == &l->head ? NULL : n->next;
}

/* Unlinks and returns the first node, or NULL. */
static inline struct list_node *list_take_first(struct list *l)
{
    struct list_node *n = list_first(l);

    if (n != NULL)
        list_remove(n);
    return n;
}

/* Moves all nodes of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->head.next->previous = to->head.previous;
    to->head.previous->next = from->head.next;
    from->head.previous->next = &to->head;
    to->head.previous = from->head.previous;
    list_init(from);
}

/* Walks `node` over the list; the body must not unlink it. */
#define list_for_each(l, node) \
    for (struct list_node *node = (l)->head.next; node != &(l)->head; node = node->next)

/* As list_for_each, and the body may unlink or free `node`. */
#define list_for_each_safe(l, node) \
    for (struct list_node *node = (l)->head.next, *node##_next = node->next; node != &(l)->head; \
         node = node##_next, node##_next = node->next)

#endif
