#include "perf/loop.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 256 };

static _Thread_local struct epoll_event found_events[EVENTS_MAX];

int loop_init(struct loop *l)
{
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        return -errno;
    l->input = memory_alloc(CLIENT_INPUT_SIZE);
    return 0;
}

void loop_free(struct loop *l)
{
    close(l->epoll_fd);
    free(l->input);
}

static uint32_t wanted_events(const struct client *c)
{
    return c->wants_output ? EPOLLIN | EPOLLOUT : EPOLLIN;
}

int loop_add(struct loop *l, struct client *c)
{
    struct epoll_event e = {.events = wanted_events(c), .data.ptr = c};

    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0)
        return -errno;
    c->watches_output = c->wants_output;
    return 0;
}

void loop_update(struct loop *l, struct client *c)
{
    struct epoll_event e = {.events = wanted_events(c), .data.ptr = c};

    if (c->wants_output == c->watches_output || c->fd < 0)
        return;
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0) {
        client_fail(c, "epoll_ctl: %s", strerror(errno));
        return;
    }
    c->watches_output = c->wants_output;
}

struct loop_events loop_wait(struct loop *l, int64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = timeout_ns / 1000000000,
                               .tv_nsec = timeout_ns % 1000000000};
    int count =
        epoll_pwait2(l->epoll_fd, found_events, EVENTS_MAX, timeout_ns < 0 ? NULL : &timeout, NULL);

    return (struct loop_events){.count = count > 0 ? count : 0, .now_ns = clock_monotonic_ns()};
}

void loop_dispatch(struct loop *l, struct loop_events found)
{
    for (int i = 0; i < found.count; i++) {
        struct client *c = found_events[i].data.ptr;

        client_ready(c, found_events[i].events, l->input, found.now_ns);
        loop_update(l, c);
    }
}

int64_t loop_turn(struct loop *l, int64_t timeout_ns)
{
    struct loop_events found = loop_wait(l, timeout_ns);

    loop_dispatch(l, found);
    return found.now_ns;
}
