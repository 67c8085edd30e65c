#include "broker/policy.h"

#include "base/memory.h"
#include "broker/queue_options.h"
#include "broker/value_text.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

enum {
    NAME_SIZE_MAX = 255,
};

struct policy {
    atomic_uint references;
    unsigned objects; /* of enum policy_object: what its keys and apply-to leave */
    struct pattern *pattern;
    struct policy_declaration declaration;
    struct table definition;
    struct arena arena;
};

static const struct {
    const char *name;
    unsigned objects;
} applications[] = {
    {"all", POLICY_EXCHANGE | POLICY_CLASSIC_QUEUE | POLICY_QUORUM_QUEUE},
    {"queues", POLICY_CLASSIC_QUEUE | POLICY_QUORUM_QUEUE},
    {"classic_queues", POLICY_CLASSIC_QUEUE},
    {"quorum_queues", POLICY_QUORUM_QUEUE},
    {"exchanges", POLICY_EXCHANGE},
};

/* 0 when there is no such thing. */
static unsigned objects_of(struct bytes apply_to)
{
    for (size_t i = 0; i < sizeof(applications) / sizeof(applications[0]); i++) {
        if (bytes_equal_string(apply_to, applications[i].name))
            return applications[i].objects;
    }
    return 0;
}

/* ---- Checking ---- */

/* What is declared, and where, for the texts. */
struct check {
    const struct policy_declaration *declaration;
    struct bytes vhost;
    struct refusal *refusal;
};

#define REFUSE(c, format, ...) \
    refuse((c)->refusal, REFUSAL_PRECONDITION_FAILED, "%spolicy '%.*s' in vhost '%.*s': " format, \
           (c)->declaration->operator_policy ? "operator " : "", \
           BYTES_ARGS((c)->declaration->name), BYTES_ARGS((c)->vhost), __VA_ARGS__)

static int check_field(const struct check *c, const struct table_field *field)
{
    const struct policy_key *key = policy_key_find(field->key);
    char text[VALUE_TEXT_SIZE];

    if (key == NULL || (c->declaration->operator_policy && !key->operator_too))
        return REFUSE(c, "'%.*s' is not a recognised setting", BYTES_ARGS(field->key));
    if (key->argument != NULL ? queue_argument_is_valid(key->argument, &field->value)
                              : key->is_valid(&field->value))
        return 0;
    value_text_term(&field->value, text);
    return REFUSE(c, "%s is not a valid %s", text, key->name);
}

static int check_definition(const struct check *c)
{
    const struct table *definition = c->declaration->definition;

    if (definition == NULL || definition->count == 0)
        return REFUSE(c, "%s", "its definition is empty");
    for (uint32_t i = 0; i < definition->count; i++) {
        int rc = check_field(c, &definition->fields[i]);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check(const struct check *c)
{
    const struct policy_declaration *d = c->declaration;

    if (d->name.size > NAME_SIZE_MAX)
        return REFUSE(c, "its name is longer than %d bytes", NAME_SIZE_MAX);
    if (d->apply_to.size != 0 && objects_of(d->apply_to) == 0)
        return REFUSE(c,
                      "apply-to '%.*s' unrecognised; should be 'queues', 'classic_queues', "
                      "'quorum_queues', 'exchanges' or 'all'",
                      BYTES_ARGS(d->apply_to));
    return check_definition(c);
}

/* ---- Making ---- */

static void copy(struct policy *p, const struct policy_declaration *d)
{
    static const char everything[] = "all";
    bool anything = d->apply_to.size == 0;

    arena_init(&p->arena);
    p->declaration = *d;
    p->declaration.name = arena_copy(&p->arena, d->name);
    p->declaration.pattern = pattern_text(p->pattern);
    p->declaration.apply_to =
        arena_copy(&p->arena, anything ? bytes_from_string(everything) : d->apply_to);
    p->definition = table_copy(&p->arena, d->definition);
    p->declaration.definition = &p->definition;
    p->objects = objects_of(p->declaration.apply_to);
    for (uint32_t i = 0; i < p->definition.count; i++)
        p->objects &= policy_key_find(p->definition.fields[i].key)->objects;
}

struct policy *policy_create(const struct policy_declaration *d, struct bytes vhost,
                             struct refusal *r)
{
    const struct check c = {.declaration = d, .vhost = vhost, .refusal = r};
    char error[PATTERN_ERROR_SIZE];
    struct pattern *pattern;
    struct policy *p;

    if (check(&c) < 0)
        return NULL;
    pattern = pattern_compile(d->pattern, error);
    if (pattern == NULL) {
        REFUSE(&c, "its pattern is no regular expression: %s", error);
        return NULL;
    }
    p = memory_alloc_zeroed(1, sizeof(*p));
    atomic_init(&p->references, 1);
    p->pattern = pattern;
    copy(p, d);
    return p;
}

struct policy *policy_ref(const struct policy *p)
{
    struct policy *shared = (struct policy *)(uintptr_t)p;

    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared;
}

void policy_unref(const struct policy *p)
{
    struct policy *shared = (struct policy *)(uintptr_t)p;

    if (p == NULL || atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) != 1)
        return;
    pattern_free(shared->pattern);
    arena_free(&shared->arena);
    free(shared);
}

const struct policy_declaration *policy_declaration(const struct policy *p)
{
    return &p->declaration;
}

bool policy_applies(const struct policy *p, enum policy_object object, struct bytes name,
                    struct pattern_scratch *scratch)
{
    return policy_concerns(p, object) && pattern_matches(p->pattern, name, scratch);
}

bool policy_concerns(const struct policy *p, unsigned objects)
{
    return (p->objects & objects) != 0;
}

bool policy_equal(const struct policy *a, const struct policy *b)
{
    const struct policy_declaration *x = &a->declaration;
    const struct policy_declaration *y = &b->declaration;

    return x->priority == y->priority && x->operator_policy == y->operator_policy &&
           x->from_configuration == y->from_configuration && bytes_equal(x->pattern, y->pattern) &&
           bytes_equal(x->apply_to, y->apply_to) && table_equal(&a->definition, &b->definition);
}

const struct value *policy_value(const struct policy *p, const char *key)
{
    return p != NULL ? table_get(&p->definition, key) : NULL;
}
