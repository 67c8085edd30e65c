/* A search for the queues that a message goes to: what the routers of exchange types tell their
 * findings. Internal to the topology. */
#ifndef LEVERET_BROKER_ROUTE_H
#define LEVERET_BROKER_ROUTE_H

#include "base/random.h"
#include "broker/key_index.h"
#include "broker/topology.h"

#include <stdbool.h>
#include <stdint.h>

/* Distinct pointers: a few side by side, more in a hash table. Emptying costs nothing: what an
 * older generation left counts as absent. */
#define POINTER_SET_FEW 16u

struct pointer_mark {
    const void *pointer;
    uint64_t generation;
};

struct pointer_set {
    const void *few[POINTER_SET_FEW];
    uint32_t count;
    uint32_t mark_capacity; /* a power of two, or 0 */
    uint64_t generation;
    struct pointer_mark *marks;
};

void pointer_set_reset(struct pointer_set *s);

/* Returns whether it was not there yet. */
bool pointer_set_add(struct pointer_set *s, const void *pointer);

/* A growable array of pointers. */
struct pointer_list {
    const void **items;
    uint32_t count;
    uint32_t capacity;
};

void pointer_list_append(struct pointer_list *l, const void *pointer);

/* A table of headers with an index of its keys, when it has enough of them. */
struct header_index {
    uint32_t *slots;   /* 1 + the field's position, 0 = free; a power of two of them */
    uint32_t capacity; /* slots allocated */
    uint32_t in_use;   /* slots of the present index, 0 when there is none */
};

/* One worker's memory for searching, kept from one route to the next. */
struct route_search {
    struct route *out;
    const struct route_request *request;
    const struct table *headers; /* NULL until they were asked for */
    struct header_index header_index;
    bool matched; /* the exchange that is being searched has a match */
    struct random_sequence random;
    struct pointer_set seen_queues;
    struct pointer_set seen_exchanges;
    struct pointer_list exchanges; /* found, in the order in which they are searched */

    /* For the topic exchange's walk. */
    struct pointer_set seen_nodes;
    struct pointer_list nodes[3];
};

/* The message's headers; asks the publisher once a route. */
const struct table *route_search_headers(struct route_search *s);

/* The value of one header, the first of repeated ones, or NULL. O(1). */
const struct value *route_search_header(struct route_search *s, struct bytes key);

/* A route will look for this hash: fetches the place, unless the hint is full. */
void route_hint_add(struct route_hint *hint, const struct key_index *x, uint32_t hash);

/* A binding that leads to `destination` (binding.h) matches. */
void route_search_found(struct route_search *s, uintptr_t destination);

/* All bindings in `set`, whose values are destinations, match. */
void route_search_found_set(struct route_search *s, const struct key_set *set);

#endif
