/* From the configuration's users and permissions to a snapshot of them. */
#include "auth/user.h"
#include "auth/users.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>

/* ---- Passwords ---- */

/* The hash of the plain password, in the form the configuration could have had: the text takes the
 * password's place, which is wiped. */
static int hash_plain_password(struct config *config, struct config_user *from,
                               struct auth_user *user, const struct auth_user *previous)
{
    struct bytes password = bytes_from_string(from->password);
    struct password_hash hash;
    char *text;
    int rc = 0;

    if (previous != NULL && verified_knows(&previous->verified, &previous->hash, password))
        hash = previous->hash;
    else
        rc = password_hash_make(password, &hash);
    if (rc == 0) {
        auth_user_set_hash(user, &hash);
        verified_remember(&user->verified, &hash, password);
    }
    OPENSSL_cleanse(from->password, password.size);
    from->password = NULL;
    if (rc < 0)
        return rc;
    text = password_hash_text(&hash);
    from->password_hash =
        (const char *)arena_copy(&config->arena, bytes_of(text, strlen(text) + 1)).data;
    free(text);
    return 0;
}

static int take_hash(const struct config_user *from, struct auth_user *user, const char **why)
{
    struct password_hash hash;
    int rc = password_hash_parse(from->password_hash, &hash, why);

    if (rc == 0)
        auth_user_set_hash(user, &hash);
    return rc;
}

static void refuse_password(const struct config *config, const struct config_user *user,
                            const char *why, struct config_problems *problems)
{
    config_problems_add(problems, config->file, user->password_line,
                        "the password of user '%.*s' %s", BYTES_ARGS(user->name), why);
}

/* ---- Users ---- */

static void set_tags(struct auth_user *user, uint32_t flags)
{
    static const struct {
        enum user_tag flag;
        const char *name;
    } TAGS[] = {
        {USER_TAG_ADMINISTRATOR, ",administrator"}, {USER_TAG_MONITORING, ",monitoring"},
        {USER_TAG_MANAGEMENT, ",management"},       {USER_TAG_POLICYMAKER, ",policymaker"},
        {USER_TAG_IMPERSONATOR, ",impersonator"},
    };
    char text[128] = "";

    for (size_t i = 0; i < sizeof(TAGS) / sizeof(TAGS[0]); i++) {
        if ((flags & (uint32_t)TAGS[i].flag) != 0)
            strncat(text, TAGS[i].name, sizeof(text) - strlen(text) - 1);
    }
    auth_user_set_tags(user, bytes_from_string(text));
}

static void add_user(struct user_table *users, struct config *config, struct config_user *from,
                     const struct auth_database *previous_db, struct config_problems *problems)
{
    const struct auth_user *previous =
        previous_db != NULL ? auth_find_user(previous_db, from->name) : NULL;
    struct auth_user *user = auth_user_new(from->name, AUTH_ORIGIN_FILE);
    const char *why = "is missing";
    int rc;

    if (previous != NULL && !previous->has_password)
        previous = NULL;
    user->exists = true;
    user->loopback_only = from->loopback_only;
    if (from->max_connections != 0)
        user->max_connections = from->max_connections;
    if (from->max_channels != 0)
        user->max_channels = from->max_channels;
    set_tags(user, from->tags);
    if (from->password != NULL) {
        rc = hash_plain_password(config, from, user, previous);
        why = "cannot be hashed";
    } else if (from->password_hash != NULL) {
        rc = take_hash(from, user, &why);
    } else {
        rc = -EINVAL;
    }
    if (rc < 0)
        refuse_password(config, from, why, problems);
    /* Who has logged in before the reload need not pay for the hash again. */
    else if (previous != NULL && password_hash_equal(&previous->hash, &user->hash))
        verified_copy(&user->verified, &previous->verified);
    user_table_put(users, user);
}

/* ---- Permissions ---- */

/* Compiles the patterns, those that cannot be are NULL and a problem each. */
static void compile_patterns(const struct config *config, const struct config_permission *from,
                             struct permission_pattern *patterns[PERMISSION_KIND_COUNT],
                             struct config_problems *problems)
{
    const struct {
        const char *name;
        const char *text;
        unsigned line;
    } sources[PERMISSION_KIND_COUNT] = {
        [PERMISSION_CONFIGURE] = {"configure", from->configure, from->configure_line},
        [PERMISSION_WRITE] = {"write", from->write, from->write_line},
        [PERMISSION_READ] = {"read", from->read, from->read_line},
    };

