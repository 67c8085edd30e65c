/* A worker: one thread with a readiness loop, timers and a mailbox. What connections and queues it
 * carries is the business of the layer above, which plugs in through struct worker_ops.
 *
 * One turn: handle what is ready, then the mail, then due timers, then the layer above does what
 * the turn has left to do (deliver, confirm, write), then the gathered mail goes out. */
#ifndef LEVERET_SERVER_WORKER_H
#define LEVERET_SERVER_WORKER_H

#include "net/listener.h"
#include "net/reactor.h"
#include "net/timer_wheel.h"
#include "net/tls.h"
#include "server/mail.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct server;
struct server_listener;
struct worker;

struct worker_ops {
    /* On the worker's thread, before its first turn and after its last one. */
    void (*start)(struct worker *w);
    void (*stop)(struct worker *w);
    /* A new connection at a listener; takes over `fd`. */
    void (*accept)(struct worker *w, int fd, const struct socket_address *peer,
                   struct server_listener *at);
    /* The end of a turn. Returns whether work is left that should not wait for an event. */
    bool (*end_turn)(struct worker *w);
    /* The broker shuts down: close every connection politely. worker_finished() when none is
     * left. */
    void (*shut_down)(struct worker *w);
};

/* A worker's own socket of one of the server's listeners. */
struct worker_listener {
    struct listener listener;
    struct worker *worker;
    struct server_listener *common;
};

struct worker {
    uint32_t id; /* 0 … server->worker_count - 1 */
    struct server *server;
    const struct worker_ops *ops;
    void *state; /* the layer above's own */

    struct reactor reactor;
    struct timer_wheel timers;
    int64_t now_ms; /* monotonic, read once a turn */
    struct tls_turn tls_turn;

    struct mailbox mailbox;
    struct reactor_source wake_source;
    struct mail_batch **outbox;       /* by worker id; NULL where there is nothing to send */
    struct mail_batch *spare_batches; /* sent, handled and given back */
    uint32_t spare_count;

    struct worker_listener *listeners;
    uint32_t listener_count;

    bool stopping; /* the broker shuts down */
    bool finished; /* nothing of its own is left; mail of others is still handled */
    pthread_t thread;
};

/* Prepares the worker; its thread does not run yet. Returns 0 or -errno. */
int worker_init(struct worker *w, struct server *server, uint32_t id, const struct worker_ops *ops);

/* Gives the worker a listening socket of its own, whether its thread runs or not; by the thread
 * that will ask it to shut down. Returns 0 or -errno. */
int worker_listen(struct worker *w, int fd, const struct socket_address *address,
                  struct server_listener *common);

/* One turn on the calling thread, which waits up to `wait_ms` (0: not at all, -1: without end) for
 * something to happen. Returns whether work is left that should not wait. The worker's thread does
 * nothing else; a program that steps its workers by itself calls ops->start() before. */
bool worker_turn(struct worker *w, int wait_ms);

/* Runs the thread. Returns 0 or -errno. */
int worker_start(struct worker *w);

/* Waits for the thread to end. */
void worker_join(struct worker *w);

/* Frees what worker_init() made; the thread has ended. */
void worker_release(struct worker *w);

/* ---- On the worker's own thread ---- */

/* A record of `size` bytes for worker `to`, sent at the end of the turn. `to` is another worker.
 * Valid until the next call of this or worker_mail_*. */
struct mail_record *worker_mail(struct worker *w, uint32_t to, size_t size,
                                void (*handle)(struct worker *w, struct mail_record *r));

/* The last record for `to` in this turn if `handle` is its handler, else NULL. */
struct mail_record *worker_mail_last(struct worker *w, uint32_t to,
                                     void (*handle)(struct worker *w, struct mail_record *r));

/* Makes the last record for `to` longer; returns it. */
struct mail_record *worker_mail_extend_last(struct worker *w, uint32_t to, size_t more);

/* Posts what was mailed so far; the loop does it after every turn. A turn that writes to sockets
 * calls it before: what a peer is told has happened must be on its way to every worker by then, for
 * the peer may ask another one about it. */
void worker_send_mail(struct worker *w);

/* The layer above has nothing left to close and expects no answer from another worker. The worker
 * goes on handling mail until every worker has said so, then leaves its loop. Once. */
void worker_finished(struct worker *w);

/* ---- On any thread that is not a worker ---- */

/* Asks the worker to shut down; ops->shut_down is called on its thread, once. */
void worker_request_shut_down(struct worker *w);

/* Runs `handle` on the worker. A copy of the `size` bytes at `arguments` follows the record. */
void worker_post(struct worker *w, void (*handle)(struct worker *w, struct mail_record *r),
                 const void *arguments, size_t size);

#endif
