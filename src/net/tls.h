/* TLS on a stream, the server's side (OpenSSL 3): a context holds what a listener offers, a stream
 * carries one connection. Errors come as text that says what is wrong, for the log. */
#ifndef LEVERET_NET_TLS_H
#define LEVERET_NET_TLS_H

#include "net/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
    TLS_ERROR_SIZE = 512,
    /* Time in nanoseconds that handshakes may take of one turn of a thread, the last one begun
     * apart. */
    TLS_TURN_NS = 2 * 1000 * 1000,
};

enum tls_verify {
    TLS_VERIFY_NONE,    /* peers are not asked for a certificate */
    TLS_VERIFY_PEER,    /* they are asked, and one that is shown must be good */
    TLS_VERIFY_REQUIRE, /* they must show a good one */
};

/* Which certificates must not be on a revocation list. RabbitMQ's crl_check, of which true is
 * CHAIN. */
enum tls_crl_check {
    TLS_CRL_CHECK_CHAIN, /* a peer's and all above it; the list of each issuer must be there */
    TLS_CRL_CHECK_PEER,  /* a peer's alone, and the list of its issuer must be there */
    TLS_CRL_CHECK_BEST_EFFORT, /* as CHAIN, but a list may be missing or out of date */
};

enum tls_version {
    TLS_VERSION_1_2 = 0x0303,
    TLS_VERSION_1_3 = 0x0304,
};

/* Paths of PEM files: the certificate with the intermediate ones behind it, and its key. */
struct tls_identity {
    const char *certificate;
    const char *key;
    const char *passphrase_file; /* whose first line decrypts the key; NULL: it is not encrypted */
};

/* The name in a certificate that says who its owner is. */
enum tls_name {
    TLS_NAME_COMMON,  /* CN of the subject; several with commas in between */
    TLS_NAME_SAN_DNS, /* an alternative name of that type; likewise the next */
    TLS_NAME_SAN_EMAIL,
    TLS_NAME_SAN_URI,
    TLS_NAME_SAN_IP,        /* as text: 192.0.2.7, 2001:db8::7 */
    TLS_NAME_SAN_OTHER,     /* whatever its type is, the text that it is: a UPN, for one */
    TLS_NAME_DISTINGUISHED, /* the whole subject, as RFC 4514 writes it: CN=app,O=Example */
};

/* Strings are only read while a context is created. */
struct tls_options {
    /* The first one is shown to whoever names no host or one that none of them is for. */
    const struct tls_identity *identities;
    size_t identity_count; /* at least 1 */
    const char *ca;        /* PEM file of the authorities that peers are held to; NULL: none */
    const char *crl;       /* PEM file of revocation lists for peers' certificates; NULL: none */
    enum tls_crl_check crl_check;
    enum tls_verify verify;
    uint32_t depth; /* intermediate certificates at most between a peer's and its authority's */
    enum tls_version min_version;
    enum tls_version max_version;
    const char *ciphers;      /* of TLS 1.2; this and the next two NULL: OpenSSL's */
    const char *ciphersuites; /* of TLS 1.3 */
    const char *curves;       /* groups of the key exchange */
    bool session_tickets;     /* not while peers are verified: a ticket would go on vouching */
    uint32_t ticket_rotation_s;
    bool kernel_tls; /* let the kernel encrypt where it can */
    enum tls_name user_from;
    uint32_t user_san_index;  /* with an alternative name: which of its type, from 0 */
    const char *user_pattern; /* what of that name is the user; NULL: all of it */
};

/* ---- Contexts: immutable and reference counted. Any thread. ---- */

struct tls_context;

/* Reads the files. Returns 0 and a context with one reference; or -1 with the file (or the option)
 * and the reason in `error` (TLS_ERROR_SIZE). */
int tls_context_create(struct tls_context **out, const struct tls_options *o, char *error);

struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c); /* NULL is fine */

/* Has `c`, which nothing uses yet, take over the ticket keys of the context that it follows: peers
 * come back with tickets of that one. */
void tls_context_inherit(struct tls_context *c, const struct tls_context *former);

enum tls_expiry_kind {
    TLS_EXPIRY_CERTIFICATE,  /* of an identity */
    TLS_EXPIRY_INTERMEDIATE, /* behind one of those */
    TLS_EXPIRY_AUTHORITY,    /* of `ca` */
    TLS_EXPIRY_LIST,         /* of `crl` */
};

/* Something in a file that is good until some time. The context owns the strings. */
struct tls_expiry {
    enum tls_expiry_kind kind;
    char *path;
    char *name;   /* whose certificate it is, or who issued the list: /CN=app */
    time_t begin; /* since when it is good */
    time_t when;
    bool is_needed; /* false: a list that may be missing or out of date */
};

/* All of them but lists that a newer one of the same file replaces. */
size_t tls_context_expiry_count(const struct tls_context *c);
const struct tls_expiry *tls_context_expiry(const struct tls_context *c, size_t i);

/* ---- Streams ---- */

/* What handshakes may still use of a thread's turn; whoever runs the turns sets it to TLS_TURN_NS
 * at the start of each. Beyond that, streams in their handshake say -EAGAIN without having looked,
 * and a level-triggered loop asks them again in the next turn. */
struct tls_turn {
    int64_t left_ns;
};

/* A stream that speaks TLS on `fd`, which it takes over. The handshake goes on when the stream is
 * read, and it reads nothing before it is done; until the peer's first record is there the stream
 * has no memory of OpenSSL's. `turn` is the thread's and only used until the handshake is done, so
 * that an open stream may move to another thread. */
void stream_init_tls(struct stream *s, int fd, struct tls_context *c, struct tls_turn *turn);

bool stream_is_tls(const struct stream *s);

/* Whether the handshake is over; false for a plain stream. */
bool stream_tls_established(const struct stream *s);

/* Why the last operation failed with -EPROTO; NULL when there is nothing to say. Lives as long as
 * the stream is open. */
const char *stream_tls_error(const struct stream *s);

/* The peer has logged in, over an established stream or a plain one. What it sends is no password
 * any more, so that OpenSSL's copy need not be wiped; and it is given the session ticket (TLS 1.3),
 * where there are tickets, which goes out with what is written next. */
void stream_logged_in(struct stream *s);

/* The negotiated version and cipher suite, such as "TLSv1.3" and "TLS_AES_256_GCM_SHA384"; static.
 * Of an established stream. */
const char *stream_tls_version(const struct stream *s);
const char *stream_tls_cipher(const struct stream *s);

/* Whether the kernel encrypts what is written. */
bool stream_tls_kernel_sends(const struct stream *s);

/* Whether the peer showed a certificate that was verified. */
bool stream_tls_peer_is_verified(const struct stream *s);

/* Writes the user that the peer's certificate names, zero-terminated: what user_pattern takes out
 * of the name that user_from and user_san_index say. Returns 0; -ENOENT when the peer showed no
 * certificate that was verified (or the stream is plain), or one without such a name; -EINVAL when
 * what is there is no text: it holds a zero byte, or is of another type; -ENOMSG when the pattern
 * does not match, or finds nothing; -E2BIG when it needs more than `size` bytes. */
int stream_tls_peer_user(const struct stream *s, char *out, size_t size);

#endif
