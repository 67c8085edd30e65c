/* The definitions that survive a restart: virtual hosts, users, permissions, parameters, policies,
 * exchanges, queues, bindings, in one SQLite file (WAL, synchronous=FULL) with a schema version.
 *
 * Reading happens at start, on the caller's thread. Writing happens on the definitions' own thread:
 * changes are queued in order, many share one transaction, and each tells when it is committed. */
#ifndef LEVERET_STORE_DEFINITIONS_H
#define LEVERET_STORE_DEFINITIONS_H

#include "base/bytes.h"
#include "base/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct definitions;

struct exchange_definition {
    struct bytes vhost;
    struct bytes name;
    struct bytes type;
    bool auto_delete;
    bool internal;
    const struct table *arguments; /* or NULL */
    uint64_t delays_id;            /* of a delayed exchange, as struct delays_definition; else 0 */
    uint32_t delays_shard;
};

/* Where the messages are that a delayed exchange keeps; added and removed with the exchange. */
struct delays_definition {
    struct bytes vhost;
    struct bytes exchange;
    uint64_t id;    /* as of a queue */
    uint32_t shard; /* whose journal has its messages */
};

struct queue_definition {
    struct bytes vhost;
    struct bytes name;
    uint64_t id;    /* unique for ever, > 0: never given to another queue */
    uint32_t shard; /* whose journal has its messages */
    bool auto_delete;
    const struct table *arguments; /* or NULL */
};

struct binding_definition {
    struct bytes vhost;
    struct bytes source;
    struct bytes destination;
    bool to_exchange;
    struct bytes routing_key;
    const struct table *arguments; /* or NULL */
};

struct user_definition {
    struct bytes name;
    struct bytes password_hash; /* as auth/password.h writes it; empty: no password fits */
    struct bytes tags;          /* separated by commas, without blanks */
};

/* Patterns as auth/permissions.h reads them; an empty one allows nothing. */
struct permission_definition {
    struct bytes vhost;
    struct bytes user;
    struct bytes configure;
    struct bytes write;
    struct bytes read;
};

struct topic_permission_definition {
    struct bytes vhost;
    struct bytes user;
    struct bytes exchange;
    struct bytes write;
    struct bytes read;
};

/* A parameter of a virtual host, or of the broker: what components keep beside the topology, such
 * as limits. The value may be of any type. */
struct parameter_definition {
    struct bytes vhost; /* empty: the broker's */
    struct bytes component;
    struct bytes name;
    const struct value *value;
};

/* The components that the definitions know by name: the limits of a user go with it. */
#define PARAMETER_VHOST_LIMITS "vhost-limits" /* of a virtual host; name "limits" */
#define PARAMETER_USER_LIMITS "user-limits"   /* of the broker; name: the user's */
#define PARAMETER_GLOBAL "global"             /* of the broker: what has no component */

/* A policy and an operator policy may have the same name. */
struct policy_definition {
    struct bytes vhost;
    struct bytes name;
    struct bytes pattern;
    struct bytes apply_to; /* "queues", "classic_queues", "quorum_queues", "exchanges", "all" */
    int64_t priority;
    bool operator_policy;
    const struct table *definition; /* or NULL */
};

/* Opens or creates `path`, migrating an older schema. Returns 0, -ENOTSUP for a newer schema (with
 * its number in `*found`), -EBUSY when another process holds it, -EBADMSG when it is damaged, or
 * another -errno. `error` is filled with one line for the log. */
int definitions_open(struct definitions **out, const char *path, char *error, size_t error_size);

/* Commits what is queued, ends the thread, closes the file. */
void definitions_close(struct definitions *d);

/* Calls back for each, in an order in which they can be declared; what has no function is passed
 * over. Returns 0 or -errno with one line in `error`. The definitions are borrowed for the call.
 * Before the first change is queued. */
struct definitions_visitor {
    void *context;
    void (*vhost)(void *context, struct bytes name);
    void (*user)(void *context, const struct user_definition *u);
    void (*permission)(void *context, const struct permission_definition *p);
    void (*topic_permission)(void *context, const struct topic_permission_definition *p);
    void (*parameter)(void *context, const struct parameter_definition *p);
    void (*policy)(void *context, const struct policy_definition *p);
    void (*exchange)(void *context, const struct exchange_definition *e); /* delays_id is 0 */
    void (*delays)(void *context, const struct delays_definition *d);
    void (*queue)(void *context, const struct queue_definition *q);
    void (*binding)(void *context, const struct binding_definition *b);
};
int definitions_read(struct definitions *d, const struct definitions_visitor *visitor, char *error,
                     size_t error_size);

