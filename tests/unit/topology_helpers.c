#include "tests/unit/topology_helpers.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

static struct bytes text(const char *s)
{
    return bytes_from_string(s);
}

void world_begin(struct world *w)
{
    *w = (struct world){.topology = topology_create(text(VHOST), w)};
    route_init(&w->route);
    arena_init(&w->arena);
}

void world_end(struct world *w)
{
    route_free(&w->route);
    topology_destroy(w->topology);
    arena_free(&w->arena);
}

/* Tables */

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static struct value integer_of(enum value_type type, const char *digits)
{
    return (struct value){.type = type, .integer = strtoll(digits, NULL, 10)};
}

static bool is_number(const char *s)
{
    return s[0] != '\0' && s[strspn(s, "-0123456789.")] == '\0';
}

static struct value value_of(const char *s)
{
    if (strcmp(s, "void") == 0)
        return value_void();
    if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0)
        return value_boolean(s[0] == 't');
    if (s[0] == 'l' && is_number(s + 1))
        return integer_of(VALUE_INT64, s + 1);
    if (s[0] == 'T' && is_number(s + 1))
        return integer_of(VALUE_TIMESTAMP, s + 1);
    if (starts_with(s, "s8:"))
        return integer_of(VALUE_INT8, s + 3);
    if (starts_with(s, "x:"))
        return (struct value){.type = VALUE_BYTES, .bytes = text(s + 2)};
    if (is_number(s) && strchr(s, '.') != NULL)
        return (struct value){.type = VALUE_DOUBLE, .real = strtod(s, NULL)};
    if (is_number(s))
        return integer_of(VALUE_INT32, s);
    return value_string(text(s));
}

const struct table *table_of(struct world *w, const char *notation)
{
    struct table *t;
    char *copy;
    char *rest;

    if (notation == NULL)
        return NULL;
    t = arena_alloc(&w->arena, sizeof(*t));
    copy = arena_alloc(&w->arena, strlen(notation) + 1);
    strcpy(copy, notation);
    *t = table_empty();
    for (char *field = strtok_r(copy, " ", &rest); field != NULL;
         field = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(field, '=');

        ck_assert_ptr_nonnull(equals);
        *equals = '\0';
        table_append(&w->arena, t, text(field), value_of(equals + 1));
    }
    return t;
}

/* Queues and exchanges */

struct queue_handle *add_exclusive_queue(struct world *w, const char *name, uint64_t owner)
{
    struct queue_options options = {.exclusive = owner != 0};
    struct queue_handle *h = queue_handle_create(text(name), &options, 0, owner);

    topology_add_queue(w->topology, h);
    queue_handle_unref(h);
    return h;
}

struct queue_handle *add_queue(struct world *w, const char *name)
{
    return add_exclusive_queue(w, name, 0);
}

void remove_queue(struct world *w, const char *name)
{
    struct queue_handle *h = topology_find_queue(w->topology, text(name));

    ck_assert_ptr_nonnull(h);
    topology_remove_queue(w->topology, h);
}

struct exchange_declaration declaration(struct world *w, const char *name, const char *type,
                                        const char *options)
{
    const char *bar = options != NULL ? strchr(options, '|') : NULL;
    const char *flags = options != NULL ? options : "";

    return (struct exchange_declaration){
        .name = text(name),
        .type = text(type),
        .passive = strstr(flags, "passive") != NULL,
        .durable = strstr(flags, "durable") != NULL,
        .auto_delete = strstr(flags, "auto_delete") != NULL,
        .internal = strstr(flags, "internal") != NULL,
        .arguments = bar != NULL ? table_of(w, bar + 1) : NULL,
    };
}

void declare(struct world *w, const char *name, const char *type, const char *options)
{
    struct exchange_declaration d = declaration(w, name, type, options);
    int rc = topology_declare_exchange(w->topology, &d, &w->refusal);

    ck_assert_msg(rc == 0, "declare %s: %s", name, w->refusal.text);
}

void delete_exchange(struct world *w, const char *name)
{
    int rc = topology_delete_exchange(w->topology, text(name), false, &w->refusal);

    ck_assert_msg(rc == 0, "delete %s: %s", name, w->refusal.text);
}

bool exchange_exists(const struct world *w, const char *name)
{
    return topology_find_exchange(w->topology, text(name)) != NULL;
}

/* Bindings */

struct binding_declaration binding_of(struct world *w, const char *source, const char *destination,
                                      const char *key, const char *arguments)
{
    bool to_exchange = starts_with(destination, "x:");

    return (struct binding_declaration){
        .source = text(source),
        .destination = text(to_exchange ? destination + 2 : destination),
        .to_exchange = to_exchange,
        .routing_key = text(key),
        .arguments = table_of(w, arguments),
    };
}

void bind(struct world *w, const char *source, const char *destination, const char *key,
          const char *arguments)
{
    struct binding_declaration b = binding_of(w, source, destination, key, arguments);
    int rc = topology_bind(w->topology, &b, &w->refusal);

    ck_assert_msg(rc == 0, "bind %s to %s: %s", source, destination, w->refusal.text);
}

void unbind(struct world *w, const char *source, const char *destination, const char *key,
            const char *arguments)
{
    struct binding_declaration b = binding_of(w, source, destination, key, arguments);
    int rc = topology_unbind(w->topology, &b, &w->refusal);

    ck_assert_msg(rc == 0, "unbind %s from %s: %s", source, destination, w->refusal.text);
}

