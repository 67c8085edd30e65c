#include "admin/api.h"

#include "admin/commit.h"
#include "admin/json_value.h"
#include "base/memory.h"
#include "broker/refusal.h"
#include "server/vhost.h"
#include "session/broker.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char PREFIX[] = "/api/";

enum {
    STATUS_OK = 200,
    STATUS_NO_CONTENT = 204,
    STATUS_BAD_REQUEST = 400,
    STATUS_FORBIDDEN = 403,
    STATUS_NOT_FOUND = 404,
    STATUS_METHOD_NOT_ALLOWED = 405,
    STATUS_CONFLICT = 409,
    STATUS_INTERNAL = 500,
};

/* ---- Errors ---- */

static const char *error_name(unsigned status)
{
    switch (status) {
    case STATUS_FORBIDDEN:
        return "forbidden";
    case STATUS_NOT_FOUND:
        return "not_found";
    case STATUS_CONFLICT:
        return "conflict";
    case STATUS_INTERNAL:
        return "internal_error";
    case STATUS_METHOD_NOT_ALLOWED:
        return "method_not_allowed";
    default:
        return "bad_request";
    }
}

void api_fail(struct api_answer *answer, unsigned status, const char *format, ...)
{
    char reason[1024];
    va_list arguments;
    json_t *error;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    error = json_object();
    json_object_set_new(error, "error", json_string(error_name(status)));
    json_object_set_new(error, "reason", json_from_bytes(bytes_from_string(reason)));
    answer->status = status;
    api_answer_json(answer, error);
}

void api_answer_json(struct api_answer *answer, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);

    json_decref(json);
    buffer_clear(&answer->body);
    buffer_append(&answer->body, bytes_from_string(text != NULL ? text : "{}"));
    buffer_append(&answer->body, bytes_from_string("\n"));
    free(text);
}

/* ---- Changes ---- */

json_t *api_body(const struct api_request *r, struct api_answer *answer)
{
    json_error_t fault;
    json_t *body;

    if (r->body.size == 0)
        return json_object();
    body = json_loadb((const char *)r->body.data, r->body.size, JSON_REJECT_DUPLICATES, &fault);
    if (json_is_object(body))
        return body;
    if (body == NULL)
        api_fail(answer, STATUS_BAD_REQUEST, "line %d, column %d: %s", fault.line, fault.column,
                 fault.text);
    else
        api_fail(answer, STATUS_BAD_REQUEST, "the body must be an object");
    json_decref(body);
    return NULL;
}

const char *api_text(const json_t *body, const char *key, struct api_answer *answer)
{
    const char *text = json_string_value(json_object_get(body, key));

    if (text == NULL)
        api_fail(answer, STATUS_BAD_REQUEST, "'%s' must be a string", key);
    return text;
}

void api_answer_change(struct api_answer *answer, int rc, const char *error)
{
    switch (-rc) {
    case 0:
        answer->status = STATUS_NO_CONTENT;
        return;
    case EINVAL:
        api_fail(answer, STATUS_BAD_REQUEST, "%s", error);
        return;
    case ENOENT:
        api_fail(answer, STATUS_NOT_FOUND, "%s", error);
        return;
    case EEXIST:
        api_fail(answer, STATUS_CONFLICT, "%s", error);
        return;
    case EPERM:
        api_fail(answer, STATUS_FORBIDDEN, "%s", error);
        return;
    default:
        api_fail(answer, STATUS_INTERNAL, "%s", error);
        return;
    }
}

void api_answer_refusal(struct api_answer *answer, const struct refusal *refusal)
{
    if (refusal->code == REFUSAL_ACCESS_REFUSED || refusal->code == REFUSAL_NOT_FOUND)
        api_fail(answer, (unsigned)refusal->code, "%s", refusal->text);
    else
        api_fail(answer, STATUS_BAD_REQUEST, "%s", refusal->text);
}

void api_answer_committed(const struct api_request *r, struct api_answer *answer)
{
    int rc = commit_wait(r->broker);

    if (rc < 0)
        api_fail(answer, STATUS_INTERNAL,
                 "it is in force, but the definitions could not be written: %s", strerror(-rc));
    else
        answer->status = STATUS_NO_CONTENT;
}

/* ---- Virtual hosts ---- */

struct vhost_list {
    struct vhost **items;
    size_t count;
};

static void collect_vhost(struct vhost *v, void *context)
{
    struct vhost_list *l = context;

    l->items = memory_resize(l->items, l->count + 1, sizeof(*l->items));
    l->items[l->count++] = v;
}

bool api_each_vhost(const struct api_request *r, uint32_t at,
                    void (*visit)(struct vhost *v, void *context), void *context,
                    struct api_answer *answer)
{
    struct vhost_list l = {.items = NULL};

    if (r->segment_count > at) {
        struct vhost *v = vhost_find(&r->broker->server->vhosts, r->segments[at]);

        if (v == NULL) {
            api_fail(answer, STATUS_NOT_FOUND, "virtual host '%.*s' does not exist",
                     BYTES_ARGS(r->segments[at]));
            return false;
        }
        visit(v, context);
        return true;
    }
    vhost_registry_each(&r->broker->server->vhosts, collect_vhost, &l);
    for (size_t i = 0; i < l.count; i++)
        visit(l.items[i], context);
    free(l.items);
    return true;
}

struct bytes api_vhost_named(const struct api_request *r)
{
    return r->segment_count > 1 ? r->segments[1] : bytes_of(NULL, 0);
}

