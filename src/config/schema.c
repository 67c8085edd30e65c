#include "config/schema.h"

#include "base/table.h"
#include "config/config.h"
#include "net/listener.h"
#include "net/network.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(type, field) \
    .offset = offsetof(struct type, field), .size = sizeof(((struct type *)0)->field)
#define END_OF_KEYS \
    { \
        .name = NULL \
    }

/* More than there will be: 1 PiB. */
#define BYTES_MAX (UINT64_C(1) << 50)

static const char *check_address(struct bytes text)
{
    struct socket_address address;

    if (socket_address_parse(&address, (const char *)text.data, 0) == 0)
        return NULL;
    return "must be an IPv4 or IPv6 address, \"*\" or \"unix:\" and the path of a socket";
}

#define PATH(field_type, field_name, needed, text) \
    { \
        .name = #field_name, .type = CONFIG_TYPE_STRING, .required = (needed), .min = 1, \
        .max = 4095, FIELD(field_type, field_name), .doc = text \
    }

static const struct config_key CERTIFICATE_KEYS[] = {
    PATH(config_certificate, certificate, true,
         "PEM file of a certificate, the intermediate ones behind it."),
    PATH(config_certificate, key, true, "PEM file of its private key."),
    PATH(config_certificate, key_passphrase_file, false,
         "File whose first line decrypts the key; absent: it is not encrypted."),
    END_OF_KEYS,
};

static const struct config_section CERTIFICATE = {
    .keys = CERTIFICATE_KEYS,
    .struct_size = sizeof(struct config_certificate),
    .line_offset = offsetof(struct config_certificate, line),
};

static const struct config_choice TLS_VERIFICATIONS[] = {
    {"none", TLS_VERIFY_NONE},
    {"peer", TLS_VERIFY_PEER},
    {"require", TLS_VERIFY_REQUIRE},
    {.name = NULL},
};

static const struct config_choice TLS_VERSIONS[] = {
    {"1.2", TLS_VERSION_1_2},
    {"1.3", TLS_VERSION_1_3},
    {.name = NULL},
};

static const struct config_choice TLS_NAMES[] = {
    {"common_name", TLS_NAME_COMMON},
    {"san_dns", TLS_NAME_SAN_DNS},
    {"san_email", TLS_NAME_SAN_EMAIL},
    {"distinguished_name", TLS_NAME_DISTINGUISHED},
    {.name = NULL},
};

static const struct config_key TLS_KEYS[] = {
    PATH(config_tls, certificate, true,
         "PEM file of the certificate, the intermediate ones behind it."),
    PATH(config_tls, key, true, "PEM file of its private key."),
    PATH(config_tls, key_passphrase_file, false,
         "File whose first line decrypts the key; absent: it is not encrypted."),
    {.name = "certificates",
     .type = CONFIG_TYPE_LIST,
     FIELD(config_tls, certificates),
     .section = &CERTIFICATE,
     .doc = "More certificates, shown to clients that ask for a host they are for (SNI)."},
    PATH(config_tls, ca, false, "PEM file of the authorities that clients' certificates are of."),
    PATH(config_tls, crl, false, "PEM file of revocation lists for clients' certificates."),
    {.name = "verify",
     .type = CONFIG_TYPE_CHOICE,
     .default_text = "none",
     FIELD(config_tls, verify),
     .choices = TLS_VERIFICATIONS,
     .doc = "Clients are not asked for a certificate, may show one, or must; it must be good."},
    {.name = "depth",
     .type = CONFIG_TYPE_INTEGER,
     .default_text = "3",
     .min = 0,
     .max = 32,
     FIELD(config_tls, depth),
     .doc = "Intermediate certificates at most between a client's and its authority's."},
    {.name = "min_version",
     .type = CONFIG_TYPE_CHOICE,
     .default_text = "1.2",
     FIELD(config_tls, min_version),
     .choices = TLS_VERSIONS,
     .doc = "Lowest version of TLS that is spoken."},
    {.name = "max_version",
     .type = CONFIG_TYPE_CHOICE,
     .default_text = "1.3",
     FIELD(config_tls, max_version),
     .choices = TLS_VERSIONS,
     .doc = "Highest version of TLS that is spoken."},
    {.name = "ciphers",
     .type = CONFIG_TYPE_STRING,
     .default_text = "ECDHE+AESGCM:ECDHE+CHACHA20",
     .min = 1,
     .max = 4095,
     FIELD(config_tls, ciphers),
     .doc = "Cipher suites of TLS 1.2, as OpenSSL lists them."},
    {.name = "ciphersuites",
     .type = CONFIG_TYPE_STRING,
     .min = 1,
     .max = 4095,
     FIELD(config_tls, ciphersuites),
     .doc = "Cipher suites of TLS 1.3, as OpenSSL lists them; absent: its own choice."},
    {.name = "curves",
     .type = CONFIG_TYPE_STRING,
     .min = 1,
     .max = 4095,
     FIELD(config_tls, curves),
     .doc = "Groups of the key exchange, such as X25519:P-256; absent: OpenSSL's choice."},
    {.name = "session_tickets",
     .type = CONFIG_TYPE_BOOLEAN,
     .default_text = "true",
     FIELD(config_tls, session_tickets),
     .doc = "Whether clients may come back with a ticket; never when they are verified."},
    {.name = "ticket_rotation_s",
     .type = CONFIG_TYPE_INTEGER,
     .default_text = "3600",
     .min = 60,
     .max = 604800,
     FIELD(config_tls, ticket_rotation_s),
     .doc = "How long a ticket is good, and after how long its key is replaced."},
    {.name = "kernel_tls",
     .type = CONFIG_TYPE_BOOLEAN,
     .default_text = "true",
     FIELD(config_tls, kernel_tls),
     .doc = "Whether the kernel encrypts, where it can."},
    {.name = "user_from",
     .type = CONFIG_TYPE_CHOICE,
     .default_text = "common_name",
     FIELD(config_tls, user_from),
     .choices = TLS_NAMES,
     .doc = "What in a client's certificate names the user that EXTERNAL logs in."},
    {.name = "user_pattern",
     .type = CONFIG_TYPE_STRING,
     .min = 1,
     .max = 1024,
     FIELD(config_tls, user_pattern),
     .doc = "Pattern for that name: its first group, or all it matches, is the user."},
    END_OF_KEYS,
};

