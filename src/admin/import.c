#include "admin/import.h"

#include "admin/commit.h"
#include "admin/import_internal.h"
#include "admin/import_queues.h"
#include "admin/json_value.h"
#include "base/buffer.h"
#include "base/log.h"
#include "base/secret.h"
#include "broker/topology.h"
#include "server/vhost.h"
#include "session/audit.h"
#include "session/broker.h"
#include "session/broker_parameters.h"
#include "session/broker_policies.h"
#include "session/broker_vhosts.h"
#include "session/delayed_exchange.h"
#include "session/shard.h"
#include "session/vhost_limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REASON_SIZE = 1152,
    ORIGIN_SIZE = 512,
    READ_SIZE = 64 * 1024,
};

/* ---- Telling ---- */

static void append_remark(json_t *list, const char *place, const char *reason)
{
    json_t *remark = json_object();

    json_object_set_new(remark, "place", json_from_bytes(bytes_from_string(place)));
    json_object_set_new(remark, "reason", json_from_bytes(bytes_from_string(reason)));
    json_array_append_new(list, remark);
}

void import_fail(struct import *im, enum definition_section section, const char *place,
                 const char *format, ...)
{
    char reason[REASON_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    im->report->counts[section].failed++;
    append_remark(im->report->problems, place, reason);
}

void import_count(struct import *im, enum definition_section section, enum import_change change)
{
    struct import_counts *c = &im->report->counts[section];

    switch (change) {
    case IMPORT_CREATED:
        c->created++;
        break;
    case IMPORT_UPDATED:
        c->updated++;
        break;
    case IMPORT_UNCHANGED:
        c->unchanged++;
        break;
    }
}

static void count_made(struct import *im, enum definition_section section, bool made)
{
    import_count(im, section, made ? IMPORT_CREATED : IMPORT_UNCHANGED);
}

struct vhost *import_vhost_of(struct import *im, const struct definition_record *r,
                              const char *place)
{
    struct vhost *v = vhost_find(&im->broker->server->vhosts, r->vhost);

    if (v == NULL)
        import_fail(im, r->section, place, "virtual host '%.*s' does not exist",
                    BYTES_ARGS(r->vhost));
    return v;
}

/* ---- Sections ---- */

enum import_change import_put_parameter(struct import *im, const struct parameter_definition *p)
{
    switch (broker_parameter_put(im->broker, p)) {
    case PARAMETER_CREATED:
        return IMPORT_CREATED;
    case PARAMETER_UPDATED:
        return IMPORT_UPDATED;
    case PARAMETER_UNCHANGED:
        break;
    }
    return IMPORT_UNCHANGED;
}

static void import_vhost_limits(struct import *im, enum definition_section section, struct vhost *v,
                                const struct table *limits, const char *place)
{
    static const struct definitions_done nobody_waits = {.call = NULL};
    const struct vhost_limits before = vhost_limits_of(v);
    struct vhost_limits after;
    struct refusal refusal;
    bool had_any = before.max_connections >= 0 || before.max_queues >= 0;

    if (vhost_limits_set(im->broker, v->name, limits, nobody_waits, &refusal) < 0) {
        import_fail(im, section, place, "%s", refusal.text);
        return;
    }
    after = vhost_limits_of(v);
    if (before.max_connections == after.max_connections && before.max_queues == after.max_queues)
        import_count(im, section, IMPORT_UNCHANGED);
    else
        import_count(im, section, had_any ? IMPORT_UPDATED : IMPORT_CREATED);
}

static void import_vhost(struct import *im, const struct definition_record *r, const char *place)
{
    struct vhost *v;
    bool made;

    if (r->name.size == 0) {
        import_fail(im, r->section, place, "a virtual host must have a name");
        return;
    }
    v = broker_vhost_put(im->broker, r->name, &made);
    count_made(im, r->section, made);
    if (r->arguments.count != 0)
        import_vhost_limits(im, DEFINITION_PARAMETERS, v, &r->arguments, place);
}

/* What is there under the name of a policy that is to be set. */
struct policy_comparison {
    const struct policy_declaration *wanted;
    bool found;
    bool equal;
};

static void compare_policy(void *context, const struct policy_declaration *d)
{
    struct policy_comparison *c = context;
    const struct policy_declaration *w = c->wanted;
    bool to_all = w->apply_to.size == 0;

    if (!bytes_equal(d->name, w->name))
        return;
    c->found = true;
    c->equal =
        bytes_equal(d->pattern, w->pattern) && d->priority == w->priority &&
        (to_all ? bytes_equal_string(d->apply_to, "all") : bytes_equal(d->apply_to, w->apply_to)) &&
        table_equal(d->definition, w->definition);
}

static void import_policy(struct import *im, const struct definition_record *r, const char *place)
{
    static const struct policies_done nobody_waits = {.call = NULL};
    const struct policy_declaration d = {
        .name = r->name,
        .pattern = r->pattern,
        .apply_to = r->apply_to,
        .priority = r->priority,
        .operator_policy = r->operator_policy,
        .definition = &r->arguments,
    };
    struct policy_comparison c = {.wanted = &d};
    struct refusal refusal;

    if (import_vhost_of(im, r, place) == NULL)
        return;
    broker_policies_each(im->broker, r->vhost, r->operator_policy, compare_policy, &c);
    if (c.equal)
        import_count(im, r->section, IMPORT_UNCHANGED);
    else if (broker_policies_set(im->broker, r->vhost, &d, nobody_waits, &refusal) < 0)
        import_fail(im, r->section, place, "%s", refusal.text);
    else
        import_count(im, r->section, c.found ? IMPORT_UPDATED : IMPORT_CREATED);
}

/* What other components keep has no effect here, and is kept for who asks for it. */
static void import_parameter(struct import *im, const struct definition_record *r,
                             const char *place)
{
    bool of_vhost = r->section == DEFINITION_PARAMETERS;
    const struct parameter_definition p = {
        .vhost = of_vhost ? r->vhost : bytes_of(NULL, 0),
        .component = of_vhost ? r->component : bytes_from_string(PARAMETER_GLOBAL),
        .name = r->name,
        .value = &r->value,
    };

    struct vhost *v = of_vhost ? import_vhost_of(im, r, place) : NULL;

    if (of_vhost && v == NULL)
        return;
    if (of_vhost && bytes_equal_string(r->component, PARAMETER_VHOST_LIMITS)) {
        if (r->value.type == VALUE_TABLE)
            import_vhost_limits(im, r->section, v, &r->value.table, place);
        else
            import_fail(im, r->section, place, "limits must be an object");
        return;
    }
    import_count(im, r->section, import_put_parameter(im, &p));
    if (!of_vhost)
        append_remark(im->report->not_understood, place, "is kept and has no effect");
    else
        append_remark(im->report->not_understood, place,
                      "is of a component that has no effect here, and is kept");
}

/* An exchange on its way to the worker that declares it. */
struct exchange_import {
    struct vhost *vhost;
    struct exchange_declaration *declaration;
    struct refusal refusal;
    bool made;
    int rc;
};

/* On a worker, which keeps what a delayed exchange delays. */
static void declare_exchange(struct shard *s, void *context)
{
    struct exchange_import *e = context;
    struct topology *t = e->vhost->topology;

    vhost_lock_write(e->vhost);
    e->made = topology_find_exchange(t, e->declaration->name) == NULL;
    e->rc = delayed_exchange_declare(s, t, e->declaration, &e->refusal);
    vhost_unlock(e->vhost);
}

static void import_exchange(struct import *im, const struct definition_record *r, const char *place)
{
    struct exchange_declaration d = {
        .name = r->name,
        .type = r->type,
        .durable = r->durable,
        .auto_delete = r->auto_delete,
        .internal = r->internal,
        .arguments = &r->arguments,
        .exchanges_max = im->broker->limits->max_exchanges,
    };
    struct exchange_import e = {.vhost = import_vhost_of(im, r, place), .declaration = &d};

    if (e.vhost == NULL)
        return;
    ask_and_wait(im->asker, im->next_worker++ % im->broker->server->worker_count, declare_exchange,
                 &e);
    if (e.rc < 0)
        import_fail(im, r->section, place, "%s", e.refusal.text);
    else
        count_made(im, r->section, e.made);
}

static void import_binding(struct import *im, const struct definition_record *r, const char *place)
{
    const struct binding_declaration d = {
        .source = r->source,
        .destination = r->destination,
        .to_exchange = r->to_exchange,
        .routing_key = r->routing_key,
        .arguments = &r->arguments,
        .bindings_max = im->broker->limits->max_bindings,
    };
    struct vhost *v = import_vhost_of(im, r, place);
    struct refusal refusal;
    uint64_t epoch;
    bool made;
    int rc;

    if (v == NULL)
        return;
    vhost_lock_write(v);
    epoch = topology_epoch(v->topology);
    rc = topology_bind(v->topology, &d, &refusal);
    made = topology_epoch(v->topology) != epoch;
    vhost_unlock(v);
    if (rc < 0)
        import_fail(im, r->section, place, "%s", refusal.text);
    else
        count_made(im, r->section, made);
}

static void import_queue(struct import *im, const struct definition_record *r, const char *place)
{
    struct vhost *v = import_vhost_of(im, r, place);

    if (v != NULL)
        import_queues_add(&im->queues, v, r, place);
}

/* ---- The walk ---- */

static void on_queue_done(void *context, const char *place, bool created, const char *reason)
{
    struct import *im = context;

    if (reason != NULL)
        import_fail(im, DEFINITION_QUEUES, place, "%s", reason);
    else
        count_made(im, DEFINITION_QUEUES, created);
}

static void on_record(void *context, const struct definition_record *r, const char *place)
{
    struct import *im = context;

    if (r->section != DEFINITION_QUEUES)
        import_queues_flush(&im->queues);
    switch (r->section) {
    case DEFINITION_VHOSTS:
        import_vhost(im, r, place);
        return;
    case DEFINITION_USERS:
        import_user(im, r, place);
        return;
    case DEFINITION_PERMISSIONS:
        import_permission(im, r, place);
        return;
    case DEFINITION_TOPIC_PERMISSIONS:
        import_topic_permission(im, r, place);
        return;
    case DEFINITION_POLICIES:
        import_policy(im, r, place);
        return;
    case DEFINITION_PARAMETERS:
    case DEFINITION_GLOBAL_PARAMETERS:
        import_parameter(im, r, place);
        return;
    case DEFINITION_EXCHANGES:
        import_exchange(im, r, place);
        return;
    case DEFINITION_QUEUES:
        import_queue(im, r, place);
        return;
    case DEFINITION_BINDINGS:
        import_binding(im, r, place);
        return;
    case DEFINITION_SECTIONS:
        return;
    }
}

/* The section of "$.queues[3]…", to count what cannot be read. */
static void count_unreadable(struct import *im, const char *place)
{
    for (enum definition_section s = 0; s < DEFINITION_SECTIONS; s++) {
        const char *name = definition_section_name(s);

        if (strncmp(place + strlen("$."), name, strlen(name)) == 0 &&
            place[strlen("$.") + strlen(name)] == '[')
            im->report->counts[s].failed++;
    }
}

static void on_problem(void *context, const char *place, const char *reason)
{
    struct import *im = context;

    count_unreadable(im, place);
    append_remark(im->report->problems, place, reason);
}

static void on_not_understood(void *context, const char *place, const char *reason)
{
    struct import *im = context;

    append_remark(im->report->not_understood, place, reason);
}

int import_definitions(struct asker *a, struct bytes text, struct bytes vhost,
                       struct import_report *report, char *error, size_t error_size)
{
    struct import im = {.asker = a, .broker = a->broker, .report = report};
    const struct definition_visitor visitor = {
        .context = &im,
        .record = on_record,
        .problem = on_problem,
        .not_understood = on_not_understood,
    };
    int rc;

    *report = (struct import_report){.problems = json_array(), .not_understood = json_array()};
    import_queues_init(&im.queues, a, on_queue_done, &im);
    rc = definitions_read_json(text, vhost, &visitor, error, error_size);
    import_queues_flush(&im.queues);
    import_queues_release(&im.queues);
    if (rc == 0) {
        rc = commit_wait(a->broker);
        if (rc < 0)
            snprintf(error, error_size,
                     "it is imported, but the definitions could not be written: %s", strerror(-rc));
    }
    if (rc < 0)
        import_report_release(report);
    return rc;
}

/* ---- The report ---- */

void import_report_release(struct import_report *r)
{
    json_decref(r->problems);
    json_decref(r->not_understood);
}

json_t *import_report_json(const struct import_report *r)
{
    json_t *sections = json_object();
    json_t *all = json_object();

    for (enum definition_section s = 0; s < DEFINITION_SECTIONS; s++) {
        const struct import_counts *c = &r->counts[s];
        json_t *counts = json_object();

        if (c->created + c->updated + c->unchanged + c->failed == 0) {
            json_decref(counts);
            continue;
        }
        json_object_set_new(counts, "created", json_integer(c->created));
        json_object_set_new(counts, "updated", json_integer(c->updated));
        json_object_set_new(counts, "unchanged", json_integer(c->unchanged));
        json_object_set_new(counts, "failed", json_integer(c->failed));
        json_object_set_new(sections, definition_section_name(s), counts);
    }
    json_object_set_new(all, "sections", sections);
    json_object_set(all, "problems", r->problems);
    json_object_set(all, "not_understood", r->not_understood);
    return all;
}

/* ---- A file at start ---- */

static void log_remarks(const char *path, const json_t *remarks, enum log_level level)
{
    for (size_t i = 0; i < json_array_size(remarks); i++) {
        const json_t *remark = json_array_get(remarks, i);

        log_write(level, "definitions", "%s: %s: %s", path,
                  json_string_value(json_object_get(remark, "place")),
                  json_string_value(json_object_get(remark, "reason")));
    }
}

static void log_report(const char *path, const struct import_report *r)
{
    struct import_counts sum = {.created = 0};

    for (enum definition_section s = 0; s < DEFINITION_SECTIONS; s++) {
        sum.created += r->counts[s].created;
        sum.updated += r->counts[s].updated;
        sum.unchanged += r->counts[s].unchanged;
        sum.failed += r->counts[s].failed;
    }
    log_remarks(path, r->not_understood, LOG_LEVEL_INFO);
    log_remarks(path, r->problems, LOG_LEVEL_ERROR);
    log_info("definitions", "%s: %u created, %u updated, %u unchanged, %u failed", path,
             sum.created, sum.updated, sum.unchanged, sum.failed);
}

/* It may have passwords. Returns 0 or -errno. */
static int read_file(const char *path, struct buffer *text)
{
    FILE *f = fopen(path, "re");
    int rc;

    if (f == NULL)
        return -errno;
    setvbuf(f, NULL, _IONBF, 0);
    for (;;) {
        size_t n = fread(secret_reserve(text, READ_SIZE), 1, READ_SIZE, f);

        text->size += n;
        if (n == 0)
            break;
    }
    rc = ferror(f) != 0 ? -EIO : 0;
    fclose(f);
    return rc;
}

int import_file(struct asker *a, const char *path)
{
    char origin[ORIGIN_SIZE];
    struct import_report report;
    char error[REASON_SIZE];
    struct buffer text;
    int rc;

    buffer_init(&text);
    rc = read_file(path, &text);
    if (rc < 0) {
        snprintf(error, sizeof(error), "cannot be read: %s", strerror(-rc));
    } else {
        snprintf(origin, sizeof(origin), "the definitions file %s", path);
        audit_set_origin(origin);
        rc = import_definitions(a, buffer_bytes(&text), bytes_of(NULL, 0), &report, error,
                                sizeof(error));
        audit_set_origin(NULL);
    }
    secret_buffer_free(&text);
    if (rc < 0) {
        log_error("definitions", "%s: %s", path, error);
        return rc;
    }
    log_report(path, &report);
    import_report_release(&report);
    return 0;
}
