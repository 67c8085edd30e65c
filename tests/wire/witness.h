/* Somebody who works beside an attack, and how long he has to wait. */
#ifndef LEVERET_TESTS_WIRE_WITNESS_H
#define LEVERET_TESTS_WIRE_WITNESS_H

#include "tests/wire/harness.h"

#include <stdint.h>

struct witness {
    struct channel *channel; /* with confirms and the queue "witness" */
    int64_t slowest_ms;
};

/* Begins on a channel of the caller's. */
void witness_begin(struct witness *w, struct channel *channel);

/* So many messages go in and out, one after the other. */
void witness_work(struct witness *w, int times);

/* Fails the test unless the slowest of them took less than this part of deadline_ms(). */
void witness_was_served(const struct witness *w, int part);

#endif
