/* Declares the configured topology into an empty broker core, as the server will at start, so that
 * what it would refuse is known with its line. */
#ifndef LEVERET_CONFIG_TOPOLOGY_CHECK_H
#define LEVERET_CONFIG_TOPOLOGY_CHECK_H

#include "config/config.h"
#include "config/problems.h"

/* Adds each refusal to `problems`. All vhosts that are referred to exist and no name is there
 * twice. */
void config_check_topology(const struct config *c, struct config_problems *problems);

#endif
