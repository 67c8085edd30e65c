/* A connected byte stream: TCP now, and whatever else carries bytes in order behind the same
 * operations. Non-blocking. Owns its descriptor. One thread. */
#ifndef LEVERET_NET_STREAM_H
#define LEVERET_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;

enum {
    /* Of the memory that is read into: what a transport that decrypts needs at least. */
    STREAM_READ_MIN = 64 * 1024,
};

/* What a transport does. */
struct stream_ops {
    /* Reads up to `size` bytes, which are at least STREAM_READ_MIN. All of `out` may be written to.
     * Returns how many, 0 at the end of the stream, or -errno
     * (-EAGAIN: nothing now). */
    ssize_t (*read)(struct stream *s, void *out, size_t size);
    /* Writes from the runs in order. Returns how many bytes were taken, or -errno (-EAGAIN: none
     * now). */
    ssize_t (*writev)(struct stream *s, const struct iovec *runs, int count);
    /* Frees what the transport holds; the descriptor is closed behind it. */
    void (*release)(struct stream *s);
};

struct stream {
    int fd;
    bool wants_write; /* reading goes on when the socket takes output: watch for that */
    const struct stream_ops *ops;
    void *transport; /* the operations' own */
};

/* A plain socket; takes over `fd`. */
void stream_init_plain(struct stream *s, int fd);

/* Releases the transport and closes the descriptor. Idempotent. */
void stream_close(struct stream *s);

static inline ssize_t stream_read(struct stream *s, void *out, size_t size)
{
    return s->ops->read(s, out, size);
}

static inline ssize_t stream_writev(struct stream *s, const struct iovec *runs, int count)
{
    return s->ops->writev(s, runs, count);
}

#endif
