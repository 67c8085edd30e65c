/* What the files of the schema share; for them alone. Constants: any thread. */
#ifndef LEVERET_CONFIG_SCHEMA_INTERNAL_H
#define LEVERET_CONFIG_SCHEMA_INTERNAL_H

#include "config/config.h"
#include "config/schema.h"

#include <stddef.h>
#include <stdint.h>

/* Where a key's value goes in the struct of its section. */
#define FIELD(type, field) \
    .offset = offsetof(struct type, field), .size = sizeof(((struct type *)0)->field)
#define END_OF_KEYS \
    { \
        .name = NULL \
    }

/* More than there will be: 1 PiB. */
#define BYTES_MAX (UINT64_C(1) << 50)

/* schema_listeners.c */
extern const struct config_section config_section_listener;

/* schema_access.c */
extern const struct config_section config_section_login;
extern const struct config_section config_section_user;
extern const struct config_section config_section_loopback_user;
extern const struct config_section config_section_vhost;
extern const struct config_section config_section_permission;
extern const struct config_section config_section_topic_permission;

/* schema_topology.c */
extern const struct config_section config_section_vhost_limit;
extern const struct config_section config_section_policy;
extern const struct config_section config_section_topology;

#endif
