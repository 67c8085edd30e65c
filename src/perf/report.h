/* The figures of a run, gathered in order, printed as aligned text or as one JSON object. One
 * thread at a time. */
#ifndef LEVERET_PERF_REPORT_H
#define LEVERET_PERF_REPORT_H

#include "perf/histogram.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { REPORT_ROWS_MAX = 64 };

struct report_row {
    char key[64];
    char label[64];
    char unit[24];
    double value;
    unsigned decimals;
    const char *text; /* instead of a number when not NULL */
};

/* Zeroed memory is an empty report. Fields are private. */
struct report {
    struct report_row rows[REPORT_ROWS_MAX];
    unsigned count;
};

/* Adds a figure. `key` is its name in JSON, `label` and `unit` are for people. */
void report_number(struct report *r, const char *key, const char *label, const char *unit,
                   double value, unsigned decimals);

/* Adds a word; borrowed until the report is printed. */
void report_text(struct report *r, const char *key, const char *label, const char *text);

/* Adds minimum, mean, percentiles and maximum of nanoseconds, in microseconds: the keys are
 * `key`_min_us, …_p50_us, …_p999_us and so on. */
void report_latency(struct report *r, const char *key, const char *label,
                    const struct histogram *h);

void report_print(const struct report *r, bool json, FILE *out);

#endif