static const struct config_section TLS = {
    .keys = TLS_KEYS,
    .struct_size = sizeof(struct config_tls),
};

static const char *check_network(struct bytes text)
{
    struct network n;

    if (memchr(text.data, 0, text.size) == NULL && network_parse(&n, (const char *)text.data) == 0)
        return NULL;
    return "must be a network such as 192.0.2.0/24 or 2001:db8::/32, or an address";
}

static const struct config_key NETWORK_KEYS[] = {
    {.name = "network",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 64,
     FIELD(config_name, name),
     .check = check_network,
     .doc = "A network or an address."},
    END_OF_KEYS,
};

static const struct config_section NETWORK = {
    .keys = NETWORK_KEYS,
    .struct_size = sizeof(struct config_name),
    .line_offset = offsetof(struct config_name, line),
};

static const struct config_key PROXY_PROTOCOL_KEYS[] = {
    {.name = "networks",
     .type = CONFIG_TYPE_NAMES,
     .applies = CONFIG_AT_RESTART,
     .required = true,
     .min = 1,
     FIELD(config_proxy_protocol, networks),
     .section = &NETWORK,
     .doc = "Who connects from there begins with a PROXY header; nobody else may."},
    END_OF_KEYS,
};

static const struct config_section PROXY_PROTOCOL = {
    .keys = PROXY_PROTOCOL_KEYS,
    .struct_size = sizeof(struct config_proxy_protocol),
};

static const struct config_choice MECHANISMS[] = {
    {"PLAIN", CONFIG_MECHANISM_PLAIN},
    {"AMQPLAIN", CONFIG_MECHANISM_AMQPLAIN},
    {"EXTERNAL", CONFIG_MECHANISM_EXTERNAL},
    {.name = NULL},
};

static const struct config_key LISTENER_KEYS[] = {
    {.name = "address",
     .type = CONFIG_TYPE_STRING,
     .applies = CONFIG_AT_RESTART,
     .default_text = "*",
     .min = 1,
     .max = 128,
     FIELD(config_listener, address),
     .check = check_address,
     .doc = "Where to listen: an IPv4 or IPv6 literal, \"*\" for all of both, or unix:/PATH."},
    {.name = "port",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "5672",
     .min = 0,
     .max = UINT16_MAX,
     FIELD(config_listener, port),
     .doc = "TCP port; 0 lets the system choose a free one (it is logged). Not of a Unix socket."},
    {.name = "tls",
     .type = CONFIG_TYPE_SECTION,
     FIELD(config_listener, tls),
     .line_offset = offsetof(struct config_listener, tls_line),
     .section = &TLS,
     .doc = "The listener speaks TLS, and how; absent: it speaks none."},
    {.name = "proxy_protocol",
     .type = CONFIG_TYPE_SECTION,
     .applies = CONFIG_AT_RESTART,
     FIELD(config_listener, proxy_protocol),
     .section = &PROXY_PROTOCOL,
     .doc = "Connections that come through proxies, and say so; absent: none do."},
    {.name = "mechanisms",
     .type = CONFIG_TYPE_FLAGS,
     .applies = CONFIG_AT_RESTART,
     .default_text = "[PLAIN, AMQPLAIN]",
     FIELD(config_listener, mechanisms),
     .line_offset = offsetof(struct config_listener, mechanisms_line),
     .choices = MECHANISMS,
     .doc = "How clients may log in: passwords (PLAIN, AMQPLAIN), certificates (EXTERNAL)."},
    {.name = "plain_without_tls",
     .type = CONFIG_TYPE_BOOLEAN,
     .applies = CONFIG_AT_RESTART,
     .default_text = "false",
     FIELD(config_listener, plain_without_tls),
     .doc = "Whether passwords are taken without TLS from other machines."},
    END_OF_KEYS,
};

