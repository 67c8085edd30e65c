#include "amqp/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define AMQP_ERROR_TEXT_MAX (sizeof(((struct amqp_error *)0)->text) - 1)
#define AT_THE_END "..."
#define IN_THE_MIDDLE "…"

enum {
    WHOLE_TEXT_SIZE = 2048, /* with some names in it, of 255 bytes each */
    TAIL_MAX = 128,
};

static bool utf8_continuation(char c)
{
    return ((uint8_t)c & 0xC0) == 0x80;
}

/* Takes back what a cut text holds of a sequence whose end was cut off. */
static void text_drop_partial_sequence(char *text)
{
    size_t n = strlen(text);
    size_t lead = n;
    size_t length;
    uint8_t c;

    while (lead > 0 && n - lead < 3 && utf8_continuation(text[lead - 1]))
        lead--;
    if (lead == 0)
        return;

    c = (uint8_t)text[lead - 1];
    length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    if (length > n - (lead - 1))
        text[lead - 1] = '\0';
}

/* What of a text that is too long stays at its end: the key of a limit, and what leads to it. */
static const char *tail_of(const char *whole, size_t size)
{
    const char *tail = whole + size;

    if (whole[size - 1] != ')')
        return tail;
    tail -= TAIL_MAX;
    while (utf8_continuation(*tail))
        tail++;
    return tail;
}

static void text_cut(char *text, const char *whole, size_t size)
{
    const char *tail = tail_of(whole, size);
    const char *mark = *tail != '\0' ? IN_THE_MIDDLE : AT_THE_END;
    size_t head = AMQP_ERROR_TEXT_MAX - strlen(mark) - strlen(tail);

    memcpy(text, whole, head);
    text[head] = '\0';
    text_drop_partial_sequence(text);
    head = strlen(text);
    snprintf(text + head, AMQP_ERROR_TEXT_MAX + 1 - head, "%s%s", mark, tail);
}

int amqp_error_set_list(struct amqp_error *e, int code, uint16_t class_id, uint16_t method_id,
                        const char *fmt, va_list args)
{
    char whole[WHOLE_TEXT_SIZE];
    size_t size;

    e->code = (uint16_t)code;
    e->class_id = class_id;
    e->method_id = method_id;
    snprintf(whole, sizeof(whole), "%s - ", amqp_reply_name(code));
    size = strlen(whole);
    vsnprintf(whole + size, sizeof(whole) - size, fmt, args);
    size = strlen(whole);
    if (size > AMQP_ERROR_TEXT_MAX)
        text_cut(e->text, whole, size);
    else
        memcpy(e->text, whole, size + 1);
    return -EPROTO;
}

int amqp_error_set(struct amqp_error *e, int code, uint16_t class_id, uint16_t method_id,
                   const char *fmt, ...)
{
    va_list args;

    if (e == NULL)
        return -EPROTO;
    va_start(args, fmt);
    amqp_error_set_list(e, code, class_id, method_id, fmt, args);
    va_end(args);
    return -EPROTO;
}
