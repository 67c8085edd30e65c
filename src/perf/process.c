#include "perf/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES_MAX = 64 };

/* The process and its descendants, parents before children. */
struct family {
    pid_t pids[PROCESSES_MAX];
    unsigned count;
};

static int64_t timespec_ns(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* Reads a small file of /proc whole, zero-terminated. */
static int proc_read(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;
    int rc;

    if (fd < 0)
        return -errno;
    got = read(fd, out, size - 1);
    rc = got < 0 ? -errno : 0;
    out[got > 0 ? got : 0] = '\0';
    close(fd);
    return rc;
}

/* Adds the children of one thread of a process. */
static void family_add_children(struct family *f, pid_t pid, const char *task)
{
    char path[96];
    char text[4096];
    char *at = text;

    snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children", (int)pid, task);
    if (proc_read(path, text, sizeof(text)) < 0)
        return;
    while (f->count < PROCESSES_MAX) {
        char *end;
        long child = strtol(at, &end, 10);

        if (end == at)
            return;
        f->pids[f->count++] = (pid_t)child;
        at = end;
    }
}

static void family_find(struct family *f, pid_t pid)
{
    f->pids[0] = pid;
    f->count = 1;
    for (unsigned i = 0; i < f->count; i++) {
        char path[64];
        struct dirent *entry;
        DIR *tasks;

        snprintf(path, sizeof(path), "/proc/%d/task", (int)f->pids[i]);
        tasks = opendir(path);
        if (tasks == NULL)
            continue;
        while ((entry = readdir(tasks)) != NULL)
            if (entry->d_name[0] != '.')
                family_add_children(f, f->pids[i], entry->d_name);
        closedir(tasks);
    }
}

static int process_cpu_ns(pid_t pid, int64_t *out)
{
    struct timespec t;
    clockid_t clock;
    int rc = clock_getcpuclockid(pid, &clock);

    if (rc != 0)
        return -rc;
    if (clock_gettime(clock, &t) != 0)
        return -errno;
    *out = timespec_ns(&t);
    return 0;
}

static int process_rss_bytes(pid_t pid, int64_t *out)
{
    char path[64];
    char text[256];
    char *resident;
    char *end;
    int64_t pages;
    int rc;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    rc = proc_read(path, text, sizeof(text));
    if (rc < 0)
        return rc;
    resident = strchr(text, ' '); /* behind the total size */
    if (resident == NULL)
        return -EIO;
    pages = strtoll(resident, &end, 10);
    if (end == resident)
        return -EIO;
    *out = pages * sysconf(_SC_PAGESIZE);
    return 0;
}

int process_usage_read(pid_t pid, struct process_usage *out)
{
    struct family family;

    *out = (struct process_usage){0};
    family_find(&family, pid);
    for (unsigned i = 0; i < family.count; i++) {
        int64_t cpu_ns = 0;
        int64_t rss_bytes = 0;
        int rc = process_cpu_ns(family.pids[i], &cpu_ns);

        if (rc == 0)
            rc = process_rss_bytes(family.pids[i], &rss_bytes);
        if (rc < 0 && i == 0)
            return rc == -ENOENT ? -ESRCH : rc;
        if (rc < 0)
            continue;
        out->cpu_ns += cpu_ns;
        out->rss_bytes += rss_bytes;
        out->processes++;
    }
    return 0;
}

int64_t process_own_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return timespec_ns(&t);
}
