/* What the parts of the users at run time share; for src/session/broker_users*.c alone. Under the
 * lock of the accounts, or while the broker starts. */
#ifndef LEVERET_SESSION_BROKER_USERS_INTERNAL_H
#define LEVERET_SESSION_BROKER_USERS_INTERNAL_H

#include "auth/user.h"
#include "base/bytes.h"

struct broker;

/* What is stored for the name, as a copy that may be changed: a reference. */
struct auth_user *broker_users_edit(struct broker *b, struct bytes name);

/* Has the user, not its permissions, written to the definitions. */
void broker_users_store(struct broker *b, const struct auth_user *u);

#endif
