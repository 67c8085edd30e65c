#include "amqp/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define AMQP_ERROR_TEXT_MAX (sizeof(((struct amqp_error *)0)->text) - 1)
#define ELLIPSIS "..."

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

/* Ends a text that fills its place with an ellipsis. */
static void text_cut(char *text)
{
    text[AMQP_ERROR_TEXT_MAX - strlen(ELLIPSIS)] = '\0';
    text_drop_partial_sequence(text);
    memcpy(text + strlen(text), ELLIPSIS, sizeof(ELLIPSIS));
}

int amqp_error_set(struct amqp_error *e, int code, uint16_t class_id, uint16_t method_id,
                   const char *fmt, ...)
{
    va_list args;
    int prefix;
    int rest;

    if (e == NULL)
        return -EPROTO;

    e->code = (uint16_t)code;
    e->class_id = class_id;
    e->method_id = method_id;
    prefix = snprintf(e->text, sizeof(e->text), "%s - ", amqp_reply_name(code));
    va_start(args, fmt);
    rest = vsnprintf(e->text + prefix, sizeof(e->text) - (size_t)prefix, fmt, args);
    va_end(args);

    if (rest < 0)
        e->text[prefix] = '\0';
    else if ((size_t)rest >= sizeof(e->text) - (size_t)prefix)
        text_cut(e->text);
    return -EPROTO;
}
