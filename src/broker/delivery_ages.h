/* How long a consumer's deliveries have been unacked, known well enough to tell which of them have
 * waited longer than a long time: a mark is made when the last one is older than a step, and one of
 * 16 bytes stands for all deliveries until the next. So a delivery costs a comparison, and a
 * consumer that acknowledges in time a mark or two.
 *
 * Pure: times are milliseconds of whatever clock the caller has. One thread. */
#ifndef LEVERET_BROKER_DELIVERY_AGES_H
#define LEVERET_BROKER_DELIVERY_AGES_H

#include <stdbool.h>
#include <stdint.h>

struct delivery_age {
    uint64_t number;  /* the first delivery that it stands for */
    int64_t until_ms; /* they were all made at this time, or before it */
};

/* Starts zeroed. */
struct delivery_ages {
    struct delivery_age *items; /* in ascending order */
    uint32_t count;
    uint32_t capacity;
    int64_t next_ms; /* when the next mark is due */
};

/* Whether the delivery that is made now is to be noted. */
static inline bool delivery_ages_due(const struct delivery_ages *a, int64_t now_ms)
{
    return now_ms >= a->next_ms;
}

/* Notes the delivery `number`, the highest so far; those below `oldest` are settled. What is told
 * of a delivery's time is at most `step_ms` (> 0) too late. */
void delivery_ages_note(struct delivery_ages *a, uint64_t number, uint64_t oldest, int64_t now_ms,
                        int64_t step_ms);

/* A time at which `number` was delivered already. There is a mark. */
int64_t delivery_ages_until(const struct delivery_ages *a, uint64_t number);

/* How many deliveries from the first one on are known to be made by `time_ms`: the number behind
 * the last of them, UINT64_MAX when all are, 0 when none is. */
uint64_t delivery_ages_made_by(const struct delivery_ages *a, int64_t time_ms);

/* The next delivery is to be noted, whatever the step was; those before it were made by now. */
void delivery_ages_begin_anew(struct delivery_ages *a, int64_t now_ms);

/* Everything is settled: the next delivery is to be noted. */
void delivery_ages_forget(struct delivery_ages *a);

void delivery_ages_free(struct delivery_ages *a);

#endif
