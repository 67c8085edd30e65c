/* The limits of a virtual host: how many connections may be open in it, and how many queues there
 * may be (RabbitMQ "Virtual Hosts", "Limits"). They are asked when a connection is opened or a
 * queue is declared; what is there when a limit is lowered stays.
 *
 * Those of the configuration file are the file's: they come and go with it and cannot be changed
 * here. The others are in the definitions, a parameter of component "vhost-limits". */
#ifndef LEVERET_SESSION_VHOST_LIMITS_H
#define LEVERET_SESSION_VHOST_LIMITS_H

#include "base/bytes.h"
#include "base/table.h"
#include "broker/refusal.h"
#include "config/config.h"
#include "store/definitions.h"

#include <stdbool.h>

struct broker;
struct connection;
struct vhost;

/* Sets the limits in place of all there were: a table of max-connections and max-queues, integers;
 * one that is absent or below 0 is no limit, and 0 allows none. Returns 0, and `done` is called
 * when it is on disk; or -EPROTO with `r` filled and `done` never called: 404 for an unknown
 * virtual host, 403 for limits of the configuration file, 406 for what is no such limit. Any
 * thread; never waits. */
int vhost_limits_set(struct broker *b, struct bytes vhost, const struct table *limits,
                     struct definitions_done done, struct refusal *r);

/* Ends them. As vhost_limits_set(); fine when there are none. */
int vhost_limits_clear(struct broker *b, struct bytes vhost, struct definitions_done done,
                       struct refusal *r);

/* As vhost_limits_set() takes them; -1 is no limit. */
struct vhost_limits {
    int64_t max_connections;
    int64_t max_queues;
};

/* Any thread. */
struct vhost_limits vhost_limits_of(const struct vhost *v);

/* Brings the limits of the configuration file to what `config` says: before the workers run and
 * before vhost_limits_restore(), or while they run. The main thread. */
void vhost_limits_configure(struct broker *b, const struct config *config);

/* Puts a stored parameter back, if it is one of limits. Before the workers run. */
void vhost_limits_restore(struct broker *b, const struct parameter_definition *p);

/* ---- For those who are limited ---- */

/* The connection opens its virtual host, and counts there until vhost_limits_leave(). Returns false
 * when there are enough in it: `limit` is how many. */
bool vhost_limits_enter(struct connection *c, int64_t *limit);
void vhost_limits_leave(struct connection *c);

/* Where those limits are set, for who reaches one: a key of the configuration, or what leveretctl
 * calls it. Static. */
const char *vhost_limits_connections_key(const struct vhost *v);
const char *vhost_limits_queues_key(const struct vhost *v);

/* Whether one more queue may be declared, under the lock of the virtual host. */
bool vhost_limits_allow_queue(const struct vhost *v, int64_t *limit);

#endif
