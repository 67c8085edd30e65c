/* What a channel knows of its deliveries that went back to their queues before the client settled
 * them: so that a settlement that comes late is told from one of a tag that never was.
 *
 * The queue's home tells the numbers of what it takes back. The channel's entries of them stay
 * until they are settled, late, which the home finds out, or until they are as many as the others:
 * then they are swept out of the ring together, O(1) amortised, and their tags kept as runs. Those
 * are at most EXPIRED_TAG_RUNS: of what is forgotten for it, every tag below counts as expired.
 * On the channel's worker. */
#ifndef LEVERET_SESSION_EXPIRED_TAGS_H
#define LEVERET_SESSION_EXPIRED_TAGS_H

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct queue_handle;
struct subscription;

#define EXPIRED_TAG_RUNS 1024u

/* Tags one after the other, of one queue. */
struct expired_run {
    uint64_t first;
    uint64_t last;
    struct queue_handle *queue; /* a reference */
};

/* A channel's. Starts zeroed. */
struct expired_tags {
    struct expired_run *runs; /* in ascending order */
    uint32_t count;
    uint32_t capacity;
    uint32_t
        stale; /* entries of the ring that went back, or were settled since they were told of */
    uint64_t forgotten; /* the highest tag of a run that is not kept */
};

/* The deliveries numbered `first` to `last` of the subscription went back. Has the channel called
 * at the end of the turn when it is time to sweep. */
void expired_tags_add(struct channel *ch, struct subscription *s, uint64_t first, uint64_t last);

/* Sweeps if it is time to. May free subscriptions that waited for nothing else. */
void expired_tags_tidy(struct channel *ch);

/* Whether the tag, which is not in the channel's ring, went back. */
bool expired_tags_has(const struct expired_tags *e, uint64_t tag);

/* Counts, where the queue lives, that the client settled such a tag. */
void expired_tags_count_late(struct channel *ch, uint64_t tag);

void expired_tags_free(struct expired_tags *e);

/* ---- A subscription's part ---- */

/* Numbers that went back and are not swept yet. */
struct number_run {
    uint64_t first;
    uint64_t last;
};

/* Starts zeroed. */
struct number_runs {
    struct number_run *items;
    uint32_t count;
    uint32_t capacity;
};

void number_runs_free(struct number_runs *r);

#endif
