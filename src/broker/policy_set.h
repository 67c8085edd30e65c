/* The policies of one virtual host: which one applies to a queue or an exchange, and what a queue's
 * arguments and policies come to together.
 *
 * Not synchronised: read under the lock of the virtual host, changed under it for writing. */
#ifndef LEVERET_BROKER_POLICY_SET_H
#define LEVERET_BROKER_POLICY_SET_H

#include "broker/policy.h"
#include "broker/queue_options.h"

#include <stdbool.h>
#include <stddef.h>

/* Policies by priority, the highest first; of equals the name that comes first by its bytes. */
struct policy_row {
    struct policy **items; /* a reference each */
    size_t count;
    size_t capacity;
};

struct policy_set {
    struct policy_row policies;
    struct policy_row operator_policies;
};

/* Empty; allocates nothing. */
void policy_set_init(struct policy_set *s);
void policy_set_clear(struct policy_set *s);

/* The policy of that name, or NULL. Borrowed. O(n). */
struct policy *policy_set_find(const struct policy_set *s, struct bytes name, bool operator_policy);

/* Adds the policy (a reference is taken) in place of one of the same name. Returns whether that
 * changed anything: one that says the same stays. O(n). */
bool policy_set_put(struct policy_set *s, const struct policy *p);

/* Returns whether there was one of that name. O(n). */
bool policy_set_remove(struct policy_set *s, struct bytes name, bool operator_policy);

/* What applies to one object: of those that match the one with the highest priority, NULL where
 * none does. RabbitMQ leaves open which one of equal priority it is; here the first by name. */
struct policy_match {
    const struct policy *policy;
    const struct policy *operator_policy; /* of a queue */
};

/* Borrowed from the set. Looks at the policies in their order, up to the first that applies. */
struct policy_match policy_set_match(const struct policy_set *s, enum policy_object object,
                                     struct bytes name);

/* What rules a queue whose options as declared are `declared`: fills `o` with copies, as
 * queue_options_parse() would for the arguments that say it all. A number counts if it is the
 * lowest of argument, policy and operator policy; of anything else the argument counts before the
 * policy (RabbitMQ, "Combining Policy Definitions"). To be freed with queue_options_free(). */
void policy_merge_options(struct queue_options *o, const struct queue_options *declared,
                          const struct policy_match *match);

/* What both policies say together, operator policy included: RabbitMQ's effective policy
 * definition. Keys and values are borrowed from the policies, the table lives in `a`. */
struct table policy_merge_definitions(struct arena *a, const struct policy_match *match);

#endif
