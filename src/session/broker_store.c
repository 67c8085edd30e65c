#include "session/broker_store.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/system_memory.h"
#include "session/broker.h"
#include "session/broker_policies.h"
#include "session/broker_users.h"
#include "session/definition_changes.h"
#include "session/delayed_exchange.h"
#include "session/durable_log.h"
#include "session/queue_home.h"
#include "session/vhost_limits.h"
#include "store/recovery.h"
#include "store/recovery_look.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ERROR_SIZE 512

/* ---- Journals ---- */

static void count_journal(void *context, uint32_t shard)
{
    uint32_t *count = context;

    if (shard + 1 > *count)
        *count = shard + 1;
}

static void tell_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    int *told = context;
    int percent = total_bytes != 0 ? (int)(100 * done_bytes / total_bytes) : 100;

    if (percent < *told + 10 && percent != 100)
        return;
    *told = percent;
    log_info("journal", "reading the journal: %d %% of %" PRIu64 " MiB", percent,
             total_bytes >> 20);
}

static void tell_damage(void *context, const char *file, uint64_t offset, uint64_t size,
                        const char *what)
{
    (void)context;
    if (size == 0) {
        log_error("journal", "%s: %s", file, what);
        return;
    }
    log_error("journal", "%s: damaged at %" PRIu64 " for %" PRIu64 " bytes: %s", file, offset, size,
              what);
}

/* Where the last of a journal's files ends. */
static uint64_t end_of(const struct recovered *r)
{
    const struct recovered_segment *last;

    if (r->segment_count == 0)
        return 0;
    last = &r->segments[r->segment_count - 1];
    return journal_place(last->segment, last->size_bytes);
}

static void tell_end(const char *directory, const struct recovered *r, uint64_t noted)
{
    if (end_of(r) < noted)
        log_error("journal",
                  "%s: its end is missing: it was once written up to segment %08x, offset %u, and "
                  "what can be read ends in segment %08x, offset %u; messages are lost",
                  directory, (unsigned)(noted >> 32), (unsigned)noted, (unsigned)(end_of(r) >> 32),
                  (unsigned)end_of(r));
    else if (r->cut_bytes != 0)
        log_warning("journal",
                    "%s: the last %" PRIu64 " bytes (%" PRIu64
                    " records) were not written wholly when the broker ended, and are dropped; "
                    "nothing in them was confirmed",
                    directory, r->cut_bytes, r->cut_records);
}

static int recover(struct broker *b, uint32_t number, const char *directory, struct recovered *out)
{
    char error[ERROR_SIZE];
    uint64_t noted;
    int told = 0;
    const struct recovery_options options = {
        .files = &SYSTEM_FILES,
        .directory = directory,
        .threads = b->server->worker_count,
        .progress = tell_progress,
        .damage = tell_damage,
        .context = &told,
    };
    int rc = definitions_noted_journal(b->definitions, number, &noted, error, sizeof(error));

    if (rc < 0) {
        log_error("definitions", "%s", error);
        return rc;
    }
    rc = recovery_run(&options, out);
    if (rc < 0)
        log_error("journal", "%s cannot be read: %s", directory, strerror(-rc));
    else
        tell_end(directory, out, noted);
    return rc;
}

static void adopt_segments(struct durable_log *log, const struct recovered *r)
{
    for (size_t i = 0; i < r->segment_count; i++) {
        journal_adopt_segment(log->journal, r->segments[i].segment, r->segments[i].size_bytes,
                              r->segments[i].shares);
        if (r->segments[i].damaged)
            journal_adopt_damaged(log->journal, r->segments[i].segment);
    }
}

/* Reads a journal and opens it for more. The worker of its number carries it on, or, when the
 * broker has fewer workers than it once had, one that has another already. */
static int open_journal(struct broker *b, uint32_t number, struct recovered *r)
{
    struct shard *s = &b->shards[number % b->server->worker_count];
    char *directory = data_directory_journal(b->data.path, number);
    int rc = data_directory_make_journal(&b->data, number);

    if (rc == 0)
        rc = recover(b, number, directory, r);
    if (rc == 0) {
        rc = durable_log_open(&b->logs[number], s, number, directory);
        if (rc < 0) {
            log_error("journal", "%s cannot be opened: %s", directory, strerror(-rc));
            recovered_free(r);
        }
    }
    if (rc == 0) {
        adopt_segments(&b->logs[number], r);
        shard_add_log(s, &b->logs[number]);
        b->log_count++;
    }
    free(directory);
    return rc;
}

/* Bodies leave memory above this (memory.target of the configuration). */
static uint64_t memory_target(const struct config_memory *m)
{
    if (m->target_bytes != 0)
        return m->target_bytes;
    return system_memory_limit() / 100 * m->target_percent;
}

