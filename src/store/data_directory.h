/* The directory that holds all that survives a restart, and who may use it: one process at a time,
 * and one that knows its format.
 *
 *     leveret.format       the version of this layout, as text; its presence marks the directory
 *     leveret.lock         locked by the process that uses the directory, whose id it holds
 *     definitions.sqlite   definitions (store/definitions.h), with its -wal and -shm beside it
 *     journal/SHARD/       the segments of each worker's journal (store/journal.h)
 *     paged/SHARD/         bodies that left memory; worth nothing after the process
 *     admin.sock           the socket of the process that uses the directory (admin/admin.h)
 *
 * One thread at a time. */
#ifndef LEVERET_STORE_DATA_DIRECTORY_H
#define LEVERET_STORE_DATA_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    DATA_DIRECTORY_FORMAT = 1,
};

struct data_directory {
    char *path;
    int lock_fd;
};

/* Takes the directory, creating it (mode 0750; the one above must exist) and its layout when it is
 * missing or empty.
 *
 * Returns 0, to be given back with data_directory_close(), or -errno with one line in `error`:
 * -ENOTDIR, -EACCES or -EROFS; -ENOTEMPTY for a directory with files and no leveret.format;
 * -ENOTSUP for a newer format; -EBADMSG for a leveret.format that cannot be read, or when the
 * definitions are gone and journals are there; -EBUSY when a process (named) uses it; -ENOSPC and
 * what else writing may fail with. A directory that is refused is left as it was. */
int data_directory_open(struct data_directory *d, const char *path, char *error, size_t error_size);

/* Prepares the directory for a process that is going to be another user: creates it for that user
 * when it is missing, and makes sure that what is in it is that user's. Changes nothing that was
 * there. Returns 0, or -errno with one line in `error`: -EACCES when something (named) is not the
 * user's, else as data_directory_open(). */
int data_directory_prepare(const char *path, uid_t uid, gid_t gid, char *error, size_t error_size);

/* Lets others have it. */
void data_directory_close(struct data_directory *d);

/* Whether `path` is a directory of a format that this program can read, in use or not; for programs
 * that only read it. Returns 0 or -errno with one line in `error`. */
int data_directory_recognise(const char *path, char *error, size_t error_size);

/* Makes a directory that was filled with a copy (leveretctl backup) a data directory, durably: the
 * last step of a copy. Returns 0 or -errno. */
int data_directory_stamp(const char *path);

/* Paths inside a data directory at `path`, on the heap, for the caller to free. */
char *data_directory_definitions(const char *path);
char *data_directory_admin_socket(const char *path);
char *data_directory_journals(const char *path);
char *data_directory_journal(const char *path, uint32_t shard);
char *data_directory_paged(const char *path, uint32_t shard);

/* Creates a worker's directory of either kind where it is missing, durably. Returns 0 or -errno. */
int data_directory_make_journal(const struct data_directory *d, uint32_t shard);
int data_directory_make_paged(const struct data_directory *d, uint32_t shard);

/* Calls back for each journal that is there, in ascending order: also those of workers that are no
 * more. Returns 0 or -errno. */
int data_directory_each_journal(const char *path, void (*each)(void *context, uint32_t shard),
                                void *context);

/* Removes everything under paged/. Returns 0 or -errno. */
int data_directory_wipe_paged(const struct data_directory *d);

#endif