static const struct config_section LISTENER = {
    .keys = LISTENER_KEYS,
    .struct_size = sizeof(struct config_listener),
    .line_offset = offsetof(struct config_listener, line),
};

static const struct config_key SERVER_KEYS[] = {
    {.name = "product",
     .type = CONFIG_TYPE_STRING,
     .applies = CONFIG_AT_RESTART,
     .default_text = "leveret",
     .min = 1,
     .max = 255,
     FIELD(config_server, product),
     .doc = "The product that clients are told; some choose their semantics by it."},
    {.name = "version",
     .type = CONFIG_TYPE_STRING,
     .applies = CONFIG_AT_RESTART,
     .min = 1,
     .max = 255,
     FIELD(config_server, version),
     .doc = "The version that clients are told; absent: leveret's own."},
    {.name = "cluster_name",
     .type = CONFIG_TYPE_STRING,
     .applies = CONFIG_AT_RESTART,
     .min = 1,
     .max = 255,
     FIELD(config_server, cluster_name),
     .doc = "The name of this broker that clients are told; absent: leveret@ and the host's name."},
    END_OF_KEYS,
};

static const struct config_section SERVER = {
    .keys = SERVER_KEYS,
    .struct_size = sizeof(struct config_server),
};

static const struct config_key LIMITS_KEYS[] = {
    {.name = "handshake_timeout_ms",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "10000",
     .min = 100,
     .max = 600000,
     FIELD(config_limits, handshake_timeout_ms),
     .doc = "Time in which a new connection must have opened its virtual host."},
    {.name = "max_connections",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "0",
     .min = 0,
     .max = 10000000,
     FIELD(config_limits, max_connections),
     .doc = "Connections at once; 0: what the limit on open files leaves, less 64."},
    {.name = "max_channels_per_connection",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "2047",
     .min = 1,
     .max = UINT16_MAX,
     FIELD(config_limits, max_channels_per_connection),
     .doc = "Channels of one connection (channel_max of the handshake)."},
    {.name = "frame_max",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "128KiB",
     .min = 4096,
     .max = 16 * 1024 * 1024,
     FIELD(config_limits, frame_max),
     .doc = "Largest frame (frame_max of the handshake)."},
    {.name = "heartbeat_s",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "60",
     .min = 0,
     .max = UINT16_MAX,
     FIELD(config_limits, heartbeat_s),
     .doc = "Heartbeat interval that clients are offered; 0 offers none."},
    {.name = "max_queues",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "1000000",
     .min = 1,
     .max = 100000000,
     FIELD(config_limits, max_queues),
     .doc = "Queues in the whole broker."},
    {.name = "max_consumers_per_channel",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "10000",
     .min = 1,
     .max = 10000000,
     FIELD(config_limits, max_consumers_per_channel),
     .doc = "Consumers on one channel."},
    {.name = "consumer_timeout_ms",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "1800000",
     .min = 0,
     .max = UINT32_MAX,
     FIELD(config_limits, consumer_timeout_ms),
     .doc =
         "How long a delivery may stay unacknowledged before its channel is closed; 0: forever."},
    {.name = "max_message_size",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "16MiB",
     .min = 1,
     .max = 512 * 1024 * 1024,
     FIELD(config_limits, max_message_size_bytes),
     .doc = "Largest message body; a larger one is refused before it is read."},
    {.name = "max_header_table_size",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "128KiB",
     .min = 1024,
     .max = 16 * 1024 * 1024,
     FIELD(config_limits, max_header_table_size_bytes),
     .doc = "Largest table of headers or arguments, encoded; frame_max bounds it as well."},
    {.name = "max_table_depth",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "16",
     .min = 1,
     .max = 32,
     FIELD(config_limits, max_table_depth),
     .doc = "Levels of tables and arrays within each other."},
    {.name = "output_high_watermark",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "1MiB",
     .min = 64 * 1024,
     .max = 1024 * 1024 * 1024,
     FIELD(config_limits, output_high_watermark_bytes),
     .doc = "Unwritten output at which a connection gets no more deliveries until it reads."},
    {.name = "direct_reply_timeout_ms",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "30000",
     .min = 100,
     .max = 3600000,
     FIELD(config_limits, direct_reply_timeout_ms),
     .doc = "How long direct replies wait for a client that reads nothing, before it loses them."},
    {.name = "read_budget",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "256KiB",
     .min = 64 * 1024,
     .max = 64 * 1024 * 1024,
     FIELD(config_limits, read_budget_bytes),
     .doc = "Input taken from one connection before the others have their turn."},
    END_OF_KEYS,
};

