#include "auth/sasl.h"

#include "amqp/table.h"
#include "config/config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A password that was given, also an empty one. */
static struct bytes given(struct bytes password)
{
    return password.data != NULL ? password : bytes_from_string("");
}

/* RFC 4616: [authzid] NUL authcid NUL passwd. Acting as somebody else is not offered, so authzid
 * is empty or authcid again. */
static int plain_start(struct bytes response, const struct sasl_peer *peer,
                       struct sasl_credentials *out)
{
    struct bytes parts[3];
    size_t count = 0;
    size_t start = 0;

    (void)peer;
    for (size_t i = 0; i <= response.size; i++) {
        if (i < response.size && response.data[i] != 0)
            continue;
        if (count == 3)
            return -EINVAL;
        parts[count++] = bytes_of(response.data + start, i - start);
        start = i + 1;
    }
    if (count != 3 || parts[1].size == 0)
        return -EINVAL;
    if (parts[0].size != 0 && !bytes_equal(parts[0], parts[1]))
        return -EINVAL;
    out->username = parts[1];
    out->password = given(parts[2]);
    return 0;
}

/* A field table without its length, with the strings LOGIN and PASSWORD (what RabbitMQ's clients
 * send; there is no specification). */
static int amqplain_start(struct bytes response, const struct sasl_peer *peer,
                          struct sasl_credentials *out)
{
    struct value login;
    struct value password;

    (void)peer;
    if (amqp_table_validate(response, &AMQP_TABLE_LIMITS, NULL) < 0 ||
        !amqp_table_find(response, "LOGIN", &login) ||
        !amqp_table_find(response, "PASSWORD", &password))
        return -EINVAL;
    if (login.type != VALUE_STRING || password.type != VALUE_STRING || login.bytes.size == 0)
        return -EINVAL;
    out->username = login.bytes;
    out->password = given(password.bytes);
    return 0;
}

/* RFC 4422, appendix A. What the client says is not looked at, as RabbitMQ does it: some send a
 * name, others nothing, and it gets in as whom the transport vouches for in any case. */
static int external_start(struct bytes response, const struct sasl_peer *peer,
                          struct sasl_credentials *out)
{
    (void)response;
    if (peer->identity.data == NULL || peer->identity.size == 0)
        return -EINVAL;
    out->username = peer->identity;
    out->password = bytes_of(NULL, 0);
    return 0;
}

/* In the order of preference. */
static const struct sasl_mechanism MECHANISMS[] = {
    {"PLAIN", CONFIG_MECHANISM_PLAIN, SASL_SENDS_PASSWORD, plain_start},
    {"AMQPLAIN", CONFIG_MECHANISM_AMQPLAIN, SASL_SENDS_PASSWORD, amqplain_start},
    {"EXTERNAL", CONFIG_MECHANISM_EXTERNAL, SASL_NEEDS_IDENTITY, external_start},
};

enum {
    MECHANISM_COUNT = sizeof(MECHANISMS) / sizeof(MECHANISMS[0]),
};

const struct sasl_mechanism *sasl_mechanism_find(struct bytes name)
{
    for (size_t i = 0; i < MECHANISM_COUNT; i++) {
        if (bytes_equal_string(name, MECHANISMS[i].name))
            return &MECHANISMS[i];
    }
    return NULL;
}

static bool fits(const struct sasl_mechanism *m, const struct sasl_peer *peer,
                 bool passwords_anyway)
{
    if ((m->flags & SASL_NEEDS_IDENTITY) != 0 && peer->identity.data == NULL)
        return false;
    return (m->flags & SASL_SENDS_PASSWORD) == 0 || peer->is_private || passwords_anyway;
}

uint32_t sasl_offered(uint32_t configured, const struct sasl_peer *peer, bool passwords_anyway)
{
    uint32_t offered = 0;

    for (size_t i = 0; i < MECHANISM_COUNT; i++) {
        if ((configured & MECHANISMS[i].bit) != 0 && fits(&MECHANISMS[i], peer, passwords_anyway))
            offered |= MECHANISMS[i].bit;
    }
    return offered;
}

size_t sasl_names(uint32_t mechanisms, char out[SASL_NAMES_SIZE])
{
    size_t size = 0;

    for (size_t i = 0; i < MECHANISM_COUNT; i++) {
        size_t name_size = strlen(MECHANISMS[i].name);

        if ((mechanisms & MECHANISMS[i].bit) == 0)
            continue;
        assert(size + name_size + 2 <= SASL_NAMES_SIZE);
        if (size != 0)
            out[size++] = ' ';
        memcpy(out + size, MECHANISMS[i].name, name_size);
        size += name_size;
    }
    out[size] = '\0';
    return size;
}
