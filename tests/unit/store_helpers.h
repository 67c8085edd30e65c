/* What the store's tests share: a directory of their own, and definitions as text, so that what was
 * written and what is read can be compared. */
#ifndef LEVERET_TESTS_UNIT_STORE_HELPERS_H
#define LEVERET_TESTS_UNIT_STORE_HELPERS_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "store/definitions.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    TEST_PATH_SIZE = 512,
    TEST_ERROR_SIZE = 512,
};

/* A new directory under TMPDIR (/tmp). */
void make_test_directory(char out[TEST_PATH_SIZE]);

/* Removes a directory and all in it. */
void remove_test_directory(const char *path);

/* DIRECTORY/NAME. */
void join_path(char out[TEST_PATH_SIZE], const char *directory, const char *name);

/* A file's content, on the heap. */
struct buffer read_test_file(const char *path);
void write_test_file(const char *path, struct bytes content);

/* Opens the file, which must succeed. */
struct definitions *expect_definitions(const char *path);

/* Waits until all that was queued is written; returns its result. */
int wait_for_definitions(struct definitions *d);

/* All definitions, one a line, sorted as they are read: "queue /:orders id=1 shard=0 …". What
 * definitions_read() returned goes to *rc (NULL: it must be 0). On the heap. */
char *definitions_text(struct definitions *d, int *rc);

#endif
