/* A run of messages encoded once and sent over and over: publishing costs the patching of a
 * timestamp and a number in each body, and the system call that sends many of them.
 *
 * A body of at least SLAB_MARK_SIZE bytes begins with the time it was sent (monotonic
 * nanoseconds, 8 bytes) and its mark (8 bytes), both in host order. One thread at a time. */
#ifndef LEVERET_PERF_SLAB_H
#define LEVERET_PERF_SLAB_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/random.h"
#include "perf/options.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SLAB_MARK_SIZE = 16,
    SLAB_KEY_DIGITS = 8,
};

/* Who sent a message and which of its messages it is. */
struct slab_mark {
    uint16_t run; /* < 2^12: tells runs of the program apart */
    uint16_t producer;
    uint64_t number; /* < 2^38 */
};

uint64_t slab_mark_pack(struct slab_mark m);
struct slab_mark slab_mark_unpack(uint64_t packed);

/* What the messages look like. Borrowed while slab_init runs. */
struct slab_shape {
    struct bytes exchange;
    struct bytes routing_key;
    bool mandatory;
    struct bytes properties; /* raw */
    const struct size_distribution *size;
    uint32_t frame_max;
    size_t target_bytes; /* about how large the slab becomes */
    /* When not 0: the routing key is "b.NNNNNNNN.x" with a number drawn below this for each
     * message, spread over [0, key_range). */
    uint64_t keys;
    uint64_t key_range;
};

struct slab_message {
    uint32_t end;  /* offset behind its last frame */
    uint32_t body; /* offset of the body; 0 when it is too small for a mark */
    uint32_t key;  /* offset of the digits in the routing key; 0 when the key is fixed */
    uint32_t size; /* of the body */
};

/* Fields are private. */
struct slab {
    struct buffer frames;
    struct slab_message *messages;
    uint32_t count;
    uint32_t next; /* the message to be sent next */
    uint64_t keys;
    uint64_t key_range;
    struct random_sequence random;
};

/* Encodes the messages. The slab owns its memory; slab_free releases it. */
void slab_init(struct slab *s, const struct slab_shape *shape, uint64_t seed);
void slab_free(struct slab *s);

/* How many messages slab_take can give at once, now. */
static inline uint32_t slab_available(const struct slab *s)
{
    return s->count - s->next;
}

/* Marks the next `count` (1..slab_available) messages, numbered from `first` on, and returns their
 * frames, valid until the next call. Message i is stamped `stamp_ns + i * stamp_step_ns`.
 * `body_bytes` grows by the size of their bodies. */
struct bytes slab_take(struct slab *s, uint32_t count, struct slab_mark first, int64_t stamp_ns,
                       double stamp_step_ns, uint64_t *body_bytes);

/* The pattern of the routing keys when `keys` is not 0: writes "b.NNNNNNNN.x". */
void slab_key_write(char out[16], uint64_t number);

#endif
