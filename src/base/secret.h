/* Memory for passwords and keys: kept out of core dumps where the system can, and wiped before it
 * is given back. secret_alloc() takes whole pages: for few and short-lived things. Any thread. */
#ifndef LEVERET_BASE_SECRET_H
#define LEVERET_BASE_SECRET_H

#include "base/buffer.h"

#include <stddef.h>

/* `size` zeroed bytes (> 0). Aborts without memory. */
void *secret_alloc(size_t size);

/* Wipes and frees what secret_alloc() gave for the same size; NULL is fine. */
void secret_free(void *p, size_t size);

/* Keeps memory that others made, the pages that lie in it wholly, out of core dumps. */
void secret_exclude_from_dumps(void *p, size_t size);

/* Wipes what functions that have returned to the caller left on the thread's stack, 32 KiB of it.
 * For after a computation with a secret that signals interrupted: the kernel keeps the registers
 * there meanwhile, and what is in them is a piece of the secret now and then. */
void secret_wipe_stack(void);

/* ---- Buffers that secrets come in ---- */

/* As buffer_reserve() and buffer_append(), and what the buffer outgrows is wiped. */
uint8_t *secret_reserve(struct buffer *b, size_t more);
void secret_append(struct buffer *b, struct bytes bytes);

/* As buffer_free(), of a buffer that is wiped first. */
void secret_buffer_free(struct buffer *b);

#endif
