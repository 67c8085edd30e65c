#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum {
    V1_LINE_SIZE_MAX = 107, /* with its end, as the specification counts */
    V2_START_SIZE = 16,
    V2_VERSION = 2,
    V2_COMMAND_LOCAL = 0,
    V2_COMMAND_PROXY = 1,
    V2_UNSPECIFIED = 0x00,
    V2_TCP_OVER_IPV4 = 0x11,
    V2_TCP_OVER_IPV6 = 0x21,
    V2_UNIX_STREAM = 0x31,
    V2_IPV4_SIZE = 12,
    V2_IPV6_SIZE = 36,
    V2_UNIX_SIZE = 216,
};

static const uint8_t V2_SIGNATURE[PROXY_HEADER_SIZE_MIN] = "\r\n\r\n\0\r\nQUIT\n";
static const char V1_SIGNATURE[] = "PROXY ";

/* The shortest lines there are of each kind. */
static const struct {
    const char *start;
    size_t size;
    int family; /* AF_UNSPEC: unknown */
} V1_KINDS[] = {
    {"PROXY UNKNOWN", sizeof("PROXY UNKNOWN\r\n") - 1, AF_UNSPEC},
    {"PROXY TCP4 ", sizeof("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n") - 1, AF_INET},
    {"PROXY TCP6 ", sizeof("PROXY TCP6 :: :: 0 0\r\n") - 1, AF_INET6},
};

static bool starts_alike(struct bytes input, const void *start, size_t size)
{
    return memcmp(input.data, start, input.size < size ? input.size : size) == 0;
}

/* ---- Version 1: a line of text ---- */

/* A decimal number up to 65535 without leading zeros. */
static bool parse_port(const char *text, uint16_t *out)
{
    unsigned long n = 0;

    if (text[0] == '\0' || strlen(text) > 5 || (text[0] == '0' && text[1] != '\0'))
        return false;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9')
            return false;
        n = n * 10 + (unsigned long)(*p - '0');
    }
    *out = (uint16_t)n;
    return n <= UINT16_MAX;
}

/* "SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT" */
static int parse_v1_addresses(char *text, int family, struct socket_address *client)
{
    char *fields[4];
    uint8_t destination[sizeof(struct in6_addr)];
    uint16_t source_port;
    uint16_t destination_port;

    for (size_t i = 0; i < 4; i++) {
        assert(text != NULL); /* only the last field has no space behind it */
        fields[i] = text;
        text = strchr(text, ' ');
        if ((text == NULL) != (i == 3))
            return -EINVAL;
        if (text != NULL)
            *text++ = '\0';
    }
    if (!parse_port(fields[2], &source_port) || !parse_port(fields[3], &destination_port) ||
        inet_pton(family, fields[1], destination) != 1 ||
        inet_pton(family, fields[0], destination) != 1)
        return -EINVAL;
    return socket_address_parse(client, fields[0], source_port);
}

static ssize_t parse_v1(struct bytes input, struct proxy_header *out, size_t *wanted)
{
    const uint8_t *end = memchr(input.data, '\n', input.size);
    char line[V1_LINE_SIZE_MAX + 1];
    size_t kind = 0;
    size_t size;

    while (kind < 3 && !starts_alike(input, V1_KINDS[kind].start, strlen(V1_KINDS[kind].start)))
        kind++;
    if (kind == 3)
        return -EINVAL;
    if (end == NULL) {
        if (input.size >= V1_LINE_SIZE_MAX)
            return -EINVAL;
        /* The end is "\r\n". */
        *wanted = input.data[input.size - 1] == '\r' ? 1 : 2;
        if (input.size + *wanted < V1_KINDS[kind].size)
            *wanted = V1_KINDS[kind].size - input.size;
        if (*wanted > V1_LINE_SIZE_MAX - input.size)
            *wanted = V1_LINE_SIZE_MAX - input.size;
        return 0;
    }
    size = (size_t)(end - input.data) + 1;
    if (size > V1_LINE_SIZE_MAX || size < V1_KINDS[kind].size || end[-1] != '\r' ||
        memchr(input.data, 0, size) != NULL)
        return -EINVAL;
    memcpy(line, input.data, size - 2);
    line[size - 2] = '\0';
    out->own = V1_KINDS[kind].family == AF_UNSPEC;
    if (!out->own && parse_v1_addresses(line + strlen(V1_KINDS[kind].start), V1_KINDS[kind].family,
                                        &out->client) < 0)
        return -EINVAL;
    return (ssize_t)size;
}

