#include "broker/value_hash.h"

static uint64_t hash_of(const void *p, size_t size, uint64_t kind)
{
    return bytes_hash_seeded(bytes_of(p, size), bytes_hash(bytes_of(&kind, sizeof(kind))));
}

static uint64_t hash_number(double n)
{
    double unsigned_zero = n + 0.0; /* -0.0 equals 0.0 */

    return hash_of(&unsigned_zero, sizeof(unsigned_zero), VALUE_DOUBLE);
}

static uint64_t hash_array(const struct value_array *array)
{
    uint64_t h = VALUE_ARRAY;

    for (uint32_t i = 0; i < array->count; i++) {
        uint64_t item = value_hash(&array->items[i]);

        h = bytes_hash_seeded(bytes_of(&item, sizeof(item)), h);
    }
    return h;
}

uint64_t value_hash(const struct value *v)
{
    switch (v->type) {
    case VALUE_INT8:
    case VALUE_UINT8:
    case VALUE_INT16:
    case VALUE_UINT16:
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_TIMESTAMP:
        return hash_number((double)v->integer);
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
        return hash_number(v->real);
    case VALUE_BOOLEAN:
        return hash_of(&v->boolean, sizeof(v->boolean), v->type);
    case VALUE_DECIMAL:
        return hash_of(&v->decimal.unscaled, sizeof(v->decimal.unscaled), v->type) +
               v->decimal.scale;
    case VALUE_STRING:
    case VALUE_BYTES:
        return hash_of(v->bytes.data, v->bytes.size, VALUE_STRING);
    case VALUE_ARRAY:
        return hash_array(&v->array);
    case VALUE_TABLE:
        return table_hash(&v->table);
    case VALUE_VOID:
        return hash_of(NULL, 0, v->type);
    }
    return 0;
}

uint64_t field_hash(struct bytes key, const struct value *v)
{
    return bytes_hash_seeded(key, value_hash(v));
}

uint64_t table_hash(const struct table *t)
{
    uint64_t h = t->count;

    for (uint32_t i = 0; i < t->count; i++)
        h += field_hash(t->fields[i].key, &t->fields[i].value);
    return h;
}
