/* The broker as its sessions see it: what all shards have in common. Immutable while workers run,
 * apart from what locks itself. */
#ifndef LEVERET_SESSION_BROKER_H
#define LEVERET_SESSION_BROKER_H

#include "auth/accounts.h"
#include "auth/login.h"
#include "base/buffer.h"
#include "config/config.h"
#include "server/server.h"
#include "session/alarms.h"
#include "session/broker_parameters.h"
#include "session/reply_registry.h"
#include "session/shard.h"
#include "store/data_directory.h"
#include "store/definitions.h"

#include <stdatomic.h>

struct broker {
    struct server *server;
    const struct config_limits *limits;
    struct buffer server_properties; /* of connection.start, encoded */
    struct shard *shards;            /* by worker id */
    struct reply_registry replies;
    struct broker_parameters parameters;
    struct alarms alarms;
    struct accounts accounts; /* users at run time (session/broker_users.h) */
    struct logins *logins;

    /* On disk (session/broker_store.h). */
    struct data_directory data;
    bool data_is_open;
    struct definitions *definitions; /* NULL: nothing is kept */
    struct durable_log *logs;        /* by number of the journal */
    uint32_t log_count;
    atomic_uint short_journals; /* of this disk, that wait for space */
};

/* What the workers of a server do when it is a broker. */
extern const struct worker_ops BROKER_WORKER_OPS;

/* Prepares the broker on an initialised server whose workers do not run yet: brings back what is in
 * the data directory at `data_path`, puts the users in force (those of the configuration are the
 * current snapshot by then), and declares the topology of its configuration. Returns 0, or
 * -errno after logging why not. What of the configuration could not be declared, because what is
 * there differs, is added to `problems`. */
int broker_init(struct broker *b, struct server *server, const char *version, const char *data_path,
                struct config_problems *problems);

/* Frees everything, the queues and their messages too; the workers have ended or never ran. */
void broker_release(struct broker *b);

/* Has every connection take notice of changed users and permissions now, whether it sends anything
 * or not. Any thread that is not a worker. */
void broker_refresh_auth(struct broker *b);

/* Makes what is new in `config` (virtual hosts and topology) on a running broker; the users are
 * broker_users_configure()'s business. Any thread that is not a worker; returns when it is done.
 * What could not be declared is added to `problems`. */
void broker_reload(struct broker *b, const struct config *config, struct config_problems *problems);

#endif