/* ---- Version 2: binary ---- */

static void set_ipv4(struct socket_address *a, const uint8_t *source, const uint8_t *port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&a->storage;

    memset(a, 0, sizeof(*a));
    in->sin_family = AF_INET;
    memcpy(&in->sin_addr, source, sizeof(in->sin_addr));
    memcpy(&in->sin_port, port, sizeof(in->sin_port));
    a->size = sizeof(*in);
}

static void set_ipv6(struct socket_address *a, const uint8_t *source, const uint8_t *port)
{
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)&a->storage;

    memset(a, 0, sizeof(*a));
    in->sin6_family = AF_INET6;
    memcpy(&in->sin6_addr, source, sizeof(in->sin6_addr));
    memcpy(&in->sin6_port, port, sizeof(in->sin6_port));
    a->size = sizeof(*in);
}

/* The addresses behind the start: source, destination, source's port, destination's port. */
static int parse_v2_addresses(const uint8_t *data, size_t size, uint8_t family,
                              struct proxy_header *out)
{
    switch (family) {
    case V2_TCP_OVER_IPV4:
        if (size < V2_IPV4_SIZE)
            return -EINVAL;
        set_ipv4(&out->client, data, data + 8);
        return 0;
    case V2_TCP_OVER_IPV6:
        if (size < V2_IPV6_SIZE)
            return -EINVAL;
        set_ipv6(&out->client, data, data + 32);
        return 0;
    case V2_UNIX_STREAM:
        out->own = true;
        return size < V2_UNIX_SIZE ? -EINVAL : 0;
    case V2_UNSPECIFIED:
        out->own = true;
        return 0;
    default:
        return -EINVAL;
    }
}

static ssize_t parse_v2(struct bytes input, struct proxy_header *out, size_t *wanted)
{
    uint8_t command;
    size_t size;

    if (input.size < V2_START_SIZE) {
        *wanted = V2_START_SIZE - input.size;
        return 0;
    }
    command = input.data[12] & 0x0f;
    size = V2_START_SIZE + ((size_t)input.data[14] << 8 | input.data[15]);
    if (input.data[12] >> 4 != V2_VERSION || command > V2_COMMAND_PROXY ||
        size > PROXY_HEADER_SIZE_MAX)
        return -EINVAL;
    if (input.size < size) {
        *wanted = size - input.size;
        return 0;
    }
    out->own = command == V2_COMMAND_LOCAL;
    if (!out->own && parse_v2_addresses(input.data + V2_START_SIZE, size - V2_START_SIZE,
                                        input.data[13], out) < 0)
        return -EINVAL;
    return (ssize_t)size;
}

ssize_t proxy_header_parse(struct bytes input, struct proxy_header *out, size_t *wanted)
{
    bool v1;

    *wanted = PROXY_HEADER_SIZE_MIN;
    if (input.size == 0)
        return 0;
    v1 = starts_alike(input, V1_SIGNATURE, sizeof(V1_SIGNATURE) - 1);
    if (!v1 && !starts_alike(input, V2_SIGNATURE, sizeof(V2_SIGNATURE)))
        return -EINVAL;
    if (input.size < PROXY_HEADER_SIZE_MIN) {
        *wanted = PROXY_HEADER_SIZE_MIN - input.size;
        return 0;
    }
    return v1 ? parse_v1(input, out, wanted) : parse_v2(input, out, wanted);
}