static const struct config_section LIMITS = {
    .keys = LIMITS_KEYS,
    .struct_size = sizeof(struct config_limits),
};

static const struct config_choice SYNCS[] = {
    {"always", CONFIG_SYNC_ALWAYS},
    {"interval", CONFIG_SYNC_INTERVAL},
    {"never", CONFIG_SYNC_NEVER},
    {.name = NULL},
};

static const struct config_key JOURNAL_KEYS[] = {
    {.name = "sync",
     .type = CONFIG_TYPE_CHOICE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "always",
     FIELD(config_journal, sync),
     .choices = SYNCS,
     .doc = "When a message counts as durable: synced, synced now and then, or written."},
    {.name = "sync_interval_ms",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "100",
     .min = 1,
     .max = 60000,
     FIELD(config_journal, sync_interval_ms),
     .doc = "Time between syncs with sync: interval."},
    {.name = "segment_size",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "64MiB",
     .min = 1024 * 1024,
     .max = 1024 * 1024 * 1024,
     FIELD(config_journal, segment_size_bytes),
     .doc = "Size at which a segment file ends and the next one begins."},
    {.name = "compact_below_percent",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "50",
     .min = 0,
     .max = 90,
     FIELD(config_journal, compact_below_percent),
     .doc = "Share of live bytes below which a segment is emptied into a newer one; 0: never."},
    {.name = "reserve",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "8MiB",
     .min = 1024 * 1024,
     .max = 1024 * 1024 * 1024,
     FIELD(config_journal, reserve_bytes),
     .doc = "Space that each worker's journal keeps back, to free segments on a full disk."},
    {.name = "write_buffer",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "32MiB",
     .min = 64 * 1024,
     .max = 1024 * 1024 * 1024,
     FIELD(config_journal, write_buffer_bytes),
     .doc = "Bytes waiting for a journal's disk at which its publishers are not read from."},
    END_OF_KEYS,
};

static const struct config_section JOURNAL = {
    .keys = JOURNAL_KEYS,
    .struct_size = sizeof(struct config_journal),
};

static const struct config_key DEAD_LETTERS_KEYS[] = {
    {.name = "window",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "256",
     .min = 1,
     .max = 65536,
     FIELD(config_dead_letters, window),
     .doc = "Dead letters of one queue that wait to be confirmed at a time (at-least-once)."},
    {.name = "retry_min_ms",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "1000",
     .min = 1,
     .max = 3600000,
     FIELD(config_dead_letters, retry_min_ms),
     .doc = "How long after it was not taken a dead letter is sent again, at first."},
    {.name = "retry_max_ms",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "60000",
     .min = 1,
     .max = 3600000,
     FIELD(config_dead_letters, retry_max_ms),
     .doc = "And at most: it doubles each time, until one is taken."},
    END_OF_KEYS,
};

static const struct config_section DEAD_LETTERS = {
    .keys = DEAD_LETTERS_KEYS,
    .struct_size = sizeof(struct config_dead_letters),
};

static const struct config_key MEMORY_KEYS[] = {
    {.name = "target",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "0",
     .min = 0,
     .max = BYTES_MAX,
     FIELD(config_memory, target_bytes),
     .doc = "Memory below which messages stay, by going to the disk; 0: by target_percent."},
    {.name = "target_percent",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "40",
     .min = 1,
     .max = 100,
     FIELD(config_memory, target_percent),
     .doc = "The same as a share of the memory of the machine or the cgroup."},
    {.name = "high_watermark",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "0",
     .min = 0,
     .max = BYTES_MAX,
     FIELD(config_memory, high_watermark_bytes),
     .doc = "Memory at which publishers are blocked; 0: by high_watermark_percent."},
    {.name = "high_watermark_percent",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "60",
     .min = 0,
     .max = 100,
     FIELD(config_memory, high_watermark_percent),
     .doc = "The same as a share of the memory of the machine or the cgroup; 0: no alarm."},
    END_OF_KEYS,
};

