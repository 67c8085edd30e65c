/* What a process uses: processor time and resident memory, its children included. For measuring
 * a broker from outside. Any thread. */
#ifndef LEVERET_PERF_PROCESS_H
#define LEVERET_PERF_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

struct process_usage {
    int64_t cpu_ns;     /* user and system time of all threads, those that ended included */
    int64_t rss_bytes;  /* resident memory */
    unsigned processes; /* how many were counted: the process and its descendants */
};

/* Reads what `pid` and its living descendants have used so far. Returns 0, or -ESRCH when there
 * is no such process, or another -errno. */
int process_usage_read(pid_t pid, struct process_usage *out);

/* Processor time of the calling process in nanoseconds. */
int64_t process_own_cpu_ns(void);

#endif
