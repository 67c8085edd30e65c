/* Memory for objects that come and go by the million, in any order and on any thread, such as
 * messages: objects of about one size share a slab, so that freeing one touches nothing but itself,
 * and neither time nor memory depends on the order. Each thread keeps up to 32 free ones of a size;
 * only every 16 does it take the lock of the size. Slabs in which nothing lives go back to
 * the system, 256 at a time where they are neighbours, but for a few.
 *
 * What is larger than SLAB_OBJECT_MAX has a run of the pool (base/run_pool.h) to itself, and what
 * is larger than that pool has is malloc()'s. The price of an object is its size rounded up to 16
 * bytes, above 512 to 64, in a run to 256. Everything is malloc()'s under AddressSanitizer, which
 * is to see each object by itself. */
#ifndef LEVERET_BASE_SLAB_H
#define LEVERET_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_OBJECT_MAX 1280u

/* `size` bytes (at least 1), uninitialised and aligned to 16. Returns NULL when memory is refused.
 * Any thread. O(1), a constant number of objects at the worst. */
void *slab_alloc(size_t size);

/* Frees what slab_alloc() returned for that size. Any thread. O(1), as above. */
void slab_free(void *object, size_t size);

#endif
