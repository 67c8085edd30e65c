#include "session/audit.h"

#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

enum {
    /* Two names of 255 bytes, and patterns cut where they are long. */
    TEXT_SIZE = 1536,
};

static _Thread_local const char *current_origin;

void audit_set_origin(const char *origin)
{
    current_origin = origin;
}

void audit_log(const char *component, const char *format, ...)
{
    const char *origin = current_origin != NULL ? current_origin : "the configuration";
    char text[TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_info(component, "%s, through %s", text, origin);
}
