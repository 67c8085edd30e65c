/* Responses of the SASL mechanisms. The first octet picks the mechanism and says whether the
 * transport vouches for somebody; the rest is the response. */
#include "auth/sasl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const NAMES[] = {"PLAIN", "AMQPLAIN", "EXTERNAL"};

/* What is read is in the response, or the identity. */
static void hold(struct bytes part, struct bytes response, const struct sasl_peer *peer)
{
    if (part.size == 0 || part.data == peer->identity.data)
        return;
    if (part.data < response.data || part.data + part.size > response.data + response.size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sasl_peer peer = {.is_private = true};
    const struct sasl_mechanism *m;
    struct sasl_credentials found;
    struct bytes response;

    if (size == 0)
        return 0;
    m = sasl_mechanism_find(bytes_from_string(NAMES[data[0] % 3]));
    if ((data[0] & 0x80) != 0)
        peer.identity = bytes_from_string("guest");
    response = bytes_of(data + 1, size - 1);
    if (m->start(response, &peer, &found) < 0)
        return 0;
    /* Nobody gets in without a name, and without a password only whom the transport vouches for. */
    if (found.username.size == 0)
        abort();
    if (found.password.data == NULL &&
        (peer.identity.data == NULL || (m->flags & SASL_NEEDS_IDENTITY) == 0))
        abort();
    hold(found.username, response, &peer);
    hold(found.password, response, &peer);
    return 0;
}
