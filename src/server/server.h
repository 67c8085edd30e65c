/* The broker as a process: its configuration, its virtual hosts and its workers; start, reload and
 * shutdown. What the workers do with connections is plugged in from above (struct worker_ops). */
#ifndef LEVERET_SERVER_SERVER_H
#define LEVERET_SERVER_SERVER_H

#include "config/config.h"
#include "server/listener_tls.h"
#include "server/vhost.h"
#include "server/worker.h"

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

struct server {
    struct config *config; /* owned; limits, server names and listeners are those of the start */
    const char *version;
    struct vhost_registry vhosts;
    struct server_listener *listeners; /* as many as the configuration has */
    size_t listener_count;
    struct worker *workers;
    uint32_t worker_count;
    uint32_t max_connections;
    uint32_t max_handshakes;
    time_t expiry_warned_at; /* the main thread's (listener_tls.h) */

    /* Counted over all workers. */
    atomic_uint connection_count;
    atomic_uint handshake_count; /* of those, that have not logged in */
    atomic_uint queue_count;
    atomic_uint_fast64_t next_connection_id;
    atomic_uint unfinished_workers; /* of those that run (worker_finished) */
    void *shared;                   /* the layer above's own, common to its workers */
};

/* Prepares a broker that runs `config` (taken over). The virtual hosts of the configuration exist
 * afterwards. Workers exist but do not run. Returns 0 or -errno. */
int server_init(struct server *s, struct config *config, const struct worker_ops *ops);

/* Binds the addresses of the configuration, which may take a privilege (ports below 1024), but for
 * those of Unix sockets. Nobody can connect yet. Before server_start(). Returns 0, or -errno after
 * logging what failed. */
int server_bind(struct server *s);

/* Runs the workers. Nobody can connect yet. */
void server_start(struct server *s);

/* Makes the Unix sockets and opens all listeners; logs `listening on ADDRESS:PORT` for each.
 * Returns 0, or -errno after logging what failed; server_stop() is to be called all the same. */
int server_listen(struct server *s);

/* Asks every worker to close its connections (AMQP 0-9-1 reply code 320) and waits for them. */
void server_stop(struct server *s);

/* Frees everything; the workers have ended or never ran. */
void server_release(struct server *s);

#endif
