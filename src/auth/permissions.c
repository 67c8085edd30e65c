#include "auth/permissions.h"

#include "base/log.h"
#include "base/memory.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    /* Names have 255 bytes at most: what needs more steps than this backtracks without end. */
    MATCH_LIMIT = 50000,
    DEPTH_LIMIT = 5000,
    HEAP_LIMIT_KIB = 1024,
};

/* Most patterns are one of two that need no matching. */
enum pattern_kind {
    PATTERN_EMPTY, /* fits the empty name alone */
    PATTERN_ALWAYS,
    PATTERN_REGEX,
};

struct permission_pattern {
    enum pattern_kind kind;
    pcre2_code *code;             /* of PATTERN_REGEX */
    pcre2_match_context *context; /* the limits; read-only after it is made */
    atomic_flag reported;         /* that a match hit its limits */
    char text[];
};

struct permission_set {
    atomic_uint references;
    struct permission_pattern *patterns[PERMISSION_KIND_COUNT];
};

/* The empty pattern is "^$", as with RabbitMQ. */
static enum pattern_kind kind_of(const char *text)
{
    static const char *const EMPTY[] = {"", "^$"};
    static const char *const ALWAYS[] = {".*", "^.*"};

    for (size_t i = 0; i < sizeof(EMPTY) / sizeof(*EMPTY); i++) {
        if (strcmp(text, EMPTY[i]) == 0)
            return PATTERN_EMPTY;
    }
    for (size_t i = 0; i < sizeof(ALWAYS) / sizeof(*ALWAYS); i++) {
        if (strcmp(text, ALWAYS[i]) == 0)
            return PATTERN_ALWAYS;
    }
    return PATTERN_REGEX;
}

static bool compile_regex(struct permission_pattern *p, char *error)
{
    int code;
    PCRE2_SIZE offset;
    PCRE2_UCHAR message[160];

    p->code = pcre2_compile((PCRE2_SPTR)p->text, strlen(p->text), PCRE2_NEVER_BACKSLASH_C, &code,
                            &offset, NULL);
    if (p->code == NULL) {
        pcre2_get_error_message(code, message, sizeof(message));
        snprintf(error, PERMISSION_ERROR_SIZE, "%s (at offset %zu)", (const char *)message,
                 (size_t)offset);
        return false;
    }
    p->context = pcre2_match_context_create(NULL);
    if (p->context == NULL) {
        snprintf(error, PERMISSION_ERROR_SIZE, "out of memory");
        return false;
    }
    pcre2_set_match_limit(p->context, MATCH_LIMIT);
    pcre2_set_depth_limit(p->context, DEPTH_LIMIT);
    pcre2_set_heap_limit(p->context, HEAP_LIMIT_KIB);
    /* Where machine code may not be made, the interpreter matches the same. */
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    return true;
}

struct permission_pattern *permission_pattern_compile(const char *text, char *error)
{
    size_t size = strlen(text) + 1;
    struct permission_pattern *p;

    if (size > PERMISSION_PATTERN_SIZE_MAX) {
        snprintf(error, PERMISSION_ERROR_SIZE, "longer than %d bytes",
                 PERMISSION_PATTERN_SIZE_MAX - 1);
        return NULL;
    }
    p = memory_alloc_zeroed(1, sizeof(*p) + size);
    memcpy(p->text, text, size);
    atomic_flag_clear(&p->reported);
    p->kind = kind_of(text);
    if (p->kind == PATTERN_REGEX && !compile_regex(p, error)) {
        permission_pattern_free(p);
        return NULL;
    }
    return p;
}

void permission_pattern_free(struct permission_pattern *p)
{
    if (p == NULL)
        return;
    pcre2_match_context_free(p->context);
    pcre2_code_free(p->code);
    free(p);
}

static bool regex_matches(const struct permission_pattern *p, struct bytes name)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int rc;

    if (data == NULL) {
        log_error("auth", "a permission pattern cannot be matched: out of memory");
        return false;
    }
    rc = pcre2_match(p->code, (PCRE2_SPTR)(name.size != 0 ? (const char *)name.data : ""),
                     name.size, 0, 0, data, p->context);
    pcre2_match_data_free(data);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH &&
        !atomic_flag_test_and_set(&((struct permission_pattern *)(uintptr_t)p)->reported))
        log_warning("auth",
                    "permission pattern '%s' exceeds its limits (PCRE2 error %d); such matches "
                    "count as none",
                    p->text, rc);
    return rc >= 0;
}

bool permission_pattern_matches(const struct permission_pattern *p, struct bytes name)
{
    switch (p->kind) {
    case PATTERN_EMPTY:
        return name.size == 0;
    case PATTERN_ALWAYS:
        return true;
    case PATTERN_REGEX:
        return regex_matches(p, name);
    }
    return false;
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
