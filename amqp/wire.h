/* Numbers and strings in network order, at any alignment: the octets below frames, methods and
 * tables. The caller has checked that they are there. */
#ifndef LEVERET_AMQP_WIRE_H
#define LEVERET_AMQP_WIRE_H

#include "base/bytes.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t amqp_load16(const uint8_t *p)
{
    uint16_t n;

    memcpy(&n, p, sizeof(n));
    return be16toh(n);
}

static inline uint32_t amqp_load32(const uint8_t *p)
{
    uint32_t n;

    memcpy(&n, p, sizeof(n));
    return be32toh(n);
}

static inline uint64_t amqp_load64(const uint8_t *p)
{
    uint64_t n;

    memcpy(&n, p, sizeof(n));
    return be64toh(n);
}

/* The store functions return where the next octet goes. */
static inline uint8_t *amqp_store8(uint8_t *p, uint8_t n)
{
    *p = n;
    return p + 1;
}

static inline uint8_t *amqp_store16(uint8_t *p, uint16_t n)
{
    n = htobe16(n);
    memcpy(p, &n, sizeof(n));
    return p + sizeof(n);
}

static inline uint8_t *amqp_store32(uint8_t *p, uint32_t n)
{
    n = htobe32(n);
    memcpy(p, &n, sizeof(n));
    return p + sizeof(n);
}

static inline uint8_t *amqp_store64(uint8_t *p, uint64_t n)
{
    n = htobe64(n);
    memcpy(p, &n, sizeof(n));
    return p + sizeof(n);
}

static inline uint8_t *amqp_store_bytes(uint8_t *p, struct bytes b)
{
    if (b.size != 0)
        memcpy(p, b.data, b.size);
    return p + b.size;
}

/* `b` holds at most 255 bytes. */
static inline uint8_t *amqp_store_shortstr(uint8_t *p, struct bytes b)
{
    p = amqp_store8(p, (uint8_t)b.size);
    return amqp_store_bytes(p, b);
}

static inline uint8_t *amqp_store_longstr(uint8_t *p, struct bytes b)
{
    p = amqp_store32(p, (uint32_t)b.size);
    return amqp_store_bytes(p, b);
}

#endif
