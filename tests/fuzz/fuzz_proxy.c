/* PROXY headers from whoever reaches the port: whatever arrives in whatever pieces, the parser
 * never asks for what is behind a header's end, says the same of a header in pieces as of a whole
 * one, and ends. */
#include "net/proxy_header.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool same_address(const struct socket_address *a, const struct socket_address *b)
{
    char a_text[SOCKET_ADDRESS_TEXT_SIZE];
    char b_text[SOCKET_ADDRESS_TEXT_SIZE];

    socket_address_format(a, a_text);
    socket_address_format(b, b_text);
    return strcmp(a_text, b_text) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole = {.own = false};
    struct proxy_header pieces = {.own = false};
    size_t got = 0;
    size_t wanted;
    ssize_t all;
    ssize_t end = 0;

    /* As a connection reads it. */
    while (end == 0) {
        /* An allocation of its own, so that a read behind it is found. */
        uint8_t *copy = malloc(got + 1);

        if (got != 0)
            memcpy(copy, data, got);
        end = proxy_header_parse(bytes_of(copy, got), &pieces, &wanted);
        free(copy);
        if (end != 0)
            break;
        require(wanted > 0 && got + wanted <= PROXY_HEADER_SIZE_MAX);
        if (got + wanted > size)
            return 0;
        got += wanted;
    }
    if (end > 0)
        require((size_t)end == got);
    all = proxy_header_parse(bytes_of(data, size), &whole, &wanted);
    require(all == end || (end < 0 && all <= 0));
    if (all > 0) {
        require(whole.own == pieces.own);
        require(whole.own || same_address(&whole.client, &pieces.client));
    }
    return 0;
}
