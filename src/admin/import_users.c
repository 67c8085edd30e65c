/* Users, permissions and topic permissions of an import. */
#include "admin/import_internal.h"
#include "auth/password.h"
#include "base/bytes.h"
#include "session/broker_users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Users ---- */

enum {
    HASH_TEXT_MAX = 512,
};

/* RabbitMQ names the way of hashing beside the hash, leveret in its text. Returns NULL, or what is
 * wrong. */
static const char *hash_text(const struct definition_record *r, char out[HASH_TEXT_MAX])
{
    struct bytes algorithm = r->hashing_algorithm;
    int size;

    if (r->password_hash.size == 0 || bytes_starts_with(r->password_hash, "$") ||
        algorithm.size == 0)
        size = snprintf(out, HASH_TEXT_MAX, "%.*s", BYTES_ARGS(r->password_hash));
    else if (bytes_equal_string(algorithm, "rabbit_password_hashing_sha256") ||
             bytes_equal_string(algorithm, "rabbit_password_hashing_sha512"))
        size = snprintf(out, HASH_TEXT_MAX, "%.*s:%.*s", BYTES_ARGS(algorithm),
                        BYTES_ARGS(r->password_hash));
    else
        return "is hashed in a way that is not supported";
    return size < HASH_TEXT_MAX ? NULL : "is too long";
}

/* What is there of a user, compared with what shall be. */
struct comparison {
    const struct definition_record *record;
    const char *hash; /* of the record; NULL: a plain password */
    bool found;
    bool equal;
};

static bool same_hash(const char *a, const char *b)
{
    struct password_hash x;
    struct password_hash y;
    const char *why;

    if (a == NULL || b == NULL || a[0] == '\0' || b[0] == '\0')
        return (a == NULL || a[0] == '\0') && (b == NULL || b[0] == '\0');
    return password_hash_parse(a, &x, &why) == 0 && password_hash_parse(b, &y, &why) == 0 &&
           password_hash_equal(&x, &y);
}

static void compare_user(void *context, const struct broker_user_info *u)
{
    struct comparison *c = context;

    c->found = true;
    c->equal = c->hash != NULL && same_hash(c->hash, u->password_hash) &&
               bytes_equal(c->record->tags, u->tags);
}

static enum import_change change_of(const struct comparison *c)
{
    if (!c->found)
        return IMPORT_CREATED;
    return c->equal ? IMPORT_UNCHANGED : IMPORT_UPDATED;
}

static struct bytes present(struct bytes b)
{
    return b.data != NULL ? b : bytes_of("", 0);
}

static int64_t limit_of(const struct table *limits, const char *name)
{
    const struct value *v = table_get(limits, name);

    return v != NULL && value_is_integer(v) ? v->integer : -1;
}

static void put_limits(struct import *im, const struct definition_record *r, const char *place)
{
    const struct broker_user_limits limits = {
        .max_connections = limit_of(&r->arguments, "max-connections"),
        .max_channels = limit_of(&r->arguments, "max-channels"),
    };
    char error[BROKER_USERS_ERROR_SIZE];

    if (broker_user_limits_set(im->broker, r->name, &limits, error) < 0)
        import_fail(im, r->section, place, "%s", error);
}

void import_user(struct import *im, const struct definition_record *r, const char *place)
{
    char hash[HASH_TEXT_MAX] = "";
    char error[BROKER_USERS_ERROR_SIZE];
    bool plain = r->has_password && !r->has_password_hash;
    struct comparison c = {.record = r, .hash = plain ? NULL : hash};
    const struct broker_users_visitor visitor = {.context = &c, .user = compare_user};
    const struct broker_user u = {
        .name = r->name,
        .password = plain ? present(r->password) : bytes_of(NULL, 0),
        .password_hash = c.hash,
        .tags = present(r->tags),
    };
    const char *reason = hash_text(r, hash);

    if (reason != NULL) {
        import_fail(im, r->section, place, "the password of user '%.*s' %s: %.*s",
                    BYTES_ARGS(r->name), reason, BYTES_ARGS(r->hashing_algorithm));
        return;
    }
    broker_user_visit(r->name, &visitor);
    if (change_of(&c) != IMPORT_UNCHANGED && broker_user_put(im->broker, &u, error) < 0) {
        import_fail(im, r->section, place, "%s", error);
        return;
    }
    import_count(im, r->section, change_of(&c));
    if (r->arguments.count != 0)
        put_limits(im, r, place);
}

