/* The commands that bring definitions out of a running broker and into it, in RabbitMQ's JSON
 * format. */
#ifndef LEVERET_LEVERETCTL_DEFINITIONS_H
#define LEVERET_LEVERETCTL_DEFINITIONS_H

#include "leveretctl/options.h"

/* Write the definitions to a file, which appears whole or not at all, and read them from one ("-":
 * standard output and standard input). Return an exit status: that of an import says whether every
 * object was made or was there. */
int export_run(const struct options *o);
int import_run(const struct options *o);

#endif