static int open_paging(struct broker *b, struct shard *s)
{
    char *directory = data_directory_paged(b->data.path, shard_id(s));
    int rc = data_directory_make_paged(&b->data, shard_id(s));

    if (rc == 0)
        rc = paging_open(&s->paging, s, directory, memory_target(&b->server->config->memory));
    if (rc < 0)
        log_error("paging", "%s cannot be used: %s", directory, strerror(-rc));
    free(directory);
    return rc;
}

/* ---- Definitions ---- */

struct restoring {
    struct broker *broker;
    struct recovered *recovered; /* by journal */
};

static void on_vhost(void *context, struct bytes name)
{
    struct restoring *r = context;

    vhost_ensure(&r->broker->server->vhosts, name);
}

static void on_user(void *context, const struct user_definition *u)
{
    const struct restoring *r = context;

    broker_users_restore_user(r->broker, u);
}

static void on_permission(void *context, const struct permission_definition *p)
{
    const struct restoring *r = context;

    broker_users_restore_permission(r->broker, p);
}

static void on_topic_permission(void *context, const struct topic_permission_definition *p)
{
    const struct restoring *r = context;

    broker_users_restore_topic_permission(r->broker, p);
}

static struct vhost *vhost_of(struct restoring *r, struct bytes name)
{
    return vhost_ensure(&r->broker->server->vhosts, name);
}

static void on_policy(void *context, const struct policy_definition *p)
{
    const struct restoring *r = context;

    broker_policies_restore(r->broker, p);
}

static void on_parameter(void *context, const struct parameter_definition *p)
{
    const struct restoring *r = context;

    vhost_limits_restore(r->broker, p);
    broker_parameter_restore(r->broker, p);
    broker_users_restore_limits(r->broker, p);
}

static void on_exchange(void *context, const struct exchange_definition *e)
{
    struct vhost *v = vhost_of(context, e->vhost);
    const struct exchange_declaration d = {
        .name = e->name,
        .type = e->type,
        .durable = true,
        .auto_delete = e->auto_delete,
        .internal = e->internal,
        .arguments = e->arguments,
    };
    struct refusal refusal;

    if (topology_declare_exchange(v->topology, &d, &refusal) < 0)
        log_error("definitions", "not restored: %s", refusal.text);
}

static void on_queue(void *context, const struct queue_definition *q)
{
    const struct table none = table_empty();
    struct restoring *r = context;
    struct broker *b = r->broker;
    struct vhost *v = vhost_of(r, q->vhost);
    struct queue_options options;
    struct refusal refusal;
    struct durable_log *log;

    if (q->shard >= b->log_count || queue_options_parse(&options, true, false, q->auto_delete,
                                                        q->arguments != NULL ? q->arguments : &none,
                                                        q->name, v->name, &refusal) < 0) {
        log_error("definitions", "queue '%.*s' in vhost '%.*s' is not restored: %s",
                  BYTES_ARGS(q->name), BYTES_ARGS(v->name),
                  q->shard >= b->log_count ? "its journal is gone" : refusal.text);
        return;
    }
    log = &b->logs[q->shard];
    queue_home_restore(log->shard, v, q->name, &options, log, q->id, &r->recovered[q->shard]);
}

static void on_delays(void *context, const struct delays_definition *delays)
{
    struct restoring *r = context;
    struct broker *b = r->broker;
    struct vhost *v = vhost_of(r, delays->vhost);
    struct exchange *e = topology_find_exchange(v->topology, delays->exchange);
    struct durable_log *log;

    if (e == NULL)
        return;
    if (delays->shard >= b->log_count) {
        log_error(
            "definitions",
            "what exchange '%.*s' in vhost '%.*s' delays is not restored: its journal is gone",
            BYTES_ARGS(delays->exchange), BYTES_ARGS(v->name));
        return;
    }
    log = &b->logs[delays->shard];
    delayed_exchange_restore(log->shard, v, e, log, delays->id, &r->recovered[delays->shard]);
}

static void on_binding(void *context, const struct binding_definition *b)
{
    struct vhost *v = vhost_of(context, b->vhost);
    const struct binding_declaration d = {
        .source = b->source,
        .destination = b->destination,
        .to_exchange = b->to_exchange,
        .routing_key = b->routing_key,
        .arguments = b->arguments,
    };
    struct refusal refusal;

    if (topology_bind(v->topology, &d, &refusal) < 0)
        log_error("definitions", "a binding is not restored: %s", refusal.text);
}

static int read_definitions(struct broker *b, struct recovered *recovered)
{
    struct restoring r = {.broker = b, .recovered = recovered};
    const struct definitions_visitor visitor = {
        .context = &r,
        .vhost = on_vhost,
        .user = on_user,
        .permission = on_permission,
        .topic_permission = on_topic_permission,
        .parameter = on_parameter,
        .policy = on_policy,
        .exchange = on_exchange,
        .delays = on_delays,
        .queue = on_queue,
        .binding = on_binding,
    };
    char error[ERROR_SIZE];
    int rc = definitions_read(b->definitions, &visitor, error, sizeof(error));

    if (rc < 0)
        log_error("definitions", "%s", error);
    return rc;
}

