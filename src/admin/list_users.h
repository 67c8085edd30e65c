/* Users and what they may do, as rows: for lists and for definitions. Any thread. */
#ifndef LEVERET_ADMIN_LIST_USERS_H
#define LEVERET_ADMIN_LIST_USERS_H

#include "admin/listing.h"
#include "base/bytes.h"

struct broker;

extern const char *const USER_KEY[];
extern const char *const PERMISSION_KEY[];
extern const char *const TOPIC_PERMISSION_KEY[];

/* Add a row for each. `vhost` restricts permissions to one virtual host; empty: all. */
void list_users(struct broker *b, struct listing *l);
void list_permissions(struct bytes vhost, struct listing *l);
void list_topic_permissions(struct bytes vhost, struct listing *l);

#endif