/* ---- Permissions ---- */

/* The patterns of a record as strings of C. */
struct patterns {
    char *configure;
    char *write;
    char *read;
};

static bool has_zero(struct bytes b)
{
    return b.size != 0 && memchr(b.data, 0, b.size) != NULL;
}

/* Returns false after telling that there is a zero byte. */
static bool patterns_make(struct patterns *p, struct import *im, const struct definition_record *r,
                          const char *place)
{
    if (has_zero(r->configure) || has_zero(r->write) || has_zero(r->read)) {
        import_fail(im, r->section, place, "a pattern must not hold a zero byte");
        return false;
    }
    p->configure = bytes_to_string(r->configure);
    p->write = bytes_to_string(r->write);
    p->read = bytes_to_string(r->read);
    return true;
}

static void patterns_free(struct patterns *p)
{
    free(p->configure);
    free(p->write);
    free(p->read);
}

static bool is_text(struct bytes b, const char *text)
{
    return bytes_equal_string(b, text);
}

static void compare_permission(void *context, const struct broker_permission_info *i)
{
    const struct broker_permission *p = &i->permission;
    struct comparison *c = context;

    if (!bytes_equal(p->vhost, c->record->vhost))
        return;
    c->found = true;
    c->equal = is_text(c->record->configure, p->configure) && is_text(c->record->write, p->write) &&
               is_text(c->record->read, p->read);
}

void import_permission(struct import *im, const struct definition_record *r, const char *place)
{
    char error[BROKER_USERS_ERROR_SIZE];
    struct comparison c = {.record = r};
    const struct broker_users_visitor visitor = {.context = &c, .permission = compare_permission};
    struct patterns patterns;
    int rc = 0;

    if (!patterns_make(&patterns, im, r, place))
        return;
    broker_user_visit(r->user, &visitor);
    if (change_of(&c) != IMPORT_UNCHANGED)
        rc = broker_permission_set(im->broker,
                                   &(struct broker_permission){.user = r->user,
                                                               .vhost = r->vhost,
                                                               .configure = patterns.configure,
                                                               .write = patterns.write,
                                                               .read = patterns.read},
                                   error);
    if (rc < 0)
        import_fail(im, r->section, place, "%s", error);
    else
        import_count(im, r->section, change_of(&c));
    patterns_free(&patterns);
}

static void compare_topic_permission(void *context, const struct broker_topic_permission_info *i)
{
    const struct broker_topic_permission *p = &i->permission;
    struct comparison *c = context;

    if (!bytes_equal(p->vhost, c->record->vhost) || !bytes_equal(p->exchange, c->record->exchange))
        return;
    c->found = true;
    c->equal = is_text(c->record->write, p->write) && is_text(c->record->read, p->read);
}

void import_topic_permission(struct import *im, const struct definition_record *r,
                             const char *place)
{
    char error[BROKER_USERS_ERROR_SIZE];
    struct comparison c = {.record = r};
    const struct broker_users_visitor visitor = {.context = &c,
                                                 .topic_permission = compare_topic_permission};
    struct patterns patterns;
    int rc = 0;

    if (!patterns_make(&patterns, im, r, place))
        return;
    broker_user_visit(r->user, &visitor);
    if (change_of(&c) != IMPORT_UNCHANGED)
        rc = broker_topic_permission_set(im->broker,
                                         &(struct broker_topic_permission){.user = r->user,
                                                                           .vhost = r->vhost,
                                                                           .exchange = r->exchange,
                                                                           .write = patterns.write,
                                                                           .read = patterns.read},
                                         error);
    if (rc < 0)
        import_fail(im, r->section, place, "%s", error);
    else
        import_count(im, r->section, change_of(&c));
    patterns_free(&patterns);
}
