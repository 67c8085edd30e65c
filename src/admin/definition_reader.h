/* Reading definitions in RabbitMQ's JSON format (rabbitmqctl export_definitions, GET
 * /api/definitions): from text to typed records. What is wrong, and what is not understood, is told
 * with its place in the text. Pure; any thread. */
#ifndef LEVERET_ADMIN_DEFINITION_READER_H
#define LEVERET_ADMIN_DEFINITION_READER_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/table.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which they can be made. */
enum definition_section {
    DEFINITION_VHOSTS,
    DEFINITION_USERS,
    DEFINITION_PERMISSIONS,
    DEFINITION_TOPIC_PERMISSIONS,
    DEFINITION_PARAMETERS,
    DEFINITION_GLOBAL_PARAMETERS,
    DEFINITION_POLICIES,
    DEFINITION_EXCHANGES,
    DEFINITION_QUEUES,
    DEFINITION_BINDINGS,
    DEFINITION_SECTIONS,
};

/* The section's key in the file. */
const char *definition_section_name(enum definition_section section);

/* One object of the file. Which fields are meant depends on its section; the others are empty.
 * Names of the file are in quotes where they differ. */
struct definition_record {
    enum definition_section section;
    bool has_password; /* users */
    bool has_password_hash;
    bool operator_policy; /* policies */
    bool durable;         /* exchanges, queues */
    bool auto_delete;
    bool internal;
    bool to_exchange; /* bindings: the destination is one */
    struct bytes vhost;
    struct bytes name;

    struct bytes user;     /* permissions, topic permissions */
    struct bytes exchange; /* topic permissions */
    struct bytes configure;
    struct bytes write;
    struct bytes read;

    struct bytes password;      /* users: plain, or */
    struct bytes password_hash; /* as written, and */
    struct bytes hashing_algorithm;
    struct bytes tags; /* separated by commas */

    struct bytes component; /* parameters */
    struct value value;     /* parameters, global parameters */

    struct bytes pattern;  /* policies */
    struct bytes apply_to; /* "apply-to" */
    int64_t priority;

    struct bytes type; /* exchanges, queues; bindings: "destination_type" */
    struct table
        arguments; /* also a policy's "definition", a user's and a virtual host's "limits" */

    struct bytes source; /* bindings */
    struct bytes destination;
    struct bytes routing_key;
};

/* Whom the reader tells. Places are as in "$.queues[3].arguments.x-expires"; all is borrowed for
 * the call. */
struct definition_visitor {
    void *context;
    /* An object without a fault, section by section. */
    void (*record)(void *context, const struct definition_record *r, const char *place);
    /* An object that cannot be read; it comes in no record. */
    void (*problem)(void *context, const char *place, const char *reason);
    /* Something that means nothing here, beside what the record says. */
    void (*not_understood)(void *context, const char *place, const char *reason);
};

/* Reads definitions. With a `vhost` they are those of one virtual host: its parameters, policies,
 * exchanges, queues and bindings are of `vhost`, whatever they say themselves, and other sections
 * are told as not understood. Without (it is empty) each object says its own, or has a fault.
 * Returns 0, or -EINVAL with one line in `error` when the text as a whole is no definitions. */
int definitions_read_json(struct bytes text, struct bytes vhost,
                          const struct definition_visitor *visitor, char *error, size_t error_size);

#endif
