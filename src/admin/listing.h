/* The answer to a request for a list: rows, each a JSON object, in ascending order of the columns
 * that name what the row is about, each such thing once. Owned by the one thread that asks. */
#ifndef LEVERET_ADMIN_LISTING_H
#define LEVERET_ADMIN_LISTING_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/bytes.h"

#include <jansson.h>
#include <stddef.h>

struct listing_row {
    struct bytes key;
    struct bytes text;
};

struct listing {
    const char *const *key; /* names of the columns of the key; ends with NULL */
    struct bytes columns;   /* separated by commas: the only ones wanted; empty: all */
    const char *omitted;    /* a column that is not wanted; NULL: none */
    struct arena arena;
    struct listing_row *rows;
    size_t count;
    size_t capacity;
};

/* Borrows `key` and `columns`. */
void listing_init(struct listing *l, const char *const *key, struct bytes columns);
void listing_free(struct listing *l);

/* Adds a row, which is the listing's from then on and kept as text. */
void listing_add(struct listing *l, json_t *row);

/* Takes all rows of a JSON array, which is freed. */
void listing_add_all(struct listing *l, json_t *rows);

/* Appends the JSON array of the rows. */
void listing_write(struct listing *l, struct buffer *out);

#endif