static const struct config_section MEMORY = {
    .keys = MEMORY_KEYS,
    .struct_size = sizeof(struct config_memory),
};

static const struct config_key DISK_KEYS[] = {
    {.name = "free_limit",
     .type = CONFIG_TYPE_SIZE,
     .applies = CONFIG_AT_RESTART,
     .default_text = "50MiB",
     .min = 0,
     .max = BYTES_MAX,
     FIELD(config_disk, free_limit_bytes),
     .doc = "Free space of data_dir below which publishers are blocked; 0: no alarm."},
    END_OF_KEYS,
};

static const struct config_section DISK = {
    .keys = DISK_KEYS,
    .struct_size = sizeof(struct config_disk),
};

static const struct config_key ADMIN_KEYS[] = {
    {.name = "socket",
     .type = CONFIG_TYPE_STRING,
     .applies = CONFIG_AT_RESTART,
     .min = 1,
     .max = 107,
     FIELD(config_admin, socket),
     .doc = "Path of the socket that leveretctl opens; absent: admin.sock in data_dir."},
    END_OF_KEYS,
};

static const struct config_section ADMIN = {
    .keys = ADMIN_KEYS,
    .struct_size = sizeof(struct config_admin),
};

static const struct config_choice LOG_LEVELS[] = {
    {"debug", LOG_LEVEL_DEBUG},
    {"info", LOG_LEVEL_INFO},
    {"warning", LOG_LEVEL_WARNING},
    {"error", LOG_LEVEL_ERROR},
    {NULL, 0},
};

static const struct config_choice LOG_FORMATS[] = {
    {"text", LOG_FORMAT_TEXT},
    {"json", LOG_FORMAT_JSON},
    {NULL, 0},
};

static const struct config_key LOG_KEYS[] = {
    {.name = "level",
     .type = CONFIG_TYPE_CHOICE,
     .default_text = "info",
     FIELD(config_log, level),
     .choices = LOG_LEVELS,
     .doc = "What is less important than this is not logged."},
    {.name = "format",
     .type = CONFIG_TYPE_CHOICE,
     .default_text = "text",
     FIELD(config_log, format),
     .choices = LOG_FORMATS,
     .doc = "Lines for people, or a JSON object a line for machines."},
    {.name = "output",
     .type = CONFIG_TYPE_STRING,
     .default_text = "stderr",
     .min = 1,
     .max = 4095,
     FIELD(config_log, path),
     .doc = "stderr, or the path of a file that is appended to (reopened at a reload)."},
    END_OF_KEYS,
};

static const struct config_section LOG = {
    .keys = LOG_KEYS,
    .struct_size = sizeof(struct config_log),
};

static const struct config_key LOGIN_KEYS[] = {
    {.name = "threads",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "1",
     .min = 1,
     .max = 64,
     FIELD(config_login, threads),
     .doc = "Threads that check passwords, behind the workers' backs."},
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
     .doc = "How long one waits at most; 0: none waits."},
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

static const struct config_section LOGIN = {
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
     .doc = "The name to log in with."},
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

