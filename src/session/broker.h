/* The broker as its sessions see it: what all shards have in common. Immutable while workers run,
 * apart from what locks itself. */
#ifndef LEVERET_SESSION_BROKER_H
#define LEVERET_SESSION_BROKER_H

#include "base/buffer.h"
#include "config/config.h"
#include "server/server.h"
#include "session/reply_registry.h"
#include "session/shard.h"

struct broker {
    struct server *server;
    const struct config_limits *limits;
    struct buffer server_properties; /* of connection.start, encoded */
    struct shard *shards;            /* by worker id */
    struct reply_registry replies;
};

/* What the workers of a server do when it is a broker. */
extern const struct worker_ops BROKER_WORKER_OPS;

/* Prepares the broker on an initialised server whose workers do not run yet, and declares the
 * topology of its configuration. Returns 0, or -EINVAL after adding to `problems` what could not
 * be declared. */
int broker_init(struct broker *b, struct server *server, const char *version,
                struct config_problems *problems);

/* Frees everything, the queues and their messages too; the workers have ended or never ran. */
void broker_release(struct broker *b);

/* Makes what is new in `config` (virtual hosts and topology) on a running broker; the users are
 * auth_database_replace()'s business. Any thread that is not a worker; returns when it is done.
 * What could not be declared is added to `problems`. */
void broker_reload(struct broker *b, const struct config *config, struct config_problems *problems);

#endif
