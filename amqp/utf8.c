#include "amqp/utf8.h"

#include <stdint.h>
#include <string.h>

static size_t ascii_run(struct bytes b, size_t at)
{
    uint64_t eight;

    while (b.size - at >= sizeof(eight)) {
        memcpy(&eight, b.data + at, sizeof(eight));
        if ((eight & UINT64_C(0x8080808080808080)) != 0)
            break;
        at += sizeof(eight);
    }
    while (at < b.size && b.data[at] < 0x80)
        at++;
    return at;
}

/* The length of the sequence that `lead` begins, and the range its second octet must be in
 * (RFC 3629 §4); 0 when it begins none. */
static size_t sequence_length(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 2;
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (lead == 0xE0)
            *low = 0xA0;
        if (lead == 0xED)
            *high = 0x9F;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (lead == 0xF0)
            *low = 0x90;
        if (lead == 0xF4)
            *high = 0x8F;
        return 4;
    }
    return 0;
}

bool amqp_utf8_valid(struct bytes b)
{
    size_t at = 0;

    while ((at = ascii_run(b, at)) < b.size) {
        uint8_t low, high;
        size_t n = sequence_length(b.data[at], &low, &high);

        if (n == 0 || b.size - at < n || b.data[at + 1] < low || b.data[at + 1] > high)
            return false;
        for (size_t i = 2; i < n; i++) {
            if ((b.data[at + i] & 0xC0) != 0x80)
                return false;
        }
        at += n;
    }
    return true;
}