/* Routes */

static const struct table *given_headers(void *context)
{
    return context;
}

static int compare_names(const void *a, const void *b)
{
    const struct queue_handle *const *x = a;
    const struct queue_handle *const *y = b;
    char *first = bytes_to_string((*x)->name);
    char *second = bytes_to_string((*y)->name);
    int order = strcmp(first, second);

    free(first);
    free(second);
    return order;
}

const char *route_names(struct world *w, const char *exchange, const char *key, const char *headers)
{
    static char names[4096];
    struct exchange *e = topology_find_exchange(w->topology, text(exchange));
    const struct table *table = table_of(w, headers);
    struct bytes keys[] = {text(key)};
    struct route_request request = {
        .routing_keys = keys,
        .routing_key_count = 1,
        .headers = table != NULL ? given_headers : NULL,
        .context = (void *)(uintptr_t)table,
    };
    size_t size = 0;

    ck_assert_ptr_nonnull(e);
    topology_route(w->topology, e, &request, &w->route);
    if (w->route.count != 0)
        qsort(w->route.queues, w->route.count, sizeof(struct queue_handle *), compare_names);
    names[0] = '\0';
    for (uint32_t i = 0; i < w->route.count && size < sizeof(names); i++)
        size += (size_t)snprintf(names + size, sizeof(names) - size, "%s%.*s", i != 0 ? " " : "",
                                 BYTES_ARGS(w->route.queues[i]->name));
    return names;
}

void expect_route(struct world *w, const char *exchange, const char *key, const char *headers,
                  const char *queues)
{
    const char *got = route_names(w, exchange, key, headers);

    ck_assert_msg(strcmp(got, queues) == 0, "'%s' through '%s' goes to '%s', not to '%s'", key,
                  exchange, got, queues);
}

void expect_refusal(const struct world *w, int rc, enum refusal_code code, const char *expected)
{
    ck_assert_msg(rc == -EPROTO, "not refused: %s", expected);
    ck_assert_str_eq(w->refusal.text, expected);
    ck_assert_int_eq((int)w->refusal.code, (int)code);
}

/* The naive router */

/* The rest behind the first word, or NULL when it is the last. */
static const char *next_word(const char *s)
{
    const char *dot = strchr(s, '.');

    return dot != NULL ? dot + 1 : NULL;
}

static size_t word_size(const char *s)
{
    return strcspn(s, ".");
}

/* NULL is no word at all. */
static bool words_match(const char *pattern, const char *key)
{
    if (pattern == NULL)
        return key == NULL;
    if (word_size(pattern) == 1 && pattern[0] == '#')
        return words_match(next_word(pattern), key) ||
               (key != NULL && words_match(pattern, next_word(key)));
    if (key == NULL)
        return false;
    if (!(word_size(pattern) == 1 && pattern[0] == '*') &&
        (word_size(pattern) != word_size(key) || strncmp(pattern, key, word_size(key)) != 0))
        return false;
    return words_match(next_word(pattern), next_word(key));
}

bool naive_topic_match(const char *pattern, const char *key)
{
    return words_match(pattern[0] != '\0' ? pattern : NULL, key[0] != '\0' ? key : NULL);
}

bool naive_headers_match(const struct table *arguments, const struct table *headers)
{
    const struct table none = table_empty();
    const struct table *asked = arguments != NULL ? arguments : &none;
    const struct value *x_match = table_get(asked, "x-match");
    const char *mode = "all";
    bool all = true;
    bool any = false;

    if (x_match != NULL && bytes_starts_with(x_match->bytes, "any"))
        mode = "any";
    for (uint32_t i = 0; i < asked->count; i++) {
        const struct table_field *f = &asked->fields[i];
        bool with_x = x_match != NULL && x_match->bytes.size > strlen("any");
        const struct value *v = headers != NULL ? table_get_bytes(headers, f->key) : NULL;
        bool met = v != NULL && (f->value.type == VALUE_VOID || value_equal(&f->value, v));

        if (bytes_equal_string(f->key, "x-match") || (bytes_starts_with(f->key, "x-") && !with_x))
            continue;
        all = all && met;
        any = any || met;
    }
    return strcmp(mode, "all") == 0 ? all : any;
}

/* Randomness */

uint64_t first_seed(void)
{
    const char *given = getenv("TOPOLOGY_TEST_SEED");
    uint64_t seed;

    if (given != NULL)
        return strtoull(given, NULL, 10);
    random_bytes(&seed, sizeof(seed));
    return seed;
}

const char *random_key(struct random_sequence *r, unsigned words, bool pattern)
{
    static const char *const plain[] = {"a", "b", "c", "", "aa"};
    static const char *const wild[] = {"*", "#"};
    static char keys[3][256];
    static unsigned turn;
    char *key = keys[turn++ % 3];
    unsigned count = (unsigned)random_sequence_below(r, words + 1);

    key[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        if (i != 0)
            strcat(key, ".");
        if (pattern && random_sequence_below(r, 5) < 2)
            strcat(key, wild[random_sequence_below(r, 2)]);
        else
            strcat(key, plain[random_sequence_below(r, 5)]);
    }
    return key;
}

size_t heap_in_use(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0;
#else
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
#endif
}
