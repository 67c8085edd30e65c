/* Whether bytes are UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF). Names in
 * methods have to be (AMQP 0-9-1 §4.2.5.3). Any thread. */
#ifndef LEVERET_AMQP_UTF8_H
#define LEVERET_AMQP_UTF8_H

#include "base/bytes.h"

#include <stdbool.h>

bool amqp_utf8_valid(struct bytes b);

#endif
