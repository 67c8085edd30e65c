#include "base/pattern.h"

#include "base/log.h"
#include "base/memory.h"

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

struct pattern {
    bool always;                  /* matches everything: no need to ask */
    uint16_t prefix_size;         /* of the text behind its ^, what a name must begin with */
    pcre2_code *code;             /* NULL when it always matches */
    pcre2_match_context *context; /* the limits; read-only after it is made */
    atomic_flag reported;         /* that a match hit its limits */
    struct bytes text;            /* right behind */
};

void pattern_scratch_free(struct pattern_scratch *s)
{
    pcre2_match_data_free(s->data);
    s->data = NULL;
}

static bool matches_all(struct bytes text)
{
    static const char *const ALL[] = {"", "^", ".*", "^.*", ".*$"};

    for (size_t i = 0; i < sizeof(ALL) / sizeof(ALL[0]); i++) {
        if (bytes_equal_string(text, ALL[i]))
            return true;
    }
    return false;
}

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '/' || c == ':' || c == '%' || c == '@';
}

static bool is_quantifier(uint8_t c)
{
    return c == '*' || c == '?' || c == '+' || c == '{';
}

/* How many plain letters follow the ^ that the pattern begins with. A quantifier takes the letter
 * before it away, and an alternative the whole. */
static uint16_t measure_prefix(struct bytes text)
{
    size_t i = 1;

    if (text.size == 0 || text.data[0] != '^' || memchr(text.data, '|', text.size) != NULL)
        return 0;
    while (i < text.size && is_plain(text.data[i]))
        i++;
    if (i > 1 && i < text.size && is_quantifier(text.data[i]))
        i--;
    return (uint16_t)(i - 1);
}

static bool compile(struct pattern *p, char *error)
{
    PCRE2_UCHAR message[160];
    PCRE2_SIZE offset;
    int code;

    p->code =
        pcre2_compile(p->text.data, p->text.size, PCRE2_NEVER_BACKSLASH_C, &code, &offset, NULL);
    if (p->code == NULL) {
        pcre2_get_error_message(code, message, sizeof(message));
        snprintf(error, PATTERN_ERROR_SIZE, "%s (at offset %zu)", (const char *)message,
                 (size_t)offset);
        return false;
    }
    p->context = pcre2_match_context_create(NULL);
    if (p->context == NULL) {
        snprintf(error, PATTERN_ERROR_SIZE, "out of memory");
        return false;
    }
    pcre2_set_match_limit(p->context, MATCH_LIMIT);
    pcre2_set_depth_limit(p->context, DEPTH_LIMIT);
    pcre2_set_heap_limit(p->context, HEAP_LIMIT_KIB);
    /* Where machine code may not be made, the interpreter matches the same. */
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    return true;
}

struct pattern *pattern_compile(struct bytes text, char *error)
{
    struct pattern *p;

    if (text.size >= PATTERN_SIZE_MAX) {
        snprintf(error, PATTERN_ERROR_SIZE, "longer than %d bytes", PATTERN_SIZE_MAX - 1);
        return NULL;
    }
    p = memory_alloc_zeroed(1, sizeof(*p) + text.size);
    if (text.size != 0)
        memcpy(p + 1, text.data, text.size);
    p->text = bytes_of(p + 1, text.size);
    atomic_flag_clear(&p->reported);
    p->always = matches_all(text);
    p->prefix_size = measure_prefix(text);
    if (!p->always && !compile(p, error)) {
        pattern_free(p);
        return NULL;
    }
    return p;
}

void pattern_free(struct pattern *p)
{
    if (p == NULL)
        return;
    pcre2_match_context_free(p->context);
    pcre2_code_free(p->code);
    free(p);
}

struct bytes pattern_text(const struct pattern *p)
{
    return p->text;
}

static void report(const struct pattern *p, int rc)
{
    if (!atomic_flag_test_and_set(&((struct pattern *)(uintptr_t)p)->reported))
        log_warning("pattern",
                    "'%.*s' exceeds its limits (PCRE2 error %d); such matches count as none",
                    BYTES_ARGS(p->text), rc);
}

bool pattern_extract(const struct pattern *p, struct bytes name, struct bytes *part)
{
    pcre2_match_data *data;
    const PCRE2_SIZE *ends;
    int rc;

    *part = name;
    if (p->always)
        return true;
    data = pcre2_match_data_create_from_pattern(p->code, NULL);
    if (data == NULL) {
        log_error("pattern", "'%.*s' cannot be matched: out of memory", BYTES_ARGS(p->text));
        return false;
    }
    rc = pcre2_match(p->code, (PCRE2_SPTR)(name.size != 0 ? (const char *)name.data : ""),
                     name.size, 0, 0, data, p->context);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        report(p, rc);
    if (rc > 0) {
        /* A group that took no part, or an end before its start (\K), is nothing. */
        ends = pcre2_get_ovector_pointer(data) + (rc > 1 ? 2 : 0);
        *part = bytes_of(NULL, 0);
        if (ends[0] != PCRE2_UNSET && ends[0] < ends[1])
            *part = bytes_of(name.data + ends[0], ends[1] - ends[0]);
    }
    pcre2_match_data_free(data);
    return rc > 0;
}

bool pattern_matches(const struct pattern *p, struct bytes name, struct pattern_scratch *s)
{
    int rc;

    if (p->always)
        return true;
    if (p->prefix_size != 0 &&
        (name.size < p->prefix_size || memcmp(p->text.data + 1, name.data, p->prefix_size) != 0))
        return false;
    if (s->data == NULL)
        s->data = pcre2_match_data_create(1, NULL);
    if (s->data == NULL) {
        log_error("pattern", "'%.*s' cannot be matched: out of memory", BYTES_ARGS(p->text));
        return false;
    }
    rc = pcre2_match(p->code, (PCRE2_SPTR)(name.size != 0 ? (const char *)name.data : ""),
                     name.size, 0, 0, s->data, p->context);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        report(p, rc);
    return rc >= 0;
}
