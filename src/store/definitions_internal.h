/* What the parts of the definitions share; for src/store/definitions*.c alone. */
#ifndef LEVERET_STORE_DEFINITIONS_INTERNAL_H
#define LEVERET_STORE_DEFINITIONS_INTERNAL_H

#include "store/definitions_ids.h"
#include "store/definitions_writer.h"

#include <sqlite3.h>

struct definitions {
    char *path;
    int lock_fd; /* of the file itself, never read or written: see definitions.c */
    sqlite3 *db;
    struct definitions_ids ids;
    struct definitions_writer *writer;
};

#endif
