#include "perf/sequence.h"

#include "base/memory.h"

#include <stdbool.h>
#include <stdlib.h>

enum { WORD_BITS = 64, WORDS = SEQUENCE_WINDOW / WORD_BITS };

/* The window is a ring: a number has its bit at its value modulo the window's size. */
static uint64_t *window_word(const struct sequence *s, uint64_t number)
{
    return &s->window[number / WORD_BITS % WORDS];
}

static uint64_t window_bit(uint64_t number)
{
    return (uint64_t)1 << (number % WORD_BITS);
}

/* Moves the start of the window over one number, and says whether it had been seen. */
static bool window_step(struct sequence *s)
{
    uint64_t *word = window_word(s, s->next);
    bool seen = (*word & window_bit(s->next)) != 0;

    *word &= ~window_bit(s->next);
    s->next++;
    return seen;
}

static void window_slide_over_seen(struct sequence *s)
{
    while (s->next < s->end && (*window_word(s, s->next) & window_bit(s->next)) != 0)
        window_step(s);
}

void sequence_free(struct sequence *s)
{
    free(s->window);
    s->window = NULL;
}

enum sequence_arrival sequence_arrive_out_of_order(struct sequence *s, uint64_t number)
{
    bool late = number < s->end;

    if (number < s->next) {
        s->duplicates++;
        return SEQUENCE_DUPLICATE;
    }
    if (s->window == NULL)
        s->window = memory_alloc_zeroed(WORDS, sizeof(*s->window));

    while (number - s->next >= SEQUENCE_WINDOW && s->next < s->end)
        s->lost += !window_step(s);
    if (number - s->next >= SEQUENCE_WINDOW) {
        uint64_t start = number - SEQUENCE_WINDOW + 1;

        s->lost += start - s->next;
        s->next = start;
    }

    if ((*window_word(s, number) & window_bit(number)) != 0) {
        s->duplicates++;
        return SEQUENCE_DUPLICATE;
    }
    *window_word(s, number) |= window_bit(number);
    if (number >= s->end)
        s->end = number + 1;
    if (number != s->next)
        return late ? SEQUENCE_LATE : SEQUENCE_AHEAD;
    window_slide_over_seen(s);
    return late ? SEQUENCE_LATE : SEQUENCE_EXPECTED;
}

uint64_t sequence_missing(const struct sequence *s, uint64_t sent)
{
    uint64_t missing = s->lost;

    for (uint64_t n = s->next; n < s->end && n < sent; n++)
        missing += (*window_word(s, n) & window_bit(n)) == 0;
    if (sent > s->end)
        missing += sent - (s->end > s->next ? s->end : s->next);
    return missing;
}
