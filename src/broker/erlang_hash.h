/* The hashes by which RabbitMQ's exchange types choose a queue, so that a key leads to the same
 * queue here as there: Erlang's portable hash of terms (erlang:phash2), and the jump consistent
 * hash of the plugin rabbitmq_consistent_hash_exchange. Pure; any thread. */
#ifndef LEVERET_BROKER_ERLANG_HASH_H
#define LEVERET_BROKER_ERLANG_HASH_H

#include "base/bytes.h"
#include "base/table.h"

#include <stdint.h>

/* What erlang:phash2(Term) gives is below this. */
#define ERLANG_HASH_RANGE (UINT32_C(1) << 27)

/* phash2 of a binary, of a list of binaries, of the atom `undefined`. */
uint32_t erlang_hash_binary(struct bytes b);
uint32_t erlang_hash_binaries(const struct bytes *items, uint32_t count);
uint32_t erlang_hash_undefined(void);

/* phash2 of a field's value as RabbitMQ holds it, {Type, Value}: for numbers, strings, booleans and
 * void. Arrays, tables, decimals and floats that are no numbers are hashed in a way of our own:
 * equal ones equally, on every machine. */
uint32_t erlang_hash_value(const struct value *v);

/* The bucket of a key among `count` (> 0) of them, in [0, count). When buckets are added at the
 * end, the only keys that move are those that move there. O(log count). */
uint64_t erlang_hash_jump(uint32_t key, uint64_t count);

#endif
