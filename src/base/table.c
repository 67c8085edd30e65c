#include "base/table.h"

#include <stddef.h>

const struct value *table_get_bytes(const struct table *t, struct bytes key)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (bytes_equal(t->fields[i].key, key))
            return &t->fields[i].value;
    }
    return NULL;
}

const struct value *table_get(const struct table *t, const char *key)
{
    return table_get_bytes(t, bytes_from_string(key));
}

/* Room for one more element of `size` bytes: arenas do not resize, so a fuller one is copied. */
static void *grown(struct arena *a, void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    void *copy;

    if (count < *capacity)
        return items;
    *capacity = *capacity != 0 ? 2 * *capacity : 4;
    copy = arena_alloc(a, *capacity * size);
    if (count != 0)
        memcpy(copy, items, count * size);
    return copy;
}

void table_append(struct arena *a, struct table *t, struct bytes key, struct value v)
{
    t->fields = grown(a, t->fields, t->count, &t->capacity, sizeof(*t->fields));
    t->fields[t->count++] = (struct table_field){.key = key, .value = v};
}

void table_set(struct arena *a, struct table *t, const char *key, struct value v)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (bytes_equal_string(t->fields[i].key, key)) {
            t->fields[i].value = v;
            return;
        }
    }
    table_append(a, t, arena_copy(a, bytes_from_string(key)), v);
}

bool table_remove(struct table *t, const char *key)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (!bytes_equal_string(t->fields[i].key, key))
            continue;
        memmove(&t->fields[i], &t->fields[i + 1], (t->count - i - 1) * sizeof(*t->fields));
        t->count--;
        return true;
    }
    return false;
}

void value_array_append(struct arena *a, struct value_array *array, struct value v)
{
    array->items = grown(a, array->items, array->count, &array->capacity, sizeof(v));
    array->items[array->count++] = v;
}

void value_array_prepend(struct arena *a, struct value_array *array, struct value v)
{
    value_array_append(a, array, v);
    memmove(&array->items[1], &array->items[0], (array->count - 1) * sizeof(v));
    array->items[0] = v;
}

struct value value_boolean(bool b)
{
    return (struct value){.type = VALUE_BOOLEAN, .boolean = b};
}

struct value value_int64(int64_t n)
{
    return (struct value){.type = VALUE_INT64, .integer = n};
}

struct value value_int32(int32_t n)
{
    return (struct value){.type = VALUE_INT32, .integer = n};
}

struct value value_string(struct bytes s)
{
    return (struct value){.type = VALUE_STRING, .bytes = s};
}

struct value value_timestamp(int64_t seconds)
{
    return (struct value){.type = VALUE_TIMESTAMP, .integer = seconds};
}

struct value value_table(struct table t)
{
    return (struct value){.type = VALUE_TABLE, .table = t};
}

struct value value_array(struct value_array array)
{
    return (struct value){.type = VALUE_ARRAY, .array = array};
}

struct value value_void(void)
{
    return (struct value){.type = VALUE_VOID, .integer = 0};
}

bool value_is_integer(const struct value *v)
{
    switch (v->type) {
    case VALUE_INT8:
    case VALUE_UINT8:
    case VALUE_INT16:
    case VALUE_UINT16:
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
        return true;
    case VALUE_BOOLEAN:
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
    case VALUE_DECIMAL:
    case VALUE_STRING:
    case VALUE_ARRAY:
    case VALUE_TIMESTAMP:
    case VALUE_TABLE:
    case VALUE_VOID:
    case VALUE_BYTES:
        return false;
    }
    return false;
}

static bool value_is_real(const struct value *v)
{
    return v->type == VALUE_FLOAT || v->type == VALUE_DOUBLE;
}

struct table table_copy(struct arena *a, const struct table *t)
{
    struct table copy = table_empty();

    for (uint32_t i = 0; i < t->count; i++)
        table_append(a, &copy, arena_copy(a, t->fields[i].key), value_copy(a, &t->fields[i].value));
    return copy;
}

