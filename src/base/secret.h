/* Memory for passwords and keys: kept out of core dumps where the system can, and wiped before it
 * is given back. Takes whole pages: for few and short-lived things. Any thread. */
#ifndef LEVERET_BASE_SECRET_H
#define LEVERET_BASE_SECRET_H

#include <stddef.h>

/* `size` zeroed bytes (> 0). Aborts without memory. */
void *secret_alloc(size_t size);

/* Wipes and frees what secret_alloc() gave for the same size; NULL is fine. */
void secret_free(void *p, size_t size);

/* Keeps memory that others made, the pages that lie in it wholly, out of core dumps. */
void secret_exclude_from_dumps(void *p, size_t size);

#endif
