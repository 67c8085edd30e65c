/* The log: one line an event, to standard error or a file, as text or JSON. Not on the way of a
 * message. Lines of several threads do not mix (one write each). Any thread. */
#ifndef LEVERET_BASE_LOG_H
#define LEVERET_BASE_LOG_H

#include <stdbool.h>

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
};

enum log_format {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
};

/* What is written from now on, and how. The start is info, text, standard error. */
void log_set_level(enum log_level level);
void log_set_format(enum log_format format);

/* Writes to `path` (appending, created with mode 0640) instead of standard error; NULL goes back
 * to standard error. Call it again with the same path after a rotation. Returns 0 or -errno, and
 * on an error the log stays where it was. */
int log_open_file(const char *path);

bool log_enabled(enum log_level level);

enum {
    /* Longer texts than this, less one byte, are cut. */
    LOG_TEXT_SIZE = 2048,
};

/* Writes one line; `component` is the part of the broker that speaks ("server", "connection",
 * "config", …). Control characters of the text are escaped, so that a peer cannot forge lines. */
void log_write(enum log_level level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(...) \
    do { \
        if (log_enabled(LOG_LEVEL_DEBUG)) \
            log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); \
    } while (0)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
