/* The headers exchange: bindings whose arguments are found among the message's headers match
 * (AMQP 0-9-1 §3.1.3.4; RabbitMQ "Headers Exchange").
 *
 * A binding is filed under what it asks for, so that a message is only held against bindings
 * that share a header with it: one that wants any under each of its terms, one that wants all
 * under the term that the fewest others are filed under. */
#include "broker/binding.h"
#include "broker/exchange_router.h"
#include "broker/route.h"
#include "broker/value_hash.h"
#include "broker/value_text.h"

#include <assert.h>

/* One header that a binding asks for. */
struct headers_term {
    struct key_link link; /* `value` is the matcher */
    struct bytes key;
    const struct value *value; /* NULL: any value will do */
};

/* A binding's arguments, compiled; lives in their arena. */
struct headers_matcher {
    uintptr_t destination;
    struct headers_term *filed; /* of all: the one term it is filed under */
    uint32_t term_count;
    bool all;
    struct headers_term terms[];
};

struct headers {
    struct key_set always; /* bindings that match whatever the headers are */
    struct key_index terms;
    uint32_t presence_count; /* terms filed without a value */
};

struct x_match {
    const char *name;
    bool all;
    bool with_x; /* keys that begin with x- count too */
};

static const struct x_match x_matches[] = {
    {"all", true, false},
    {"any", false, false},
    {"all-with-x", true, true},
    {"any-with-x", false, true},
};

static const struct x_match *find_x_match(struct bytes name)
{
    for (size_t i = 0; i < sizeof(x_matches) / sizeof(x_matches[0]); i++) {
        if (bytes_equal_string(name, x_matches[i].name))
            return &x_matches[i];
    }
    return NULL;
}

static int headers_check(struct bytes key, const struct table *arguments, struct refusal *r)
{
    const struct value *v = arguments != NULL ? table_get(arguments, "x-match") : NULL;
    char text[VALUE_TEXT_SIZE];

    (void)key;
    if (v == NULL || (v->type == VALUE_STRING && find_x_match(v->bytes) != NULL))
        return 0;
    value_text_term(v, text);
    if (v->type == VALUE_STRING)
        return refuse(r, REFUSAL_PRECONDITION_FAILED,
                      "Invalid x-match field value %s; expected all, any, all-with-x, or "
                      "any-with-x",
                      text);
    return refuse(r, REFUSAL_PRECONDITION_FAILED,
                  "Invalid x-match field type %s (value %s); expected longstr",
                  value_type_name(v->type), text);
}

static bool is_term(struct bytes key, bool with_x)
{
    return !bytes_equal_string(key, "x-match") && (with_x || !bytes_starts_with(key, "x-"));
}

/* Terms without a value are filed under their key alone. */
static uint32_t term_hash(struct bytes key, const struct value *value)
{
    return (uint32_t)(value != NULL ? field_hash(key, value) : bytes_hash(key));
}

/* Equal hashes are as good as equal keys: what is found is held against the headers anyway. */
static bool term_same(const struct key_link *link, const void *key)
{
    (void)link;
    (void)key;
    return true;
}

static struct headers_matcher *compile(struct binding_arguments *a, uintptr_t destination)
{
    const struct value *name = table_get(&a->table, "x-match");
    const struct x_match *x = name != NULL ? find_x_match(name->bytes) : &x_matches[0];
    struct headers_matcher *m =
        arena_alloc(&a->arena, sizeof(*m) + a->table.count * sizeof(m->terms[0]));

    m->destination = destination;
    m->all = x->all;
    for (uint32_t i = 0; i < a->table.count; i++) {
        const struct table_field *f = &a->table.fields[i];
        struct headers_term *term = &m->terms[m->term_count];

        if (!is_term(f->key, x->with_x))
            continue;
        term->link.value = (uintptr_t)m;
        term->key = f->key;
        term->value = f->value.type != VALUE_VOID ? &f->value : NULL;
        m->term_count++;
    }
    return m;
}

static void file_term(struct headers *h, struct headers_term *term)
{
    key_index_add(&h->terms, &term->link, term_hash(term->key, term->value), term_same, NULL);
    if (term->value == NULL)
        h->presence_count++;
}

static void unfile_term(struct headers *h, struct headers_term *term)
{
    uint32_t hash = term_hash(term->key, term->value);

    key_index_remove(&h->terms, key_index_find(&h->terms, hash, term_same, NULL), &term->link);
    if (term->value == NULL)
        h->presence_count--;
}

