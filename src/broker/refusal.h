/* Why the broker refuses a command: the reply code and the text a client will see, without the
 * code's name in front. The codes are those of AMQP 0-9-1 §1.2; the texts are RabbitMQ's where
 * clients match on them. */
#ifndef LEVERET_BROKER_REFUSAL_H
#define LEVERET_BROKER_REFUSAL_H

#include <stdint.h>

enum refusal_code {
    REFUSAL_ACCESS_REFUSED = 403,
    REFUSAL_NOT_FOUND = 404,
    REFUSAL_RESOURCE_LOCKED = 405,
    REFUSAL_PRECONDITION_FAILED = 406,
    REFUSAL_COMMAND_INVALID = 503,
    REFUSAL_RESOURCE_ERROR = 506,
};

#define REFUSAL_TEXT_SIZE 1024 /* three names and what is said of them */

struct refusal {
    enum refusal_code code;
    char text[REFUSAL_TEXT_SIZE]; /* cut when longer */
};

/* Fills `r`. Returns -EPROTO, so that a refusing function can end with it. */
int refuse(struct refusal *r, enum refusal_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
