/* The keys that say who may log in, and what they may do. */
#include "config/schema_internal.h"
#include "config/user_name.h"

static const struct config_key LOGIN_KEYS[] = {
    {.name = "threads",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "1",
     .min = 1,
     .max = 64,
     FIELD(config_login, threads),
     .doc = "Threads that check passwords, behind the workers' backs."},
    {.name = "waiting_max",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "4096",
     .min = 1,
     .max = 1000000,
     FIELD(config_login, waiting_max),
     .doc = "Logins that wait for a thread or for their turn; more are refused."},
    {.name = "backoff_after",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "5",
     .min = 1,
     .max = 1000000,
     FIELD(config_login, backoff_after),
     .doc = "Failed logins of an address as one user before the next ones have to wait."},
    {.name = "backoff_ms",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "100",
     .min = 1,
     .max = 60000,
     FIELD(config_login, backoff_ms),
     .doc = "How long the first one waits; each further one twice as long."},
    {.name = "backoff_max_ms",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "5000",
     .min = 0,
     .max = 600000,
     FIELD(config_login, backoff_max_ms),
     .line_offset = offsetof(struct config_login, backoff_max_line),
     .doc = "How long one waits at most, less than limits.handshake_timeout_ms; 0: none waits."},
    {.name = "backoff_forget_ms",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "60000",
     .min = 1000,
     .max = 86400000,
     FIELD(config_login, backoff_forget_ms),
     .doc = "After so long without a failed login, none has to wait."},
    END_OF_KEYS,
};

const struct config_section config_section_login = {
    .keys = LOGIN_KEYS,
    .struct_size = sizeof(struct config_login),
};

static const struct config_choice USER_TAGS[] = {
    {"administrator", USER_TAG_ADMINISTRATOR}, {"monitoring", USER_TAG_MONITORING},
    {"management", USER_TAG_MANAGEMENT},       {"policymaker", USER_TAG_POLICYMAKER},
    {"impersonator", USER_TAG_IMPERSONATOR},   {NULL, 0},
};

static const struct config_key USER_KEYS[] = {
    {.name = "name",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_user, name),
     .check = user_name_check,
     .doc = "The name to log in with: UTF-8 without control characters."},
    {.name = "password",
     .type = CONFIG_TYPE_STRING,
     .secret = true,
     .min = 1,
     .max = 1024,
     FIELD(config_user, password),
     .line_offset = offsetof(struct config_user, password_line),
     .doc = "The password in plain text; hashed when read. Prefer password_hash."},
    {.name = "password_hash",
     .type = CONFIG_TYPE_STRING,
     .secret = true,
     .min = 1,
     .max = 512,
     FIELD(config_user, password_hash),
     .line_offset = offsetof(struct config_user, password_line),
     .doc = "What leveretd --hash-password prints, or a hash exported by RabbitMQ."},
    {.name = "tags",
     .type = CONFIG_TYPE_FLAGS,
     .default_text = "[]",
     FIELD(config_user, tags),
     .choices = USER_TAGS,
     .doc = "Any of administrator, monitoring, management, policymaker and impersonator."},
    {.name = "loopback_only",
     .type = CONFIG_TYPE_BOOLEAN,
     .default_text = "false",
     FIELD(config_user, loopback_only),
     .doc = "Whether the user may only connect from a loopback address."},
    {.name = "max_connections",
     .type = CONFIG_TYPE_INTEGER,
     .default_text = "0",
     .min = 0,
     .max = UINT32_MAX,
     FIELD(config_user, max_connections),
     .doc = "Connections that the user may have open; 0: no limit."},
    {.name = "max_channels",
     .type = CONFIG_TYPE_INTEGER,
     .default_text = "0",
     .min = 0,
     .max = UINT32_MAX,
     FIELD(config_user, max_channels),
     .doc = "Channels that the user may have open on all of them; 0: no limit."},
    END_OF_KEYS,
};

const struct config_section config_section_user = {
    .keys = USER_KEYS,
    .struct_size = sizeof(struct config_user),
    .line_offset = offsetof(struct config_user, line),
};

static const struct config_key VHOST_KEYS[] = {
    {.name = "name",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_vhost, name),
     .doc = "The name of the virtual host."},
    END_OF_KEYS,
};

const struct config_section config_section_vhost = {
    .keys = VHOST_KEYS,
    .struct_size = sizeof(struct config_vhost),
    .line_offset = offsetof(struct config_vhost, line),
};

#define PATTERN(field_name, text) \
    { \
        .name = #field_name, .type = CONFIG_TYPE_STRING, .required = true, .max = 4095, \
        FIELD(config_permission, field_name), \
        .line_offset = offsetof(struct config_permission, field_name##_line), .doc = text \
    }

static const struct config_key PERMISSION_KEYS[] = {
    {.name = "user",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_permission, user),
     .doc = "A user of this file."},
    {.name = "vhost",
     .type = CONFIG_TYPE_NAME,
     .default_text = "/",
     .min = 1,
     .max = 255,
     FIELD(config_permission, vhost),
     .doc = "A virtual host of this file."},
    PATTERN(configure, "Pattern of the names that the user may declare and delete."),
    PATTERN(write, "Pattern of the names that the user may publish and bind to."),
    PATTERN(read, "Pattern of the names that the user may consume and bind from."),
    END_OF_KEYS,
};

const struct config_section config_section_permission = {
    .keys = PERMISSION_KEYS,
    .struct_size = sizeof(struct config_permission),
    .line_offset = offsetof(struct config_permission, line),
};

static const struct config_key TOPIC_PERMISSION_KEYS[] = {
    {.name = "user",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_topic_permission, user),
     .doc = "A user of this file."},
    {.name = "vhost",
     .type = CONFIG_TYPE_NAME,
     .default_text = "/",
     .min = 1,
     .max = 255,
     FIELD(config_topic_permission, vhost),
     .doc = "A virtual host of this file."},
    {.name = "exchange",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_topic_permission, exchange),
     .doc = "The topic exchange; other exchanges have no topics."},
    {.name = "write",
     .type = CONFIG_TYPE_STRING,
     .required = true,
     .max = 2047,
     FIELD(config_topic_permission, write),
     .doc = "Pattern of the routing keys that the user may publish with."},
    {.name = "read",
     .type = CONFIG_TYPE_STRING,
     .required = true,
     .max = 2047,
     FIELD(config_topic_permission, read),
     .doc = "Pattern of the routing keys that the user may bind with."},
    END_OF_KEYS,
};

const struct config_section config_section_topic_permission = {
    .keys = TOPIC_PERMISSION_KEYS,
    .struct_size = sizeof(struct config_topic_permission),
    .line_offset = offsetof(struct config_topic_permission, line),
};

static const struct config_key LOOPBACK_USER_KEYS[] = {
    {.name = "name",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_name, name),
     .doc = "The name of a user."},
    END_OF_KEYS,
};

const struct config_section config_section_loopback_user = {
    .keys = LOOPBACK_USER_KEYS,
    .struct_size = sizeof(struct config_name),
    .line_offset = offsetof(struct config_name, line),
};
