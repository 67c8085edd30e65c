/* The slabs that base/slab.h makes objects of: SLAB_BYTES of memory, aligned to that. They are
 * asked of the system and returned to it, with their addresses, in regions of 256. Any thread. */
#ifndef LEVERET_BASE_SLAB_POOL_H
#define LEVERET_BASE_SLAB_POOL_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_BYTES ((size_t)8 << 10)

struct slab_region;

/* A slab, uninitialised, and the region it is of. Returns NULL when memory is refused. O(1). */
void *slab_pool_take(struct slab_region **region);

/* Takes a slab back. When nothing is left of its region it returns to the system, but for a few
 * such regions. O(1), now and then a call of the system. */
void slab_pool_put(void *slab, struct slab_region *region);

/* Returns the memory of all slabs that wait here to the system, in whole pages. O(regions of which
 * some slabs are taken and others not); the lock is held for one of them at a time. */
void slab_pool_trim(void);

struct slab_usage {
    uint64_t live_slabs; /* taken */
    uint64_t warm_slabs; /* waiting, and in memory */
    uint64_t cold_slabs; /* waiting, and not in memory; those of a returned region are no more */
};

/* A snapshot. */
struct slab_usage slab_pool_usage(void);

#endif
