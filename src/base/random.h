/* Randomness: the kernel's for secrets and names, a seeded generator for tests and jitter. */
#ifndef LEVERET_BASE_RANDOM_H
#define LEVERET_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills `size` bytes from the kernel (getrandom). Aborts when the kernel cannot. Any thread. */
void random_bytes(void *out, size_t size);

/* A deterministic generator: the same seed gives the same sequence everywhere. Not for secrets.
 * One thread at a time. */
struct random_sequence {
    uint64_t state;
};

void random_sequence_seed(struct random_sequence *r, uint64_t seed);

/* The next 64 bits. */
uint64_t random_sequence_next(struct random_sequence *r);

/* A number in [0, bound); bound > 0. */
uint64_t random_sequence_below(struct random_sequence *r, uint64_t bound);

#endif
