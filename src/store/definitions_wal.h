/* A look at the write-ahead log that a broker which was killed has left, before SQLite takes it in.
 *
 * SQLite ends at the first frame of the log whose checksum does not fit, and says nothing: right
 * for an end that was written and not synced, wrong for damage in what had been committed. This
 * tells one from the other ("WAL-mode File Format", sqlite.org). */
#ifndef LEVERET_STORE_DEFINITIONS_WAL_H
#define LEVERET_STORE_DEFINITIONS_WAL_H

#include <stdbool.h>
#include <stdint.h>

struct wal_report {
    bool damaged;            /* before the end: a later commit is proof that this had been synced */
    uint64_t damaged_offset; /* of the frame */
    uint64_t cut_frames;     /* pages at the end that belong to no commit, and are not taken in */
};

/* Reads the log at `path`; a missing one is fine. Returns 0 or -errno. */
int definitions_wal_inspect(const char *path, struct wal_report *out);

#endif
