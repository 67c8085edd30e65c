/* The configuration as plain data. It is read from YAML once, checked as a whole, and not changed
 * afterwards; a reload reads a new one. docs/configuration.md says what each key means.
 *
 * Everything in a struct config lives in its arena and dies with config_free(). Strings and names
 * have a zero byte behind them. One thread at a time while it is built; any number may read it. */
#ifndef LEVERET_CONFIG_CONFIG_H
#define LEVERET_CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/table.h"
#include "config/problems.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* A larger configuration file is refused. */
    CONFIG_FILE_SIZE_MAX = 16 * 1024 * 1024,
    /* `workers` at most. */
    CONFIG_WORKERS_MAX = 256,
    /* Descriptors kept for everything that is not a connection (config_max_connections). */
    CONFIG_DESCRIPTOR_RESERVE = 64,
    /* What `limits.max_handshakes` is at most when it is not configured. */
    CONFIG_HANDSHAKES_MAX = 10000,
};

/* `line` in the structs below: where the entry begins in the file, 0 for a default. */

struct config_name {
    struct bytes name;
    unsigned line;
};

struct config_names {
    struct config_name *items;
    size_t count;
};

/* A certificate that a listener shows besides its first one, to whom asks for its hosts. Paths of
 * PEM files. */
struct config_certificate {
    const char *certificate;
    const char *key;
    const char *key_passphrase_file; /* NULL: the key is not encrypted */
    unsigned line;
};

struct config_certificates {
    struct config_certificate *items;
    size_t count;
};

/* How a listener speaks TLS; as struct tls_options (net/tls.h). */
struct config_tls {
    const char *certificate; /* NULL: it speaks none */
    const char *key;
    const char *key_passphrase_file; /* NULL: the key is not encrypted */
    struct config_certificates certificates;
    const char *ca;  /* or NULL */
    const char *crl; /* or NULL */
    enum tls_crl_check crl_check;
    unsigned crl_check_line; /* where `crl_check` is written; 0: nowhere */
    enum tls_verify verify;
    uint32_t depth;
    enum tls_version min_version;
    enum tls_version max_version;
    const char *ciphers;
    const char *ciphersuites; /* NULL: OpenSSL's */
    const char *curves;       /* NULL: OpenSSL's */
    bool session_tickets;
    uint32_t ticket_rotation_s;
    bool kernel_tls;
    enum tls_name user_from;
    uint32_t user_san_index;
    const char *user_pattern; /* NULL: all of the name */
};

/* From where proxies connect that begin with a PROXY header. */
struct config_proxy_protocol {
    struct config_names networks; /* as network_parse() (net/network.h) reads them */
};

/* Bits of config_listener.mechanisms. */
enum config_mechanism {
    CONFIG_MECHANISM_PLAIN = 1 << 0,
    CONFIG_MECHANISM_AMQPLAIN = 1 << 1,
    CONFIG_MECHANISM_EXTERNAL = 1 << 2,
};

struct config_listener {
    const char *address; /* as socket_address_parse() (net/listener.h) reads it */
    uint16_t port;       /* 0: one that the system chooses */
    struct config_tls tls;
    struct config_proxy_protocol proxy_protocol;
    uint32_t mechanisms;    /* of enum config_mechanism */
    bool plain_without_tls; /* passwords may come in the clear from other machines */
    unsigned line;
    unsigned port_line;       /* where `port` is written; 0: nowhere */
    unsigned tls_line;        /* where `tls` is written */
    unsigned mechanisms_line; /* where `mechanisms` is written; 0: nowhere */
};

struct config_listeners {
    struct config_listener *items;
    size_t count;
};

struct config_limits {
    uint32_t handshake_timeout_ms;
    uint32_t max_connections; /* 0: what the limit on open files leaves (config_max_connections) */
    uint32_t max_handshakes;  /* not logged in yet; 0: a default (config_max_handshakes) */
    uint16_t max_channels_per_connection; /* channel_max of tune */
    uint32_t frame_max;                   /* of tune, in bytes */
    uint32_t handshake_frame_max;         /* until the login is over; frame_max bounds it */
    uint16_t heartbeat_s;                 /* of tune; 0: none */
    uint32_t max_queues;                  /* in the whole broker */
    uint32_t max_exchanges;               /* likewise, beside the predeclared ones */
    uint32_t max_bindings;                /* likewise, without those of the default exchange */
    uint32_t max_consumers_per_channel;
    uint32_t consumer_timeout_ms; /* 0: none */
    uint32_t max_message_size_bytes;
    uint32_t max_header_table_size_bytes; /* of the encoded headers of a message */
    uint32_t max_table_depth;             /* tables and arrays within each other */
    uint32_t output_high_watermark_bytes; /* unwritten output at which a connection is paused */
    uint32_t direct_reply_timeout_ms;     /* for which replies wait for who reads nothing */
    uint32_t read_budget_bytes;           /* input of one connection in one turn of its worker */
};

