#include "broker/dead_letter.h"

#define X_DEATH "x-death"

static struct bytes string_under(const struct table *t, const char *key)
{
    const struct value *v = table_get(t, key);

    return v != NULL && v->type == VALUE_STRING ? v->bytes : bytes_of(NULL, 0);
}

static bool has_string(const struct table *t, const char *key, struct bytes expected)
{
    const struct value *v = table_get(t, key);

    return v != NULL && v->type == VALUE_STRING && bytes_equal(v->bytes, expected);
}

static const struct value_array *array_under(const struct table *t, const char *key)
{
    const struct value *v = t != NULL ? table_get(t, key) : NULL;

    return v != NULL && v->type == VALUE_ARRAY ? &v->array : NULL;
}

static uint32_t append_strings(struct bytes *keys, uint32_t count, const struct value_array *array)
{
    for (uint32_t i = 0; array != NULL && i < array->count; i++) {
        if (array->items[i].type == VALUE_STRING)
            keys[count++] = array->items[i].bytes;
    }
    return count;
}

struct routing_keys routing_keys_collect(struct arena *a, struct bytes routing_key,
                                         const struct table *headers, enum routing_keys_scope scope)
{
    const struct value_array *cc = array_under(headers, "CC");
    const struct value_array *bcc = scope == ROUTING_KEYS_ALL ? array_under(headers, "BCC") : NULL;
    size_t most = 1 + (cc != NULL ? cc->count : 0u) + (bcc != NULL ? bcc->count : 0u);
    struct routing_keys keys = {.items = arena_alloc(a, most * sizeof(*keys.items)), .count = 1};

    keys.items[0] = routing_key;
    keys.count = append_strings(keys.items, keys.count, cc);
    keys.count = append_strings(keys.items, keys.count, bcc);
    return keys;
}

struct bytes dead_letter_reason_name(enum dead_letter_reason reason)
{
    switch (reason) {
    case DEAD_LETTER_REJECTED:
        return bytes_from_string("rejected");
    case DEAD_LETTER_EXPIRED:
        return bytes_from_string("expired");
    case DEAD_LETTER_MAXLEN:
        return bytes_from_string("maxlen");
    case DEAD_LETTER_DELIVERY_LIMIT:
        return bytes_from_string("delivery_limit");
    }
    return bytes_of(NULL, 0);
}

static struct table death_create(struct arena *a, const struct dead_letter_event *event)
{
    struct table death = table_empty();
    struct value_array keys = {.items = NULL, .count = 0, .capacity = 0};

    for (uint32_t i = 0; i < event->routing_key_count; i++)
        value_array_append(a, &keys, value_string(event->routing_keys[i]));

    table_set(a, &death, "count", value_int64(1));
    table_set(a, &death, "reason", value_string(dead_letter_reason_name(event->reason)));
    table_set(a, &death, "queue", value_string(event->queue));
    table_set(a, &death, "time", value_timestamp(event->time_s));
    table_set(a, &death, "exchange", value_string(event->exchange));
    table_set(a, &death, "routing-keys", value_array(keys));
    if (event->expiration.size != 0)
        table_set(a, &death, "original-expiration", value_string(event->expiration));
    return death;
}

static bool is_same_death(const struct value *v, const struct dead_letter_event *event)
{
    return v->type == VALUE_TABLE && has_string(&v->table, "queue", event->queue) &&
           has_string(&v->table, "reason", dead_letter_reason_name(event->reason));
}

/* A death as it was recorded last time, once more. `copies` is how many tables of the kind there
 * were, which is its count where a client took the count out. */
static struct table death_again(struct arena *a, const struct table *recorded, uint32_t copies)
{
    struct table death = table_copy(a, recorded);
    const struct value *count = table_get(&death, "count");
    int64_t before = count != NULL && value_is_integer(count) ? count->integer : copies;

    table_set(a, &death, "count", value_int64(before < INT64_MAX ? before + 1 : before));
    return death;
}

static struct value_array deaths_with(struct arena *a, const struct value_array *recorded,
                                      const struct dead_letter_event *event)
{
    struct value_array deaths = {.items = NULL, .count = 0, .capacity = 0};
    const struct table *same = NULL;
    uint32_t copies = 0;

    value_array_append(a, &deaths, value_void());
    for (uint32_t i = 0; i < recorded->count; i++) {
        const struct value *v = &recorded->items[i];

        if (!is_same_death(v, event)) {
            value_array_append(a, &deaths, *v);
            continue;
        }
        if (same == NULL)
            same = &v->table;
        copies++;
    }
    deaths.items[0] =
        value_table(same != NULL ? death_again(a, same, copies) : death_create(a, event));
    return deaths;
}

void dead_letter_headers(struct arena *a, struct table *headers,
                         const struct dead_letter_event *event)
{
    const struct value_array none = {.items = NULL, .count = 0, .capacity = 0};
    const struct value_array *recorded = array_under(headers, X_DEATH);

    if (table_get(headers, X_DEATH) == NULL) {
        table_set(a, headers, "x-first-death-reason",
                  value_string(dead_letter_reason_name(event->reason)));
        table_set(a, headers, "x-first-death-queue", value_string(event->queue));
        table_set(a, headers, "x-first-death-exchange", value_string(event->exchange));
    }
    table_set(a, headers, X_DEATH,
              value_array(deaths_with(a, recorded != NULL ? recorded : &none, event)));
}

struct routing_keys dead_letter_keys(struct arena *a, struct table *headers,
                                     const struct queue_options *options,
                                     struct routing_keys previous)
{
    if (!options->has_dead_letter_routing_key)
        return previous;
    table_remove(headers, "CC");
    return routing_keys_collect(a, options->dead_letters->routing_key, NULL, ROUTING_KEYS_VISIBLE);
}

bool dead_letter_is_cycle(const struct table *headers, struct bytes destination,
                          enum dead_letter_reason reason)
{
    const struct value_array *deaths = array_under(headers, X_DEATH);

    if (reason == DEAD_LETTER_REJECTED || deaths == NULL)
        return false;

    /* From the latest death back to the one in `destination`: what is no table was put there by a
     * client, so somebody had it in hand as with a rejection. */
    for (uint32_t i = 0; i < deaths->count; i++) {
        const struct value *v = &deaths->items[i];

        if (v->type != VALUE_TABLE ||
            bytes_equal_string(string_under(&v->table, "reason"), "rejected"))
            return false;
        if (has_string(&v->table, "queue", destination))
            return true;
    }
    return false;
}
