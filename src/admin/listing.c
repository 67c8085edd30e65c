#include "admin/listing.h"

#include "base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void listing_init(struct listing *l, const char *const *key, struct bytes columns)
{
    *l = (struct listing){.key = key, .columns = columns};
    arena_init(&l->arena);
}

void listing_free(struct listing *l)
{
    free(l->rows);
    arena_free(&l->arena);
    *l = (struct listing){.rows = NULL};
}

static bool is_wanted(const struct listing *l, const char *column)
{
    struct bytes rest = l->columns;

    while (rest.size != 0) {
        const uint8_t *comma = memchr(rest.data, ',', rest.size);
        size_t size = comma != NULL ? (size_t)(comma - rest.data) : rest.size;

        if (bytes_equal_string(bytes_of(rest.data, size), column))
            return true;
        size += comma != NULL;
        rest = bytes_of(rest.data + size, rest.size - size);
    }
    return l->columns.size == 0;
}

/* Values that are equal only if their columns are: each ends with a zero byte, which no JSON text
 * has. */
static struct bytes key_of(struct listing *l, const json_t *row)
{
    struct buffer key;
    struct bytes kept;

    buffer_init(&key);
    for (const char *const *column = l->key; *column != NULL; column++) {
        const json_t *value = json_object_get(row, *column);
        char *text;

        if (json_is_string(value)) {
            buffer_append(&key, bytes_of(json_string_value(value), json_string_length(value)));
        } else {
            text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
            buffer_append(&key, bytes_from_string(text != NULL ? text : ""));
            free(text);
        }
        buffer_append(&key, bytes_of("", 1));
    }
    kept = arena_copy(&l->arena, buffer_bytes(&key));
    buffer_free(&key);
    return kept;
}

static void drop_unwanted(const struct listing *l, json_t *row)
{
    void *at;

    if (l->omitted != NULL)
        json_object_del(row, l->omitted);
    at = json_object_iter(row);
    while (l->columns.size != 0 && at != NULL) {
        const char *column = json_object_iter_key(at);

        at = json_object_iter_next(row, at);
        if (!is_wanted(l, column))
            json_object_del(row, column);
    }
}

void listing_add(struct listing *l, json_t *row)
{
    struct bytes key = key_of(l, row);
    char *text;

    drop_unwanted(l, row);
    text = json_dumps(row, JSON_COMPACT);
    json_decref(row);
    if (l->count == l->capacity) {
        l->capacity = l->capacity != 0 ? 2 * l->capacity : 64;
        l->rows = memory_resize(l->rows, l->capacity, sizeof(*l->rows));
    }
    l->rows[l->count++] = (struct listing_row){
        .key = key,
        .text = arena_copy(&l->arena, bytes_from_string(text != NULL ? text : "{}")),
    };
    free(text);
}

void listing_add_all(struct listing *l, json_t *rows)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        listing_add(l, json_incref(json_array_get(rows, i)));
    json_decref(rows);
}

static int compare_keys(const void *a, const void *b)
{
    const struct bytes *x = &((const struct listing_row *)a)->key;
    const struct bytes *y = &((const struct listing_row *)b)->key;
    size_t shorter = x->size < y->size ? x->size : y->size;
    int order = shorter != 0 ? memcmp(x->data, y->data, shorter) : 0;

    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

void listing_write(struct listing *l, struct buffer *out)
{
    if (l->count != 0)
        qsort(l->rows, l->count, sizeof(*l->rows), compare_keys);
    buffer_append(out, bytes_from_string("["));
    for (size_t i = 0; i < l->count; i++) {
        if (i != 0 && bytes_equal(l->rows[i].key, l->rows[i - 1].key))
            continue;
        if (i != 0)
            buffer_append(out, bytes_from_string(",\n"));
        buffer_append(out, l->rows[i].text);
    }
    buffer_append(out, bytes_from_string("]"));
}
