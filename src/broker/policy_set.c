#include "broker/policy_set.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

void policy_set_init(struct policy_set *s)
{
    *s = (struct policy_set){.policies = {.items = NULL}};
}

static void clear_row(struct policy_row *row)
{
    for (size_t i = 0; i < row->count; i++)
        policy_unref(row->items[i]);
    free(row->items);
    *row = (struct policy_row){.items = NULL};
}

void policy_set_clear(struct policy_set *s)
{
    clear_row(&s->policies);
    clear_row(&s->operator_policies);
}

/* ---- The rows ---- */

static const struct policy_row *row_of(const struct policy_set *s, bool operator_policy)
{
    return operator_policy ? &s->operator_policies : &s->policies;
}

static struct policy_row *changing_row(struct policy_set *s, bool operator_policy)
{
    return operator_policy ? &s->operator_policies : &s->policies;
}

/* Where the policy of that name is, or `count`. */
static size_t find(const struct policy_row *row, struct bytes name)
{
    size_t i = 0;

    while (i < row->count && !bytes_equal(policy_declaration(row->items[i])->name, name))
        i++;
    return i;
}

struct policy *policy_set_find(const struct policy_set *s, struct bytes name, bool operator_policy)
{
    const struct policy_row *row = row_of(s, operator_policy);
    size_t i = find(row, name);

    return i < row->count ? row->items[i] : NULL;
}

static bool name_before(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common != 0 ? memcmp(a.data, b.data, common) : 0;

    return order != 0 ? order < 0 : a.size < b.size;
}

static bool goes_before(const struct policy_declaration *a, const struct policy_declaration *b)
{
    return a->priority != b->priority ? a->priority > b->priority : name_before(a->name, b->name);
}

static void remove_at(struct policy_row *row, size_t at)
{
    policy_unref(row->items[at]);
    row->count--;
    memmove(row->items + at, row->items + at + 1, (row->count - at) * sizeof(struct policy *));
}

/* The place of a policy that is not there: behind all that go before it. O(log n). */
static size_t place_of(const struct policy_row *row, const struct policy_declaration *d)
{
    size_t low = 0;
    size_t high = row->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (goes_before(policy_declaration(row->items[middle]), d))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct policy_row *row, const struct policy *p)
{
    size_t at = place_of(row, policy_declaration(p));

    if (row->count == row->capacity) {
        row->capacity = row->capacity != 0 ? 2 * row->capacity : 4;
        row->items = memory_resize(row->items, row->capacity, sizeof(struct policy *));
    }
    memmove(row->items + at + 1, row->items + at, (row->count - at) * sizeof(struct policy *));
    row->items[at] = policy_ref(p);
    row->count++;
}

bool policy_set_put(struct policy_set *s, const struct policy *p)
{
    const struct policy_declaration *d = policy_declaration(p);
    struct policy_row *row = changing_row(s, d->operator_policy);
    size_t at = find(row, d->name);

    if (at < row->count) {
        if (policy_equal(row->items[at], p))
            return false;
        remove_at(row, at);
    }
    insert(row, p);
    return true;
}

bool policy_set_remove(struct policy_set *s, struct bytes name, bool operator_policy)
{
    struct policy_row *row = changing_row(s, operator_policy);
    size_t at = find(row, name);

    if (at == row->count)
        return false;
    remove_at(row, at);
    return true;
}

/* ---- Matching ---- */

static const struct policy *first_match(const struct policy_row *row, enum policy_object object,
                                        struct bytes name, struct pattern_scratch *scratch)
{
    for (size_t i = 0; i < row->count; i++) {
        if (policy_applies(row->items[i], object, name, scratch))
            return row->items[i];
    }
    return NULL;
}

struct policy_match policy_set_match(const struct policy_set *s, enum policy_object object,
                                     struct bytes name)
{
    struct pattern_scratch scratch = pattern_scratch_empty();
    struct policy_match match = {
        .policy = first_match(&s->policies, object, name, &scratch),
        .operator_policy = first_match(&s->operator_policies, object, name, &scratch),
    };

    pattern_scratch_free(&scratch);
    return match;
}

/* ---- Merging ---- */

/* A number below 0 is no limit. */
static const struct value *lower_of(const struct value *a, const struct value *b)
{
    if (a->integer < 0 || b->integer < 0)
        return a->integer < 0 ? b : a;
    return a->integer <= b->integer ? a : b;
}

/* What the two policies say under a key, or NULL. Only numbers are in both. */
static const struct value *policies_say(const struct policy_match *match, const char *key)
{
    const struct value *value = policy_value(match->policy, key);
    const struct value *operator_value = policy_value(match->operator_policy, key);

    if (value == NULL || operator_value == NULL)
        return value != NULL ? value : operator_value;
    return lower_of(value, operator_value);
}

static const struct value *resolve(const struct policy_key *key, bool quorum,
                                   const struct value *argument, const struct value *policy)
{
    if (argument == NULL || policy == NULL)
        return argument != NULL ? argument : policy;
    switch (key->merge) {
    case POLICY_MERGE_MINIMUM:
        return lower_of(argument, policy);
    case POLICY_MERGE_OVERFLOW:
        return quorum ? policy : argument;
    case POLICY_MERGE_NONE:
    case POLICY_MERGE_ARGUMENT:
        break;
    }
    return argument;
}

void policy_merge_options(struct queue_options *o, const struct queue_options *declared,
                          const struct policy_match *match)
{
    bool quorum = queue_options_is_quorum(declared);

    *o = (struct queue_options){
        .durable = declared->durable,
        .exclusive = declared->exclusive,
        .auto_delete = declared->auto_delete,
    };
    arena_init(&o->arena);
    o->arguments = table_copy(&o->arena, &declared->arguments);
    for (const struct policy_key *key = POLICY_KEYS; key->name != NULL; key++) {
        const struct value *policy = policies_say(match, key->name);

        if (policy == NULL || key->merge == POLICY_MERGE_NONE)
            continue;
        table_set(
            &o->arena, &o->arguments, key->argument,
            value_copy(&o->arena, resolve(key, quorum,
                                          table_get(&declared->arguments, key->argument), policy)));
    }
    queue_options_read(o);
}

struct table policy_merge_definitions(struct arena *a, const struct policy_match *match)
{
    struct table merged = table_empty();

    for (const struct policy_key *key = POLICY_KEYS; key->name != NULL; key++) {
        const struct value *policy = policies_say(match, key->name);

        if (policy != NULL)
            table_set(a, &merged, key->name, *policy);
    }
    return merged;
}
