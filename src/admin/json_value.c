#include "admin/json_value.h"

#include "amqp/utf8.h"
#include "base/buffer.h"

#include <math.h>

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

/* How long the UTF-8 sequence at `at` is; 0: it is none. */
static size_t sequence_size(struct bytes b, size_t at)
{
    for (size_t size = 1; size <= 4 && at + size <= b.size; size++) {
        if (amqp_utf8_valid(bytes_of(b.data + at, size)))
            return size;
    }
    return 0;
}

static json_t *replace_invalid(struct bytes b)
{
    struct buffer text;
    json_t *string;

    buffer_init(&text);
    for (size_t at = 0; at < b.size;) {
        size_t size = sequence_size(b, at);

        if (size != 0)
            buffer_append(&text, bytes_of(b.data + at, size));
        else
            buffer_append(&text, bytes_from_string(REPLACEMENT));
        at += size != 0 ? size : 1;
    }
    string = json_stringn((const char *)text.data, text.size);
    buffer_free(&text);
    return string;
}

json_t *json_from_bytes(struct bytes b)
{
    if (b.size == 0)
        return json_string("");
    if (!amqp_utf8_valid(b))
        return replace_invalid(b);
    return json_stringn((const char *)b.data, b.size);
}

json_t *json_from_count(uint64_t n)
{
    return json_integer(n <= INT64_MAX ? (json_int_t)n : INT64_MAX);
}

static json_t *from_array(const struct value_array *array)
{
    json_t *items = json_array();

    for (uint32_t i = 0; i < array->count; i++)
        json_array_append_new(items, json_from_value(&array->items[i]));
    return items;
}

static json_t *from_real(double real)
{
    return isfinite(real) ? json_real(real) : json_null();
}

json_t *json_from_value(const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOLEAN:
        return json_boolean(v->boolean);
    case VALUE_INT8:
    case VALUE_UINT8:
    case VALUE_INT16:
    case VALUE_UINT16:
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_TIMESTAMP:
        return json_integer(v->integer);
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
        return from_real(v->real);
    case VALUE_DECIMAL:
        return from_real((double)v->decimal.unscaled / pow(10, v->decimal.scale));
    case VALUE_STRING:
    case VALUE_BYTES:
        return json_from_bytes(v->bytes);
    case VALUE_ARRAY:
        return from_array(&v->array);
    case VALUE_TABLE:
        return json_from_table(&v->table);
    case VALUE_VOID:
        return json_null();
    }
    return json_null();
}

json_t *json_from_table(const struct table *t)
{
    json_t *object = json_object();

    for (uint32_t i = 0; t != NULL && i < t->count; i++) {
        json_t *key = json_from_bytes(t->fields[i].key);

        /* A zero byte in a key ends it here: JSON keys of jansson are strings of C. */
        if (json_object_get(object, json_string_value(key)) == NULL)
            json_object_set_new(object, json_string_value(key),
                                json_from_value(&t->fields[i].value));
        json_decref(key);
    }
    return object;
}

json_t *json_from_policy(const struct policy *p)
{
    return p != NULL ? json_from_bytes(policy_declaration(p)->name) : json_null();
}