/* All that were given before this start are smaller. Before the first is taken; then none may be
 * any more once those reserved for this run are returned, as if it had not been. */
uint64_t definitions_least_queue_id(const struct definitions *d);
void definitions_return_queue_ids(struct definitions *d);

/* A queue id that was never given before, also over restarts. Returns 0 when the file could not be
 * written to reserve more of them (a million are reserved ahead). Any thread but the definitions'
 * own. */
uint64_t definitions_next_queue_id(struct definitions *d);

/* How far the journal of a shard surely was written, as its owner has it: noted without anybody's
 * waiting, and what was noted last, 0 when nothing was. The latter before the first change; returns
 * 0, or -errno with one line in `error`. */
void definitions_note_journal(struct definitions *d, uint32_t shard, uint64_t end);
int definitions_noted_journal(struct definitions *d, uint32_t shard, uint64_t *end, char *error,
                              size_t error_size);

/* What happens when a change is committed: called once, on the definitions' thread, with 0, or with
 * -errno when it could not be: then neither it nor what follows it is in the file, and it is tried
 * again until it is, for what the broker has must be what the file has. A NULL `call` is fine. */
struct definitions_done {
    void (*call)(void *context, int result);
    void *context;
};

/* Changes, in the order of the calls. Any thread; what the definitions point at is copied. Adding
 * what is there replaces it; removing what is not there is fine. Removing a queue or an exchange
 * removes its bindings; removing a user its permissions, topic permissions and limits. */
void definitions_add_vhost(struct definitions *d, struct bytes name, struct definitions_done done);
/* Removes the virtual host and everything in it. */
void definitions_remove_vhost(struct definitions *d, struct bytes name,
                              struct definitions_done done);
void definitions_add_user(struct definitions *d, const struct user_definition *u,
                          struct definitions_done done);
void definitions_remove_user(struct definitions *d, struct bytes name,
                             struct definitions_done done);
void definitions_add_permission(struct definitions *d, const struct permission_definition *p,
                                struct definitions_done done);
void definitions_remove_permission(struct definitions *d, struct bytes vhost, struct bytes user,
                                   struct definitions_done done);
void definitions_add_topic_permission(struct definitions *d,
                                      const struct topic_permission_definition *p,
                                      struct definitions_done done);
void definitions_remove_topic_permission(struct definitions *d, struct bytes vhost,
                                         struct bytes user, struct bytes exchange,
                                         struct definitions_done done);
/* Removes those of every exchange. */
void definitions_remove_topic_permissions(struct definitions *d, struct bytes vhost,
                                          struct bytes user, struct definitions_done done);
void definitions_add_parameter(struct definitions *d, const struct parameter_definition *p,
                               struct definitions_done done);
void definitions_remove_parameter(struct definitions *d, struct bytes vhost, struct bytes component,
                                  struct bytes name, struct definitions_done done);
void definitions_add_policy(struct definitions *d, const struct policy_definition *p,
                            struct definitions_done done);
void definitions_remove_policy(struct definitions *d, struct bytes vhost, struct bytes name,
                               bool operator_policy, struct definitions_done done);
void definitions_add_exchange(struct definitions *d, const struct exchange_definition *e,
                              struct definitions_done done);
void definitions_remove_exchange(struct definitions *d, struct bytes vhost, struct bytes name,
                                 struct definitions_done done);
void definitions_add_queue(struct definitions *d, const struct queue_definition *q,
                           struct definitions_done done);
void definitions_remove_queue(struct definitions *d, struct bytes vhost, struct bytes name,
                              struct definitions_done done);
void definitions_add_binding(struct definitions *d, const struct binding_definition *b,
                             struct definitions_done done);
void definitions_remove_binding(struct definitions *d, const struct binding_definition *b,
                                struct definitions_done done);

/* Calls `done` with 0 when everything queued before it is committed, with -errno when something of
 * it could not be. */
void definitions_barrier(struct definitions *d, struct definitions_done done);

/* A position among the changes, behind all that were queued so far; and whether everything before
 * one is committed. Any thread. */
uint64_t definitions_position(struct definitions *d);
bool definitions_reached(const struct definitions *d, uint64_t position);

/* Writes a consistent copy of the file `from` to `to`, which must not exist, while changes go on,
 * in this process or another. Any thread. Returns 0, or -errno with one line in `error`. */
int definitions_backup(const char *from, const char *to, char *error, size_t error_size);

/* Whether the file is whole and of a version that can be read. Returns as definitions_open() does,
 * and does not change it. Any thread. */
int definitions_verify(const char *path, char *error, size_t error_size);

#endif
