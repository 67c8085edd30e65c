/* What a user may do in a vhost: a pattern each for configure, write and read, held against the
 * names of exchanges and queues (RabbitMQ, "Access Control").
 *
 * Patterns are PCRE2, matched anywhere in the name unless anchored; the empty pattern fits the
 * empty name alone, which no queue or exchange is checked by, so it allows nothing. A match that
 * exceeds its limits counts as none. Immutable once compiled: any thread. */
#ifndef LEVERET_AUTH_PERMISSIONS_H
#define LEVERET_AUTH_PERMISSIONS_H

#include "base/bytes.h"
#include "base/pattern.h"

#include <stdbool.h>
#include <stddef.h>

enum permission_kind {
    PERMISSION_CONFIGURE,
    PERMISSION_WRITE,
    PERMISSION_READ,
    PERMISSION_KIND_COUNT,
};

enum {
    /* Longer patterns are refused. */
    PERMISSION_PATTERN_SIZE_MAX = PATTERN_SIZE_MAX,
    /* Room for any text of permission_pattern_compile's errors. */
    PERMISSION_ERROR_SIZE = PATTERN_ERROR_SIZE,
};

struct permission_pattern;
struct permission_set;

/* Compiles a pattern. Returns it (freed with permission_pattern_free) or NULL with the reason in
 * `error` (PERMISSION_ERROR_SIZE bytes). */
struct permission_pattern *permission_pattern_compile(const char *text, char *error);

void permission_pattern_free(struct permission_pattern *p);

/* Whether the pattern is found in `name`. */
bool permission_pattern_matches(const struct permission_pattern *p, struct bytes name);

/* A set that owns its three patterns, and one reference to it. */
struct permission_set *
permission_set_new(struct permission_pattern *patterns[PERMISSION_KIND_COUNT]);

/* The same from texts, by kind. NULL with the reason, which names the pattern, in `error`
 * (PERMISSION_ERROR_SIZE bytes), when one cannot be compiled. */
struct permission_set *permission_set_compile(const char *const texts[PERMISSION_KIND_COUNT],
                                              char *error);

/* Takes another reference, and drops one; NULL is fine. The last one frees the set. */
struct permission_set *permission_set_ref(struct permission_set *set);
void permission_set_unref(struct permission_set *set);

/* A pattern as it was written. Lives as long as the set. */
const char *permission_set_text(const struct permission_set *set, enum permission_kind kind);

/* Whether `kind` of access to the exchange or queue of this name is allowed. The empty name is
 * the default exchange and is checked as "amq.default". A set of NULL allows nothing. */
bool permission_check(const struct permission_set *set, enum permission_kind kind,
                      struct bytes name);

#endif
