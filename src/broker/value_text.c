#include "broker/value_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Text that is built from left to right and cut at its end. */
struct text {
    char *out;
    size_t size;
};

static void append(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->out + t->size, VALUE_TEXT_SIZE - t->size, format, args);
    va_end(args);
    if (n > 0)
        t->size += (size_t)n;
    if (t->size >= VALUE_TEXT_SIZE)
        t->size = VALUE_TEXT_SIZE - 1;
}

static bool is_full(const struct text *t)
{
    return t->size == VALUE_TEXT_SIZE - 1;
}

/* The letter that stands behind a backslash for a byte, or 0. */
static char escape_of(uint8_t byte)
{
    static const struct {
        uint8_t byte;
        char letter;
    } escapes[] = {
        {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}, {'\v', 'v'},  {'\b', 'b'},
        {'\f', 'f'}, {0x1b, 'e'}, {'"', '"'},  {'\\', '\\'},
    };

    for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
        if (escapes[i].byte == byte)
            return escapes[i].letter;
    }
    return 0;
}

static bool is_printable(struct bytes b)
{
    for (size_t i = 0; i < b.size; i++) {
        uint8_t byte = b.data[i];

        if ((byte < 0x20 || (byte >= 0x7f && byte < 0xa0)) && escape_of(byte) == 0)
            return false;
    }
    return true;
}

static void append_quoted(struct text *t, struct bytes b)
{
    append(t, "<<\"");
    for (size_t i = 0; i < b.size && !is_full(t); i++) {
        char letter = escape_of(b.data[i]);

        if (letter != 0)
            append(t, "\\%c", letter);
        else
            append(t, "%c", b.data[i]);
    }
    append(t, "\">>");
}

static void append_binary(struct text *t, struct bytes b)
{
    if (b.size != 0 && is_printable(b)) {
        append_quoted(t, b);
        return;
    }
    append(t, "<<");
    for (size_t i = 0; i < b.size && !is_full(t); i++)
        append(t, i != 0 ? ",%u" : "%u", b.data[i]);
    append(t, ">>");
}

/* The fewest digits that read back as the same number, and always a point. */
static void append_real(struct text *t, double n)
{
    char digits[40];
    const char *exponent;

    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, n);
        if (strtod(digits, NULL) == n)
            break;
    }
    exponent = strchr(digits, 'e');
    if (exponent == NULL) {
        append(t, "%s%s", digits, strpbrk(digits, ".n") != NULL ? "" : ".0");
        return;
    }
    append(t, "%.*s%s", (int)(exponent - digits), digits, strchr(digits, '.') != NULL ? "" : ".0");
    append(t, "e%ld", strtol(exponent + 1, NULL, 10));
}

static void append_term(struct text *t, const struct value *v);

/* The rest of a field or an item: its type and its value. */
static void append_typed(struct text *t, const struct value *v)
{
    append(t, "%s,", value_type_name(v->type));
    append_term(t, v);
    append(t, "}");
}

static void append_array(struct text *t, const struct value_array *array)
{
    append(t, "[");
    for (uint32_t i = 0; i < array->count && !is_full(t); i++) {
        append(t, i != 0 ? ",{" : "{");
        append_typed(t, &array->items[i]);
    }
    append(t, "]");
}

static void append_table(struct text *t, const struct table *table)
{
    append(t, "[");
    for (uint32_t i = 0; i < table->count && !is_full(t); i++) {
        append(t, i != 0 ? ",{" : "{");
        append_binary(t, table->fields[i].key);
        append(t, ",");
        append_typed(t, &table->fields[i].value);
    }
    append(t, "]");
}

static void append_term(struct text *t, const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOLEAN:
        append(t, "%s", v->boolean ? "true" : "false");
        return;
    case VALUE_INT8:
    case VALUE_UINT8:
    case VALUE_INT16:
    case VALUE_UINT16:
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_TIMESTAMP:
        append(t, "%" PRId64, v->integer);
        return;
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
        append_real(t, v->real);
        return;
    case VALUE_DECIMAL:
        append(t, "{%u,%" PRId32 "}", v->decimal.scale, v->decimal.unscaled);
        return;
    case VALUE_STRING:
    case VALUE_BYTES:
        append_binary(t, v->bytes);
        return;
    case VALUE_ARRAY:
        append_array(t, &v->array);
        return;
    case VALUE_TABLE:
        append_table(t, &v->table);
        return;
    case VALUE_VOID:
        append(t, "undefined");
        return;
    }
}

void value_text_term(const struct value *v, char out[VALUE_TEXT_SIZE])
{
    struct text t = {.out = out, .size = 0};

    out[0] = '\0';
    append_term(&t, v);
}

/* As ~s prints a string and ~p everything else. */
static void plain_text(const struct value *v, char out[VALUE_TEXT_SIZE])
{
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES)
        snprintf(out, VALUE_TEXT_SIZE, "%.*s", BYTES_ARGS(v->bytes));
    else
        value_text_term(v, out);
}

static void side_text(const struct value *v, bool has_other, char out[VALUE_TEXT_SIZE])
{
    char plain[VALUE_TEXT_SIZE];

    if (v == NULL) {
        snprintf(out, VALUE_TEXT_SIZE, "none");
        return;
    }
    plain_text(v, plain);
    if (has_other)
        snprintf(out, VALUE_TEXT_SIZE, "'%.255s'", plain);
    else
        snprintf(out, VALUE_TEXT_SIZE, "the value '%.255s' of type '%s'", plain,
                 value_type_name(v->type));
}

void value_text_pair(const struct value *received, const struct value *current,
                     char received_out[VALUE_TEXT_SIZE], char current_out[VALUE_TEXT_SIZE])
{
    side_text(received, current != NULL, received_out);
    side_text(current, received != NULL, current_out);
}