static struct value_array value_array_copy(struct arena *a, const struct value_array *array)
{
    struct value_array copy = {.items = NULL, .count = 0, .capacity = 0};

    for (uint32_t i = 0; i < array->count; i++)
        value_array_append(a, &copy, value_copy(a, &array->items[i]));
    return copy;
}

struct value value_copy(struct arena *a, const struct value *v)
{
    struct value copy = *v;

    if (v->type == VALUE_STRING || v->type == VALUE_BYTES)
        copy.bytes = arena_copy(a, v->bytes);
    else if (v->type == VALUE_ARRAY)
        copy.array = value_array_copy(a, &v->array);
    else if (v->type == VALUE_TABLE)
        copy.table = table_copy(a, &v->table);
    return copy;
}

/* Exact: an integer that a double cannot hold equals no double. */
static bool integer_equals_real(int64_t integer, double real)
{
    const double lowest = (double)INT64_MIN; /* a power of two: exact, and so is its negation */

    return real >= lowest && real < -lowest && (double)(int64_t)real == real &&
           (int64_t)real == integer;
}

static bool number_equal(const struct value *a, const struct value *b)
{
    if (value_is_integer(a) && value_is_integer(b))
        return a->integer == b->integer;
    if (value_is_integer(a))
        return integer_equals_real(a->integer, b->real);
    if (value_is_integer(b))
        return integer_equals_real(b->integer, a->real);
    return a->real == b->real;
}

static bool value_array_equal(const struct value_array *a, const struct value_array *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (!value_equal(&a->items[i], &b->items[i]))
            return false;
    }
    return true;
}

bool table_equal(const struct table *a, const struct table *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct value *other = table_get_bytes(b, a->fields[i].key);

        if (other == NULL || !value_equal(&a->fields[i].value, other))
            return false;
    }
    /* A peer may repeat a key: equal counts do not mean equal sets of keys. */
    for (uint32_t i = 0; i < b->count; i++) {
        if (table_get_bytes(a, b->fields[i].key) == NULL)
            return false;
    }
    return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
    bool numbers =
        (value_is_integer(a) || value_is_real(a)) && (value_is_integer(b) || value_is_real(b));

    if (numbers)
        return number_equal(a, b);
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VALUE_BOOLEAN:
        return a->boolean == b->boolean;
    case VALUE_DECIMAL:
        return a->decimal.scale == b->decimal.scale && a->decimal.unscaled == b->decimal.unscaled;
    case VALUE_STRING:
    case VALUE_BYTES:
        return bytes_equal(a->bytes, b->bytes);
    case VALUE_ARRAY:
        return value_array_equal(&a->array, &b->array);
    case VALUE_TABLE:
        return table_equal(&a->table, &b->table);
    case VALUE_TIMESTAMP:
        return a->integer == b->integer;
    case VALUE_VOID:
        return true;
    case VALUE_INT8:
    case VALUE_UINT8:
    case VALUE_INT16:
    case VALUE_UINT16:
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
        return number_equal(a, b);
    }
    return false;
}

const char *value_type_name(enum value_type type)
{
    switch (type) {
    case VALUE_BOOLEAN:
        return "bool";
    case VALUE_INT8:
        return "byte";
    case VALUE_UINT8:
        return "unsignedbyte";
    case VALUE_INT16:
        return "short";
    case VALUE_UINT16:
        return "unsignedshort";
    case VALUE_INT32:
        return "signedint";
    case VALUE_UINT32:
        return "unsignedint";
    case VALUE_INT64:
        return "long";
    case VALUE_FLOAT:
        return "float";
    case VALUE_DOUBLE:
        return "double";
    case VALUE_DECIMAL:
        return "decimal";
    case VALUE_STRING:
        return "longstr";
    case VALUE_ARRAY:
        return "array";
    case VALUE_TIMESTAMP:
        return "timestamp";
    case VALUE_TABLE:
        return "table";
    case VALUE_VOID:
        return "void";
    case VALUE_BYTES:
        return "binary";
    }
    return "unknown";
}
