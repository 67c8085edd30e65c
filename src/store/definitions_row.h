/* One row of a table of the definitions file: names and arguments as bytes, the rest as integers,
 * and a checksum over all of them, so that a row that changed on the disk is not believed. */
#ifndef LEVERET_STORE_DEFINITIONS_ROW_H
#define LEVERET_STORE_DEFINITIONS_ROW_H

#include "base/bytes.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    ROW_CELLS_MAX = 8,
};

struct cell {
    bool is_integer;
    int64_t integer;
    struct bytes bytes;
};

/* The cells in the order of the table's columns, without the checksum. Borrows its bytes. */
struct row {
    struct cell cells[ROW_CELLS_MAX];
    unsigned count;
};

/* Add the next cell; at most ROW_CELLS_MAX. */
void row_add_bytes(struct row *r, struct bytes b);
void row_add_integer(struct row *r, int64_t n);

/* The checksum (CRC32C) of a row of `table`: the same row of another table has another. */
int64_t row_checksum(const char *table, const struct row *r);

/* Binds the cells to the parameters ?1, ?2, … and, unless `table` is NULL, the row's checksum to
 * the one behind them. The bytes must live until the statement is reset. Returns an SQLite code. */
int row_bind(sqlite3_stmt *s, const char *table, const struct row *r);

/* The row that the statement stands on; its last column is the checksum. The bytes are valid until
 * the statement steps on. Returns 0, or -EBADMSG when the checksum does not fit. */
int row_read(sqlite3_stmt *s, const char *table, struct row *out);

#endif
