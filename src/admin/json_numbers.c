#include "admin/json_numbers.h"

#include "base/secret.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A number that does not fit is read as a string that begins so. */
#define MARK_IN_TEXT "\\u0000number\\u0000"
static const char MARK[] = "\0number";

enum {
    NUMBER_SIZE = 48, /* of what is kept of it */
};

static size_t string_size(struct bytes text)
{
    size_t size = 1;

    while (size < text.size && text.data[size] != '"')
        size += text.data[size] == '\\' ? 2 : 1;
    return size < text.size ? size + 1 : text.size;
}

static size_t number_size(struct bytes text)
{
    size_t size = 0;

    while (size < text.size && text.data[size] != '\0' &&
           strchr("+-.0123456789Ee", text.data[size]) != NULL)
        size++;
    return size;
}

static bool fits(struct bytes number)
{
    char *copy = bytes_to_string(number);
    bool is_integer = strpbrk(copy, ".eE") == NULL;
    bool fitting;

    errno = 0;
    if (is_integer) {
        (void)strtoll(copy, NULL, 10);
        fitting = errno != ERANGE;
    } else {
        fitting = isfinite(strtod(copy, NULL));
    }
    free(copy);
    return fitting;
}

static void append_mark(struct buffer *out, struct bytes number)
{
    secret_append(out, bytes_from_string("\"" MARK_IN_TEXT));
    if (number.size <= NUMBER_SIZE) {
        secret_append(out, number);
    } else {
        secret_append(out, bytes_of(number.data, NUMBER_SIZE));
        secret_append(out, bytes_from_string("..."));
    }
    secret_append(out, bytes_from_string("\""));
}

/* Returns the size of the token at the beginning of `text`, having copied it. */
static size_t copy_token(struct buffer *out, struct bytes text)
{
    size_t size;

    if (text.data[0] == '"') {
        size = string_size(text);
    } else {
        size = number_size(text);
        if (size != 0 && !fits(bytes_of(text.data, size))) {
            append_mark(out, bytes_of(text.data, size));
            return size;
        }
        if (size == 0)
            size = 1;
    }
    secret_append(out, bytes_of(text.data, size));
    return size;
}

static json_t *load_marked(struct bytes text, size_t flags, json_error_t *fault)
{
    struct buffer marked;
    json_t *root;

    buffer_init(&marked);
    for (size_t at = 0; at < text.size;)
        at += copy_token(&marked, bytes_of(text.data + at, text.size - at));
    root = json_loadb((const char *)marked.data, marked.size, flags, fault);
    secret_buffer_free(&marked);
    return root;
}

json_t *json_load_numbers(struct bytes text, size_t flags, json_error_t *fault, bool *unfit)
{
    json_t *root = json_loadb(text.size != 0 ? (const char *)text.data : "", text.size,
                              flags | JSON_ALLOW_NUL, fault);

    *unfit = root == NULL && json_error_code(fault) == json_error_numeric_overflow;
    return *unfit ? load_marked(text, flags | JSON_ALLOW_NUL, fault) : root;
}

const char *json_unfit_number(const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) < sizeof(MARK) ||
        memcmp(json_string_value(value), MARK, sizeof(MARK)) != 0)
        return NULL;
    return json_string_value(value) + sizeof(MARK);
}
