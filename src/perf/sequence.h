/* What arrived of a numbered stream: tells which numbers came twice and which never came,
 * whatever the order they arrive in, as long as none is later than its neighbours by more than
 * SEQUENCE_WINDOW. One thread at a time. */
#ifndef LEVERET_PERF_SEQUENCE_H
#define LEVERET_PERF_SEQUENCE_H

#include <stdint.h>

enum { SEQUENCE_WINDOW = 65536 };

/* Fields are private. Zeroed memory is an empty one. */
struct sequence {
    uint64_t next;       /* all below have been seen, or given up as lost */
    uint64_t end;        /* one more than the highest number seen */
    uint64_t duplicates; /* numbers seen again */
    uint64_t lost;       /* numbers that left the window unseen */
    uint64_t *window;    /* a bit for each number from `next` on; NULL until needed */
};

enum sequence_arrival {
    SEQUENCE_EXPECTED,  /* the next one, with none missing before it */
    SEQUENCE_AHEAD,     /* some before it are still missing */
    SEQUENCE_LATE,      /* one that was missing */
    SEQUENCE_DUPLICATE, /* seen before, or too late to tell */
};

void sequence_free(struct sequence *s);

enum sequence_arrival sequence_arrive_out_of_order(struct sequence *s, uint64_t number);

/* Takes note of `number`; numbers count from 0. */
static inline enum sequence_arrival sequence_arrive(struct sequence *s, uint64_t number)
{
    if (number == s->next && s->end == number) {
        s->next = s->end = number + 1;
        return SEQUENCE_EXPECTED;
    }
    return sequence_arrive_out_of_order(s, number);
}

/* How many of the numbers 0..sent-1 have not been seen. */
uint64_t sequence_missing(const struct sequence *s, uint64_t sent);

#endif
