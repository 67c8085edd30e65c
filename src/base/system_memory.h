/* How much memory there is, and how much this process has. Any thread. */
#ifndef LEVERET_BASE_SYSTEM_MEMORY_H
#define LEVERET_BASE_SYSTEM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds what malloc() keeps at the end of each thread's heap. Left to itself it keeps the more, up
 * to 64 MiB a heap, the larger the blocks that it has seen freed. To be called once, before there
 * are other threads. */
void system_memory_set_up(void);

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

/* To find when that disturbs nobody: a process that had much to do has next to nothing to do. */
struct system_memory_rest {
    int64_t seen_ns; /* 0: not seen yet */
    int64_t seen_process_ns;
    int64_t rested_process_ns; /* when it was found so last */
};

/* Whether it is so now. To be asked about once a second with clock_monotonic_ns() and
 * clock_process_ns(). Pure: any thread, one at a time. */
bool system_memory_rests(struct system_memory_rest *r, int64_t now_ns, int64_t process_ns);

#endif
