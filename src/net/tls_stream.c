#include "net/tls.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/memory.h"
#include "net/tls_context.h"
#include "net/tls_stream.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RECORD_SIZE_MAX = 16 * 1024, /* of plain text (RFC 8446 §5.1) */
    RECORD_HEADER_SIZE = 5,
    RECORD_OF_HANDSHAKE = 22,
    /* With what surrounds and pads it. */
    ENCRYPTED_RECORD_SIZE_MAX = RECORD_HEADER_SIZE + RECORD_SIZE_MAX + 2048,
};

/* A read takes encrypted bytes into the upper half of the caller's memory and decrypts them to its
 * start: what comes out, with what OpenSSL had of a record, must never reach what goes in. */
static_assert(STREAM_READ_MIN / 2 >= ENCRYPTED_RECORD_SIZE_MAX, "no room for a record");

/* Between two calls OpenSSL holds at most the part of a record that has come, nothing that could be
 * read: so the readiness of the socket is that of the stream. */
struct tls_stream {
    SSL *ssl; /* NULL before the first record: its tens of KiB are not for who stalls before */
    struct tls_context *context;
    struct tls_complaint complaint;
    struct tls_turn *turn; /* until the handshake is done, NULL then */
    const uint8_t *window; /* what OpenSSL reads from, within a call */
    size_t window_size;
    uint8_t *kept; /* what it did not read because it could not write, or before it is there */
    size_t kept_size;
    bool failed; /* nothing more is said to the peer */
    bool kernel_sends;
};

/* ---- OpenSSL's source of bytes ---- */

static int window_read(BIO *bio, char *out, size_t size, size_t *got)
{
    struct tls_stream *t = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (t->window_size == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *got = size < t->window_size ? size : t->window_size;
    memcpy(out, t->window, *got);
    t->window += *got;
    t->window_size -= *got;
    return 1;
}

static long window_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int window_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *window_method;

static void make_window_method(void)
{
    window_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "window");
    if (window_method == NULL)
        return;
    BIO_meth_set_read_ex(window_method, window_read);
    BIO_meth_set_ctrl(window_method, window_control);
    BIO_meth_set_create(window_method, window_create);
}

static int attach(struct tls_stream *t, SSL *ssl, int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *in;
    BIO *out;

    pthread_once(&once, make_window_method);
    in = window_method != NULL ? BIO_new(window_method) : NULL;
    out = BIO_new_socket(fd, BIO_NOCLOSE);
    if (in == NULL || out == NULL) {
        BIO_free(in);
        BIO_free(out);
        return -ENOMEM;
    }
    BIO_set_data(in, t);
    SSL_set0_rbio(ssl, in);
    SSL_set0_wbio(ssl, out);
    return 0;
}

/* ---- Errors ---- */

/* Says why OpenSSL failed. */
static int fail(struct tls_stream *t)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

    t->failed = true;
    if (reason >= SSL_AD_REASON_OFFSET && ERR_GET_LIB(code) == ERR_LIB_SSL)
        tls_complain(t->ssl, "the peer refuses: %s", text);
    else if (text != NULL)
        tls_complain(t->ssl, "%s", text);
    ERR_clear_error();
    return -EPROTO;
}

/* ---- Handshake ---- */

/* What the first bytes say if they are no TLS. */
static void notice_other_protocols(struct tls_stream *t)
{
    if (t->window_size >= 4 && memcmp(t->window, "AMQP", 4) == 0)
        tls_complain(t->ssl, "the peer speaks AMQP without TLS, and this listener only with it");
}

/* What has come will do for OpenSSL to begin with. */
static int begin(struct stream *s, struct tls_stream *t)
{
    SSL *ssl = tls_context_new_ssl(t->context);

    if (ssl == NULL || attach(t, ssl, s->fd) < 0) {
        SSL_free(ssl);
        ERR_clear_error();
        t->failed = true;
        t->complaint.text = bytes_to_string(bytes_from_string("no memory for it"));
        return -ENOMEM;
    }
    t->ssl = ssl;
    SSL_set_app_data(ssl, &t->complaint);
    SSL_set_accept_state(ssl);
    SSL_set_options(ssl, SSL_OP_CLEANSE_PLAINTEXT);
    notice_other_protocols(t);
    return 0;
}

/* Takes the handshake further. Returns 0 when it is done, -EAGAIN, -EPROTO or -ENOMEM. */
static int shake_hands(struct stream *s, struct tls_stream *t)
{
    int64_t start_ns = clock_monotonic_ns();
    int rc;

    if (t->ssl == NULL && begin(s, t) < 0)
        return -ENOMEM;
    ERR_clear_error();
    s->wants_write = false;
    rc = SSL_accept(t->ssl);
    t->turn->left_ns -= clock_monotonic_ns() - start_ns;
    if (rc == 1) {
        t->turn = NULL;
        t->kernel_sends = BIO_get_ktls_send(SSL_get_wbio(t->ssl)) != 0;
        return 0;
    }
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        s->wants_write = true;
        return -EAGAIN;
    default:
        return fail(t);
    }
}

