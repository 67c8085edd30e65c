#include "config/user_name.h"

#include "amqp/utf8.h"

#include <stdbool.h>
#include <stddef.h>

static bool is_control(struct bytes name, size_t at)
{
    uint8_t c = name.data[at];

    if (c < 0x20 || c == 0x7f)
        return true;
    /* U+0080 to U+009F are C2 80 to C2 9F, and no other character of UTF-8 has a C2 in it. */
    return c == 0xc2 && at + 1 < name.size && name.data[at + 1] < 0xa0;
}

const char *user_name_check(struct bytes name)
{
    bool good = amqp_utf8_valid(name);

    for (size_t i = 0; good && i < name.size; i++)
        good = !is_control(name, i);
    return good ? NULL : "must be UTF-8 without control characters";
}
