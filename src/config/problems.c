#include "config/problems.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void config_problems_init(struct config_problems *p)
{
    *p = (struct config_problems){.items = NULL};
}

void config_problems_free(struct config_problems *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].file);
        free(p->items[i].message);
    }
    free(p->items);
    config_problems_init(p);
}

static char *string_copy(const char *s)
{
    size_t size = strlen(s) + 1;

    return memcpy(memory_alloc(size), s, size);
}

static char *format_text(const char *format, va_list args)
{
    va_list again;
    char *text;
    int size;

    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (size < 0)
        return string_copy(format);
    text = memory_alloc((size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, args);
    return text;
}

void config_problems_add(struct config_problems *p, const char *file, unsigned line,
                         const char *format, ...)
{
    struct config_problem *problem;
    va_list args;

    if (p->count == CONFIG_PROBLEMS_MAX) {
        p->dropped++;
        return;
    }
    if (p->count == p->capacity) {
        p->capacity = p->capacity != 0 ? 2 * p->capacity : 8;
        p->items = memory_resize(p->items, p->capacity, sizeof(*p->items));
    }
    problem = &p->items[p->count++];
    problem->file = string_copy(file);
    problem->line = line;
    va_start(args, format);
    problem->message = format_text(format, args);
    va_end(args);
}

size_t config_problems_total(const struct config_problems *p)
{
    return p->count + p->dropped;
}

static bool comes_after(const struct config_problem *a, const struct config_problem *b)
{
    int order = strcmp(a->file, b->file);

    return order > 0 || (order == 0 && a->line > b->line);
}

void config_problems_sort(struct config_problems *p)
{
    /* Insertion keeps what was added for one line in order; the list is short and nearly sorted. */
    for (size_t i = 1; i < p->count; i++) {
        struct config_problem moved = p->items[i];
        size_t to = i;

        for (; to > 0 && comes_after(&p->items[to - 1], &moved); to--)
            p->items[to] = p->items[to - 1];
        p->items[to] = moved;
    }
}

/* Writes `text` to `out`, control characters as \xNN, so that a name cannot forge a line. */
static void append_escaped(struct buffer *out, const char *text)
{
    for (const char *s = text; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (c < 0x20 || c == 0x7f)
            buffer_append_format(out, "\\x%02x", c);
        else
            buffer_append(out, bytes_of(s, 1));
    }
}

char *config_problem_text(const struct config_problem *problem)
{
    struct buffer out;
    char *text;

    buffer_init(&out);
    append_escaped(&out, problem->file);
    if (problem->line != 0)
        buffer_append_format(&out, ":%u", problem->line);
    buffer_append_format(&out, ": ");
    append_escaped(&out, problem->message);
    text = bytes_to_string(buffer_bytes(&out));
    buffer_free(&out);
    return text;
}

void config_problems_print(const struct config_problems *p, FILE *out)
{
    for (size_t i = 0; i < p->count; i++) {
        char *text = config_problem_text(&p->items[i]);

        fprintf(out, "%s\n", text);
        free(text);
    }
    if (p->dropped != 0)
        fprintf(out, "%zu more problems are not shown\n", p->dropped);
}
