#include "perf/slab.h"

#include "amqp/method.h"
#include "amqp/properties.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MARK_NUMBER_BITS = 38,
    MARK_PRODUCER_BITS = 14,
    KEY_PREFIX = 2, /* "b." */
    MESSAGES_MAX = 65536,
};

uint64_t slab_mark_pack(struct slab_mark m)
{
    return (uint64_t)m.run << (MARK_NUMBER_BITS + MARK_PRODUCER_BITS) |
           (uint64_t)m.producer << MARK_NUMBER_BITS | m.number;
}

struct slab_mark slab_mark_unpack(uint64_t packed)
{
    return (struct slab_mark){
        .run = (uint16_t)(packed >> (MARK_NUMBER_BITS + MARK_PRODUCER_BITS)),
        .producer = (uint16_t)(packed >> MARK_NUMBER_BITS & ((1u << MARK_PRODUCER_BITS) - 1)),
        .number = packed & (((uint64_t)1 << MARK_NUMBER_BITS) - 1),
    };
}

static void key_digits_write(uint8_t *out, uint64_t number)
{
    for (int i = SLAB_KEY_DIGITS - 1; i >= 0; i--) {
        out[i] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
}

void slab_key_write(char out[16], uint64_t number)
{
    snprintf(out, 16, "b.%0*llu.x", SLAB_KEY_DIGITS, (unsigned long long)(number % 100000000));
}

/* Appends the frames of a body of `size` bytes; returns the offset of its first byte. */
static uint32_t append_body(struct buffer *out, uint32_t size, uint32_t frame_max)
{
    uint32_t most = frame_max - AMQP_FRAME_OVERHEAD;
    uint32_t offset = (uint32_t)out->size + AMQP_FRAME_HEADER_SIZE;

    while (size != 0) {
        uint32_t part = size < most ? size : most;
        uint8_t *p = buffer_reserve(out, (size_t)part + AMQP_FRAME_OVERHEAD);

        p += amqp_frame_encode_header(p, AMQP_FRAME_BODY, 1, part);
        memset(p, 'x', part);
        p[part] = AMQP_FRAME_END;
        out->size += (size_t)part + AMQP_FRAME_OVERHEAD;
        size -= part;
    }
    return offset;
}

static void append_message(struct slab *s, const struct slab_shape *shape, struct slab_message *m)
{
    struct buffer *out = &s->frames;
    char key[16];
    struct bytes routing_key = shape->routing_key;
    uint8_t *p;

    if (shape->keys != 0) {
        slab_key_write(key, 0);
        routing_key = bytes_from_string(key);
        /* class, method, reserved, exchange, the key's length, its prefix */
        m->key = (uint32_t)(out->size + AMQP_FRAME_HEADER_SIZE + 4 + 2 + 1 + shape->exchange.size +
                            1 + KEY_PREFIX);
    }
    m->size = size_distribution_draw(shape->size, &s->random);
    p = buffer_reserve(out, AMQP_BASIC_PUBLISH_FRAME_MAX);
    out->size +=
        amqp_basic_publish_encode(p, 1, shape->exchange, routing_key, shape->mandatory, false);
    p = buffer_reserve(out, AMQP_CONTENT_HEADER_OVERHEAD + shape->properties.size);
    out->size += amqp_content_header_encode(p, 1, m->size, shape->properties);
    m->body = append_body(out, m->size, shape->frame_max);
    if (m->size < SLAB_MARK_SIZE)
        m->body = 0;
    m->end = (uint32_t)out->size;
}

void slab_init(struct slab *s, const struct slab_shape *shape, uint64_t seed)
{
    uint32_t capacity = 16;

    *s = (struct slab){.keys = shape->keys, .key_range = shape->key_range};
    random_sequence_seed(&s->random, seed);
    buffer_init(&s->frames);
    s->messages = memory_alloc_zeroed(capacity, sizeof(*s->messages));
    do {
        if (s->count == capacity) {
            capacity *= 2;
            s->messages = memory_resize(s->messages, capacity, sizeof(*s->messages));
            memset(s->messages + s->count, 0, (capacity - s->count) * sizeof(*s->messages));
        }
        append_message(s, shape, &s->messages[s->count]);
        s->count++;
    } while (s->frames.size < shape->target_bytes && s->count < MESSAGES_MAX);
}

void slab_free(struct slab *s)
{
    buffer_free(&s->frames);
    free(s->messages);
    s->messages = NULL;
}

struct bytes slab_take(struct slab *s, uint32_t count, struct slab_mark first, int64_t stamp_ns,
                       double stamp_step_ns, uint64_t *body_bytes)
{
    size_t start = s->next != 0 ? s->messages[s->next - 1].end : 0;
    size_t end = s->messages[s->next + count - 1].end;
    uint64_t packed = slab_mark_pack(first);
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct slab_message *m = &s->messages[s->next + i];

        bytes += m->size;
        if (m->key != 0) {
            uint64_t key = random_sequence_below(&s->random, s->keys);

            key_digits_write(s->frames.data + m->key, key * (s->key_range / s->keys));
        }
        if (m->body != 0) {
            int64_t stamp = stamp_ns + (int64_t)((double)i * stamp_step_ns);

            memcpy(s->frames.data + m->body, &stamp, sizeof(stamp));
            memcpy(s->frames.data + m->body + sizeof(stamp), &packed, sizeof(packed));
        }
        packed++;
    }
    *body_bytes += bytes;
    s->next += count;
    if (s->next == s->count)
        s->next = 0;
    return bytes_of(s->frames.data + start, end - start);
}
