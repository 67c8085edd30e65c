/* What a server's listeners have beside their sockets: the TLS contexts made from a configuration,
 * put in force at once, how long what is in their files lasts, and whom they take for a proxy. */
#ifndef LEVERET_SERVER_LISTENER_TLS_H
#define LEVERET_SERVER_LISTENER_TLS_H

#include "config/config.h"
#include "net/network.h"
#include "net/tls.h"

#include <pthread.h>
#include <stddef.h>

struct server;

/* What all workers know of one listener of the configuration. */
struct server_listener {
    const struct config_listener *config; /* that of the start */
    pthread_mutex_t lock;
    struct tls_context *tls; /* under `lock`; NULL: it speaks none */
    struct network *proxies; /* the networks of the configuration's proxy_protocol */
    size_t proxy_count;
    int *sockets; /* bound, one a worker, until the workers have them; -1 where there is none */
    struct socket_address bound; /* of the sockets */
};

/* The contexts of a configuration's listeners, in their order. */
struct tls_contexts {
    struct tls_context **items; /* NULL where a listener speaks no TLS */
    size_t count;
};

/* Reads the files that the configuration names. Returns 0, or -EINVAL with the listeners, files and
 * reasons added to `problems` and `out` empty. Any thread. */
int tls_contexts_load(struct tls_contexts *out, const struct config *config,
                      struct config_problems *problems);
void tls_contexts_release(struct tls_contexts *t);

/* Has the server's listeners use the contexts of `config` from now on, connections that are there
 * keep theirs. A listener of the start that `config` has not, or only with TLS taken away or added,
 * stays as it is, which is logged. Empties `contexts`. Any thread that is not a worker. */
void server_use_tls(struct server *s, const struct config *config, struct tls_contexts *contexts);

/* The listener's context now, with a reference for the caller; NULL without TLS. Any thread. */
struct tls_context *server_listener_tls(struct server_listener *l);

/* Whether who connects from there is a proxy and begins with a PROXY header. Any thread. */
bool server_listener_is_proxy(const struct server_listener *l, const struct socket_address *peer);

/* Logs each certificate in use that expires within 30 days or has, those of intermediate and
 * trusted authorities too, and each revocation list of which less than that and than a fifth of its
 * time is left; once, however many listeners use it. The main thread. */
void server_warn_of_expiry(struct server *s);

/* In how many seconds there may be something else to warn of than at the last call of
 * server_warn_of_expiry(); a day at most, 0 when its time has come since. The main thread. */
int64_t server_next_expiry_s(struct server *s);

/* Makes and frees s->listeners (server_init, server_release). */
void server_listeners_init(struct server *s);
void server_listeners_release(struct server *s);

#endif
