/* A copy of a data directory, also of one that a broker is using. */
#ifndef LEVERET_LEVERETCTL_BACKUP_H
#define LEVERET_LEVERETCTL_BACKUP_H

#include "leveretctl/journal_backup.h"

#include <stddef.h>

/* Copies the data directory `from` to `to`, which must be missing or empty: the definitions, then
 * each journal, and at last the stamp that makes it a data directory, so that no broker starts on a
 * copy that was not finished. Nothing confirmed before the call is missing. Returns 0, or -errno
 * with one line in `error`; what was copied until then is left for the caller to look at. */
int backup(const char *from, const char *to, struct backup_figures *figures, char *error,
           size_t error_size);

#endif