/* ---- Reading ---- */

/* Decrypts the records of the window. Returns the bytes, 0 at the end of what the peer says, or
 * -errno. */
static ssize_t decrypt(struct stream *s, struct tls_stream *t, uint8_t *out, size_t size)
{
    size_t total = 0;
    size_t got;

    ERR_clear_error();
    s->wants_write = false;
    while (SSL_read_ex(t->ssl, out + total, size - total, &got) == 1)
        total += got;
    switch (SSL_get_error(t->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_WANT_WRITE:
        s->wants_write = true;
        break;
    case SSL_ERROR_ZERO_RETURN:
        /* What is told now does not come again, so the socket says it from here on. */
        shutdown(s->fd, SHUT_RD);
        return (ssize_t)total;
    default:
        return fail(t);
    }
    return total != 0 ? (ssize_t)total : -EAGAIN;
}

static ssize_t receive(int fd, uint8_t *out, size_t size)
{
    ssize_t n;

    do {
        n = recv(fd, out, size, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Puts what was kept, or else what the socket has, at `window`. Returns 1, 0 at the end of the
 * stream, or -errno. */
static ssize_t fill_window(struct stream *s, struct tls_stream *t, uint8_t *window, size_t size)
{
    ssize_t n;

    if (t->kept_size != 0) {
        assert(t->kept_size <= size);
        memcpy(window, t->kept, t->kept_size);
        t->window = window;
        t->window_size = t->kept_size;
        free(t->kept);
        t->kept = NULL;
        t->kept_size = 0;
        return 1;
    }
    n = receive(s->fd, window, size);
    if (n == 0 || (n < 0 && (n != -EAGAIN || !s->wants_write)))
        return n;
    t->window = window;
    t->window_size = n > 0 ? (size_t)n : 0;
    return 1;
}

/* What OpenSSL left in the window: it had to write first, and could not. */
static void keep_window(struct tls_stream *t)
{
    if (t->window_size != 0) {
        t->kept = memory_alloc(t->window_size);
        memcpy(t->kept, t->window, t->window_size);
        t->kept_size = t->window_size;
    }
    t->window = NULL;
    t->window_size = 0;
}

/* Whether the window has the whole of the first record, or what is none. */
static bool has_first_record(const struct tls_stream *t)
{
    const uint8_t *header = t->window;
    size_t size;

    if (header[0] != RECORD_OF_HANDSHAKE)
        return true;
    if (t->window_size < RECORD_HEADER_SIZE)
        return false;
    size = (size_t)header[3] << 8 | header[4];
    return size > RECORD_SIZE_MAX || t->window_size >= RECORD_HEADER_SIZE + size;
}

/* As fill_window() before the handshake has begun: what comes is kept until it is a record. */
static ssize_t gather_first_record(struct stream *s, struct tls_stream *t, uint8_t *window,
                                   size_t size)
{
    size_t kept_size = t->kept_size;
    ssize_t n;

    assert(kept_size < size);
    n = receive(s->fd, window + kept_size, size - kept_size);
    if (n <= 0)
        return n;
    if (kept_size != 0)
        memcpy(window, t->kept, kept_size);
    free(t->kept);
    t->kept = NULL;
    t->kept_size = 0;
    t->window = window;
    t->window_size = kept_size + (size_t)n;
    if (has_first_record(t))
        return 1;
    keep_window(t);
    return -EAGAIN;
}

static ssize_t tls_read(struct stream *s, void *out, size_t size)
{
    struct tls_stream *t = s->transport;
    size_t half = size / 2;
    ssize_t n;

    assert(size >= STREAM_READ_MIN);
    if (t->failed)
        return -EPROTO;
    if (t->turn != NULL && t->turn->left_ns <= 0)
        return -EAGAIN;
    n = t->ssl != NULL ? fill_window(s, t, (uint8_t *)out + half, half)
                       : gather_first_record(s, t, (uint8_t *)out + half, half);
    if (n <= 0)
        return n;
    n = t->turn != NULL ? shake_hands(s, t) : 0;
    if (n == 0)
        n = decrypt(s, t, out, size);
    keep_window(t);
    return n;
}

/* ---- Writing ---- */

/* Where in the runs the next record begins. */
struct cursor {
    const struct iovec *runs;
    int count;
    size_t offset; /* in the first run */
};

static void advance(struct cursor *c, size_t size)
{
    while (size != 0) {
        size_t left = c->runs->iov_len - c->offset;

        if (size < left) {
            c->offset += size;
            return;
        }
        size -= left;
        c->runs++;
        c->count--;
        c->offset = 0;
    }
}

/* The bytes of the next record: as they are when one run has them, else together in `scratch`. */
static const uint8_t *next_record(const struct cursor *from, uint8_t scratch[RECORD_SIZE_MAX],
                                  size_t *size)
{
    const uint8_t *first = (const uint8_t *)from->runs->iov_base + from->offset;
    size_t first_size = from->runs->iov_len - from->offset;

    if (first_size >= RECORD_SIZE_MAX || from->count == 1) {
        *size = first_size < RECORD_SIZE_MAX ? first_size : RECORD_SIZE_MAX;
        return first;
    }
    *size = 0;
    for (struct cursor c = *from; c.count > 0 && *size < RECORD_SIZE_MAX; c.runs++, c.count--) {
        size_t left = c.runs->iov_len - c.offset;
        size_t step = left < RECORD_SIZE_MAX - *size ? left : RECORD_SIZE_MAX - *size;

        memcpy(scratch + *size, (const uint8_t *)c.runs->iov_base + c.offset, step);
        *size += step;
        c.offset = 0;
    }
    return scratch;
}

/* Why a write failed: -EAGAIN, or what ends the stream. */
static int write_error(struct tls_stream *t)
{
    int error_number = errno;

    switch (SSL_get_error(t->ssl, 0)) {
    case SSL_ERROR_WANT_WRITE:
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_SYSCALL:
        t->failed = true;
        ERR_clear_error();
        return error_number != 0 ? -error_number : -EPIPE;
    default:
        return fail(t);
    }
}

static ssize_t write_to_kernel(struct stream *s, const struct iovec *runs, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)runs,
                             .msg_iovlen = (size_t)count};
    ssize_t n;

    do {
        n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* A record that the socket did not take whole is in OpenSSL's hands, but does not count as taken:
 * the same bytes come again, with more behind them perhaps, as it demands. */
static ssize_t tls_writev(struct stream *s, const struct iovec *runs, int count)
{
    struct tls_stream *t = s->transport;
    struct cursor c = {.runs = runs, .count = count};
    uint8_t scratch[RECORD_SIZE_MAX];
    ssize_t taken = 0;

    if (t->failed)
        return -EPROTO;
    if (t->turn != NULL)
        return -EAGAIN;
    if (t->kernel_sends)
        return write_to_kernel(s, runs, count);
    ERR_clear_error();
    while (c.count > 0) {
        size_t size;
        size_t written;
        const uint8_t *record = next_record(&c, scratch, &size);

        errno = 0;
        if (SSL_write_ex(t->ssl, record, size, &written) != 1) {
            int rc = write_error(t);

            return taken != 0 && rc == -EAGAIN ? taken : rc;
        }
        taken += (ssize_t)written;
        advance(&c, written);
    }
    return taken;
}

/* ---- Life ---- */

static void tls_release(struct stream *s)
{
    struct tls_stream *t = s->transport;

    ERR_clear_error();
    if (!t->failed && t->turn == NULL)
        SSL_shutdown(t->ssl); /* close_notify, if the socket takes it */
    ERR_clear_error();
    SSL_free(t->ssl);
    tls_context_unref(t->context);
    free(t->complaint.text);
    free(t->kept);
    free(t);
    s->transport = NULL;
}

static const struct stream_ops tls_ops = {
    .read = tls_read,
    .writev = tls_writev,
    .release = tls_release,
};

void stream_init_tls(struct stream *s, int fd, struct tls_context *c, struct tls_turn *turn)
{
    struct tls_stream *t = memory_alloc_zeroed(1, sizeof(*t));

    t->turn = turn;
    t->context = tls_context_ref(c);
    *s = (struct stream){.fd = fd, .ops = &tls_ops, .transport = t};
}

bool stream_is_tls(const struct stream *s)
{
    return s->ops == &tls_ops;
}

bool stream_tls_established(const struct stream *s)
{
    const struct tls_stream *t = s->transport;

    return stream_is_tls(s) && t->turn == NULL;
}

/* Where the kernel writes, nothing that is written next comes past OpenSSL. */
static void send_ticket(struct tls_stream *t)
{
    ERR_clear_error();
    if (SSL_new_session_ticket(t->ssl) == 1 && t->kernel_sends && SSL_do_handshake(t->ssl) != 1)
        fail(t);
}

void stream_logged_in(struct stream *s)
{
    struct tls_stream *t = s->transport;

    if (!stream_tls_established(s))
        return;
    SSL_clear_options(t->ssl, SSL_OP_CLEANSE_PLAINTEXT);
    if (tls_context_gives_tickets(t->context) && SSL_version(t->ssl) == TLS1_3_VERSION)
        send_ticket(t);
}

SSL *stream_tls_ssl(const struct stream *s)
{
    const struct tls_stream *t = s->transport;

    return stream_tls_established(s) ? t->ssl : NULL;
}

const struct tls_context *stream_tls_context(const struct stream *s)
{
    const struct tls_stream *t = s->transport;

    return t->context;
}

const char *stream_tls_error(const struct stream *s)
{
    const struct tls_stream *t = s->transport;

    return stream_is_tls(s) ? t->complaint.text : NULL;
}

const char *stream_tls_version(const struct stream *s)
{
    const struct tls_stream *t = s->transport;

    return SSL_get_version(t->ssl);
}

const char *stream_tls_cipher(const struct stream *s)
{
    const struct tls_stream *t = s->transport;

    return SSL_get_cipher_name(t->ssl);
}

bool stream_tls_kernel_sends(const struct stream *s)
{
    const struct tls_stream *t = s->transport;

    return t->kernel_sends;
}