    for (int kind = 0; kind < PERMISSION_KIND_COUNT; kind++) {
        char error[PERMISSION_ERROR_SIZE];

        patterns[kind] = NULL;
        if (sources[kind].text == NULL) /* a problem of its own */
            continue;
        patterns[kind] = permission_pattern_compile(sources[kind].text, error);
        if (patterns[kind] == NULL)
            config_problems_add(problems, config->file, sources[kind].line,
                                "'%s' is not a valid pattern: %s", sources[kind].name, error);
    }
}

static void add_permissions(struct user_table *users, const struct config *config,
                            const struct config_permission *from, struct config_problems *problems)
{
    struct permission_pattern *patterns[PERMISSION_KIND_COUNT];
    struct auth_user *user = user_table_find(users, from->user);
    struct permission_set *set;

    compile_patterns(config, from, patterns, problems);
    set = permission_set_new(patterns);
    if (user == NULL || auth_user_in_vhost(user, from->vhost) != NULL) {
        config_problems_add(problems, config->file, from->line,
                            user == NULL ? "unknown user '%.*s'"
                                         : "duplicate permissions of user '%.*s'",
                            BYTES_ARGS(from->user));
        permission_set_unref(set);
        return;
    }
    auth_user_set_permissions(user, from->vhost, set, AUTH_ORIGIN_FILE);
}

/* NULL after adding a problem, or where there is one already. */
static struct topic_permission *compile_topic(const struct config *config,
                                              const struct config_topic_permission *from,
                                              struct config_problems *problems)
{
    char error[PERMISSION_ERROR_SIZE];
    struct topic_permission *t;

    if (from->write == NULL || from->read == NULL)
        return NULL;
    t = topic_permission_new(from->user, from->vhost, from->exchange, from->write, from->read, true,
                             error);
    if (t == NULL)
        config_problems_add(problems, config->file, from->line, "%s", error);
    return t;
}

static void add_topic_permission(struct user_table *users, const struct config *config,
                                 const struct config_topic_permission *from,
                                 struct config_problems *problems)
{
    struct auth_user *user = user_table_find(users, from->user);
    struct topic_permission *t = compile_topic(config, from, problems);

    if (user == NULL)
        config_problems_add(problems, config->file, from->line, "unknown user '%.*s'",
                            BYTES_ARGS(from->user));
    if (user != NULL && t != NULL)
        auth_user_set_topic(user, from->vhost, t);
    else
        topic_permission_unref(t);
}

/* ---- The whole ---- */

void auth_check_config(const struct config *config, struct config_problems *problems)
{
    for (size_t i = 0; i < config->users.count; i++) {
        const struct config_user *user = &config->users.items[i];
        struct password_hash hash;
        const char *why;

        if (user->password_hash != NULL &&
            password_hash_parse(user->password_hash, &hash, &why) < 0)
            refuse_password(config, user, why, problems);
    }
    for (size_t i = 0; i < config->permissions.count; i++) {
        struct permission_pattern *patterns[PERMISSION_KIND_COUNT];

        compile_patterns(config, &config->permissions.items[i], patterns, problems);
        for (int kind = 0; kind < PERMISSION_KIND_COUNT; kind++)
            permission_pattern_free(patterns[kind]);
    }
    for (size_t i = 0; i < config->topic_permissions.count; i++)
        topic_permission_unref(
            compile_topic(config, &config->topic_permissions.items[i], problems));
}

int auth_database_build(struct config *config, const struct auth_database *previous,
                        struct auth_database **out, struct config_problems *problems)
{
    struct auth_database *db = auth_database_new();
    struct user_table *users = auth_database_table(db);
    size_t before = config_problems_total(problems);

    for (size_t i = 0; i < config->users.count; i++)
        add_user(users, config, &config->users.items[i], previous, problems);
    for (size_t i = 0; i < config->permissions.count; i++)
        add_permissions(users, config, &config->permissions.items[i], problems);
    for (size_t i = 0; i < config->topic_permissions.count; i++)
        add_topic_permission(users, config, &config->topic_permissions.items[i], problems);
    *out = db;
    if (config_problems_total(problems) == before)
        return 0;
    config_problems_sort(problems);
    auth_database_unref(db);
    *out = NULL;
    return -EINVAL;
}
