/* The consistent hash exchange: each binding has as many buckets as its routing key says, a message
 * goes to the bucket that the hash of its routing key, or of a header or property, jumps to
 * (RabbitMQ's rabbitmq_consistent_hash_exchange).
 *
 * Buckets are in the order in which the bindings came. A binding that comes takes keys from all
 * others and moves no other key; when one goes, those that came later move up by its buckets, as
 * with RabbitMQ, so that only the last goes without moving other keys. */
#include "broker/binding.h"
#include "broker/erlang_hash.h"
#include "broker/exchange_router.h"
#include "broker/route.h"
#include "broker/value_text.h"

#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define MIN_CAPACITY 4u
#define MAX_WEIGHT INT32_MAX

struct bucket_range {
    uint64_t end; /* the first bucket that is not this binding's any more */
    const struct binding *binding;
};

struct consistent_hash {
    struct bytes header;                  /* in the exchange's arguments, or no data */
    const struct hash_property *property; /* or NULL */
    struct bucket_range *ranges;
    uint32_t count;
    uint32_t capacity;
};

static const struct hash_property {
    const char *name;
    enum route_property property;
} properties[] = {
    {"correlation_id", ROUTE_CORRELATION_ID},
    {"message_id", ROUTE_MESSAGE_ID},
    {"timestamp", ROUTE_TIMESTAMP},
};

static const struct hash_property *find_property(struct bytes name)
{
    for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
        if (bytes_equal_string(name, properties[i].name))
            return &properties[i];
    }
    return NULL;
}

/* Declaring */

static int check_string(const struct value *v, const char *name, struct refusal *r)
{
    if (v == NULL || v->type == VALUE_STRING)
        return 0;
    return refuse(r, REFUSAL_PRECONDITION_FAILED,
                  "invalid type '%s' for arg '%s'; expected longstr", value_type_name(v->type),
                  name);
}

static int consistent_hash_check_declaration(const struct table *arguments, struct refusal *r)
{
    const struct value *header = table_get(arguments, "hash-header");
    const struct value *property = table_get(arguments, "hash-property");

    if (check_string(header, "hash-header", r) < 0 ||
        check_string(property, "hash-property", r) < 0)
        return -EPROTO;
    if (header != NULL && property != NULL)
        return refuse(r, REFUSAL_PRECONDITION_FAILED,
                      "hash-header and hash-property are mutually exclusive");
    if (property != NULL && find_property(property->bytes) == NULL)
        return refuse(r, REFUSAL_PRECONDITION_FAILED, "Unsupported property: %.*s",
                      BYTES_ARGS(property->bytes));
    return 0;
}

static void consistent_hash_init(void *state, const struct table *arguments)
{
    struct consistent_hash *c = state;
    const struct value *header = table_get(arguments, "hash-header");
    const struct value *property = table_get(arguments, "hash-property");

    if (header != NULL)
        c->header = bytes_of(header->bytes.size != 0 ? header->bytes.data : (const uint8_t *)"",
                             header->bytes.size);
    if (property != NULL)
        c->property = find_property(property->bytes);
}

static void consistent_hash_clear(void *state)
{
    free(((struct consistent_hash *)state)->ranges);
}

/* Binding */

/* The number that a key is, signs and leading zeros allowed, cut at MAX_WEIGHT + 1. False when it
 * is none. */
static bool parse_weight(struct bytes key, int64_t *weight)
{
    bool negative = key.size != 0 && key.data[0] == '-';
    size_t at = negative || (key.size != 0 && key.data[0] == '+') ? 1 : 0;
    int64_t n = 0;

    if (at == key.size)
        return false;
    for (; at < key.size; at++) {
        if (key.data[at] < '0' || key.data[at] > '9')
            return false;
        if (n <= MAX_WEIGHT)
            n = 10 * n + (key.data[at] - '0');
    }
    if (n > MAX_WEIGHT)
        n = (int64_t)MAX_WEIGHT + 1;
    *weight = negative ? -n : n;
    return true;
}

