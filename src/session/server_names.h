/* Names the server makes up: of queues (amq.gen-…) and consumers (amq.ctag-…). */
#ifndef LEVERET_SESSION_SERVER_NAMES_H
#define LEVERET_SESSION_SERVER_NAMES_H

enum {
    /* A prefix of up to 9 characters, 22 of 64 possible ones, and the terminator. */
    SERVER_NAME_SIZE = 9 + 22 + 1,
};

/* Writes `prefix` and 132 random bits in URL-safe characters. Any thread. */
void server_name_make(const char *prefix, char out[SERVER_NAME_SIZE]);

#endif