static void accept_vhost(struct vhost *v, void *context)
{
    (void)v;
    (void)context;
}

bool api_check_vhost(const struct api_request *r, struct api_answer *answer)
{
    return r->segment_count <= 1 || api_each_vhost(r, 1, accept_vhost, NULL, answer);
}

/* ---- Routes ---- */

/* `segments` of the path behind /api: the name, and up to so many others. */
static const struct api_route {
    const char *method;
    const char *name;
    uint32_t segments_min;
    uint32_t segments_max;
    void (*handle)(const struct api_request *r, struct api_answer *answer);
} ROUTES[] = {
    {"GET", "definitions", 1, 2, api_export},
    {"POST", "definitions", 1, 2, api_import},
    {"GET", "overview", 1, 1, api_overview},
    {"GET", "vhosts", 1, 1, api_vhosts},
    {"GET", "users", 1, 1, api_users},
    {"GET", "permissions", 1, 2, api_permissions},
    {"GET", "topic-permissions", 1, 2, api_topic_permissions},
    {"GET", "policies", 1, 2, api_policies},
    {"GET", "operator-policies", 1, 2, api_operator_policies},
    {"GET", "exchanges", 1, 2, api_exchanges},
    {"GET", "queues", 1, 2, api_queues},
    {"GET", "bindings", 1, 2, api_bindings},
    {"GET", "connections", 1, 1, api_connections},
    {"GET", "channels", 1, 1, api_channels},
    {"GET", "consumers", 1, 2, api_consumers},
    {"PUT", "vhosts", 2, 2, api_put_vhost},
    {"DELETE", "vhosts", 2, 2, api_delete_vhost},
    {"PUT", "vhost-limits", 2, 2, api_set_vhost_limits},
    {"DELETE", "vhost-limits", 2, 2, api_clear_vhost_limits},
    {"PUT", "users", 2, 2, api_put_user},
    {"POST", "users", 2, 2, api_change_user},
    {"DELETE", "users", 2, 2, api_delete_user},
    {"PUT", "user-limits", 2, 2, api_set_user_limits},
    {"DELETE", "user-limits", 3, 3, api_clear_user_limits},
    {"POST", "authenticate", 1, 1, api_authenticate},
    {"PUT", "permissions", 3, 3, api_set_permission},
    {"DELETE", "permissions", 3, 3, api_clear_permission},
    {"PUT", "topic-permissions", 3, 3, api_set_topic_permission},
    {"DELETE", "topic-permissions", 3, 4, api_clear_topic_permission},
    {"PUT", "policies", 3, 3, api_set_policy},
    {"DELETE", "policies", 3, 3, api_clear_policy},
    {"PUT", "operator-policies", 3, 3, api_set_operator_policy},
    {"DELETE", "operator-policies", 3, 3, api_clear_operator_policy},
    {"DELETE", "queues", 3, 3, api_delete_queue},
    {"DELETE", "queue-contents", 3, 3, api_purge_queue},
    {"DELETE", "connections", 2, 2, api_close_connection},
    {"POST", "reload", 1, 1, api_reload},
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One segment, up to the next '/'. Returns how much of `in` it took, or -1 for a bad '%'. */
static int decode_segment(const char *in, char *out, size_t *size)
{
    const char *at = in;

    for (*size = 0; *at != '\0' && *at != '/'; ++*size) {
        if (*at != '%') {
            out[*size] = *at++;
            continue;
        }
        if (hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
            return -1;
        out[*size] = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
        at += 3;
    }
    return (int)(at - in);
}

/* Fills the segments. Returns whether the path is one of the API's form. */
static bool split_path(struct api_request *r)
{
    const char *in = r->path + strlen(PREFIX);
    char *out = r->decoded;

    r->segment_count = 0;
    if (strncmp(r->path, PREFIX, strlen(PREFIX)) != 0 || strlen(r->path) >= sizeof(r->decoded))
        return false;
    while (r->segment_count < API_SEGMENTS_MAX) {
        size_t size;
        int taken = decode_segment(in, out, &size);

        if (taken < 0)
            return false;
        r->segments[r->segment_count++] = bytes_of(out, size);
        if (in[taken] == '\0')
            return true;
        in += taken + 1;
        out += size;
    }
    return false;
}

static const struct api_route *find_route(const struct api_request *r, bool *path_exists)
{
    *path_exists = false;
    for (size_t i = 0; i < sizeof(ROUTES) / sizeof(ROUTES[0]); i++) {
        const struct api_route *route = &ROUTES[i];

        if (!bytes_equal_string(r->segments[0], route->name) ||
            r->segment_count < route->segments_min || r->segment_count > route->segments_max)
            continue;
        *path_exists = true;
        if (strcmp(r->method, route->method) == 0)
            return route;
    }
    return NULL;
}

void api_handle(struct api_request *r, struct api_answer *answer)
{
    const struct api_route *route = NULL;
    bool path_exists = false;

    answer->status = STATUS_OK;
    buffer_init(&answer->body);
    if (split_path(r))
        route = find_route(r, &path_exists);
    if (route != NULL)
        route->handle(r, answer);
    else if (path_exists)
        api_fail(answer, STATUS_METHOD_NOT_ALLOWED, "%s is not for %s", r->method, r->path);
    else
        api_fail(answer, STATUS_NOT_FOUND, "there is no %s", r->path);
}
