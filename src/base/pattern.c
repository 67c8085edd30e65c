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
    bool needle_first;            /* a name must begin with the needle, not only have it */
    uint16_t needle_size;         /* 0: none */
    pcre2_code *code;             /* NULL when it always matches */
    pcre2_match_context *context; /* the limits; read-only after it is made */
    atomic_flag reported;         /* that a match hit its limits */
    struct bytes text;            /* right behind, and then the needle */
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

static bool is_letter_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_quantifier(uint8_t c)
{
    return c == '*' || c == '?' || c == '+' || c == '{';
}

/* A row of bytes that a pattern stands for as they are. */
struct row {
    uint8_t bytes[PATTERN_SIZE_MAX];
    size_t size;
    bool first; /* begins behind the ^ that the pattern begins with */
};

/* What comes next may be the last one's quantifier, if need be behind a comment or a \E. */
static bool end_row(struct row *row, bool more)
{
    row->size -= row->size != 0;
    return more;
}

/* Reads what may be a row, and what ends it, at `*at`. Returns false where the pattern goes on with
 * what may be anything: what comes then is not looked at. */
static bool read_row(struct bytes text, size_t *at, struct row *row)
{
    row->size = 0;
    row->first = *at == 1 && text.data[0] == '^';
    while (*at < text.size) {
        uint8_t c = text.data[*at];

        if (c == '[' || c == ')')
            return false;
        if (c == '(')
            return end_row(row, false);
        ++*at;
        if (c == '.' || c == '^' || c == '$')
            return true;
        if (is_quantifier(c))
            return end_row(row, c != '{');
        if (c == '\\') {
            if (*at == text.size || is_letter_or_digit(text.data[*at]))
                return end_row(row, false);
            c = text.data[(*at)++];
        }
        row->bytes[row->size++] = c;
    }
    return false;
}

/* What a name must have in it to match, where the pattern says so plainly: what it must begin with,
 * else the longest such row. An alternative takes it all away. */
static void find_needle(struct bytes text, struct row *needle)
{
    struct row row;
    size_t at = text.size != 0 && text.data[0] == '^' ? 1 : 0;
    bool more;

    needle->size = 0;
    needle->first = false;
    if (text.size == 0 || memchr(text.data, '|', text.size) != NULL)
        return;
    do {
        more = read_row(text, &at, &row);
        if (row.size > needle->size)
            *needle = row;
    } while (more && !(needle->first && needle->size != 0));
}

/* Whether the name has what it must have. */
static bool has_needle(const struct pattern *p, struct bytes name)
{
    const uint8_t *needle = p->text.data + p->text.size;

    if (p->needle_size == 0)
        return true;
    if (name.size < p->needle_size)
        return false;
    if (p->needle_first)
        return memcmp(name.data, needle, p->needle_size) == 0;
    return memmem(name.data, name.size, needle, p->needle_size) != NULL;
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
    struct row needle;

    if (text.size >= PATTERN_SIZE_MAX) {
        snprintf(error, PATTERN_ERROR_SIZE, "longer than %d bytes", PATTERN_SIZE_MAX - 1);
        return NULL;
    }
    find_needle(text, &needle);
    p = memory_alloc_zeroed(1, sizeof(*p) + text.size + needle.size);
    if (text.size != 0)
        memcpy(p + 1, text.data, text.size);
    p->text = bytes_of(p + 1, text.size);
    memcpy((uint8_t *)(p + 1) + text.size, needle.bytes, needle.size);
    p->needle_size = (uint16_t)needle.size;
    p->needle_first = needle.first;
    atomic_flag_clear(&p->reported);
    p->always = matches_all(text);
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
    if (!has_needle(p, name))
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
