/* The eight octets a client begins with (AMQP 0-9-1 §4.2.2). */
#ifndef LEVERET_AMQP_PROTOCOL_HEADER_H
#define LEVERET_AMQP_PROTOCOL_HEADER_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define AMQP_PROTOCOL_HEADER_SIZE 8

/* Protocol 0-9-1 with its leading zero octet. Not zero-terminated. */
static const uint8_t AMQP_PROTOCOL_HEADER[AMQP_PROTOCOL_HEADER_SIZE] = {'A', 'M', 'Q', 'P',
                                                                        0,   0,   9,   1};

/* Whether the bytes that have come so far, up to eight, can still become the header: tells a wrong
 * header without waiting for the rest of it. True for all eight when they are right. */
static inline bool amqp_protocol_header_matches(struct bytes in)
{
    size_t n = in.size < AMQP_PROTOCOL_HEADER_SIZE ? in.size : AMQP_PROTOCOL_HEADER_SIZE;

    return n == 0 || memcmp(in.data, AMQP_PROTOCOL_HEADER, n) == 0;
}

#endif