static const struct config_section USER = {
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

static const struct config_section VHOST = {
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

static const struct config_section PERMISSION = {
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

static const struct config_section TOPIC_PERMISSION = {
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

static const struct config_section LOOPBACK_USER = {
    .keys = LOOPBACK_USER_KEYS,
    .struct_size = sizeof(struct config_name),
    .line_offset = offsetof(struct config_name, line),
};

static const struct config_key EXCHANGE_KEYS[] = {
    {.name = "vhost",
     .type = CONFIG_TYPE_NAME,
     .default_text = "/",
     .min = 1,
     .max = 255,
     FIELD(config_exchange, vhost),
     .doc = "A virtual host of this file."},
    {.name = "name",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_exchange, name),
     .doc = "The name of the exchange."},
    {.name = "type",
     .type = CONFIG_TYPE_NAME,
     .default_text = "direct",
     .min = 1,
     .max = 255,
     FIELD(config_exchange, type),
     .doc = "direct, fanout, topic, headers, x-consistent-hash, x-modulus-hash, x-random or "
            "x-delayed-message."},
    {.name = "durable",
     .type = CONFIG_TYPE_BOOLEAN,
     .default_text = "true",
     FIELD(config_exchange, durable),
     .doc = "Whether it outlives a restart."},
    {.name = "auto_delete",
     .type = CONFIG_TYPE_BOOLEAN,
     .default_text = "false",
     FIELD(config_exchange, auto_delete),
     .doc = "Whether it goes with its last binding."},
    {.name = "internal",
     .type = CONFIG_TYPE_BOOLEAN,
     .default_text = "false",
     FIELD(config_exchange, internal),
     .doc = "Whether only other exchanges may publish to it."},
    {.name = "arguments",
     .type = CONFIG_TYPE_ARGUMENTS,
     .default_text = "{}",
     FIELD(config_exchange, arguments),
     .doc = "Optional arguments, such as alternate-exchange."},
    END_OF_KEYS,
};

static const struct config_section EXCHANGE = {
    .keys = EXCHANGE_KEYS,
    .struct_size = sizeof(struct config_exchange),
    .line_offset = offsetof(struct config_exchange, line),
};

static const struct config_key QUEUE_KEYS[] = {
    {.name = "vhost",
     .type = CONFIG_TYPE_NAME,
     .default_text = "/",
     .min = 1,
     .max = 255,
     FIELD(config_queue, vhost),
     .doc = "A virtual host of this file."},
    {.name = "name",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_queue, name),
     .doc = "The name of the queue."},
    {.name = "durable",
     .type = CONFIG_TYPE_BOOLEAN,
     .default_text = "true",
     FIELD(config_queue, durable),
     .doc = "Whether it outlives a restart."},
    {.name = "auto_delete",
     .type = CONFIG_TYPE_BOOLEAN,
     .default_text = "false",
     FIELD(config_queue, auto_delete),
     .doc = "Whether it goes with its last consumer."},
    {.name = "arguments",
     .type = CONFIG_TYPE_ARGUMENTS,
     .default_text = "{}",
     FIELD(config_queue, arguments),
     .doc = "Optional arguments, such as x-dead-letter-exchange."},
    END_OF_KEYS,
};

static const struct config_section QUEUE = {
    .keys = QUEUE_KEYS,
    .struct_size = sizeof(struct config_queue),
    .line_offset = offsetof(struct config_queue, line),
};

static const struct config_key VHOST_LIMIT_KEYS[] = {
    {.name = "vhost",
     .type = CONFIG_TYPE_NAME,
     .default_text = "/",
     .min = 1,
     .max = 255,
     FIELD(config_vhost_limit, vhost),
     .doc = "A virtual host of this file."},
    {.name = "max_connections",
     .type = CONFIG_TYPE_INTEGER,
     .default_text = "0",
     .max = UINT32_MAX,
     FIELD(config_vhost_limit, max_connections),
     .doc = "Connections that may be open in it at once; 0: no limit."},
    {.name = "max_queues",
     .type = CONFIG_TYPE_INTEGER,
     .default_text = "0",
     .max = UINT32_MAX,
     FIELD(config_vhost_limit, max_queues),
     .doc = "Queues that there may be in it; 0: no limit."},
    END_OF_KEYS,
};

static const struct config_section VHOST_LIMIT = {
    .keys = VHOST_LIMIT_KEYS,
    .struct_size = sizeof(struct config_vhost_limit),
    .line_offset = offsetof(struct config_vhost_limit, line),
};

static const struct config_key POLICY_KEYS[] = {
    {.name = "vhost",
     .type = CONFIG_TYPE_NAME,
     .default_text = "/",
     .min = 1,
     .max = 255,
     FIELD(config_policy, vhost),
     .doc = "A virtual host of this file."},
    {.name = "name",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_policy, name),
     .doc = "The name of the policy."},
    {.name = "pattern",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .max = 4095,
     FIELD(config_policy, pattern),
     .doc = "Pattern of the names of the queues and exchanges that it applies to."},
    {.name = "apply_to",
     .type = CONFIG_TYPE_NAME,
     .default_text = "all",
     .min = 1,
     .max = 32,
     FIELD(config_policy, apply_to),
     .doc = "all, queues, classic_queues, quorum_queues or exchanges."},
    {.name = "priority",
     .type = CONFIG_TYPE_INTEGER,
     .default_text = "0",
     .max = INT32_MAX,
     FIELD(config_policy, priority),
     .doc = "Of the policies that match, the one with the highest priority applies."},
    {.name = "definition",
     .type = CONFIG_TYPE_ARGUMENTS,
     .required = true,
     FIELD(config_policy, definition),
     .line_offset = offsetof(struct config_policy, definition_line),
     .doc = "What it says, such as message-ttl (docs/policies.md)."},
    END_OF_KEYS,
};

static const struct config_section POLICY = {
    .keys = POLICY_KEYS,
    .struct_size = sizeof(struct config_policy),
    .line_offset = offsetof(struct config_policy, line),
};

static const struct config_choice DESTINATION_TYPES[] = {
    {"queue", CONFIG_DESTINATION_QUEUE},
    {"exchange", CONFIG_DESTINATION_EXCHANGE},
    {NULL, 0},
};

static const struct config_key BINDING_KEYS[] = {
    {.name = "vhost",
     .type = CONFIG_TYPE_NAME,
     .default_text = "/",
     .min = 1,
     .max = 255,
     FIELD(config_binding, vhost),
     .doc = "A virtual host of this file."},
    {.name = "source",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_binding, source),
     .doc =
         "The exchange that messages come through: of this file, or predeclared (amq.topic, …)."},
    {.name = "destination",
     .type = CONFIG_TYPE_NAME,
     .required = true,
     .min = 1,
     .max = 255,
     FIELD(config_binding, destination),
     .doc = "The queue or exchange of this file that they go to."},
    {.name = "destination_type",
     .type = CONFIG_TYPE_CHOICE,
     .default_text = "queue",
     FIELD(config_binding, destination_type),
     .choices = DESTINATION_TYPES,
     .doc = "Whether the destination is a queue or an exchange."},
    {.name = "routing_key",
     .type = CONFIG_TYPE_NAME,
     .default_text = "",
     .max = 255,
     FIELD(config_binding, routing_key),
     .doc = "The routing key, or the pattern of a topic exchange."},
    {.name = "arguments",
     .type = CONFIG_TYPE_ARGUMENTS,
     .default_text = "{}",
     FIELD(config_binding, arguments),
     .doc = "Optional arguments: what a headers exchange compares."},
    END_OF_KEYS,
};

