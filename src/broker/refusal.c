#include "broker/refusal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int refuse(struct refusal *r, enum refusal_code code, const char *format, ...)
{
    va_list args;

    r->code = code;
    va_start(args, format);
    vsnprintf(r->text, sizeof(r->text), format, args);
    va_end(args);
    return -EPROTO;
}
