/* The modes that measure what things cost while nothing happens: connections and queues. */
#ifndef LEVERET_PERF_HOLDING_H
#define LEVERET_PERF_HOLDING_H

#include "perf/options.h"
#include "perf/report.h"

/* Holds o->count connections with a channel each for --hold seconds. Returns the exit status
 * (perf/load.h). */
int holding_run_connections(const struct perf_options *o, struct report *report);

/* Holds o->count queues with one binding each for --hold seconds. Returns the exit status. */
int holding_run_queues(const struct perf_options *o, struct report *report);

#endif
