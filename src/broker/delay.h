/* How long a message waits in an exchange of the type x-delayed-message: its header x-delay, read
 * as RabbitMQ's rabbitmq_delayed_message_exchange reads it. Pure. */
#ifndef LEVERET_BROKER_DELAY_H
#define LEVERET_BROKER_DELAY_H

#include "base/arena.h"
#include "base/table.h"

#include <stdint.h>

#define DELAY_HEADER "x-delay"

/* A message with a longer delay is not delayed at all. */
#define DELAY_MAX_MS UINT32_MAX

/* The delay in milliseconds that the header's value (or NULL) asks for, 1 to DELAY_MAX_MS: an
 * integer of any width, a floating-point number without its fraction, or an integer in a string. 0
 * when the message is to be routed at once: what is no such number, none above 0, or too long. */
int64_t delay_of(const struct value *v);

/* Tells consumers that the message was delayed, and delayed exchanges on its further way that it is
 * not to be once more: the header becomes minus the delay. `headers` ask for one. */
void delay_mark_done(struct arena *a, struct table *headers);

#endif
