#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t size)
{
    uint8_t *p = out;

    while (size != 0) {
        ssize_t n = getrandom(p, size, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            perror("leveret: getrandom");
            abort();
        }
        p += n;
        size -= (size_t)n;
    }
}

void random_sequence_seed(struct random_sequence *r, uint64_t seed)
{
    r->state = seed;
}

uint64_t random_sequence_next(struct random_sequence *r)
{
    uint64_t z;

    r->state += 0x9e3779b97f4a7c15u;
    z = r->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_sequence_below(struct random_sequence *r, uint64_t bound)
{
    assert(bound > 0);
    return (uint64_t)(((unsigned __int128)random_sequence_next(r) * bound) >> 64);
}
