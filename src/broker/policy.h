/* A policy: what an administrator says of queues and exchanges whose names match a pattern, in
 * place of arguments that clients would have to give (RabbitMQ "Parameters and Policies"). An
 * operator policy says less, of queues alone, and neither arguments nor policies go beyond it.
 *
 * Immutable once made and reference-counted: any thread. */
#ifndef LEVERET_BROKER_POLICY_H
#define LEVERET_BROKER_POLICY_H

#include "base/bytes.h"
#include "base/pattern.h"
#include "base/table.h"
#include "broker/refusal.h"

#include <stdbool.h>
#include <stdint.h>

struct policy;

/* What a policy may apply to; a set of them is their sum. */
enum policy_object {
    POLICY_EXCHANGE = 1 << 0,
    POLICY_CLASSIC_QUEUE = 1 << 1,
    POLICY_QUORUM_QUEUE = 1 << 2,
};

/* A policy as it is written. Borrowed. */
struct policy_declaration {
    struct bytes name;
    struct bytes pattern;  /* base/pattern.h; the empty one matches every name */
    struct bytes apply_to; /* "queues", "classic_queues", "quorum_queues", "exchanges", "all";
                            * empty: "all" */
    int64_t priority;      /* of those that match the highest one applies */
    bool operator_policy;
    bool from_configuration; /* it belongs to the configuration file */
    const struct table *definition;
};

/* Makes a policy, copying the declaration; freed when the last reference goes. Returns it with one
 * reference, or NULL with `r` filled: 406 and a text that names the policy, `vhost` and the key
 * that is unknown or whose value is not one it can have. */
struct policy *policy_create(const struct policy_declaration *d, struct bytes vhost,
                             struct refusal *r);

struct policy *policy_ref(const struct policy *p);

/* NULL is fine. */
void policy_unref(const struct policy *p);

/* What it was made of; lives as long as the policy. `apply_to` is never empty here. */
const struct policy_declaration *policy_declaration(const struct policy *p);

/* Whether it applies to the object of this name. A policy with a key that one type of queue does
 * not know applies to no queue of that type (RabbitMQ). */
bool policy_applies(const struct policy *p, enum policy_object object, struct bytes name,
                    struct pattern_scratch *scratch);

/* Whether it applies to anything of these kinds, if its name matches. */
bool policy_concerns(const struct policy *p, unsigned objects);

/* Whether both say the same, whatever their names. */
bool policy_equal(const struct policy *a, const struct policy *b);

/* The value under a key of the definition, or NULL; of NULL too. */
const struct value *policy_value(const struct policy *p, const char *key);

/* ---- Keys ---- */

/* How an argument and a policy's value for the same thing become one. */
enum policy_merge {
    POLICY_MERGE_NONE,     /* the key has no argument, or no effect */
    POLICY_MERGE_MINIMUM,  /* the lower number; of one below 0, which is no limit, the other */
    POLICY_MERGE_ARGUMENT, /* the argument */
    POLICY_MERGE_OVERFLOW, /* the argument; of a quorum queue the policy */
};

/* The table of keys: what each is called, and what it does. */
struct policy_key {
    const char *name;
    const char *argument; /* the queue's argument of the same meaning; NULL: none */
    enum policy_merge merge;
    unsigned objects;                        /* of enum policy_object: what it can apply to */
    bool operator_too;                       /* operator policies may have it */
    bool has_no_effect;                      /* taken for what it means elsewhere */
    bool (*is_valid)(const struct value *v); /* when there is no argument to ask */
};

extern const struct policy_key POLICY_KEYS[]; /* ends with a NULL name */

/* The key of that name, or NULL. */
const struct policy_key *policy_key_find(struct bytes name);

#endif
