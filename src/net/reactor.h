/* The readiness loop of one thread: file descriptors and what to do when they are ready
 * (epoll, level-triggered). Owns its epoll descriptor, not the sources. One thread. */
#ifndef LEVERET_NET_REACTOR_H
#define LEVERET_NET_REACTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

enum reactor_interest {
    REACTOR_READ = 1 << 0,
    REACTOR_WRITE = 1 << 1,
};

/* Sits inside the object that owns the descriptor. While the reactor dispatches, a source may be
 * removed, but its memory must stay until reactor_dispatch() has returned. */
struct reactor_source {
    int fd;
    uint32_t interest; /* of enum reactor_interest; set by the functions below */
    bool removed;
    /* `ready` has REACTOR_READ when a read will not block (data, end of stream or an error) and
     * REACTOR_WRITE likewise. */
    void (*on_ready)(struct reactor_source *source, uint32_t ready);
};

enum {
    /* Sources whose readiness is learnt in one wait. */
    REACTOR_BATCH = 256,
};

struct reactor {
    int epoll_fd;
    int ready_count; /* of `ready`, not dispatched yet */
    struct epoll_event ready[REACTOR_BATCH];
};

/* Returns 0 or -errno. */
int reactor_init(struct reactor *r);
void reactor_close(struct reactor *r);

/* Watches `source->fd`, which must be non-blocking. Returns 0 or -errno. */
int reactor_add(struct reactor *r, struct reactor_source *source, int fd, uint32_t interest,
                void (*on_ready)(struct reactor_source *source, uint32_t ready));

/* Changes what is waited for; no system call when it is that already. */
void reactor_set_interest(struct reactor *r, struct reactor_source *source, uint32_t interest);

/* Stops watching; `on_ready` is not called any more. The descriptor stays open. */
void reactor_remove(struct reactor *r, struct reactor_source *source);

/* Waits up to `timeout_ms` (0: polls, -1: without end) for something to be ready. Returns how much
 * is, 0 on a time-out or a signal, or -errno. */
int reactor_wait(struct reactor *r, int timeout_ms);

/* Calls on_ready for what the last reactor_wait() found. The caller reads the clock in between, so
 * that what happens now is not taken for the time before a long sleep. */
void reactor_dispatch(struct reactor *r);

#endif
