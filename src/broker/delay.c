#include "broker/delay.h"

/* A sign and the digits of DELAY_MAX_MS, and leading zeros. */
#define TEXT_SIZE_MAX 32u

/* An integer in decimal, 0 for anything else; what is too long for a delay stays too long. */
static int64_t integer_in(struct bytes text)
{
    size_t at = text.size != 0 && (text.data[0] == '+' || text.data[0] == '-') ? 1 : 0;
    bool negative = at != 0 && text.data[0] == '-';
    int64_t value = 0;

    if (text.size > TEXT_SIZE_MAX || negative)
        return 0;
    for (; at < text.size; at++) {
        if (text.data[at] < '0' || text.data[at] > '9')
            return 0;
        if (value <= DELAY_MAX_MS)
            value = 10 * value + (text.data[at] - '0');
    }
    return value;
}

static int64_t in_range(int64_t delay_ms)
{
    return delay_ms > 0 && delay_ms <= DELAY_MAX_MS ? delay_ms : 0;
}

int64_t delay_of(const struct value *v)
{
    if (v == NULL)
        return 0;
    if (value_is_integer(v))
        return in_range(v->integer);
    if (v->type == VALUE_STRING)
        return in_range(integer_in(v->bytes));
    if (v->type != VALUE_FLOAT && v->type != VALUE_DOUBLE)
        return 0;
    return v->real >= 1 && v->real < (double)DELAY_MAX_MS + 1 ? (int64_t)v->real : 0;
}

void delay_mark_done(struct arena *a, struct table *headers)
{
    int64_t done_ms = -delay_of(table_get(headers, DELAY_HEADER));

    table_set(a, headers, DELAY_HEADER,
              done_ms >= INT32_MIN ? value_int32((int32_t)done_ms) : value_int64(done_ms));
}
