#include "broker/binding.h"

#include "base/memory.h"
#include "broker/value_hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct table normal_table(struct arena *a, const struct table *t);

static struct value normal_value(struct arena *a, const struct value *v)
{
    struct value normal = *v;

    if (v->type == VALUE_TABLE) {
        normal.table = normal_table(a, &v->table);
    } else if (v->type == VALUE_ARRAY) {
        normal.array = (struct value_array){.items = NULL};
        for (uint32_t i = 0; i < v->array.count; i++)
            value_array_append(a, &normal.array, normal_value(a, &v->array.items[i]));
    } else {
        normal = value_copy(a, v);
    }
    return normal;
}

static int compare_bytes(struct bytes a, struct bytes b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter != 0 ? memcmp(a.data, b.data, shorter) : 0;

    if (order != 0)
        return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

/* By key; equal keys in the order in which they stand in their table. */
static int compare_fields(const void *a, const void *b)
{
    const struct table_field *const *x = a;
    const struct table_field *const *y = b;
    int order = compare_bytes((*x)->key, (*y)->key);

    if (order != 0)
        return order;
    return *x < *y ? -1 : *x > *y;
}

static struct table normal_table(struct arena *a, const struct table *t)
{
    const struct table_field **sorted;
    struct table normal = table_empty();

    if (t->count == 0)
        return normal;
    sorted = memory_alloc_zeroed(t->count, sizeof(const struct table_field *));
    for (uint32_t i = 0; i < t->count; i++)
        sorted[i] = &t->fields[i];
    qsort(sorted, t->count, sizeof(const struct table_field *), compare_fields);

    normal.fields = arena_alloc(a, t->count * sizeof(struct table_field));
    normal.capacity = t->count;
    for (uint32_t i = 0; i < t->count; i++) {
        if (i != 0 && bytes_equal(sorted[i]->key, sorted[i - 1]->key))
            continue;
        normal.fields[normal.count++] = (struct table_field){
            .key = arena_copy(a, sorted[i]->key),
            .value = normal_value(a, &sorted[i]->value),
        };
    }
    free(sorted);
    return normal;
}

struct binding_arguments *binding_arguments_create(const struct table *table)
{
    struct binding_arguments *a;

    if (table == NULL || table->count == 0)
        return NULL;
    a = memory_alloc(sizeof(*a));
    arena_init(&a->arena);
    a->table = normal_table(&a->arena, table);
    a->hash = table_hash(&a->table);
    a->compiled = NULL;
    return a;
}

void binding_arguments_free(struct binding_arguments *a)
{
    if (a == NULL)
        return;
    arena_free(&a->arena);
    free(a);
}

static bool normal_tables_equal(const struct table *a, const struct table *b);

static uint64_t real_bits(double real)
{
    uint64_t bits;

    static_assert(sizeof(bits) == sizeof(real), "a double's bits");
    memcpy(&bits, &real, sizeof(bits));
    return bits;
}

/* The same type and content: 1 as a byte and 1 as a long make two bindings (RabbitMQ). Numbers
 * with a fraction are compared by their bits, so that each one equals itself. */
static bool normal_values_equal(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == VALUE_TABLE)
        return normal_tables_equal(&a->table, &b->table);
    if (a->type == VALUE_FLOAT || a->type == VALUE_DOUBLE)
        return real_bits(a->real) == real_bits(b->real);
    if (a->type != VALUE_ARRAY)
        return value_equal(a, b);
    if (a->array.count != b->array.count)
        return false;
    for (uint32_t i = 0; i < a->array.count; i++) {
        if (!normal_values_equal(&a->array.items[i], &b->array.items[i]))
            return false;
    }
    return true;
}

/* Linear, for both are sorted. */
static bool normal_tables_equal(const struct table *a, const struct table *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (!bytes_equal(a->fields[i].key, b->fields[i].key) ||
            !normal_values_equal(&a->fields[i].value, &b->fields[i].value))
            return false;
    }
    return true;
}

static bool arguments_equal(const struct binding_arguments *a, const struct binding_arguments *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->hash == b->hash && normal_tables_equal(&a->table, &b->table);
}

uint64_t binding_identity_hash(const struct binding_identity *i)
{
    uint64_t parts[3] = {
        (uint64_t)(uintptr_t)i->source,
        (uint64_t)i->destination,
        i->arguments != NULL ? i->arguments->hash : 0,
    };

    return bytes_hash_seeded(i->key, bytes_hash(bytes_of(parts, sizeof(parts))));
}

bool binding_has_identity(const struct hash_node *n, const void *identity)
{
    const struct binding_identity *i = identity;
    const struct binding *b =
        (const struct binding *)((uintptr_t)n - offsetof(struct binding, by_identity));

    return b->source == i->source && b->link.value == i->destination &&
           bytes_equal(binding_key(b), i->key) && arguments_equal(b->arguments, i->arguments);
}

struct binding *binding_create(struct exchange *source, uintptr_t destination, struct bytes key,
                               struct binding_arguments *arguments)
{
    struct binding *b = memory_alloc(offsetof(struct binding, key) + key.size);

    assert(key.size <= UINT8_MAX);
    b->link = (struct key_link){.value = destination};
    b->source = source;
    b->by_identity = (struct hash_node){.next = NULL};
    list_node_init(&b->by_source);
    list_node_init(&b->by_destination);
    b->arguments = arguments;
    b->key_size = (uint8_t)key.size;
    if (key.size != 0)
        memcpy(b->key, key.data, key.size);
    return b;
}

void binding_free(struct binding *b)
{
    binding_arguments_free(b->arguments);
    free(b);
}
