/* How many lines of one kind go to the log: so many within a second; the others are only counted.
 * For what strangers can cause as often as they like. Reads no clock and writes nothing. One
 * thread. */
#ifndef LEVERET_BASE_LOG_QUOTA_H
#define LEVERET_BASE_LOG_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LOG_QUOTA_LINES = 20,
    LOG_QUOTA_PERIOD_MS = 1000,
};

/* Zeroed: nothing was written yet. */
struct log_quota {
    uint32_t lines; /* in a second; 0: LOG_QUOTA_LINES */
    int64_t end_ms; /* of the second that the counts are of */
    uint32_t written;
    uint32_t left_out; /* and not told yet */
};

/* How many lines there are in a second. */
uint32_t log_quota_lines(const struct log_quota *q);

/* Whether a line is to be written at `now_ms` (monotonic); otherwise it is counted as left out. */
bool log_quota_take(struct log_quota *q, int64_t now_ms);

/* How many lines were left out since this was asked last. */
uint32_t log_quota_tell(struct log_quota *q);

#endif
