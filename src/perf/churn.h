/* The modes that measure what comes before messages: connections and declarations a second. */
#ifndef LEVERET_PERF_CHURN_H
#define LEVERET_PERF_CHURN_H

#include "perf/options.h"
#include "perf/report.h"

/* Connects, opens a channel, declares an exclusive queue and closes, over and over, on
 * --connections connections at a time for --time seconds. Returns the exit status (perf/load.h). */
int churn_run(const struct perf_options *o, struct report *report);

/* Declares o->count queues over --connections connections, each with --pipeline declares under
 * way, and deletes them. Returns the exit status. */
int declare_run(const struct perf_options *o, struct report *report);

#endif
