/* Making virtual hosts while the broker runs, and before. Any thread. */
#ifndef LEVERET_SESSION_BROKER_VHOSTS_H
#define LEVERET_SESSION_BROKER_VHOSTS_H

#include "base/bytes.h"

#include <stdbool.h>

struct broker;
struct vhost;

/* The virtual host of that name (1 to 255 bytes), made when there is none (`*made` says so), and
 * recorded in the definitions from its first change on. Valid until the broker ends. */
struct vhost *broker_vhost_put(struct broker *b, struct bytes name, bool *made);

#endif
