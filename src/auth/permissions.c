#include "auth/permissions.h"

#include "base/memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct permission_pattern {
    struct pattern *regex; /* NULL: fits the empty name alone */
    char text[];
};

struct permission_set {
    atomic_uint references;
    struct permission_pattern *patterns[PERMISSION_KIND_COUNT];
};

/* The empty pattern is "^$", as with RabbitMQ. */
static bool is_empty(const char *text)
{
    return *text == '\0' || strcmp(text, "^$") == 0;
}

struct permission_pattern *permission_pattern_compile(const char *text, char *error)
{
    size_t size = strlen(text) + 1;
    struct permission_pattern *p = memory_alloc_zeroed(1, sizeof(*p) + size);

    memcpy(p->text, text, size);
    if (is_empty(text))
        return p;
    p->regex = pattern_compile(bytes_from_string(text), error);
    if (p->regex == NULL) {
        permission_pattern_free(p);
        return NULL;
    }
    return p;
}

void permission_pattern_free(struct permission_pattern *p)
{
    if (p == NULL)
        return;
    pattern_free(p->regex);
    free(p);
}

bool permission_pattern_matches(const struct permission_pattern *p, struct bytes name)
{
    struct pattern_scratch scratch = pattern_scratch_empty();
    bool matches;

    if (p->regex == NULL)
        return name.size == 0;
    matches = pattern_matches(p->regex, name, &scratch);
    pattern_scratch_free(&scratch);
    return matches;
}

struct permission_set *
permission_set_new(struct permission_pattern *patterns[PERMISSION_KIND_COUNT])
{
    struct permission_set *set = memory_alloc(sizeof(*set));

    atomic_init(&set->references, 1);
    for (int kind = 0; kind < PERMISSION_KIND_COUNT; kind++)
        set->patterns[kind] = patterns[kind];
    return set;
}

struct permission_set *permission_set_compile(const char *const texts[PERMISSION_KIND_COUNT],
                                              char *error)
{
    static const char *const NAMES[] = {"configure", "write", "read"};
    struct permission_pattern *patterns[PERMISSION_KIND_COUNT] = {NULL};
    char reason[PERMISSION_ERROR_SIZE];

    for (int kind = 0; kind < PERMISSION_KIND_COUNT; kind++) {
        patterns[kind] = permission_pattern_compile(texts[kind], reason);
        if (patterns[kind] != NULL)
            continue;
        snprintf(error, PERMISSION_ERROR_SIZE, "'%s' is not a valid pattern: %.200s", NAMES[kind],
                 reason);
        while (kind-- > 0)
            permission_pattern_free(patterns[kind]);
        return NULL;
    }
    return permission_set_new(patterns);
}

struct permission_set *permission_set_ref(struct permission_set *set)
{
    if (set != NULL)
        atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

const char *permission_set_text(const struct permission_set *set, enum permission_kind kind)
{
    return set->patterns[kind]->text;
}

void permission_set_unref(struct permission_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    for (int kind = 0; kind < PERMISSION_KIND_COUNT; kind++)
        permission_pattern_free(set->patterns[kind]);
    free(set);
}

bool permission_check(const struct permission_set *set, enum permission_kind kind,
                      struct bytes name)
{
    if (set == NULL)
        return false;
    return permission_pattern_matches(set->patterns[kind],
                                      name.size != 0 ? name : bytes_from_string("amq.default"));
}