struct config_server {
    const char *product;
    const char *version;      /* NULL: the program's own */
    const char *cluster_name; /* NULL: "leveret@" and the host's name */
};

enum config_sync {
    CONFIG_SYNC_ALWAYS,
    CONFIG_SYNC_INTERVAL,
    CONFIG_SYNC_NEVER,
};

struct config_journal {
    enum config_sync sync;
    uint32_t sync_interval_ms;
    uint64_t segment_size_bytes;
    uint32_t compact_below_percent; /* 0: never */
    uint64_t reserve_bytes;         /* of each journal */
    uint64_t write_buffer_bytes;    /* of each journal */
};

/* Of queues whose dead letters are to be confirmed, and of journals that do not take them. */
struct config_dead_letters {
    uint32_t window; /* of each queue */
    uint32_t retry_min_ms;
    uint32_t retry_max_ms;
};

/* Sizes of 0 leave it to the percentage, which is of the machine's memory or of the cgroup's limit,
 * whichever is less. */
struct config_memory {
    uint64_t target_bytes;
    uint32_t target_percent;
    uint64_t high_watermark_bytes;
    uint32_t high_watermark_percent; /* 0, and high_watermark_bytes too: no alarm */
};

struct config_disk {
    uint64_t free_limit_bytes; /* 0: no alarm */
};

struct config_admin {
    const char *socket; /* NULL: data_directory_admin_socket() (store/data_directory.h) */
    uint32_t max_connections;
    uint64_t max_body_size_bytes;
};

struct config_log {
    enum log_level level;
    enum log_format format;
    const char *path; /* NULL: standard error */
};

/* How passwords are looked at (auth/login.h). */
struct config_login {
    uint32_t threads;
    uint32_t waiting_max;
    uint32_t backoff_after;     /* failures of an address as a user that cost nothing */
    uint32_t backoff_ms;        /* the first wait */
    uint32_t backoff_max_ms;    /* 0: nobody waits */
    uint32_t backoff_forget_ms; /* without a failure */
    unsigned backoff_max_line;  /* where `backoff_max_ms` is written; 0: nowhere */
};

/* Bits of config_user.tags. */
enum user_tag {
    USER_TAG_ADMINISTRATOR = 1 << 0,
    USER_TAG_MONITORING = 1 << 1,
    USER_TAG_MANAGEMENT = 1 << 2,
    USER_TAG_POLICYMAKER = 1 << 3,
    USER_TAG_IMPERSONATOR = 1 << 4,
};

/* Has exactly one of password and password_hash. auth_database_build() (auth/users.h) turns the
 * password into a hash and wipes it. */
struct config_user {
    struct bytes name;
    char *password;            /* as written in the file, or NULL */
    const char *password_hash; /* in a form that password_hash_parse() (auth/password.h) reads */
    uint32_t tags;             /* of enum user_tag */
    bool loopback_only;
    uint32_t max_connections; /* 0: no limit; this and the next one of all its connections */
    uint32_t max_channels;
    unsigned line;
    unsigned password_line; /* where the password or its hash is written */
};

struct config_users {
    struct config_user *items;
    size_t count;
};

struct config_vhost {
    struct bytes name;
    unsigned line;
};

struct config_vhosts {
    struct config_vhost *items;
    size_t count;
};

/* Patterns as written; auth_database_build() compiles them. */
struct config_permission {
    struct bytes user;
    struct bytes vhost;
    const char *configure;
    const char *write;
    const char *read;
    unsigned line;
    unsigned configure_line;
    unsigned write_line;
    unsigned read_line;
};

struct config_permissions {
    struct config_permission *items;
    size_t count;
};

/* Patterns as written, with their variables; auth_database_build() compiles them. */
struct config_topic_permission {
    struct bytes user;
    struct bytes vhost;
    struct bytes exchange;
    const char *write;
    const char *read;
    unsigned line;
};

struct config_topic_permissions {
    struct config_topic_permission *items;
    size_t count;
};

