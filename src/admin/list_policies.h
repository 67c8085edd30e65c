/* Policies as rows: for lists and for definitions. Any thread. */
#ifndef LEVERET_ADMIN_LIST_POLICIES_H
#define LEVERET_ADMIN_LIST_POLICIES_H

#include "admin/listing.h"
#include "base/bytes.h"

#include <stdbool.h>

struct broker;

/* Adds a row for each policy of a virtual host; for each operator policy a row in the form of a
 * parameter, as RabbitMQ's definitions have it. */
void list_policies(struct broker *b, struct bytes vhost, bool operator_policies, struct listing *l);

#endif
