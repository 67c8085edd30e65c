/* Declares the configured topology into an empty broker core, as the server will at start, so that
 * what it would refuse is known with its line. */
#ifndef LEVERET_CONFIG_TOPOLOGY_CHECK_H
#define LEVERET_CONFIG_TOPOLOGY_CHECK_H

#include "config/config.h"
#include "config/problems.h"

/* Adds each refusal to `problems`. Passed over is what others have told of: entries without a name
 * or with one that is there already, in vhosts that are not there. Bindings are only judged with
 * `check_bindings`: when what they refer to has a name. */
void config_check_topology(const struct config *c, bool check_bindings,
                           struct config_problems *problems);

#endif
