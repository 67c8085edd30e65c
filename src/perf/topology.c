#include "perf/topology.h"

#include "base/arena.h"
#include "base/clock.h"
#include "perf/slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS_AT_A_TIME = 256 };

static struct value argument_value(const char *text)
{
    char *end;
    long long number;

    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return value_boolean(text[0] == 't');
    errno = 0;
    number = strtoll(text, &end, 10);
    if (end != text && *end == '\0' && errno == 0)
        return value_int64(number);
    return value_string(bytes_from_string(text));
}

struct amqp_table topology_arguments(const struct option_fields *fields, struct buffer *out)
{
    struct arena arena;
    struct table table = table_empty();

    arena_init(&arena);
    for (uint32_t i = 0; i < fields->count; i++)
        table_append(&arena, &table, bytes_of(fields->items[i].key, fields->items[i].key_size),
                     argument_value(fields->items[i].value));
    buffer_clear(out);
    amqp_table_encode_fields(&table, out);
    arena_free(&arena);
    return (struct amqp_table){.encoded = buffer_bytes(out)};
}

void topology_queue_name(char out[TOPOLOGY_NAME_MAX], const struct perf_options *o, uint64_t queue)
{
    pattern_expand(out, TOPOLOGY_NAME_MAX, o->queue_name, queue);
}

void topology_routing_key(char out[TOPOLOGY_NAME_MAX], const struct perf_options *o, uint64_t queue)
{
    pattern_expand(out, TOPOLOGY_NAME_MAX, o->routing_key != NULL ? o->routing_key : o->queue_name,
                   queue);
}

void topology_binding_key(char out[TOPOLOGY_NAME_MAX], const struct perf_options *o, uint64_t queue)
{
    if (o->binding_key != NULL)
        pattern_expand(out, TOPOLOGY_NAME_MAX, o->binding_key, queue);
    else
        topology_routing_key(out, o, queue);
}

bool topology_has_exchange(const struct perf_options *o)
{
    return strcmp(o->type, "default") != 0 && !o->predeclared;
}

unsigned topology_send_declare(struct client *c, const struct perf_options *o, uint64_t queue)
{
    char name[TOPOLOGY_NAME_MAX];
    struct buffer arguments;
    struct amqp_method m = {.id = AMQP_QUEUE_DECLARE};

    buffer_init(&arguments);
    topology_queue_name(name, o, queue);
    m.queue_declare.queue = bytes_from_string(name);
    m.queue_declare.durable = o->durable;
    m.queue_declare.arguments = topology_arguments(&o->queue_args, &arguments);
    client_send(c, &m);
    buffer_free(&arguments);
    return 1;
}

unsigned topology_send_bind(struct client *c, const struct perf_options *o, uint64_t queue)
{
    char name[TOPOLOGY_NAME_MAX];
    char key[TOPOLOGY_NAME_MAX];
    struct buffer arguments;
    struct amqp_method m = {.id = AMQP_QUEUE_BIND};

    buffer_init(&arguments);
    topology_queue_name(name, o, queue);
    topology_binding_key(key, o, queue);
    m.queue_bind.queue = bytes_from_string(name);
    m.queue_bind.exchange = bytes_from_string(o->exchange);
    m.queue_bind.routing_key = bytes_from_string(key);
    m.queue_bind.arguments = topology_arguments(&o->binding_args, &arguments);
    client_send(c, &m);
    buffer_free(&arguments);
    return 1;
}

unsigned topology_send_delete(struct client *c, const struct perf_options *o, uint64_t queue)
{
    char name[TOPOLOGY_NAME_MAX];
    struct amqp_method m = {.id = AMQP_QUEUE_DELETE};

    topology_queue_name(name, o, queue);
    m.queue_delete.queue = bytes_from_string(name);
    client_send(c, &m);
    return 1;
}

int topology_for_each(struct client *c, const struct perf_options *o, uint64_t count,
                      unsigned (*send)(struct client *c, const struct perf_options *o,
                                       uint64_t queue))
{
    uint64_t sent = c->replies;

    for (uint64_t i = 0; i < count; i++) {
        sent += send(c, o, i);
        if (i % (REQUESTS_AT_A_TIME / 2) != 0)
            continue;
        client_flush(c, clock_monotonic_ns());
        if (sent > REQUESTS_AT_A_TIME && client_wait_replies(c, sent - REQUESTS_AT_A_TIME) != 0)
            return -1;
    }
    return client_wait_replies(c, sent);
}

static int delete_exchange(struct client *c, const struct perf_options *o)
{
    struct amqp_method m = {
        .id = AMQP_EXCHANGE_DELETE,
        .exchange_delete = {.exchange = bytes_from_string(o->exchange)},
    };

    return client_call(c, &m);
}

static int declare_exchange(struct client *c, const struct perf_options *o)
{
    struct amqp_method m = {
        .id = AMQP_EXCHANGE_DECLARE,
        .exchange_declare = {.exchange = bytes_from_string(o->exchange),
                             .type = bytes_from_string(o->type),
                             .durable = o->durable},
    };

    return client_call(c, &m);
}

/* amq.topic and its like are there already. */
static bool exchange_is_predeclared(const struct perf_options *o)
{
    return strncmp(o->exchange, "amq.", 4) == 0;
}

int topology_declare(struct client *c, const struct perf_options *o)
{
    if (o->predeclared)
        return 0;
    if (topology_for_each(c, o, o->queues, topology_send_delete) != 0)
        return -1;
    if (topology_has_exchange(o) && !exchange_is_predeclared(o) &&
        (delete_exchange(c, o) != 0 || declare_exchange(c, o) != 0))
        return -1;
    if (topology_for_each(c, o, o->queues, topology_send_declare) != 0)
        return -1;
    if (topology_has_exchange(o) && o->mode != PERF_MODE_BINDINGS)
        return topology_for_each(c, o, o->queues, topology_send_bind);
    return 0;
}

static unsigned send_pattern_bind(struct client *c, const struct perf_options *o, uint64_t number)
{
    static const struct {
        const char *before;
        const char *after;
    } forms[] = {{"b.", ".x"}, {"b.", ".*"}, {"b.", ".#"}, {"*.", ".x"}};
    char name[TOPOLOGY_NAME_MAX];
    char pattern[32];
    struct amqp_method m = {.id = AMQP_QUEUE_BIND};

    topology_queue_name(name, o, number % o->queues);
    snprintf(pattern, sizeof(pattern), "%s%0*u%s", forms[number % 4].before, SLAB_KEY_DIGITS,
             (unsigned)(number % 100000000), forms[number % 4].after);
    m.queue_bind.queue = bytes_from_string(name);
    m.queue_bind.exchange = bytes_from_string(o->exchange);
    m.queue_bind.routing_key = bytes_from_string(pattern);
    client_send(c, &m);
    return 1;
}

int topology_bind_patterns(struct client *c, const struct perf_options *o)
{
    return topology_for_each(c, o, o->count, send_pattern_bind);
}

int topology_delete(struct client *c, const struct perf_options *o)
{
    if (o->predeclared || o->keep)
        return 0;
    if (topology_for_each(c, o, o->queues, topology_send_delete) != 0)
        return -1;
    if (topology_has_exchange(o) && !exchange_is_predeclared(o))
        return delete_exchange(c, o);
    return 0;
}
