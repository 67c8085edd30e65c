/* Runs of bits in rows of words: which units of a region are taken, and the like. */
#ifndef LEVERET_BASE_BITS_H
#define LEVERET_BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>

/* The first bit of [at, end) that is set, or that is not; `end` or above when there is none. */
static inline uint32_t bits_find(const uint64_t *words, uint32_t at, uint32_t end, bool set)
{
    uint64_t flip = set ? 0 : UINT64_MAX;
    uint64_t wanted = UINT64_MAX << at % 64;

    for (uint32_t i = at / 64; i * 64 < end; i++) {
        uint64_t word = (words[i] ^ flip) & wanted;

        if (word != 0)
            return i * 64 + (uint32_t)__builtin_ctzll(word);
        wanted = UINT64_MAX;
    }
    return end;
}

/* Sets `count` bits from `at` on, or clears them. */
static inline void bits_mark(uint64_t *words, uint32_t at, uint32_t count, bool set)
{
    uint32_t end = at + count;

    while (at < end) {
        uint32_t bit = at % 64;
        uint32_t here = end - at < 64 - bit ? end - at : 64 - bit;
        uint64_t bits = (UINT64_MAX >> (64 - here)) << bit;

        if (set)
            words[at / 64] |= bits;
        else
            words[at / 64] &= ~bits;
        at += here;
    }
}

#endif
