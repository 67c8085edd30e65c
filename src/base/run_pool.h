/* Memory for objects that are too large to share a slab, such as messages with bodies of some KiB:
 * runs of units of RUN_UNIT_BYTES in regions of 2 MiB, apart from the heap. So what comes and goes
 * by the hundred MiB leaves nothing behind between what stays, and its regions go back to the
 * system, with their addresses, when they are empty. Any thread. */
#ifndef LEVERET_BASE_RUN_POOL_H
#define LEVERET_BASE_RUN_POOL_H

#include <stddef.h>
#include <stdint.h>

#define RUN_UNIT_BYTES ((size_t)256)

/* The longest run, in units: 256 KiB. */
#define RUN_UNITS_MAX 1024u

/* Up to `count` runs of `units` (1 to RUN_UNITS_MAX) each, uninitialised and aligned to 256 bytes.
 * Returns how many there are: fewer when memory is refused. O(count), with a search in a bounded
 * number of regions each. */
uint32_t run_pool_take(uint32_t units, void **runs, uint32_t count);

/* Takes back `count` runs of `units` each, of whatever calls. A region in which nothing is left
 * returns to the system, but for a few. O(count), now and then a call of the system. */
void run_pool_put(uint32_t units, void *const *runs, uint32_t count);

/* Returns the memory of the pages in which no run is to the system. O(regions of which some units
 * are taken and others not, and the pages of those that changed since); the lock is held for one of
 * them at a time. */
void run_pool_trim(void);

struct run_usage {
    uint64_t regions;    /* with what is kept of empty ones */
    uint64_t live_units; /* taken */
};

/* A snapshot. */
struct run_usage run_pool_usage(void);

#endif
