/* Topic permissions: patterns that the routing key has to fit when a user publishes to a topic
 * exchange (write) or binds from one (read), for one user, virtual host and exchange (RabbitMQ,
 * "Topic Authorisation"). Where a user has none for an exchange, every key is allowed.
 *
 * In a pattern {username} and {vhost} stand for the user's and the virtual host's name, character
 * by character: what would mean something in a pattern means itself. {client_id} is for protocols
 * whose clients have one; in AMQP 0-9-1 it stays as it is, as with RabbitMQ. The empty pattern
 * allows the empty key alone. Immutable once made: any thread. */
#ifndef LEVERET_AUTH_TOPIC_PERMISSIONS_H
#define LEVERET_AUTH_TOPIC_PERMISSIONS_H

#include "auth/permissions.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

struct topic_permission;
struct topic_permissions;

/* The patterns for an exchange, compiled for a user in a virtual host. Returns one reference, or
 * NULL with the reason in `error` (PERMISSION_ERROR_SIZE bytes). `from_file`: of the
 * configuration. */
struct topic_permission *topic_permission_new(struct bytes user, struct bytes vhost,
                                              struct bytes exchange, const char *write,
                                              const char *read, bool from_file, char *error);

/* Takes another reference, and drops one (NULL is fine); the last one frees it. */
struct topic_permission *topic_permission_ref(struct topic_permission *t);
void topic_permission_unref(struct topic_permission *t);

/* As written, and what else it was made of. Live as long as it does. */
struct bytes topic_permission_exchange(const struct topic_permission *t);
const char *topic_permission_write(const struct topic_permission *t);
const char *topic_permission_read(const struct topic_permission *t);
bool topic_permission_from_file(const struct topic_permission *t);

/* Takes over a reference to `t`, in place of what `list` (NULL: empty) has for its exchange.
 * Returns the new list, which the caller owns; the old one is gone. */
struct topic_permissions *topic_permissions_put(struct topic_permissions *list,
                                                struct topic_permission *t);

/* Without those of the exchange. Returns the new list, NULL when it is empty. */
struct topic_permissions *topic_permissions_drop(struct topic_permissions *list,
                                                 struct bytes exchange);

/* Another list of the same; NULL of NULL. */
struct topic_permissions *topic_permissions_copy(const struct topic_permissions *list);

/* NULL is fine. */
void topic_permissions_free(struct topic_permissions *list);

size_t topic_permissions_count(const struct topic_permissions *list);
struct topic_permission *topic_permissions_at(const struct topic_permissions *list, size_t i);

/* That of the exchange (the default exchange is "amq.default"), or NULL. */
const struct topic_permission *topic_permissions_find(const struct topic_permissions *list,
                                                      struct bytes exchange);

/* Whether `kind` (PERMISSION_WRITE or PERMISSION_READ) of access with this routing key is allowed.
 * A `t` of NULL allows everything. */
bool topic_permission_check(const struct topic_permission *t, enum permission_kind kind,
                            struct bytes routing_key);

#endif
