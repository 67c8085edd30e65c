#include "net/reactor.h"

#include <errno.h>
#include <unistd.h>

int reactor_init(struct reactor *r)
{
    r->ready_count = 0;
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return r->epoll_fd < 0 ? -errno : 0;
}

void reactor_close(struct reactor *r)
{
    close(r->epoll_fd);
    r->epoll_fd = -1;
}

static struct epoll_event event_for(struct reactor_source *source)
{
    uint32_t events = 0;

    if ((source->interest & REACTOR_READ) != 0)
        events |= EPOLLIN | EPOLLRDHUP;
    if ((source->interest & REACTOR_WRITE) != 0)
        events |= EPOLLOUT;
    return (struct epoll_event){.events = events, .data.ptr = source};
}

int reactor_add(struct reactor *r, struct reactor_source *source, int fd, uint32_t interest,
                void (*on_ready)(struct reactor_source *source, uint32_t ready))
{
    struct epoll_event event;

    source->fd = fd;
    source->interest = interest;
    source->removed = false;
    source->on_ready = on_ready;
    event = event_for(source);
    return epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void reactor_set_interest(struct reactor *r, struct reactor_source *source, uint32_t interest)
{
    struct epoll_event event;

    if (source->interest == interest)
        return;
    source->interest = interest;
    event = event_for(source);
    epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void reactor_remove(struct reactor *r, struct reactor_source *source)
{
    if (source->removed)
        return;
    source->removed = true;
    epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

static uint32_t readiness(uint32_t events)
{
    uint32_t ready = 0;

    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        ready |= REACTOR_READ;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        ready |= REACTOR_WRITE;
    return ready;
}

int reactor_wait(struct reactor *r, int timeout_ms)
{
    int count = epoll_wait(r->epoll_fd, r->ready, REACTOR_BATCH, timeout_ms);

    r->ready_count = count > 0 ? count : 0;
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    return count;
}

void reactor_dispatch(struct reactor *r)
{
    for (int i = 0; i < r->ready_count; i++) {
        struct reactor_source *source = r->ready[i].data.ptr;

        if (!source->removed)
            source->on_ready(source, readiness(r->ready[i].events));
    }
    r->ready_count = 0;
}
