/* Users and what they may do, changed. */
#include "admin/api.h"
#include "session/broker_users.h"

#include <errno.h>
#include <string.h>

enum {
    STATUS_BAD_REQUEST = 400,
    STATUS_UNAUTHORIZED = 401,
    STATUS_NOT_FOUND = 404,
};

/* ---- Users ---- */

/* The member's text, or a view without data when there is none; false after answering that it is no
 * text. */
static bool optional_text(const json_t *body, const char *key, struct bytes *out,
                          struct api_answer *answer)
{
    const char *text;

    *out = bytes_of(NULL, 0);
    if (json_object_get(body, key) == NULL)
        return true;
    text = api_text(body, key, answer);
    if (text == NULL)
        return false;
    *out = bytes_from_string(text);
    return true;
}

static void change(const struct api_request *r, struct api_answer *answer,
                   int (*apply)(struct broker *b, const struct broker_user *u, char *error))
{
    char error[BROKER_USERS_ERROR_SIZE] = "";
    struct broker_user u = {.name = r->segments[1]};
    json_t *body = api_body(r, answer);
    struct bytes hash;

    if (body == NULL)
        return;
    if (optional_text(body, "password", &u.password, answer) &&
        optional_text(body, "password_hash", &hash, answer) &&
        optional_text(body, "tags", &u.tags, answer)) {
        u.password_hash = (const char *)hash.data;
        api_answer_change(answer, apply(r->broker, &u, error), error);
    }
    json_decref(body);
}

void api_put_user(const struct api_request *r, struct api_answer *answer)
{
    change(r, answer, broker_user_add);
}

void api_change_user(const struct api_request *r, struct api_answer *answer)
{
    change(r, answer, broker_user_change);
}

void api_delete_user(const struct api_request *r, struct api_answer *answer)
{
    char error[BROKER_USERS_ERROR_SIZE] = "";

    api_answer_change(answer, broker_user_delete(r->broker, r->segments[1], error), error);
}

void api_authenticate(const struct api_request *r, struct api_answer *answer)
{
    json_t *body = api_body(r, answer);
    const char *user = body != NULL ? api_text(body, "user", answer) : NULL;
    const char *password = user != NULL ? api_text(body, "password", answer) : NULL;

    if (password != NULL &&
        broker_user_authenticate(r->broker, bytes_from_string(user), bytes_from_string(password)))
        api_answer_change(answer, 0, "");
    else if (password != NULL)
        api_fail(answer, STATUS_UNAUTHORIZED, "user '%s' does not have this password", user);
    json_decref(body);
}

/* ---- Limits: /user-limits/USER, and /user-limits/USER/LIMIT to clear one, or all ---- */

static void note_limits(void *context, const struct broker_user_info *u)
{
    *(struct broker_user_limits *)context = u->limits;
}

/* Those that the user has now. False after answering that there is no such user. */
static bool limits_of(struct bytes user, struct broker_user_limits *out, struct api_answer *answer)
{
    const struct broker_users_visitor visitor = {.context = out, .user = note_limits};

    if (broker_user_visit(user, &visitor))
        return true;
    api_fail(answer, STATUS_NOT_FOUND, "user '%.*s' does not exist", BYTES_ARGS(user));
    return false;
}

static int64_t *limit_named(struct broker_user_limits *l, struct bytes name)
{
    if (bytes_equal_string(name, "max-connections"))
        return &l->max_connections;
    return bytes_equal_string(name, "max-channels") ? &l->max_channels : NULL;
}

static bool read_limits(const json_t *body, struct broker_user_limits *out,
                        struct api_answer *answer)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        int64_t *limit = limit_named(out, bytes_from_string(name));

        if (limit == NULL || !json_is_integer(value)) {
            api_fail(answer, STATUS_BAD_REQUEST,
                     "'%s': limits are max-connections and max-channels, each a whole number",
                     name);
            return false;
        }
        *limit = json_integer_value(value);
    }
    return true;
}

void api_set_user_limits(const struct api_request *r, struct api_answer *answer)
{
    char error[BROKER_USERS_ERROR_SIZE] = "";
    struct broker_user_limits limits;
    json_t *body = api_body(r, answer);

    if (body != NULL && limits_of(r->segments[1], &limits, answer) &&
        read_limits(body, &limits, answer))
        api_answer_change(answer, broker_user_limits_set(r->broker, r->segments[1], &limits, error),
                          error);
    json_decref(body);
}

void api_clear_user_limits(const struct api_request *r, struct api_answer *answer)
{
    char error[BROKER_USERS_ERROR_SIZE] = "";
    struct broker_user_limits limits;
    int64_t *limit;

    if (!limits_of(r->segments[1], &limits, answer))
        return;
    limit = limit_named(&limits, r->segments[2]);
    if (limit != NULL) {
        *limit = -1;
    } else if (bytes_equal_string(r->segments[2], "all")) {
        limits = (struct broker_user_limits){.max_connections = -1, .max_channels = -1};
    } else {
        api_fail(answer, STATUS_BAD_REQUEST,
                 "'%.*s' is no limit: there are max-connections, max-channels and all",
                 BYTES_ARGS(r->segments[2]));
        return;
    }
    api_answer_change(answer, broker_user_limits_set(r->broker, r->segments[1], &limits, error),
                      error);
}

/* ---- Permissions: /permissions/VHOST/USER ---- */

void api_set_permission(const struct api_request *r, struct api_answer *answer)
{
    char error[BROKER_USERS_ERROR_SIZE] = "";
    struct broker_permission p = {.vhost = r->segments[1], .user = r->segments[2]};
    json_t *body = api_body(r, answer);

    if (body != NULL && (p.configure = api_text(body, "configure", answer)) != NULL &&
        (p.write = api_text(body, "write", answer)) != NULL &&
        (p.read = api_text(body, "read", answer)) != NULL)
        api_answer_change(answer, broker_permission_set(r->broker, &p, error), error);
    json_decref(body);
}

void api_clear_permission(const struct api_request *r, struct api_answer *answer)
{
    char error[BROKER_USERS_ERROR_SIZE] = "";

    api_answer_change(
        answer, broker_permission_clear(r->broker, r->segments[2], r->segments[1], error), error);
}

void api_set_topic_permission(const struct api_request *r, struct api_answer *answer)
{
    char error[BROKER_USERS_ERROR_SIZE] = "";
    struct broker_topic_permission p = {.vhost = r->segments[1], .user = r->segments[2]};
    json_t *body = api_body(r, answer);
    const char *exchange = body != NULL ? api_text(body, "exchange", answer) : NULL;

    if (exchange != NULL && (p.write = api_text(body, "write", answer)) != NULL &&
        (p.read = api_text(body, "read", answer)) != NULL) {
        p.exchange = bytes_from_string(exchange);
        api_answer_change(answer, broker_topic_permission_set(r->broker, &p, error), error);
    }
    json_decref(body);
}

/* Of one exchange when it is named. */
void api_clear_topic_permission(const struct api_request *r, struct api_answer *answer)
{
    char error[BROKER_USERS_ERROR_SIZE] = "";
    const struct bytes *exchange = r->segment_count > 3 ? &r->segments[3] : NULL;

    api_answer_change(
        answer,
        broker_topic_permission_clear(r->broker, r->segments[2], r->segments[1], exchange, error),
        error);
}
