/* The names that declare, delete, bind and unbind are given: as RabbitMQ, the broker takes line
 * ends out of them, which some clients read from files with the names. */
#ifndef LEVERET_SESSION_METHOD_NAMES_H
#define LEVERET_SESSION_METHOD_NAMES_H

#include "amqp/method.h"

#include <stdint.h>

enum {
    METHOD_NAMES_MAX = 2,
    METHOD_NAME_SIZE_MAX = 255,
};

/* Where names without their line ends are put. */
struct method_names {
    uint8_t room[METHOD_NAMES_MAX][METHOD_NAME_SIZE_MAX];
};

/* Takes CR and LF out of the names of exchanges and queues in `m`, which are moved into `names` if
 * they have any and live as long as it does. Other methods are left as they are. */
void method_names_strip(struct amqp_method *m, struct method_names *names);

#endif
