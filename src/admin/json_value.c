#include "admin/json_value.h"

#include "amqp/table.h"
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

/* ---- The other way ---- */

static const char *to_value(struct arena *a, const json_t *json, unsigned depth, struct value *out);

static const char *to_array(struct arena *a, const json_t *list, unsigned depth,
                            struct value_array *out)
{
    *out = (struct value_array){.items = NULL};
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct value item;
        const char *reason = to_value(a, json_array_get(list, i), depth + 1, &item);

        if (reason != NULL)
            return reason;
        value_array_append(a, out, item);
    }
    return NULL;
}

static const char *to_table(struct arena *a, const json_t *object, unsigned depth,
                            struct table *out)
{
    json_t *o = (json_t *)(uintptr_t)object;

    *out = table_empty();
    for (void *at = json_object_iter(o); at != NULL; at = json_object_iter_next(o, at)) {
        struct bytes key = bytes_from_string(json_object_iter_key(at));
        const char *reason;
        struct value item;

        if (key.size > UINT8_MAX)
            return "a key must have at most 255 bytes";
        reason = to_value(a, json_object_iter_value(at), depth + 1, &item);
        if (reason != NULL)
            return reason;
        table_append(a, out, arena_copy(a, key), item);
    }
    return NULL;
}

static const char *to_value(struct arena *a, const json_t *json, unsigned depth, struct value *out)
{
    if (depth >= AMQP_TABLE_DEPTH_MAX)
        return "is nested too deep";
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        *out = value_table(table_empty());
        return to_table(a, json, depth, &out->table);
    case JSON_ARRAY:
        *out = value_array((struct value_array){.items = NULL});
        return to_array(a, json, depth, &out->array);
    case JSON_STRING:
        *out = value_string(
            arena_copy(a, bytes_of(json_string_value(json), json_string_length(json))));
        break;
    case JSON_INTEGER:
        *out = value_int64(json_integer_value(json));
        break;
    case JSON_REAL:
        *out = (struct value){.type = VALUE_DOUBLE, .real = json_real_value(json)};
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = value_boolean(json_is_true(json));
        break;
    case JSON_NULL:
        *out = value_void();
        break;
    }
    return NULL;
}

const char *json_to_table(struct arena *a, const json_t *object, struct table *out)
{
    return to_table(a, object, 0, out);
}

const char *json_to_value(struct arena *a, const json_t *json, struct value *out)
{
    return to_value(a, json, 0, out);
}
