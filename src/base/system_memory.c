#include "base/system_memory.h"

#include "base/clock.h"
#include "base/run_pool.h"
#include "base/slab_pool.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What may be free at the end of a heap before it shrinks: messages that are large come and go
 * there. What is larger than that is mapped by itself. */
#define HEAP_SPARE_BYTES (8 * 1024 * 1024)

/* Next to nothing to do: a hundredth of a processor's time. */
#define RESTING_SHARE 100

/* Much to do, since memory was given back: what that costs is little beside it. */
#define WORKED_NS 500000000

void system_memory_set_up(void)
{
    /* Hints: without them all is as well, but for the memory. */
    mallopt(M_MMAP_THRESHOLD, HEAP_SPARE_BYTES);
    mallopt(M_TRIM_THRESHOLD, HEAP_SPARE_BYTES);
}

/* Reads a small file as text. Returns whether there is one. */
static int read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return 0;
    n = read(fd, out, size - 1);
    close(fd);
    if (n <= 0)
        return 0;
    out[n] = '\0';
    return 1;
}

/* The number in a cgroup's file; 0 for none ("max"). */
static uint64_t read_number(const char *path)
{
    char text[64];

    return read_text(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* The limits of the process's cgroup and of those around it, as the process sees them. */
static uint64_t cgroup_limit(void)
{
    char groups[1024];
    char path[1200];
    uint64_t limit = least(read_number("/sys/fs/cgroup/memory.max"),
                           read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    char *own;
    char *slash;

    if (!read_text("/proc/self/cgroup", groups, sizeof(groups)))
        return limit;
    own = strstr(groups, "0::/");
    if (own == NULL)
        return limit;
    own += strlen("0::");
    own[strcspn(own, "\n")] = '\0';
    while ((slash = strrchr(own, '/')) != NULL && own[1] != '\0') {
        snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", own);
        limit = least(limit, read_number(path));
        *slash = '\0';
        if (slash == own)
            break;
    }
    return limit;
}

uint64_t system_memory_limit(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && page_size > 0 ? (uint64_t)pages * (uint64_t)page_size : 0;

    return least(machine, cgroup_limit());
}

uint64_t system_memory_resident(void)
{
    char text[128];
    const char *resident;

    if (!read_text("/proc/self/statm", text, sizeof(text)))
        return 0;
    resident = strchr(text, ' '); /* behind the total size */
    if (resident == NULL)
        return 0;
    return (uint64_t)strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void *system_memory_map(size_t size)
{
    char *mapped = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *aligned;

    if (mapped == MAP_FAILED)
        return NULL;
    aligned = mapped + (size - (uintptr_t)mapped % size);
    if (aligned != mapped + size)
        munmap(aligned + size, (size_t)(mapped + size - aligned));
    munmap(mapped, (size_t)(aligned - mapped));
    return aligned;
}

void system_memory_give_back(void)
{
    slab_pool_trim();
    run_pool_trim();
    malloc_trim(0);
}

bool system_memory_rests(struct system_memory_rest *r, int64_t now_ns, int64_t process_ns)
{
    int64_t passed_ns = now_ns - r->seen_ns;
    int64_t ran_ns = process_ns - r->seen_process_ns;
    bool first = r->seen_ns == 0;

    r->seen_ns = now_ns;
    r->seen_process_ns = process_ns;
    if (first || ran_ns * RESTING_SHARE > passed_ns ||
        process_ns - r->rested_process_ns < WORKED_NS)
        return false;
    r->rested_process_ns = process_ns;
    return true;
}

bool system_memory_exceeds(uint64_t limit)
{
    static atomic_int_fast64_t trimmed_ms;
    int64_t now_ms = clock_monotonic_ms();
    int64_t last_ms = atomic_load(&trimmed_ms);

    if (system_memory_resident() <= limit)
        return false;
    if (now_ms - last_ms < 1000 || !atomic_compare_exchange_strong(&trimmed_ms, &last_ms, now_ms))
        return true;
    system_memory_give_back();
    return system_memory_resident() > limit;
}
