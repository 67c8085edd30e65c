/* A file layer in memory for the store's tests: it records what is written and synced, so that the
 * disk can be had as a power loss would leave it, and fails when told to. */
#ifndef LEVERET_TESTS_MEMORY_FILES_H
#define LEVERET_TESTS_MEMORY_FILES_H

#include "base/random.h"
#include "store/file_layer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum file_operation {
    FILE_CREATE,
    FILE_WRITE,
    FILE_TRUNCATE,
    FILE_SYNC,
    FILE_RENAME,
    FILE_UNLINK,
    FILE_SYNC_DIRECTORY,
    FILE_READ, /* for faults only: not recorded */
};

struct memory_file {
    char *path; /* NULL: unlinked */
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t allocated; /* of the disk: more than its size when preallocated */
};

struct recorded_operation {
    enum file_operation operation;
    uint32_t file;
    uint64_t offset; /* or the size of a truncation */
    uint8_t *data;
    size_t size;
    char *path; /* of a rename: the new one */
};

/* Called for each operation, under the files' lock. Returns 0, -errno, or for a write the number of
 * bytes it may write at most. */
typedef ssize_t (*file_fault)(enum file_operation operation, size_t size);

struct memory_files {
    struct file_layer layer;
    pthread_mutex_t lock;
    struct memory_file *files;
    uint32_t count;
    struct recorded_operation *operations;
    size_t operation_count;
    bool record;
    file_fault fault;
    size_t space; /* of the disk: what is written beyond it fails with ENOSPC; 0: any */
};

void memory_files_init(struct memory_files *m);
void memory_files_free(struct memory_files *m);

/* A file by its path, or NULL; and by the end of its path. */
struct memory_file *memory_files_find(struct memory_files *m, const char *path);

/* The last file in the order of names, NULL when there is none. */
struct memory_file *memory_files_last(struct memory_files *m);
uint32_t memory_files_existing(struct memory_files *m);

/* What all files take of the disk. */
size_t memory_files_used(struct memory_files *m);

/* NULL: nothing fails any more. */
void memory_files_set_fault(struct memory_files *m, file_fault call);

void memory_files_put(struct memory_files *m, const char *path, const void *data, size_t size);

/* Everything as it is, without the record. */
void memory_files_copy(struct memory_files *to, struct memory_files *from);

/* The disk after a power loss behind the first `count` recorded operations: what was synced is
 * there; of the rest each write is there, or not, or in part, and each change of the directory is
 * there or not, as `random` decides. */
void memory_files_after_power_loss(struct memory_files *to, const struct memory_files *from,
                                   size_t count, struct random_sequence *random);

#endif
