/* The regions of a pool of memory (base/slab_pool.h, base/run_pool.h) in which something is free:
 * those that are taken from, and a few of which nothing is taken, kept from the system. Every call
 * but region_lists_trim() is under the lock, which the pool takes. */
#ifndef LEVERET_BASE_REGION_LISTS_H
#define LEVERET_BASE_REGION_LISTS_H

#include "base/list.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct region_lists {
    pthread_mutex_t lock;
    struct list partial; /* some is free: the first is filled, the last may run empty */
    struct list spare;   /* all is: a few, and what the system did not take back */
    uint32_t partial_count;
    uint32_t spare_count;
};

void region_lists_init(struct region_lists *l);

/* Something of a full region is free again. */
void region_lists_add_partial(struct region_lists *l, struct list_node *region);
/* A region that is all free is taken from now. */
void region_lists_use(struct region_lists *l, struct list_node *region);
/* Nothing of it is free any more, or nothing is taken. */
void region_lists_remove_partial(struct region_lists *l, struct list_node *region);

void region_lists_add_spare(struct region_lists *l, struct list_node *region);
/* One that the system did not take back: the last to be used, or offered again. */
void region_lists_add_refused(struct region_lists *l, struct list_node *region);
/* A spare region, in no list any more, or NULL. */
struct list_node *region_lists_take_spare(struct region_lists *l);

/* Has each spare region, which is in no list then, destroyed without the lock, and each partial one
 * cooled under it. The lock is free in between. */
void region_lists_trim(struct region_lists *l, void (*destroy)(struct list_node *region),
                       void (*cool)(struct list_node *region));

#endif
