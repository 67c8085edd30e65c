/* Where the store keeps a message's bytes. Opaque to the core, which only hands it back. */
#ifndef LEVERET_BROKER_STORE_LOCATION_H
#define LEVERET_BROKER_STORE_LOCATION_H

#include <stdbool.h>
#include <stdint.h>

struct store_location {
    uint32_t segment; /* 0: nowhere */
    uint32_t offset;  /* bytes from the segment's start */
};

static inline bool store_location_is_none(struct store_location l)
{
    return l.segment == 0;
}

#endif
