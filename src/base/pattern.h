/* Patterns that names are held against: PCRE2, found anywhere in the name unless anchored.
 *
 * A pattern comes from an administrator and a name from a client, so a match has limits: one that
 * exceeds them counts as none, and is logged once. Immutable once compiled: any thread. */
#ifndef LEVERET_BASE_PATTERN_H
#define LEVERET_BASE_PATTERN_H

#include "base/bytes.h"

#include <stdbool.h>

enum {
    /* Longer patterns are refused. */
    PATTERN_SIZE_MAX = 4096,
    /* Room for any text of pattern_compile()'s errors. */
    PATTERN_ERROR_SIZE = 256,
};

struct pattern;

/* What matching needs beside the pattern: made at the first match that needs it, and used again by
 * the ones after. One thread at a time. */
struct pattern_scratch {
    void *data; /* NULL: not made yet */
};

static inline struct pattern_scratch pattern_scratch_empty(void)
{
    return (struct pattern_scratch){.data = NULL};
}

void pattern_scratch_free(struct pattern_scratch *s);

/* Compiles a pattern, which is copied. Returns it (freed with pattern_free) or NULL with the reason
 * in `error` (PATTERN_ERROR_SIZE bytes). */
struct pattern *pattern_compile(struct bytes text, char *error);

/* NULL is fine. */
void pattern_free(struct pattern *p);

/* The pattern as it was given. Lives as long as it does. */
struct bytes pattern_text(const struct pattern *p);

/* Whether the pattern is found in `name`. Where the pattern says plainly what a name must have in
 * it or begin with, a name that does not costs a search or a comparison. */
bool pattern_matches(const struct pattern *p, struct bytes name, struct pattern_scratch *s);

/* As pattern_matches(), and says in `part` what of the name the pattern's first group stood for, or
 * the whole pattern when it has none. For what is rare: it allocates. */
bool pattern_extract(const struct pattern *p, struct bytes name, struct bytes *part);

#endif