void broker_store_watch(struct broker *b, struct vhost *v)
{
    struct definition_recorder *r;

    if (b->definitions == NULL || v->state != NULL)
        return;
    r = memory_alloc_zeroed(1, sizeof(*r));
    definitions_add_vhost(b->definitions, v->name, (struct definitions_done){.call = NULL});
    definition_recorder_start(r, v, b);
}

static void watch(struct vhost *v, void *context)
{
    broker_store_watch(context, v);
}

/* ---- Opening and closing ---- */

struct looking {
    const char *path;
    int result;
};

static void look_at_journal(void *context, uint32_t number)
{
    struct looking *l = context;
    char *directory = data_directory_journal(l->path, number);
    const struct recovery_options options = {
        .files = &SYSTEM_FILES, .directory = directory, .damage = tell_damage};
    int rc = recovery_look(&options);

    if (rc < 0)
        l->result = rc;
    free(directory);
}

/* Before anything is written: what no start gets past. */
static int look_at_journals(const char *path)
{
    struct looking l = {.path = path};
    int rc = data_directory_each_journal(path, look_at_journal, &l);

    if (rc < 0)
        log_error("journal", "%s: the journals cannot be read: %s", path, strerror(-rc));
    return rc < 0 ? rc : l.result;
}

static int open_files(struct broker *b, const char *path)
{
    char error[ERROR_SIZE];
    char *definitions;
    int rc = data_directory_open(&b->data, path, error, sizeof(error));

    if (rc < 0) {
        log_error("store", "%s", error);
        return rc;
    }
    b->data_is_open = true;
    rc = look_at_journals(path);
    if (rc < 0)
        return rc;
    definitions = data_directory_definitions(path);
    rc = definitions_open(&b->definitions, definitions, error, sizeof(error));
    free(definitions);
    if (rc < 0)
        log_error("definitions", "%s", error);
    else
        rc = data_directory_wipe_paged(&b->data);
    return rc;
}

/* A queue that the definitions have yet to make would get what is kept under its id. */
static int check_queue_ids(const struct broker *b, const struct recovered *r, uint32_t number)
{
    for (size_t i = 0; i < r->queue_count; i++) {
        if (durable_lane_queue(r->queues[i].id) < definitions_least_queue_id(b->definitions))
            continue;
        log_error("definitions",
                  "%s: the definitions are older than journal %" PRIu32
                  ", which has queues that they do not know; restore a backup of both",
                  b->data.path, number);
        definitions_return_queue_ids(b->definitions); /* the next start is to see it too */
        return -EBADMSG;
    }
    return 0;
}

static int restore(struct broker *b, uint32_t journals)
{
    struct recovered *recovered = memory_alloc_zeroed(journals, sizeof(*recovered));
    int rc = 0;

    b->logs = memory_alloc_zeroed(journals, sizeof(*b->logs));
    for (uint32_t i = 0; rc == 0 && i < journals; i++)
        rc = open_journal(b, i, &recovered[i]);
    for (uint32_t i = 0; rc == 0 && i < journals; i++)
        rc = check_queue_ids(b, &recovered[i], i);
    for (uint32_t i = 0; rc == 0 && i < b->server->worker_count; i++)
        rc = open_paging(b, &b->shards[i]);
    if (rc == 0)
        rc = read_definitions(b, recovered);
    for (uint32_t i = 0; i < b->log_count; i++)
        recovered_free(&recovered[i]);
    free(recovered);
    return rc;
}

int broker_store_open(struct broker *b, const char *path)
{
    uint32_t journals = b->server->worker_count;
    int rc = open_files(b, path);

    if (rc == 0)
        rc = data_directory_each_journal(path, count_journal, &journals);
    if (rc == 0)
        rc = restore(b, journals);
    if (rc < 0)
        return rc;
    vhost_registry_each(&b->server->vhosts, watch, b);
    return 0;
}

static void forget(struct vhost *v, void *context)
{
    (void)context;
    topology_observe(v->topology, NULL);
    definition_recorder_free(v->state);
    v->state = NULL;
}

void broker_store_close(struct broker *b)
{
    vhost_registry_each(&b->server->vhosts, forget, NULL);
    vhost_registry_each_deleted(&b->server->vhosts, forget, NULL);
    for (uint32_t i = 0; i < b->log_count; i++)
        durable_log_close(&b->logs[i]);
    free(b->logs);
    b->logs = NULL;
    b->log_count = 0;
    for (uint32_t i = 0; i < b->server->worker_count; i++)
        paging_close(&b->shards[i].paging);
    if (b->definitions != NULL)
        definitions_close(b->definitions);
    b->definitions = NULL;
    if (b->data_is_open)
        data_directory_close(&b->data);
    b->data_is_open = false;
}