static struct headers_term *least_crowded(const struct headers *h, struct headers_matcher *m)
{
    struct headers_term *best = NULL;
    uint32_t best_count = 0;

    for (uint32_t i = 0; i < m->term_count; i++) {
        struct headers_term *term = &m->terms[i];
        const struct key_set *others =
            key_index_find(&h->terms, term_hash(term->key, term->value), term_same, NULL);
        uint32_t count = others != NULL ? others->count : 0;

        if (best == NULL || count < best_count) {
            best = term;
            best_count = count;
        }
    }
    return best;
}

static struct headers_matcher *matcher_of(const struct binding *b)
{
    return b->arguments != NULL ? b->arguments->compiled : NULL;
}

/* Without terms, all is always met. */
static bool matches_always(const struct headers_matcher *m)
{
    return m == NULL || (m->all && m->term_count == 0);
}

static void headers_add(void *state, struct binding *b)
{
    struct headers *h = state;
    struct headers_matcher *m = NULL;

    if (b->arguments != NULL) {
        m = compile(b->arguments, b->link.value);
        b->arguments->compiled = m;
    }
    if (matches_always(m)) {
        key_set_add(&h->always, &b->link);
        return;
    }
    if (m->all) {
        m->filed = least_crowded(h, m);
        file_term(h, m->filed);
        return;
    }
    for (uint32_t i = 0; i < m->term_count; i++)
        file_term(h, &m->terms[i]);
}

static void headers_remove(void *state, struct binding *b)
{
    struct headers *h = state;
    struct headers_matcher *m = matcher_of(b);

    if (matches_always(m)) {
        key_set_remove(&h->always, &b->link);
        return;
    }
    if (m->all) {
        unfile_term(h, m->filed);
        return;
    }
    for (uint32_t i = 0; i < m->term_count; i++)
        unfile_term(h, &m->terms[i]);
}

/* RabbitMQ holds the values against each other without their types: a timestamp equals the
 * integer of its seconds, and bytes equal the string of them. */
static struct value bare(const struct value *v)
{
    struct value plain = *v;

    if (v->type == VALUE_TIMESTAMP)
        plain.type = VALUE_INT64;
    else if (v->type == VALUE_BYTES)
        plain.type = VALUE_STRING;
    return plain;
}

static bool header_equal(const struct value *a, const struct value *b)
{
    struct value x = bare(a);
    struct value y = bare(b);

    return value_equal(&x, &y);
}

static bool term_met(const struct headers_term *term, struct route_search *s)
{
    const struct value *v = route_search_header(s, term->key);

    return v != NULL && (term->value == NULL || header_equal(term->value, v));
}

static bool all_met(const struct headers_matcher *m, struct route_search *s)
{
    for (uint32_t i = 0; i < m->term_count; i++) {
        if (!term_met(&m->terms[i], s))
            return false;
    }
    return true;
}

static struct headers_term *term_from_link(const struct key_link *link)
{
    return (struct headers_term *)((uintptr_t)link - offsetof(struct headers_term, link));
}

/* Holds the bindings that are filed under a header, or under its key alone, against all. */
static void match_filed(const struct headers *h, uint32_t hash, struct route_search *s)
{
    const struct key_set *filed = key_index_find(&h->terms, hash, term_same, NULL);

    for (uint32_t i = 0; filed != NULL && i < filed->count; i++) {
        const struct headers_matcher *m = (const struct headers_matcher *)key_set_value(filed, i);

        if (m->all ? all_met(m, s) : term_met(term_from_link(key_set_link(filed, i)), s))
            route_search_found(s, m->destination);
    }
}

static void headers_match(const void *state, struct route_search *s)
{
    const struct headers *h = state;
    const struct table *headers;

    route_search_found_set(s, &h->always);
    if (h->terms.used == 0)
        return;
    headers = route_search_headers(s);
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct table_field *f = &headers->fields[i];

        if (route_search_header(s, f->key) != &f->value)
            continue; /* a repeated key: the first counts */
        match_filed(h, term_hash(f->key, &f->value), s);
        if (h->presence_count != 0)
            match_filed(h, term_hash(f->key, NULL), s);
    }
}

const struct exchange_router exchange_headers = {
    .type = "headers",
    .state_size = sizeof(struct headers),
    .reads_headers = true,
    .check = headers_check,
    .add = headers_add,
    .remove = headers_remove,
    .match = headers_match,
};
