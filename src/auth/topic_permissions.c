#include "auth/topic_permissions.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct topic_permission {
    atomic_uint references;
    struct bytes exchange; /* owned */
    char *write_text;
    char *read_text;
    struct permission_pattern *write;
    struct permission_pattern *read;
    bool from_file;
};

struct topic_permissions {
    size_t count;
    struct topic_permission *items[];
};

/* ---- Variables ---- */

struct variable {
    const char *name; /* with its braces */
    struct bytes value;
};

static void append_quoted(struct buffer *out, struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        /* A backslash before a letter, digit or octet above 127 would mean something else. */
        if (value.data[i] < 128 && !isalnum(value.data[i]))
            buffer_append(out, bytes_from_string("\\"));
        buffer_append(out, bytes_of(value.data + i, 1));
    }
}

static const struct variable *variable_at(const struct variable *variables, size_t count,
                                          const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strncmp(text, variables[i].name, strlen(variables[i].name)) == 0)
            return &variables[i];
    }
    return NULL;
}

/* The pattern with its variables replaced, on the heap. */
static char *expand(const char *text, struct bytes user, struct bytes vhost)
{
    const struct variable variables[] = {{"{username}", user}, {"{vhost}", vhost}};
    struct buffer out;
    char *expanded;

    buffer_init(&out);
    while (*text != '\0') {
        const struct variable *v = variable_at(variables, 2, text);

        if (v != NULL)
            append_quoted(&out, v->value);
        else
            buffer_append(&out, bytes_of(text, 1));
        text += v != NULL ? strlen(v->name) : 1;
    }
    expanded = bytes_to_string(buffer_bytes(&out));
    buffer_free(&out);
    return expanded;
}

static struct permission_pattern *compile(const char *name, const char *text, struct bytes user,
                                          struct bytes vhost, char *error)
{
    char reason[PERMISSION_ERROR_SIZE];
    char *expanded = expand(text, user, vhost);
    struct permission_pattern *p = permission_pattern_compile(expanded, reason);

    if (p == NULL)
        snprintf(error, PERMISSION_ERROR_SIZE, "'%s' is not a valid pattern: %.200s", name, reason);
    free(expanded);
    return p;
}

/* ---- One ---- */

struct topic_permission *topic_permission_new(struct bytes user, struct bytes vhost,
                                              struct bytes exchange, const char *write,
                                              const char *read, bool from_file, char *error)
{
    struct topic_permission *t = memory_alloc_zeroed(1, sizeof(*t));

    atomic_init(&t->references, 1);
    t->exchange = bytes_of(bytes_to_string(exchange), exchange.size);
    t->write_text = bytes_to_string(bytes_from_string(write));
    t->read_text = bytes_to_string(bytes_from_string(read));
    t->from_file = from_file;
    t->write = compile("write", write, user, vhost, error);
    if (t->write != NULL)
        t->read = compile("read", read, user, vhost, error);
    if (t->read != NULL)
        return t;
    topic_permission_unref(t);
    return NULL;
}

void topic_permission_unref(struct topic_permission *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    permission_pattern_free(t->write);
    permission_pattern_free(t->read);
    free((void *)(uintptr_t)t->exchange.data);
    free(t->write_text);
    free(t->read_text);
    free(t);
}

struct topic_permission *topic_permission_ref(struct topic_permission *t)
{
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    return t;
}

struct bytes topic_permission_exchange(const struct topic_permission *t)
{
    return t->exchange;
}

const char *topic_permission_write(const struct topic_permission *t)
{
    return t->write_text;
}

const char *topic_permission_read(const struct topic_permission *t)
{
    return t->read_text;
}

bool topic_permission_from_file(const struct topic_permission *t)
{
    return t->from_file;
}

bool topic_permission_check(const struct topic_permission *t, enum permission_kind kind,
                            struct bytes routing_key)
{
    if (t == NULL)
        return true;
    return permission_pattern_matches(kind == PERMISSION_WRITE ? t->write : t->read, routing_key);
}

/* ---- Lists ---- */

static struct topic_permissions *list_of(size_t count)
{
    struct topic_permissions *list =
        memory_alloc(sizeof(*list) + count * sizeof(struct topic_permission *));

    list->count = 0;
    return list;
}

static struct topic_permissions *without(const struct topic_permissions *list,
                                         struct bytes exchange)
{
    struct topic_permissions *out = list_of(topic_permissions_count(list) + 1);

    for (size_t i = 0; i < topic_permissions_count(list); i++) {
        if (!bytes_equal(list->items[i]->exchange, exchange))
            out->items[out->count++] = topic_permission_ref(list->items[i]);
    }
    return out;
}

struct topic_permissions *topic_permissions_put(struct topic_permissions *list,
                                                struct topic_permission *t)
{
    struct topic_permissions *out = without(list, t->exchange);

    out->items[out->count++] = t;
    topic_permissions_free(list);
    return out;
}

struct topic_permissions *topic_permissions_drop(struct topic_permissions *list,
                                                 struct bytes exchange)
{
    struct topic_permissions *out = without(list, exchange);

    topic_permissions_free(list);
    if (out->count != 0)
        return out;
    topic_permissions_free(out);
    return NULL;
}

struct topic_permissions *topic_permissions_copy(const struct topic_permissions *list)
{
    struct topic_permissions *out;

    if (list == NULL)
        return NULL;
    out = list_of(list->count);
    for (size_t i = 0; i < list->count; i++)
        out->items[out->count++] = topic_permission_ref(list->items[i]);
    return out;
}

void topic_permissions_free(struct topic_permissions *list)
{
    for (size_t i = 0; i < topic_permissions_count(list); i++)
        topic_permission_unref(list->items[i]);
    free(list);
}

size_t topic_permissions_count(const struct topic_permissions *list)
{
    return list != NULL ? list->count : 0;
}

struct topic_permission *topic_permissions_at(const struct topic_permissions *list, size_t i)
{
    return list->items[i];
}

const struct topic_permission *topic_permissions_find(const struct topic_permissions *list,
                                                      struct bytes exchange)
{
    if (exchange.size == 0)
        exchange = bytes_from_string("amq.default");
    for (size_t i = 0; i < topic_permissions_count(list); i++) {
        if (bytes_equal(list->items[i]->exchange, exchange))
            return list->items[i];
    }
    return NULL;
}
