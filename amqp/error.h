/* An error as a client will see it: what connection.close or channel.close carries. A value; owns
 * nothing. */
#ifndef LEVERET_AMQP_ERROR_H
#define LEVERET_AMQP_ERROR_H

#include "amqp/constants.h"

#include <stdarg.h>
#include <stdint.h>

struct amqp_error {
    uint16_t code;      /* enum amqp_reply_code; 0 while there is no error */
    uint16_t class_id;  /* of the method that failed; 0 when no method was at fault */
    uint16_t method_id; /* likewise */
    char text[256];     /* "NAME - what went wrong"; zero-terminated, fits a shortstr */
};

/* Fills `e` with the code, the ids and "NAME - " followed by the formatted text. One longer than
 * 255 bytes is cut to that, never inside a UTF-8 sequence: it ends in "..." then, as with RabbitMQ,
 * unless its end is in parentheses. That says what brought it about, such as the key of a limit,
 * and stays: what is longer than it should be is a name in the middle, which has a "…" there.
 * `e` may be NULL when the caller does not ask for the reason.
 *
 * Returns -EPROTO, so that a failing function can end with `return amqp_error_set(…)`. */
int amqp_error_set(struct amqp_error *e, int code, uint16_t class_id, uint16_t method_id,
                   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The same with its arguments in a list; `e` is not NULL. */
int amqp_error_set_list(struct amqp_error *e, int code, uint16_t class_id, uint16_t method_id,
                        const char *fmt, va_list args) __attribute__((format(printf, 5, 0)));

#endif
