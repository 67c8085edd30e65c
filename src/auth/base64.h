/* Base64 (RFC 4648 §4), strict. Any thread. */
#ifndef LEVERET_AUTH_BASE64_H
#define LEVERET_AUTH_BASE64_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Room for the text of `size` bytes and its zero byte. */
#define BASE64_TEXT_SIZE(size) (((size) + 2) / 3 * 4 + 1)

/* Writes the text without padding and a zero byte to `out` (BASE64_TEXT_SIZE(in.size) bytes).
 * Returns its length. */
size_t base64_encode(struct bytes in, char *out);

/* Reads text with or without padding into `out`. Returns the number of bytes, or -EINVAL when it
 * is malformed or gives more than `size`. */
ssize_t base64_decode(struct bytes text, uint8_t *out, size_t size);

#endif
