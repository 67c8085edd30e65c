/* How much memory there is, and how much this process has. Any thread. */
#ifndef LEVERET_BASE_SYSTEM_MEMORY_H
#define LEVERET_BASE_SYSTEM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes this process may hope for: the machine's memory, or the limit of its cgroup (v2 or v1)
 * where that is less. 0 when neither can be told. */
uint64_t system_memory_limit(void);

/* Bytes of this process that are in memory; 0 when it cannot be told. */
uint64_t system_memory_resident(void);

/* As system_memory_resident(), and whether it is above `limit`. What the allocator holds on to does
 * not count: when it may make the difference it is given back to the system first, once a second at
 * most. */
bool system_memory_exceeds(uint64_t limit);

/* Memory of a size that is a power of two and at least a page's, aligned to it and zeroed; to be
 * returned with munmap(). Returns NULL when it is refused. Any thread. */
void *system_memory_map(size_t size);

/* Gives what the allocator holds on to back to the system. Who allocates meanwhile may wait for it,
 * milliseconds where much is free in small pieces. */
void system_memory_give_back(void);

#endif