struct config_exchange {
    struct bytes vhost;
    struct bytes name;
    struct bytes type;
    bool durable;
    bool auto_delete;
    bool internal;
    struct table arguments;
    unsigned line;
};

struct config_exchanges {
    struct config_exchange *items;
    size_t count;
};

struct config_queue {
    struct bytes vhost;
    struct bytes name;
    bool durable;
    bool auto_delete;
    struct table arguments;
    unsigned line;
};

struct config_queues {
    struct config_queue *items;
    size_t count;
};

enum config_destination_type {
    CONFIG_DESTINATION_QUEUE,
    CONFIG_DESTINATION_EXCHANGE,
};

struct config_binding {
    struct bytes vhost;
    struct bytes source;
    struct bytes destination;
    enum config_destination_type destination_type;
    struct bytes routing_key;
    struct table arguments;
    unsigned line;
};

struct config_bindings {
    struct config_binding *items;
    size_t count;
};

/* To be declared at start, in this order: exchanges, queues, bindings. */
struct config_topology {
    struct config_exchanges exchanges;
    struct config_queues queues;
    struct config_bindings bindings;
};

/* 0: no limit. */
struct config_vhost_limit {
    struct bytes vhost;
    uint32_t max_connections;
    uint32_t max_queues;
    unsigned line;
};

struct config_vhost_limits {
    struct config_vhost_limit *items;
    size_t count;
};

/* A policy or an operator policy; policy_create() (broker/policy.h) judges it. */
struct config_policy {
    struct bytes vhost;
    struct bytes name;
    struct bytes pattern;
    struct bytes apply_to;
    uint32_t priority;
    struct table definition;
    unsigned line;
    unsigned definition_line; /* 0: it is missing */
};

struct config_policies {
    struct config_policy *items;
    size_t count;
};

struct config {
    struct arena arena;
    const char *file; /* as given by the caller; "(default)" without one */

    struct config_listeners listeners;
    const char *user;  /* whom root's process becomes (server/identity.h); NULL: nobody */
    const char *group; /* NULL: the user's */
    unsigned user_line;
    unsigned group_line;
    uint32_t workers; /* 0: the number of CPUs */
    bool follow_queues;
    const char *data_dir;
    const char *load_definitions; /* path; NULL: none */
    struct config_server server;
    struct config_limits limits;
    struct config_journal journal;
    struct config_dead_letters dead_letters;
    struct config_memory memory;
    struct config_disk disk;
    struct config_admin admin;
    struct config_log log;
    struct config_login login;
    struct config_users users;
    bool users_are_default;             /* the file says nothing of users */
    struct config_names loopback_users; /* of the users that are not in the file */
    struct config_vhosts vhosts;
    struct config_permissions permissions;
    struct config_topic_permissions topic_permissions;
    struct config_vhost_limits vhost_limits;
    struct config_policies policies;
    struct config_policies operator_policies;
    struct config_topology topology;
};

/* What a layer above has to say of a configuration, which may have problems already: adds those it
 * finds and leaves out what it cannot judge because of others. */
typedef void (*config_further_checks)(const struct config *c, struct config_problems *problems);

/* Reads and checks the file. Returns 0 and a configuration that the caller frees, or -errno with
 * *out NULL and at least one problem added: -EINVAL when the content is at fault, else why the
 * file could not be read. All problems of the content are found, not only the first; those that
 * only a layer above can see by `more` (or NULL). */
int config_load_file(const char *path, config_further_checks more, struct config **out,
                     struct config_problems *problems);

/* As config_load_file, from memory; `file` is the name used in problems. The text is only read;
 * wiping it is the caller's business. */
int config_load_text(const char *file, struct bytes text, config_further_checks more,
                     struct config **out, struct config_problems *problems);

/* What an empty file gives: all addresses, port 5672, vhost "/", user guest (password guest,
 * administrator, from loopback addresses only) with all permissions on it. */
struct config *config_default(void);

/* Frees the configuration, after wiping passwords. NULL is fine. */
void config_free(struct config *c);

/* How many connections may be open at once when the process may have `descriptors` open: the
 * configured limit, but never more than the descriptors leave after CONFIG_DESCRIPTOR_RESERVE,
 * and at least 1. */
uint32_t config_max_connections(const struct config_limits *limits, uint64_t descriptors);

/* How many of `max_connections` may not have logged in yet: as many as are configured, or all of
 * them and CONFIG_HANDSHAKES_MAX at most. */
uint32_t config_max_handshakes(const struct config_limits *limits, uint32_t max_connections);

#endif
