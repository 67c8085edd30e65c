/* Memory that is handed out in pieces and given back all at once. Pieces are aligned for any
 * type and are never freed alone. One thread at a time. Aborts without memory. */
#ifndef LEVERET_BASE_ARENA_H
#define LEVERET_BASE_ARENA_H

#include "base/bytes.h"

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first; NULL while nothing was asked for */
};

/* An empty arena; allocates nothing. */
void arena_init(struct arena *a);

/* Frees every piece; the arena is empty and usable again. */
void arena_free(struct arena *a);

/* `size` zeroed bytes. */
void *arena_alloc(struct arena *a, size_t size);

/* A copy of the bytes inside the arena. */
struct bytes arena_copy(struct arena *a, struct bytes b);

#endif
