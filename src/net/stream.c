#include "net/stream.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t plain_read(struct stream *s, void *out, size_t size)
{
    ssize_t n;

    do {
        n = recv(s->fd, out, size, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t plain_writev(struct stream *s, const struct iovec *runs, int count)
{
    /* msg_iov is not const, and sendmsg only reads it. */
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)runs,
                             .msg_iovlen = (size_t)count};
    ssize_t n;

    do {
        n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void plain_release(struct stream *s)
{
    (void)s;
}

static const struct stream_ops plain_ops = {
    .read = plain_read,
    .writev = plain_writev,
    .release = plain_release,
};

void stream_init_plain(struct stream *s, int fd)
{
    *s = (struct stream){.fd = fd, .ops = &plain_ops, .transport = NULL};
}

void stream_close(struct stream *s)
{
    if (s->fd < 0)
        return;
    s->ops->release(s);
    close(s->fd);
    s->fd = -1;
}
