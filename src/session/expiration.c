#include "session/expiration.h"

#include "session/channel.h"

#include <stdio.h>

/* Of EXPIRATION_MAX_MS. */
#define EXPIRATION_MAX_DIGITS 12

/* An octet in a string literal of Erlang's; `out` has room for four more and the terminator.
 * Returns how many it took, or 0 when no string has it. */
static size_t write_character(uint8_t c, char *out)
{
    static const char escaped[] = "\b\t\n\v\f\r\033";
    static const char letters[] = "btnvfre";
    const char *escape = c != 0 ? strchr(escaped, c) : NULL;

    if (c == '"' || c == '\\')
        return (size_t)sprintf(out, "\\%c", c);
    if (escape != NULL)
        return (size_t)sprintf(out, "\\%c", letters[escape - escaped]);
    if (c < ' ' || (c > '~' && c < 0xA0))
        return 0;
    return (size_t)sprintf(out, "%c", c);
}

/* Writes what Erlang calls a string; returns false when it would not. */
static bool write_string(struct bytes text, char *out)
{
    size_t size = 0;

    out[size++] = '"';
    for (size_t i = 0; i < text.size; i++) {
        size_t n = write_character(text.data[i], out + size);

        if (n == 0)
            return false;
        size += n;
    }
    out[size++] = '"';
    out[size] = '\0';
    return true;
}

/* Else it is a list of numbers to it. */
static void write_list(struct bytes text, char *out)
{
    size_t size = 0;

    for (size_t i = 0; i < text.size; i++)
        size += (size_t)sprintf(out + size, "%c%u", i == 0 ? '[' : ',', (unsigned)text.data[i]);
    out[size++] = ']';
    out[size] = '\0';
}

static int refuse_leftover(struct channel *ch, struct bytes text, struct bytes leftover)
{
    char written[4 * UINT8_MAX + 3]; /* a short string, four characters an octet */

    if (!write_string(leftover, written))
        write_list(leftover, written);
    return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                          "invalid expiration '%.*s': {leftover_string,%s}", BYTES_ARGS(text),
                          written);
}

static int refuse_value(struct channel *ch, struct bytes text, const char *why, const char *sign,
                        struct bytes digits)
{
    return channel_refuse(ch, AMQP_PRECONDITION_FAILED, "invalid expiration '%.*s': {%s,%s%.*s}",
                          BYTES_ARGS(text), why, sign, BYTES_ARGS(digits));
}

/* Without leading zeros: none for 0. */
static struct bytes significant(struct bytes digits)
{
    while (digits.size != 0 && digits.data[0] == '0')
        digits = bytes_of(digits.data + 1, digits.size - 1);
    return digits;
}

static bool is_too_large(struct bytes digits)
{
    int64_t value = 0;

    if (digits.size > EXPIRATION_MAX_DIGITS)
        return true;
    for (size_t i = 0; i < digits.size; i++)
        value = 10 * value + (digits.data[i] - '0');
    return value > EXPIRATION_MAX_MS;
}

int expiration_check(struct channel *ch, struct bytes text)
{
    size_t begin = text.size != 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    size_t end = begin;
    struct bytes digits;

    while (end < text.size && text.data[end] >= '0' && text.data[end] <= '9')
        end++;
    if (end == begin)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED, "invalid expiration '%.*s': no_integer",
                              BYTES_ARGS(text));
    if (end != text.size)
        return refuse_leftover(ch, text, bytes_of(text.data + end, text.size - end));
    digits = significant(bytes_of(text.data + begin, end - begin));
    if (text.data[0] == '-' && digits.size != 0)
        return refuse_value(ch, text, "value_negative", "-", digits);
    if (is_too_large(digits))
        return refuse_value(ch, text, "value_too_large", "", digits);
    return 0;
}
