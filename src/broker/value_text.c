#include "broker/value_text.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_printable(struct bytes b)
{
    for (size_t i = 0; i < b.size; i++) {
        if (b.data[i] < 0x20 || b.data[i] == 0x7f)
            return false;
    }
    return true;
}

static void binary_term(struct bytes b, char out[VALUE_TEXT_SIZE])
{
    if (is_printable(b))
        snprintf(out, VALUE_TEXT_SIZE, "<<\"%.*s\">>", BYTES_ARGS(b));
    else
        snprintf(out, VALUE_TEXT_SIZE, "<<%zu bytes>>", b.size);
}

/* The shortest digits that read back as the same number, and always a point. */
static void real_term(double n, char out[VALUE_TEXT_SIZE])
{
    char digits[40];

    for (int precision = 1; precision <= 17; precision++) {
        double back;

        snprintf(digits, sizeof(digits), "%.*g", precision, n);
        if (sscanf(digits, "%lf", &back) == 1 && back == n)
            break;
    }
    snprintf(out, VALUE_TEXT_SIZE, "%s%s", digits, strpbrk(digits, ".en") != NULL ? "" : ".0");
}

void value_text_term(const struct value *v, char out[VALUE_TEXT_SIZE])
{
    switch (v->type) {
    case VALUE_BOOLEAN:
        snprintf(out, VALUE_TEXT_SIZE, "%s", v->boolean ? "true" : "false");
        return;
    case VALUE_INT8:
    case VALUE_UINT8:
    case VALUE_INT16:
    case VALUE_UINT16:
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_TIMESTAMP:
        snprintf(out, VALUE_TEXT_SIZE, "%" PRId64, v->integer);
        return;
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
        real_term(v->real, out);
        return;
    case VALUE_DECIMAL:
        snprintf(out, VALUE_TEXT_SIZE, "{%u,%" PRId32 "}", v->decimal.scale, v->decimal.unscaled);
        return;
    case VALUE_STRING:
    case VALUE_BYTES:
        binary_term(v->bytes, out);
        return;
    case VALUE_ARRAY:
        snprintf(out, VALUE_TEXT_SIZE, "[%" PRIu32 " items]", v->array.count);
        return;
    case VALUE_TABLE:
        snprintf(out, VALUE_TEXT_SIZE, "[%" PRIu32 " fields]", v->table.count);
        return;
    case VALUE_VOID:
        snprintf(out, VALUE_TEXT_SIZE, "undefined");
        return;
    }
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
