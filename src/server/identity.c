#include "server/identity.h"

#include "base/memory.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    /* Of an entry of the system's users or groups: a group may have thousands of members. */
    ENTRY_SIZE_MAX = 16 * 1024 * 1024,
};

/* ---- Looking up ---- */

/* Looks up a user, or with `group` a group, in a buffer that grows as it must. Returns 0, -ENOENT
 * when there is none, or another -errno. */
static int look_up(const char *name, bool group, struct identity *out)
{
    size_t size = 16 * 1024;
    char *entry = NULL;
    bool found = false;
    int rc;

    do {
        struct passwd user;
        struct passwd *user_found = NULL;
        struct group of_users;
        struct group *group_found = NULL;

        entry = memory_resize(entry, size, 1);
        if (group)
            rc = getgrnam_r(name, &of_users, entry, size, &group_found);
        else
            rc = getpwnam_r(name, &user, entry, size, &user_found);
        size *= 2;
        if (group_found != NULL) {
            out->gid = of_users.gr_gid;
            found = true;
        }
        if (user_found != NULL) {
            out->uid = user.pw_uid;
            out->gid = user.pw_gid;
            found = true;
        }
    } while (rc == ERANGE && size <= ENTRY_SIZE_MAX);
    free(entry);
    if (found)
        return 0;
    /* Some sources of names say so in this way. */
    return rc == 0 || rc == ESRCH || rc == EBADF || rc == EPERM ? -ENOENT : -rc;
}

static int resolve(const char *name, bool group, unsigned line, struct identity *out,
                   struct config_problems *problems)
{
    const char *kind = group ? "group" : "user";
    int rc = look_up(name, group, out);

    if (rc == 0)
        return 0;
    if (rc == -ENOENT)
        config_problems_add(problems, out->file, line, "the system has no %s '%s'", kind, name);
    else
        config_problems_add(problems, out->file, line, "the %s '%s' cannot be looked up: %s", kind,
                            name, strerror(-rc));
    return -EINVAL;
}

int identity_resolve(struct identity *out, const struct config *config,
                     struct config_problems *problems)
{
    *out = (struct identity){.user = config->user,
                             .file = config->file,
                             .user_line = config->user_line,
                             .group_line = config->group_line};
    if (config->user == NULL && config->group != NULL) {
        config_problems_add(problems, config->file, config->group_line, "'group' needs 'user'");
        return -EINVAL;
    }
    if (config->user == NULL)
        return 0;
    if (resolve(config->user, false, config->user_line, out, problems) < 0)
        return -EINVAL;
    if (config->group != NULL &&
        resolve(config->group, true, config->group_line, out, problems) < 0)
        return -EINVAL;
    if (out->uid == 0 || out->gid == 0) {
        config_problems_add(problems, config->file,
                            out->uid == 0 || config->group == NULL ? config->user_line
                                                                   : config->group_line,
                            "%s must not be root's: without 'user', root stays root",
                            out->uid == 0 || config->group == NULL ? "'user'" : "'group'");
        return -EINVAL;
    }
    return 0;
}

/* ---- Changing ---- */

static int fail(char *error, size_t size, int rc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int fail(char *error, size_t size, int rc, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error, size, format, arguments);
    va_end(arguments);
    return rc;
}

static int set_capabilities(const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Of what the process may have had, the one that binding ports takes; a container may lack it. */
static int keep_binding(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{.effective = 0}};
    uint32_t kept;

    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    kept = data[0].permitted & CAP_TO_MASK(CAP_NET_BIND_SERVICE);
    memset(data, 0, sizeof(data));
    data[0].permitted = kept;
    data[0].effective = kept;
    return set_capabilities(data);
}

static int check_is_already(const struct identity *id, char *error, size_t size)
{
    if (geteuid() != id->uid)
        return fail(error, size, -EPERM,
                    "%s:%u: 'user' is '%s' (uid %ld), but uid %ld started leveretd: only root can "
                    "become somebody else",
                    id->file, id->user_line, id->user, (long)id->uid, (long)geteuid());
    if (id->group_line != 0 && getegid() != id->gid)
        return fail(error, size, -EPERM,
                    "%s:%u: 'group' has gid %ld, but gid %ld started leveretd: only root can "
                    "become somebody else",
                    id->file, id->group_line, (long)id->gid, (long)getegid());
    return 0;
}

bool identity_changes(const struct identity *id)
{
    return id->user != NULL && geteuid() == 0;
}

int identity_take(struct identity *id, char *error, size_t error_size)
{
    int death_signal = 0;
    const char *failed = NULL;

    if (id->user == NULL)
        return 0;
    if (geteuid() != 0)
        return check_is_already(id, error, error_size);
    /* Asked for by who started us; the change clears it. */
    prctl(PR_GET_PDEATHSIG, &death_signal);
    if (prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) < 0)
        failed = "PR_SET_KEEPCAPS";
    else if (initgroups(id->user, id->gid) < 0)
        failed = "initgroups";
    else if (setresgid(id->gid, id->gid, id->gid) < 0)
        failed = "setresgid";
    else if (setresuid(id->uid, id->uid, id->uid) < 0)
        failed = "setresuid";
    else if ((errno = -keep_binding()) != 0)
        failed = "capset";
    if (failed != NULL) {
        int rc = -errno;

        return fail(error, error_size, rc, "%s:%u: cannot become user '%s': %s: %s", id->file,
                    id->user_line, id->user, failed, strerror(-rc));
    }
    prctl(PR_SET_PDEATHSIG, (long)death_signal);
    id->gave_up_root = true;
    return 0;
}

/* Tries what must not work any more. */
static bool can_go_back(const struct identity *id)
{
    uid_t uids[3];
    gid_t gids[3];

    if (setresuid(0, 0, 0) == 0 || setresuid((uid_t)-1, 0, (uid_t)-1) == 0 ||
        setresgid(0, 0, 0) == 0 || setresgid((gid_t)-1, 0, (gid_t)-1) == 0 ||
        setgroups(0, NULL) == 0)
        return true;
    if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
        return true;
    for (size_t i = 0; i < 3; i++) {
        if (uids[i] != id->uid || gids[i] != id->gid)
            return true;
    }
    return false;
}

static int give_up(const struct identity *id, char *error, size_t error_size)
{
    static const struct __user_cap_data_struct NONE[_LINUX_CAPABILITY_U32S_3];
    int rc = set_capabilities(NONE);

    if (rc == 0 && prctl(PR_SET_KEEPCAPS, 0L, 0L, 0L, 0L) < 0)
        rc = -errno;
    if (rc == 0 && prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) < 0)
        rc = -errno;
    if (rc < 0)
        return fail(error, error_size, rc, "cannot give up privileges: %s", strerror(-rc));
    if (can_go_back(id))
        return fail(error, error_size, -EPERM, "user '%s' can become root again", id->user);
    return 0;
}

int identity_seal(const struct identity *id, char *error, size_t error_size)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0) {
        int rc = -errno;

        return fail(error, error_size, rc, "cannot rule out new privileges: %s", strerror(-rc));
    }
    return id->gave_up_root ? give_up(id, error, error_size) : 0;
}
