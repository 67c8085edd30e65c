/* A look at a journal's directory before anything is changed: whether what is in it can be read at
 * all, and by this program. */
#ifndef LEVERET_STORE_RECOVERY_LOOK_H
#define LEVERET_STORE_RECOVERY_LOOK_H

#include "store/recovery.h"

/* Reads the names and the headers. Returns 0, or -errno with everything that is wrong told through
 * `damage` of the options (with a size of 0): -EINVAL when a segment is of a newer format,
 * -EOVERFLOW when a number leaves no room for others. */
int recovery_look(const struct recovery_options *options);

#endif
