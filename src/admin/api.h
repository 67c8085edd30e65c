/* The HTTP API without HTTP: a request comes in as a method, a path and a body, and an answer goes
 * out as a status and a body of JSON. Paths and columns are those of RabbitMQ's management API
 * where it has them. Called on the admin thread. */
#ifndef LEVERET_ADMIN_API_H
#define LEVERET_ADMIN_API_H

#include "admin/ask.h"
#include "base/buffer.h"
#include "base/bytes.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct broker;
struct refusal;
struct vhost;

enum {
    API_SEGMENTS_MAX = 6,
    API_PATH_MAX = 2048,
};

struct api_request {
    struct broker *broker;
    struct asker *asker;
    int64_t started_ms;   /* when the broker came up; monotonic */
    const char *method;   /* "GET", … */
    const char *path;     /* as sent, percent-encoded, without the query */
    struct bytes columns; /* the query's `columns`; empty: all */
    struct bytes body;

    /* Filled by api_handle(): the decoded parts of the path behind /api. */
    struct bytes segments[API_SEGMENTS_MAX];
    uint32_t segment_count;
    char decoded[API_PATH_MAX];
};

struct api_answer {
    unsigned status; /* of HTTP */
    struct buffer body;
};

/* Answers a request; fills `answer`, whose body is the caller's to free. */
void api_handle(struct api_request *r, struct api_answer *answer);

/* Answers with an error: {"error": NAME, "reason": TEXT}, as RabbitMQ's management API does. */
void api_fail(struct api_answer *answer, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Answers with a JSON value, which is freed. */
void api_answer_json(struct api_answer *answer, json_t *json);

/* Calls `visit` for the virtual host that the request's path names as its segment number `at`, or
 * for all when it ends before. Returns false after answering with 404. */
bool api_each_vhost(const struct api_request *r, uint32_t at,
                    void (*visit)(struct vhost *v, void *context), void *context,
                    struct api_answer *answer);

/* The virtual host that the path names behind the resource, empty when it names none; and whether
 * it exists, if it names one: false after answering with 404. */
struct bytes api_vhost_named(const struct api_request *r);
bool api_check_vhost(const struct api_request *r, struct api_answer *answer);

/* The request's body as a JSON object, which the caller frees; no body counts as an empty one. NULL
 * after answering with 400. */
json_t *api_body(const struct api_request *r, struct api_answer *answer);

/* A member of the body that must be a string; NULL after answering with 400. A string has no zero
 * byte. */
const char *api_text(const json_t *body, const char *key, struct api_answer *answer);

/* Answers a change: 204, or the status that fits the -errno of session/broker_users.h or the code
 * of a refusal, with its text. */
void api_answer_change(struct api_answer *answer, int rc, const char *error);
void api_answer_refusal(struct api_answer *answer, const struct refusal *refusal);

/* Waits until what was changed is on disk, and answers. */
void api_answer_committed(const struct api_request *r, struct api_answer *answer);

/* ---- Handlers ---- */

void api_authenticate(const struct api_request *r, struct api_answer *answer);
void api_change_user(const struct api_request *r, struct api_answer *answer);
void api_clear_operator_policy(const struct api_request *r, struct api_answer *answer);
void api_clear_permission(const struct api_request *r, struct api_answer *answer);
void api_clear_policy(const struct api_request *r, struct api_answer *answer);
void api_clear_topic_permission(const struct api_request *r, struct api_answer *answer);
void api_clear_user_limits(const struct api_request *r, struct api_answer *answer);
void api_clear_vhost_limits(const struct api_request *r, struct api_answer *answer);
void api_close_connection(const struct api_request *r, struct api_answer *answer);
void api_delete_queue(const struct api_request *r, struct api_answer *answer);
void api_delete_user(const struct api_request *r, struct api_answer *answer);
void api_delete_vhost(const struct api_request *r, struct api_answer *answer);
void api_purge_queue(const struct api_request *r, struct api_answer *answer);
void api_put_user(const struct api_request *r, struct api_answer *answer);
void api_put_vhost(const struct api_request *r, struct api_answer *answer);
void api_reload(const struct api_request *r, struct api_answer *answer);
void api_set_operator_policy(const struct api_request *r, struct api_answer *answer);
void api_set_permission(const struct api_request *r, struct api_answer *answer);
void api_set_policy(const struct api_request *r, struct api_answer *answer);
void api_set_topic_permission(const struct api_request *r, struct api_answer *answer);
void api_set_user_limits(const struct api_request *r, struct api_answer *answer);
void api_set_vhost_limits(const struct api_request *r, struct api_answer *answer);

void api_export(const struct api_request *r, struct api_answer *answer);
void api_import(const struct api_request *r, struct api_answer *answer);
void api_overview(const struct api_request *r, struct api_answer *answer);
void api_operator_policies(const struct api_request *r, struct api_answer *answer);
void api_permissions(const struct api_request *r, struct api_answer *answer);
void api_policies(const struct api_request *r, struct api_answer *answer);
void api_topic_permissions(const struct api_request *r, struct api_answer *answer);
void api_users(const struct api_request *r, struct api_answer *answer);
void api_vhosts(const struct api_request *r, struct api_answer *answer);
void api_exchanges(const struct api_request *r, struct api_answer *answer);
void api_queues(const struct api_request *r, struct api_answer *answer);
void api_bindings(const struct api_request *r, struct api_answer *answer);
void api_connections(const struct api_request *r, struct api_answer *answer);
void api_channels(const struct api_request *r, struct api_answer *answer);
void api_consumers(const struct api_request *r, struct api_answer *answer);

#endif
