/* leveret-perf: load generator and latency meter for AMQP 0-9-1 brokers. */
#include "perf/churn.h"
#include "perf/holding.h"
#include "perf/interrupt.h"
#include "perf/load.h"
#include "perf/options.h"
#include "perf/process.h"
#include "perf/report.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* Ten thousand connections need as many descriptors. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(const struct perf_options *o, struct report *report)
{
    switch (o->mode) {
    case PERF_MODE_THROUGHPUT:
    case PERF_MODE_LATENCY:
    case PERF_MODE_BACKLOG:
    case PERF_MODE_BINDINGS:
        return load_run(o, report);
    case PERF_MODE_CHURN:
        return churn_run(o, report);
    case PERF_MODE_DECLARE:
        return declare_run(o, report);
    case PERF_MODE_IDLE_CONNECTIONS:
        return holding_run_connections(o, report);
    case PERF_MODE_IDLE_QUEUES:
        return holding_run_queues(o, report);
    }
    return RUN_MISUSED;
}

/* Figures of a process that is not there would be zeros. */
static bool broker_is_there(const struct perf_options *o)
{
    struct process_usage usage;
    int rc = o->broker_pid != 0 ? process_usage_read(o->broker_pid, &usage) : 0;

    if (rc < 0)
        fprintf(stderr, "leveret-perf: --broker-pid %d: %s\n", (int)o->broker_pid, strerror(-rc));
    return rc == 0;
}

int main(int argc, char **argv)
{
    static struct perf_options options;
    static struct report report;
    char error[512];
    int rc;

    switch (options_parse(&options, argc, argv, error, sizeof(error))) {
    case OPTIONS_HELP:
        options_print_help(stdout);
        return 0;
    case OPTIONS_VERSION:
        printf("leveret-perf %s\n", PACKAGE_VERSION);
        return 0;
    case OPTIONS_WRONG:
        fprintf(stderr, "leveret-perf: %s\nTry 'leveret-perf --help'.\n", error);
        return RUN_MISUSED;
    case OPTIONS_RUN:
        break;
    }
    if (!broker_is_there(&options))
        return RUN_MISUSED;
    raise_descriptor_limit();
    interrupt_init();
    rc = run(&options, &report);
    if (report.count != 0)
        report_print(&report, options.json, stdout);
    return rc;
}
