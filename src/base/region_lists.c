#include "base/region_lists.h"

#include <stddef.h>

void region_lists_init(struct region_lists *l)
{
    list_init(&l->partial);
    list_init(&l->spare);
}

void region_lists_add_partial(struct region_lists *l, struct list_node *region)
{
    list_append(&l->partial, region);
    l->partial_count++;
}

void region_lists_use(struct region_lists *l, struct list_node *region)
{
    list_prepend(&l->partial, region);
    l->partial_count++;
}

void region_lists_remove_partial(struct region_lists *l, struct list_node *region)
{
    list_remove(region);
    l->partial_count--;
}

void region_lists_add_spare(struct region_lists *l, struct list_node *region)
{
    list_prepend(&l->spare, region);
    l->spare_count++;
}

void region_lists_add_refused(struct region_lists *l, struct list_node *region)
{
    list_append(&l->spare, region);
    l->spare_count++;
}

struct list_node *region_lists_take_spare(struct region_lists *l)
{
    struct list_node *first = list_first(&l->spare);

    if (first == NULL)
        return NULL;
    list_remove(first);
    l->spare_count--;
    return first;
}

static void trim_spare(struct region_lists *l, void (*destroy)(struct list_node *region))
{
    struct list_node *region;

    pthread_mutex_lock(&l->lock);
    region = region_lists_take_spare(l);
    pthread_mutex_unlock(&l->lock);
    if (region != NULL)
        destroy(region);
}

/* Cools the first of the partial regions and makes it the last. */
static void trim_partial(struct region_lists *l, void (*cool)(struct list_node *region))
{
    struct list_node *first;

    pthread_mutex_lock(&l->lock);
    first = list_first(&l->partial);
    if (first != NULL) {
        cool(first);
        list_remove(first);
        list_append(&l->partial, first);
    }
    pthread_mutex_unlock(&l->lock);
}

void region_lists_trim(struct region_lists *l, void (*destroy)(struct list_node *region),
                       void (*cool)(struct list_node *region))
{
    uint32_t spare_count;
    uint32_t partial_count;

    pthread_mutex_lock(&l->lock);
    spare_count = l->spare_count;
    partial_count = l->partial_count;
    pthread_mutex_unlock(&l->lock);
    while (spare_count-- != 0)
        trim_spare(l, destroy);
    while (partial_count-- != 0)
        trim_partial(l, cool);
}
