/* Who the broker is to the system: the user and the group of the configuration, to which a process
 * that root started changes for good.
 *
 * It changes in two steps, while the process has one thread: it becomes the user early, so that all
 * that it makes afterwards is the user's, and keeps one privilege, that of binding ports below
 * 1024, which it gives up as soon as its ports are bound. */
#ifndef LEVERET_SERVER_IDENTITY_H
#define LEVERET_SERVER_IDENTITY_H

#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct identity {
    const char *user; /* of the configuration, in whose arena it is; NULL: it has none */
    uid_t uid;
    gid_t gid; /* the configuration's group, else the user's */
    /* Where the configuration says so. */
    const char *file;
    unsigned user_line;
    unsigned group_line; /* 0: nowhere */
    bool gave_up_root;   /* by identity_take() */
};

/* Looks up the user and the group of `config`, which must outlive `out`. Returns 0, or -EINVAL with
 * the problem added to `problems`: they are unknown, or root. Any thread. */
int identity_resolve(struct identity *out, const struct config *config,
                     struct config_problems *problems);

/* Whether identity_take() will change who the process is: root started it, and there is a user. */
bool identity_changes(const struct identity *id);

/* Becomes the user with its group and the groups that the system knows it in, if root started the
 * process; else makes sure that it is the user already. Without a user nothing changes. Main
 * thread, before there are others. Returns 0, or -errno with one line in `error`; the process is of
 * no use then. */
int identity_take(struct identity *id, char *error, size_t error_size);

/* Gives up what identity_take() kept, makes sure that there is no way back, and keeps the process's
 * memory from others of the same user. Whether or not the user changed, no program that is run can
 * have more privileges from then on. Returns as identity_take(). */
int identity_seal(const struct identity *id, char *error, size_t error_size);

#endif
