#include "auth/sasl.h"

#include "amqp/table.h"

#include <errno.h>

/* RFC 4616: [authzid] NUL authcid NUL passwd. Acting as somebody else is not offered, so authzid
 * is empty or authcid again. */
static int plain_start(struct bytes response, struct sasl_credentials *out)
{
    struct bytes parts[3];
    size_t count = 0;
    size_t start = 0;

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
    out->password = parts[2];
    return 0;
}

/* A field table without its length, with the strings LOGIN and PASSWORD (what RabbitMQ's clients
 * send; there is no specification). */
static int amqplain_start(struct bytes response, struct sasl_credentials *out)
{
    struct value login;
    struct value password;

    if (amqp_table_validate(response, &AMQP_TABLE_LIMITS, NULL) < 0 ||
        !amqp_table_find(response, "LOGIN", &login) ||
        !amqp_table_find(response, "PASSWORD", &password))
        return -EINVAL;
    if (login.type != VALUE_STRING || password.type != VALUE_STRING || login.bytes.size == 0)
        return -EINVAL;
    out->username = login.bytes;
    out->password = password.bytes;
    return 0;
}

/* What the client says is not looked at, as RabbitMQ does it: some send a name, others nothing, and
 * it gets in as whom its certificate says in any case. */
static int external_start(struct bytes response, struct sasl_credentials *out)
{
    (void)response;
    *out = (struct sasl_credentials){.username = bytes_of(NULL, 0)};
    return 0;
}

static const struct sasl_mechanism MECHANISMS[] = {
    {.name = "PLAIN", .start = plain_start},
    {.name = "AMQPLAIN", .start = amqplain_start},
    {.name = "EXTERNAL", .start = external_start, .by_certificate = true},
};

const struct sasl_mechanism *sasl_mechanism_find(struct bytes name)
{
    for (size_t i = 0; i < sizeof(MECHANISMS) / sizeof(*MECHANISMS); i++) {
        if (bytes_equal_string(name, MECHANISMS[i].name))
            return &MECHANISMS[i];
    }
    return NULL;
}

const char *sasl_mechanism_names(bool has_certificate)
{
    return has_certificate ? "PLAIN AMQPLAIN EXTERNAL" : "PLAIN AMQPLAIN";
}