static int consistent_hash_check(struct bytes key, const struct table *arguments, struct refusal *r)
{
    struct value as_value = value_string(key);
    char text[VALUE_TEXT_SIZE];
    int64_t weight;

    (void)arguments;
    if (!parse_weight(key, &weight)) {
        value_text_term(&as_value, text);
        return refuse(r, REFUSAL_PRECONDITION_FAILED, "The binding key must be an integer: %s",
                      text);
    }
    if (weight < 1)
        return refuse(r, REFUSAL_PRECONDITION_FAILED, "The binding key must be greater than 0");
    if (weight > MAX_WEIGHT)
        return refuse(r, REFUSAL_PRECONDITION_FAILED, "The binding key must be at most %" PRId32,
                      MAX_WEIGHT);
    return 0;
}

static uint64_t bucket_count(const struct consistent_hash *c)
{
    return c->count != 0 ? c->ranges[c->count - 1].end : 0;
}

static void consistent_hash_add(void *state, struct binding *b)
{
    struct consistent_hash *c = state;
    int64_t weight = 0;
    bool is_weight = parse_weight(binding_key(b), &weight);

    assert(is_weight && weight > 0);
    (void)is_weight;
    if (c->count == c->capacity) {
        c->capacity = c->capacity != 0 ? 2 * c->capacity : MIN_CAPACITY;
        c->ranges = memory_resize(c->ranges, c->capacity, sizeof(c->ranges[0]));
    }
    c->ranges[c->count] =
        (struct bucket_range){.end = bucket_count(c) + (uint64_t)weight, .binding = b};
    c->count++;
}

static void consistent_hash_remove(void *state, struct binding *b)
{
    struct consistent_hash *c = state;
    uint32_t place = 0;
    uint64_t weight;

    while (c->ranges[place].binding != b)
        place++;
    weight = c->ranges[place].end - (place != 0 ? c->ranges[place - 1].end : 0);
    c->count--;
    for (; place < c->count; place++) {
        c->ranges[place] = c->ranges[place + 1];
        c->ranges[place].end -= weight;
    }
}

/* Routing */

static uint32_t hash_of_header(struct bytes name, struct route_search *s)
{
    const struct value *v = route_search_header(s, name);

    return v != NULL ? erlang_hash_value(v) : erlang_hash_undefined();
}

static uint32_t hash_of_property(enum route_property which, const struct route_request *request)
{
    struct bytes value;

    if (request->property == NULL || !request->property(request->context, which, &value))
        return erlang_hash_undefined();
    return erlang_hash_binary(value);
}

static uint32_t hash_of_message(const struct consistent_hash *c, struct route_search *s)
{
    if (c->header.data == NULL && c->property == NULL)
        return erlang_hash_binary(s->request->routing_keys[0]);
    s->out->beyond_key = true;
    if (c->property != NULL)
        return hash_of_property(c->property->property, s->request);
    return hash_of_header(c->header, s);
}

static const struct bucket_range *find_range(const struct consistent_hash *c, uint64_t bucket)
{
    uint32_t low = 0;
    uint32_t high = c->count - 1;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (c->ranges[middle].end <= bucket)
            low = middle + 1;
        else
            high = middle;
    }
    return &c->ranges[low];
}

static void consistent_hash_match(const void *state, struct route_search *s)
{
    const struct consistent_hash *c = state;
    uint64_t bucket;

    if (c->count == 0)
        return;
    bucket = erlang_hash_jump(hash_of_message(c, s), bucket_count(c));
    route_search_found(s, find_range(c, bucket)->binding->link.value);
}

const struct exchange_router exchange_consistent_hash = {
    .type = "x-consistent-hash",
    .state_size = sizeof(struct consistent_hash),
    .check_declaration = consistent_hash_check_declaration,
    .init = consistent_hash_init,
    .clear = consistent_hash_clear,
    .check = consistent_hash_check,
    .add = consistent_hash_add,
    .remove = consistent_hash_remove,
    .match = consistent_hash_match,
};
