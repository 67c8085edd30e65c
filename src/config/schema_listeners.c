/* The keys of `listeners:`. */
#include "config/schema_internal.h"

#include "net/listener.h"
#include "net/network.h"

#include <string.h>

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

static const struct config_choice TLS_CRL_CHECKS[] = {
    {"chain", TLS_CRL_CHECK_CHAIN},
    {"peer", TLS_CRL_CHECK_PEER},
    {"best_effort", TLS_CRL_CHECK_BEST_EFFORT},
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
    {"san_uri", TLS_NAME_SAN_URI},
    {"san_ip", TLS_NAME_SAN_IP},
    {"san_other_name", TLS_NAME_SAN_OTHER},
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
    {.name = "crl_check",
     .type = CONFIG_TYPE_CHOICE,
     .default_text = "chain",
     FIELD(config_tls, crl_check),
     .line_offset = offsetof(struct config_tls, crl_check_line),
     .choices = TLS_CRL_CHECKS,
     .doc = "With crl: a client's certificate and those above it, its own alone, or what lists are "
            "there for."},
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
    {.name = "user_san_index",
     .type = CONFIG_TYPE_INTEGER,
     .default_text = "0",
     .min = 0,
     .max = 255,
     FIELD(config_tls, user_san_index),
     .doc = "Of several alternative names of that type, which: 0 is the first."},
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
     .line_offset = offsetof(struct config_listener, port_line),
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

const struct config_section config_section_listener = {
    .keys = LISTENER_KEYS,
    .struct_size = sizeof(struct config_listener),
    .line_offset = offsetof(struct config_listener, line),
};
