/* Values in the words of RabbitMQ's refusals. */
#ifndef LEVERET_BROKER_VALUE_TEXT_H
#define LEVERET_BROKER_VALUE_TEXT_H

#include "base/table.h"

#define VALUE_TEXT_SIZE 320

/* The value as Erlang's ~p prints it (strings as <<"…">>), cut at VALUE_TEXT_SIZE. */
void value_text_term(const struct value *v, char out[VALUE_TEXT_SIZE]);

/* The two sides of an `inequivalent arg`: "'1'" and "'2'" when there are both, else
 * "none" for the one that is NULL and "the value '1' of type 'signedint'" for the other. */
void value_text_pair(const struct value *received, const struct value *current,
                     char received_out[VALUE_TEXT_SIZE], char current_out[VALUE_TEXT_SIZE]);

#endif
