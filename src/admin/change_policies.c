/* Policies and limits of virtual hosts, changed. */
#include "admin/api.h"
#include "admin/json_value.h"
#include "admin/waiter.h"
#include "broker/refusal.h"
#include "session/broker_policies.h"
#include "session/vhost_limits.h"

#include <errno.h>
#include <string.h>

enum {
    STATUS_BAD_REQUEST = 400,
    STATUS_INTERNAL = 500,
};

/* Answers when a change is in force and on disk, or why it was refused. `rc` says whether it was.
 */
static void answer_when_done(struct api_answer *answer, struct waiter *w, int rc,
                             const struct refusal *refusal)
{
    if (rc < 0) {
        waiter_tell(w, 0);
        waiter_wait(w);
        api_answer_refusal(answer, refusal);
        return;
    }
    rc = waiter_wait(w);
    if (rc < 0)
        api_fail(answer, STATUS_INTERNAL,
                 "it is in force, but the definitions could not be written: %s", strerror(-rc));
    else
        api_answer_change(answer, 0, "");
}

/* ---- Policies: /policies/VHOST/NAME ---- */

/* Reads "pattern", "definition", "priority" and "apply-to"; the texts live as long as the body, the
 * definition in the arena. Returns false after answering. */
static bool read_policy(const json_t *body, struct arena *a, struct policy_declaration *d,
                        struct table *definition, struct api_answer *answer)
{
    const json_t *priority = json_object_get(body, "priority");
    const json_t *content = json_object_get(body, "definition");
    const char *pattern = api_text(body, "pattern", answer);
    const char *apply_to = json_string_value(json_object_get(body, "apply-to"));
    const char *reason;

    if (pattern == NULL)
        return false;
    if (!json_is_object(content) || (priority != NULL && !json_is_integer(priority))) {
        api_fail(answer, STATUS_BAD_REQUEST,
                 "'definition' must be an object, and 'priority' a whole number");
        return false;
    }
    reason = json_to_table(a, content, definition);
    if (reason != NULL) {
        api_fail(answer, STATUS_BAD_REQUEST, "'definition': %s", reason);
        return false;
    }
    d->pattern = bytes_from_string(pattern);
    d->apply_to = bytes_from_string(apply_to != NULL ? apply_to : "all");
    d->priority = json_integer_value(priority);
    d->definition = definition;
    return true;
}

static void set_policy(const struct api_request *r, struct api_answer *answer, bool operator_policy)
{
    struct policy_declaration d = {.name = r->segments[2], .operator_policy = operator_policy};
    json_t *body = api_body(r, answer);
    struct refusal refusal;
    struct table definition;
    struct arena arena;
    struct waiter w;
    int rc;

    if (body == NULL)
        return;
    arena_init(&arena);
    if (read_policy(body, &arena, &d, &definition, answer)) {
        waiter_init(&w);
        rc = broker_policies_set(r->broker, r->segments[1], &d,
                                 (struct policies_done){.call = waiter_tell, .context = &w},
                                 &refusal);
        answer_when_done(answer, &w, rc, &refusal);
    }
    arena_free(&arena);
    json_decref(body);
}

static void clear_policy(const struct api_request *r, struct api_answer *answer,
                         bool operator_policy)
{
    struct refusal refusal;
    struct waiter w;
    int rc;

    waiter_init(&w);
    rc =
        broker_policies_clear(r->broker, r->segments[1], r->segments[2], operator_policy,
                              (struct policies_done){.call = waiter_tell, .context = &w}, &refusal);
    answer_when_done(answer, &w, rc, &refusal);
}

void api_set_policy(const struct api_request *r, struct api_answer *answer)
{
    set_policy(r, answer, false);
}

void api_set_operator_policy(const struct api_request *r, struct api_answer *answer)
{
    set_policy(r, answer, true);
}

void api_clear_policy(const struct api_request *r, struct api_answer *answer)
{
    clear_policy(r, answer, false);
}

void api_clear_operator_policy(const struct api_request *r, struct api_answer *answer)
{
    clear_policy(r, answer, true);
}

/* ---- Limits: /vhost-limits/VHOST ---- */

void api_set_vhost_limits(const struct api_request *r, struct api_answer *answer)
{
    json_t *body = api_body(r, answer);
    struct refusal refusal;
    struct table limits;
    struct arena arena;
    const char *reason;
    struct waiter w;
    int rc;

    if (body == NULL)
        return;
    arena_init(&arena);
    reason = json_to_table(&arena, body, &limits);
    if (reason != NULL) {
        api_fail(answer, STATUS_BAD_REQUEST, "%s", reason);
    } else {
        waiter_init(&w);
        rc = vhost_limits_set(r->broker, r->segments[1], &limits,
                              (struct definitions_done){.call = waiter_tell, .context = &w},
                              &refusal);
        answer_when_done(answer, &w, rc, &refusal);
    }
    arena_free(&arena);
    json_decref(body);
}

void api_clear_vhost_limits(const struct api_request *r, struct api_answer *answer)
{
    struct refusal refusal;
    struct waiter w;
    int rc;

    waiter_init(&w);
    rc =
        vhost_limits_clear(r->broker, r->segments[1],
                           (struct definitions_done){.call = waiter_tell, .context = &w}, &refusal);
    answer_when_done(answer, &w, rc, &refusal);
}
