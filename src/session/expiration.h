/* The expiration property of a publish: a time to live in milliseconds, as text (RabbitMQ "TTL").
 */
#ifndef LEVERET_SESSION_EXPIRATION_H
#define LEVERET_SESSION_EXPIRATION_H

#include "base/bytes.h"

#include <stdint.h>

struct channel;

/* Ten years, RabbitMQ's limit. */
#define EXPIRATION_MAX_MS INT64_C(315360000000)

/* Checks that it is an integer from 0 to ten years, perhaps with a sign. Returns 0, or -EPROTO
 * after refusing with RabbitMQ's 406, whose reasons are Erlang's. On the channel's worker. */
int expiration_check(struct channel *ch, struct bytes text);

#endif
