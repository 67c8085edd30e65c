/* Parameters: what components beside the topology keep with a virtual host or with the broker,
 * under the component's and a name (RabbitMQ "Parameters and Policies"). Here they are kept, listed
 * and exported; whether one has an effect is its component's business. Limits of virtual hosts
 * and of users are not among them (session/vhost_limits.h, session/broker_users.h). Any thread. */
#ifndef LEVERET_SESSION_BROKER_PARAMETERS_H
#define LEVERET_SESSION_BROKER_PARAMETERS_H

#include "base/bytes.h"
#include "base/list.h"
#include "base/table.h"
#include "store/definitions.h"

#include <pthread.h>
#include <stdbool.h>

struct broker;

struct broker_parameters {
    pthread_mutex_t lock;
    struct list all;
};

void broker_parameters_init(struct broker_parameters *p);
void broker_parameters_release(struct broker_parameters *p);

enum parameter_change {
    PARAMETER_CREATED,
    PARAMETER_UPDATED,
    PARAMETER_UNCHANGED,
};

/* Sets a parameter, and records it in the definitions. What it points at is copied. */
enum parameter_change broker_parameter_put(struct broker *b, const struct parameter_definition *p);

/* Returns whether there was one. */
bool broker_parameter_clear(struct broker *b, struct bytes vhost, struct bytes component,
                            struct bytes name);

/* Forgets those of a virtual host that is gone from the definitions. */
void broker_parameters_forget_vhost(struct broker *b, struct bytes vhost);

/* Calls `visit` for each; it may not change parameters. */
void broker_parameters_each(struct broker *b,
                            void (*visit)(const struct parameter_definition *p, void *context),
                            void *context);

/* Brings one back from the definitions, at start, unless it is the limits of a virtual host or
 * a user. */
void broker_parameter_restore(struct broker *b, const struct parameter_definition *p);

#endif
