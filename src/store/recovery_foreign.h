/* Files in a journal's directory that have a segment's name and are not that segment: copies under
 * another name, and what never was a segment. Nothing of them counts; they are set aside under
 * another name, whole, so that the segments beside them are read as if they were not there. */
#ifndef LEVERET_STORE_RECOVERY_FOREIGN_H
#define LEVERET_STORE_RECOVERY_FOREIGN_H

#include "store/recovery.h"
#include "store/recovery_merge.h"

#include <stddef.h>

/* Parts the scans, ascending by segment and salt: first the journal's own, one for each segment,
 * still ascending, then the others. Returns how many are its own. */
size_t recovery_part_foreign(struct scanned *segments, size_t count);

/* Tells of a file that is not the journal's; and sets it aside. The latter returns 0 or, told too,
 * -errno: -EEXIST when there is one of that name. */
void recovery_tell_foreign(const struct recovery_options *options, const struct segment_scan *s);
int recovery_set_aside(const struct recovery_options *options, const struct segment_scan *s);

#endif
