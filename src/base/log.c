#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_SIZE (6 * LOG_TEXT_SIZE + 256) /* every character may need \u00xx */

static atomic_int current_level = LOG_LEVEL_INFO;
static atomic_int current_format = LOG_FORMAT_TEXT;
static atomic_int current_fd = STDERR_FILENO;

void log_set_level(enum log_level level)
{
    atomic_store(&current_level, (int)level);
}

void log_set_format(enum log_format format)
{
    atomic_store(&current_format, (int)format);
}

/* The old file is replaced under its own descriptor number, so that a line being written by
 * another thread never meets a closed or reused descriptor. */
int log_open_file(const char *path)
{
    int old = atomic_load(&current_fd);
    int fd;

    if (path == NULL) {
        atomic_store(&current_fd, STDERR_FILENO);
        return 0;
    }
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    if (old == STDERR_FILENO) {
        atomic_store(&current_fd, fd);
        return 0;
    }
    if (dup3(fd, old, O_CLOEXEC) < 0) {
        int error = -errno;

        close(fd);
        return error;
    }
    close(fd);
    return 0;
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&current_level, memory_order_relaxed);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG:
        return "debug";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_ERROR:
        return "error";
    }
    return "error";
}

static void format_time(char *out, size_t size)
{
    int64_t now_ms = clock_realtime_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    size_t used;

    gmtime_r(&seconds, &tm);
    used = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + used, size - used, ".%03dZ", (int)(now_ms % 1000));
}

/* The length of the UTF-8 sequence at `p` (zero-terminated), 0 when it is none (RFC 3629). */
static size_t utf8_length(const unsigned char *p)
{
    size_t length;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

/* Copies `text`, escaping control characters and what is not UTF-8, and for JSON quotes and
 * backslashes too. */
static size_t escape(char *out, size_t size, const char *text, bool json)
{
    size_t used = 0;

    for (const char *p = text; *p != '\0' && used + 8 < size; p++) {
        unsigned char c = (unsigned char)*p;
        size_t length = utf8_length((const unsigned char *)p);

        if (length == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0)
            length = json ? 1 : 0; /* U+0080 to U+009F are control characters too */
        if (length == 1 && c == 0xc2) {
            used += (size_t)snprintf(out + used, size - used, "\\u%04x", (unsigned char)p[1]);
            p++;
        } else if (length > 1) {
            memcpy(out + used, p, length);
            used += length;
            p += length - 1;
        } else if (length == 0) {
            used += (size_t)snprintf(out + used, size - used, json ? "\\ufffd" : "\\x%02x", c);
        } else if (json && (c == '"' || c == '\\')) {
            out[used++] = '\\';
            out[used++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            used += (size_t)snprintf(out + used, size - used, json ? "\\u%04x" : "\\x%02x", c);
        } else {
            out[used++] = (char)c;
        }
    }
    out[used] = '\0';
    return used;
}

void log_write(enum log_level level, const char *component, const char *format, ...)
{
    bool json = atomic_load_explicit(&current_format, memory_order_relaxed) == LOG_FORMAT_JSON;
    char text[LOG_TEXT_SIZE];
    char line[LOG_LINE_SIZE];
    char time[40];
    size_t used;
    va_list args;
    ssize_t written;

    if (!log_enabled(level))
        return;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    format_time(time, sizeof(time));

    used = (size_t)snprintf(
        line, sizeof(line),
        json ? "{\"time\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"text\":\"" : "%s %s %s: ",
        time, level_name(level), component);
    used += escape(line + used, sizeof(line) - used - 4, text, json);
    used += (size_t)snprintf(line + used, sizeof(line) - used, json ? "\"}\n" : "\n");

    do {
        written = write(atomic_load(&current_fd), line, used);
    } while (written < 0 && errno == EINTR);
}
