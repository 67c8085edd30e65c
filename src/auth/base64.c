#include "auth/base64.h"

#include <errno.h>
#include <string.h>

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(struct bytes in, char *out)
{
    size_t length = 0;
    uint32_t pending = 0;
    unsigned bits = 0;

    for (size_t i = 0; i < in.size; i++) {
        pending = pending << 8 | in.data[i];
        for (bits += 8; bits >= 6; bits -= 6)
            out[length++] = ALPHABET[pending >> (bits - 6) & 63];
    }
    if (bits != 0)
        out[length++] = ALPHABET[pending << (6 - bits) & 63];
    out[length] = '\0';
    return length;
}

ssize_t base64_decode(struct bytes text, uint8_t *out, size_t size)
{
    size_t length = 0;
    uint32_t pending = 0;
    unsigned bits = 0;

    if (text.size % 4 == 0) {
        for (int i = 0; i < 2 && text.size != 0 && text.data[text.size - 1] == '='; i++)
            text.size--;
    }
    for (size_t i = 0; i < text.size; i++) {
        const char *digit = text.data[i] != 0 ? strchr(ALPHABET, text.data[i]) : NULL;

        if (digit == NULL)
            return -EINVAL;
        pending = pending << 6 | (uint32_t)(digit - ALPHABET);
        bits += 6;
        if (bits < 8)
            continue;
        if (length == size)
            return -EINVAL;
        bits -= 8;
        out[length++] = (uint8_t)(pending >> bits);
    }
    /* A last digit that gives no byte, or bits that no byte takes, come from no encoder. */
    if (bits >= 6 || (pending & ((1u << bits) - 1)) != 0)
        return -EINVAL;
    return (ssize_t)length;
}
