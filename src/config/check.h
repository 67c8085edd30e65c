/* Checks of the configuration as a whole: names that must be unique, references that must lead
 * somewhere, and the topology, which is declared into an empty broker to see what it says. */
#ifndef LEVERET_CONFIG_CHECK_H
#define LEVERET_CONFIG_CHECK_H

#include "config/config.h"
#include "config/problems.h"

/* Adds what is wrong to `problems`. Entries without a name are passed over: the reader has
 * reported them. */
void config_check(const struct config *c, struct config_problems *problems);

#endif
