#include "perf/histogram.h"

#include <string.h>

/* Values below 2^(SUB_BITS + 1) have a bucket each; above, the bucket is the value's highest
 * SUB_BITS + 1 bits, counted up by 2^SUB_BITS for each further bit of length. */
static unsigned bucket_of(uint64_t value)
{
    unsigned length = 64u - (unsigned)__builtin_clzll(value | 1);
    unsigned shift = length > HISTOGRAM_SUB_BITS + 1 ? length - (HISTOGRAM_SUB_BITS + 1) : 0;

    return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

/* The middle of what the bucket holds. */
static uint64_t bucket_value(unsigned bucket)
{
    unsigned shift = bucket >> HISTOGRAM_SUB_BITS;
    uint64_t top = bucket & ((1u << HISTOGRAM_SUB_BITS) - 1);

    if (shift == 0)
        return top;
    shift--;
    top += 1u << HISTOGRAM_SUB_BITS;
    return (top << shift) + (((uint64_t)1 << shift) >> 1);
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
    h->min = UINT64_MAX;
}

void histogram_record(struct histogram *h, int64_t value)
{
    uint64_t v = value > 0 ? (uint64_t)value : 0;

    if (v >= (uint64_t)1 << HISTOGRAM_MAX_BITS)
        v = ((uint64_t)1 << HISTOGRAM_MAX_BITS) - 1;
    h->count++;
    h->sum += v;
    if (v < h->min)
        h->min = v;
    if (v > h->max)
        h->max = v;
    h->buckets[bucket_of(v)]++;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    to->count += from->count;
    to->sum += from->sum;
    if (from->min < to->min)
        to->min = from->min;
    if (from->max > to->max)
        to->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
}

uint64_t histogram_count(const struct histogram *h)
{
    return h->count;
}

uint64_t histogram_min(const struct histogram *h)
{
    return h->count != 0 ? h->min : 0;
}

uint64_t histogram_max(const struct histogram *h)
{
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->count != 0 ? (double)h->sum / (double)h->count : 0;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    double exact = percent / 100.0 * (double)h->count;
    uint64_t wanted = (uint64_t)exact;
    uint64_t seen = 0;

    if (h->count == 0)
        return 0;
    if ((double)wanted < exact)
        wanted++;
    if (wanted == 0)
        return h->min;
    if (wanted >= h->count)
        return h->max;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= wanted) {
            uint64_t v = bucket_value(i);

            return v < h->min ? h->min : v > h->max ? h->max : v;
        }
    }
    return h->max;
}
