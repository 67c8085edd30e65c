/* Putting the scans of a journal's segments together: what each queue holds. */
#ifndef LEVERET_STORE_RECOVERY_MERGE_H
#define LEVERET_STORE_RECOVERY_MERGE_H

#include "store/recovery.h"
#include "store/recovery_scan.h"

/* A scan, and how much of it counts. */
struct scanned {
    struct segment_scan scan;
    uint64_t end; /* records from here on do not count */
    bool freed;   /* nothing in it is needed */
    bool has_end; /* another segment tells where it ends */
    bool damaged;
};

/* Fills out->queues from the scans, ascending by segment; frees what it took from them. */
void recovery_merge(struct scanned *segments, size_t count, struct recovered *out);

#endif
