/* Setting, clearing and listing policies (broker/policy.h) while the broker runs or before it does.
 * Those of the configuration file are the file's: they come and go with it, and a name that it has
 * cannot be set or cleared here. The others are in the definitions.
 *
 * A change counts for exchanges, and for queues that are declared, at once. Queues that are there
 * follow on their own workers, some at a time between deliveries. */
#ifndef LEVERET_SESSION_BROKER_POLICIES_H
#define LEVERET_SESSION_BROKER_POLICIES_H

#include "broker/policy.h"
#include "broker/refusal.h"
#include "config/config.h"
#include "session/policy_walk.h"
#include "store/definitions.h"

struct broker;

/* Sets a policy in place of one of the same name; `from_configuration` is not looked at. What it
 * points at is copied. Returns 0 and calls `done`; or -EPROTO with `r` filled and `done` never
 * called: 404 for an unknown virtual host, 403 for a policy of the configuration file, 406 as
 * policy_create() has it. Any thread, while workers run; never waits. */
int broker_policies_set(struct broker *b, struct bytes vhost, const struct policy_declaration *d,
                        struct policies_done done, struct refusal *r);

/* Clears one. As broker_policies_set(); 404 also when there is none of that name. */
int broker_policies_clear(struct broker *b, struct bytes vhost, struct bytes name,
                          bool operator_policy, struct policies_done done, struct refusal *r);

/* Returns when all that was set and cleared by now is in force at every queue and on disk: 0, or
 * -errno when it could not be written (it is in force, and is tried again). Any thread that is
 * neither a worker nor the definitions' own, while workers run. */
int broker_policies_wait(struct broker *b);

/* Calls `visit` for each policy, or each operator policy, of a virtual host in the order in which
 * they apply, under its lock: the declaration is borrowed for the call. Returns 0, or -ENOENT when
 * there is no such virtual host. Any thread. */
int broker_policies_each(struct broker *b, struct bytes vhost, bool operator_policy,
                         void (*visit)(void *context, const struct policy_declaration *d),
                         void *context);

/* Sets the policies of the configuration file, in every virtual host. What is refused is added to
 * `problems`. Before the workers run, and before queues are there. */
void broker_policies_load(struct broker *b, const struct config *config,
                          struct config_problems *problems);

/* Puts a stored policy back, likewise, after broker_policies_load(): of a name that the file has
 * too the file's policy remains, and the stored one is removed. */
void broker_policies_restore(struct broker *b, const struct policy_definition *d);

/* Brings the policies of the configuration file to what `config` says now, and waits until that is
 * in force everywhere. Any thread that is not a worker, while workers run. */
void broker_policies_reload(struct broker *b, const struct config *config,
                            struct config_problems *problems);

#endif