static const struct config_section BINDING = {
    .keys = BINDING_KEYS,
    .struct_size = sizeof(struct config_binding),
    .line_offset = offsetof(struct config_binding, line),
};

static const struct config_key TOPOLOGY_KEYS[] = {
    {.name = "exchanges",
     .type = CONFIG_TYPE_LIST,
     FIELD(config_topology, exchanges),
     .section = &EXCHANGE,
     .doc = "Exchanges to declare."},
    {.name = "queues",
     .type = CONFIG_TYPE_LIST,
     FIELD(config_topology, queues),
     .section = &QUEUE,
     .doc = "Queues to declare."},
    {.name = "bindings",
     .type = CONFIG_TYPE_LIST,
     FIELD(config_topology, bindings),
     .section = &BINDING,
     .doc = "Bindings to make."},
    END_OF_KEYS,
};

static const struct config_section TOPOLOGY = {
    .keys = TOPOLOGY_KEYS,
    .struct_size = sizeof(struct config_topology),
};

static const struct config_key TOP_KEYS[] = {
    {.name = "listeners",
     .type = CONFIG_TYPE_LIST,
     .applies = CONFIG_AT_RESTART,
     .min = 1,
     FIELD(config, listeners),
     .section = &LISTENER,
     .doc = "Where clients connect; absent: one on every address, port 5672."},
    {.name = "workers",
     .type = CONFIG_TYPE_INTEGER,
     .applies = CONFIG_AT_RESTART,
     .default_text = "0",
     .min = 0,
     .max = CONFIG_WORKERS_MAX,
     FIELD(config, workers),
     .doc = "Worker threads; 0: the number of CPUs."},
    {.name = "follow_queues",
     .type = CONFIG_TYPE_BOOLEAN,
     .applies = CONFIG_AT_RESTART,
     .default_text = "true",
     FIELD(config, follow_queues),
     .doc =
         "A connection moves to the worker of the first queue it consumes from or publishes to."},
    {.name = "data_dir",
     .type = CONFIG_TYPE_STRING,
     .applies = CONFIG_AT_RESTART,
     .default_text = "/var/lib/leveret",
     .min = 1,
     .max = 4095,
     FIELD(config, data_dir),
     .doc = "Directory of what is kept on disk."},
    {.name = "load_definitions",
     .type = CONFIG_TYPE_STRING,
     .applies = CONFIG_AT_RESTART,
     .min = 1,
     .max = 4095,
     FIELD(config, load_definitions),
     .doc = "File of definitions in RabbitMQ's JSON format that is imported at start."},
    {.name = "server",
     .type = CONFIG_TYPE_SECTION,
     .applies = CONFIG_AT_RESTART,
     FIELD(config, server),
     .section = &SERVER,
     .doc = "What the broker tells clients about itself."},
    {.name = "limits",
     .type = CONFIG_TYPE_SECTION,
     .applies = CONFIG_AT_RESTART,
     FIELD(config, limits),
     .section = &LIMITS,
     .doc = "What a client may ask for."},
    {.name = "journal",
     .type = CONFIG_TYPE_SECTION,
     .applies = CONFIG_AT_RESTART,
     FIELD(config, journal),
     .section = &JOURNAL,
     .doc = "How messages are made durable."},
    {.name = "dead_letters",
     .type = CONFIG_TYPE_SECTION,
     .applies = CONFIG_AT_RESTART,
     FIELD(config, dead_letters),
     .section = &DEAD_LETTERS,
     .doc = "Dead letters that are kept until they are confirmed."},
    {.name = "memory",
     .type = CONFIG_TYPE_SECTION,
     .applies = CONFIG_AT_RESTART,
     FIELD(config, memory),
     .section = &MEMORY,
     .doc = "How much memory messages may take."},
    {.name = "disk",
     .type = CONFIG_TYPE_SECTION,
     .applies = CONFIG_AT_RESTART,
     FIELD(config, disk),
     .section = &DISK,
     .doc = "How much of the disk stays free."},
    {.name = "admin",
     .type = CONFIG_TYPE_SECTION,
     .applies = CONFIG_AT_RESTART,
     FIELD(config, admin),
     .section = &ADMIN,
     .doc = "Where the broker is looked after."},
    {.name = "log",
     .type = CONFIG_TYPE_SECTION,
     FIELD(config, log),
     .section = &LOG,
     .doc = "What is logged, how and where."},
    {.name = "login",
     .type = CONFIG_TYPE_SECTION,
     .applies = CONFIG_AT_RESTART,
     FIELD(config, login),
     .section = &LOGIN,
     .doc = "How passwords are checked, and guessing them made slow."},
    {.name = "users",
     .type = CONFIG_TYPE_LIST,
     FIELD(config, users),
     .section = &USER,
     .doc = "Who may log in; absent: guest, password guest, from loopback addresses only."},
    {.name = "loopback_users",
     .type = CONFIG_TYPE_NAMES,
     FIELD(config, loopback_users),
     .section = &LOOPBACK_USER,
     .doc = "Users made at run time that may only connect from loopback; absent: guest."},
    {.name = "vhosts",
     .type = CONFIG_TYPE_NAMES,
     .min = 1,
     FIELD(config, vhosts),
     .section = &VHOST,
     .doc = "Names of the virtual hosts; absent: \"/\"."},
    {.name = "permissions",
     .type = CONFIG_TYPE_LIST,
     FIELD(config, permissions),
     .section = &PERMISSION,
     .doc = "Who may do what where; absent, and users too: guest everything on \"/\"."},
    {.name = "topic_permissions",
     .type = CONFIG_TYPE_LIST,
     FIELD(config, topic_permissions),
     .section = &TOPIC_PERMISSION,
     .doc = "Which routing keys a user may use with a topic exchange; absent: all."},
    {.name = "vhost_limits",
     .type = CONFIG_TYPE_LIST,
     FIELD(config, vhost_limits),
     .section = &VHOST_LIMIT,
     .doc = "How many connections and queues a virtual host may have; absent: no limits."},
    {.name = "policies",
     .type = CONFIG_TYPE_LIST,
     FIELD(config, policies),
     .section = &POLICY,
     .doc = "What applies to queues and exchanges whose names match a pattern."},
    {.name = "operator_policies",
     .type = CONFIG_TYPE_LIST,
     FIELD(config, operator_policies),
     .section = &POLICY,
     .doc = "Limits of queues that neither arguments nor policies go beyond."},
    {.name = "topology",
     .type = CONFIG_TYPE_SECTION,
     FIELD(config, topology),
     .section = &TOPOLOGY,
     .doc = "What is declared before the first client comes."},
    END_OF_KEYS,
};

const struct config_section config_schema = {
    .keys = TOP_KEYS,
    .struct_size = sizeof(struct config),
};

#define PATH_SIZE 128

static void walk(const struct config_section *section, const char *prefix,
                 void (*visit)(const char *path, const struct config_key *key, void *context),
                 void *context)
{
    for (const struct config_key *key = section->keys; key->name != NULL; key++) {
        bool list = key->type == CONFIG_TYPE_LIST;
        char path[PATH_SIZE];

        snprintf(path, sizeof(path), "%s%s", prefix, key->name);
        visit(path, key, context);
        if (!list && key->type != CONFIG_TYPE_SECTION)
            continue;
        snprintf(path, sizeof(path), "%s%s%s", prefix, key->name, list ? "[]." : ".");
        walk(key->section, path, visit, context);
    }
}

void config_schema_walk(void (*visit)(const char *path, const struct config_key *key,
                                      void *context),
                        void *context)
{
    walk(&config_schema, "", visit, context);
}
