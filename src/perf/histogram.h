/* A histogram of latencies: counts in log-linear buckets, 128 to each power of two, so that a
 * percentile is off by less than 0.4 % of its value whatever the range. Fixed size, no
 * allocation to record. One thread at a time. */
#ifndef LEVERET_PERF_HISTOGRAM_H
#define LEVERET_PERF_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7,
    HISTOGRAM_MAX_BITS = 42, /* values from 2^42 ns (73 minutes) on count as that */
    HISTOGRAM_BUCKETS = (HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

/* Fields are private. */
struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t min; /* UINT64_MAX when empty */
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Empties the histogram. */
void histogram_reset(struct histogram *h);

/* Counts one value; a negative one counts as 0. */
void histogram_record(struct histogram *h, int64_t value);

/* Adds all that `from` counted to `to`. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* How many values were counted. */
uint64_t histogram_count(const struct histogram *h);

/* The least and the greatest value, exact, and the mean; 0 when empty. */
uint64_t histogram_min(const struct histogram *h);
uint64_t histogram_max(const struct histogram *h);
double histogram_mean(const struct histogram *h);

/* The value that `percent` (0..100) of the counted values do not exceed, within the precision
 * of the buckets; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
