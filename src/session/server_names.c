#include "session/server_names.h"

#include "base/random.h"

#include <stdint.h>
#include <string.h>

#define RANDOM_CHARACTERS 22

void server_name_make(const char *prefix, char out[SERVER_NAME_SIZE])
{
    static const char ALPHABET[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t random[RANDOM_CHARACTERS];
    size_t used = strnlen(prefix, SERVER_NAME_SIZE - RANDOM_CHARACTERS - 1);

    random_bytes(random, sizeof(random));
    memcpy(out, prefix, used);
    for (int i = 0; i < RANDOM_CHARACTERS; i++)
        out[used++] = ALPHABET[random[i] & 63];
    out[used] = '\0';
}
