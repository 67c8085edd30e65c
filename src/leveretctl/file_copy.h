/* Copying files that another process may be appending to. */
#ifndef LEVERET_LEVERETCTL_FILE_COPY_H
#define LEVERET_LEVERETCTL_FILE_COPY_H

#include <stdint.h>

/* Copies what `from_fd` holds to the new file `to` and syncs it. Goes from the end to the
 * beginning: so the copy of a file that is appended to (also into room that was given to it) is a
 * beginning of it, with zeros behind, whatever comes meanwhile. Returns 0 or -errno; then there is
 * no `to`. */
int file_copy(int from_fd, const char *to, uint64_t *bytes);

/* Makes the entries of a directory last. Returns 0 or -errno. */
int directory_sync(const char *path);

#endif
