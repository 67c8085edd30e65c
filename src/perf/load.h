/* The modes in which messages flow: throughput, latency and bindings. */
#ifndef LEVERET_PERF_LOAD_H
#define LEVERET_PERF_LOAD_H

#include "perf/options.h"
#include "perf/report.h"

enum {
    RUN_OK = 0,
    RUN_FAILED = 1,  /* the broker refused or vanished; the reason was printed */
    RUN_MISUSED = 2, /* the command line was wrong */
    RUN_MISSING = 3, /* messages were lost or came twice */
};

/* Runs until the time is over, all messages have arrived or SIGINT comes, and fills in the
 * report. Returns the exit status. */
int load_run(const struct perf_options *o, struct report *report);

#endif
