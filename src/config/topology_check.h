/* Declares the configured topology into an empty broker core, as the server will at start, so that
 * what it would refuse is known with its line. */
#ifndef LEVERET_CONFIG_TOPOLOGY_CHECK_H
#define LEVERET_CONFIG_TOPOLOGY_CHECK_H

#include "config/config.h"
#include "config/problems.h"

/* Adds each refusal to `problems`. All vhosts that are referred to exist, no name is there
 * twice, and only bindings may lack their ends (they are passed over). */
void config_check_topology(const struct config *c, struct config_problems *problems);

#endif
