/* The limits of a user: how many connections, and channels on all of them, it may have open
 * (RabbitMQ "User Limits"). What is open when a limit is lowered stays. On the connection's worker.
 */
#ifndef LEVERET_SESSION_USER_LIMITS_H
#define LEVERET_SESSION_USER_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct connection;

/* The connection is opened, and counts until user_limits_leave(). Returns false when its user has
 * enough: `limit` is how many. */
bool user_limits_enter(struct connection *c, int64_t *limit);

/* Harmless for a connection that does not count. Its channels are gone. */
void user_limits_leave(struct connection *c);

/* A channel is opened; as user_limits_enter(), but what is refused does not count. */
bool user_limits_open_channel(struct connection *c, int64_t *limit);

/* Where those limits are set, for who reaches one: a key of the configuration, or what leveretctl
 * calls it. Static. */
const char *user_limits_connections_key(const struct connection *c);
const char *user_limits_channels_key(const struct connection *c);

/* So many channels are gone. */
void user_limits_close_channels(struct connection *c, uint32_t count);

#endif
