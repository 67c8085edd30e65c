/* Copying a journal's directory while a broker appends to it, compacts it and deletes segments. */
#ifndef LEVERET_LEVERETCTL_JOURNAL_BACKUP_H
#define LEVERET_LEVERETCTL_JOURNAL_BACKUP_H

#include <stddef.h>
#include <stdint.h>

struct backup_figures {
    uint64_t segments;
    uint64_t bytes;
};

/* Copies the journal in the directory `from`, as it is at one moment, into the new directory `to`,
 * syncs it and reads it as a broker would at start. Adds to `figures`. Returns 0, or -errno with
 * one line in `error`. */
int journal_backup(const char *from, const char *to, struct backup_figures *figures, char *error,
                   size_t error_size);

#endif
