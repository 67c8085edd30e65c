/* Queues emptied and deleted, and connections closed, on the workers that have them. */
#include "admin/api.h"
#include "admin/commit.h"
#include "broker/queue.h"
#include "broker/topology.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/connection.h"
#include "session/queue_home.h"
#include "session/shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATUS_OK = 200,
    STATUS_BAD_REQUEST = 400,
    STATUS_NOT_FOUND = 404,
    NUMBER_SIZE = 24,
};

/* ---- Queues: /queues/VHOST/NAME, /queue-contents/VHOST/NAME ---- */

/* A reference, or NULL after answering with 404. */
static struct queue_handle *find_queue(const struct api_request *r, struct api_answer *answer)
{
    struct vhost *v = vhost_find(&r->broker->server->vhosts, r->segments[1]);
    struct queue_handle *queue = NULL;

    if (v == NULL) {
        api_fail(answer, STATUS_NOT_FOUND, "virtual host '%.*s' does not exist",
                 BYTES_ARGS(r->segments[1]));
        return NULL;
    }
    vhost_lock_read(v);
    queue = topology_find_queue(v->topology, r->segments[2]);
    if (queue != NULL)
        queue_handle_ref(queue);
    vhost_unlock(v);
    if (queue == NULL)
        api_fail(answer, STATUS_NOT_FOUND, "no queue '%.*s' in vhost '%.*s'",
                 BYTES_ARGS(r->segments[2]), BYTES_ARGS(v->name));
    return queue;
}

struct queue_change {
    struct queue_handle *queue;
    bool if_unused;
    bool if_empty;
    const char *refused; /* why it was not done */
    uint64_t messages;
};

static void purge(struct shard *s, void *context)
{
    struct queue_change *c = context;

    if (c->queue->queue == NULL)
        c->refused = "is gone";
    else
        c->messages = queue_home_purge(s, c->queue);
    shard_run_effects(s);
}

static void delete (struct shard *s, void *context)
{
    struct queue_change *c = context;
    const struct queue *q = c->queue->queue;

    if (q == NULL)
        c->refused = "is gone";
    else if (c->if_unused && queue_consumer_count(q) != 0)
        c->refused = "is in use";
    else if (c->if_empty && queue_message_count(q) != 0)
        c->refused = "is not empty";
    else
        c->messages = queue_home_delete(s, c->queue);
    shard_run_effects(s);
}

static void change_queue(const struct api_request *r, struct api_answer *answer,
                         struct queue_change *c, void (*act)(struct shard *s, void *context))
{
    json_t *done;
    int rc = 0;

    ask_and_wait(r->asker, c->queue->home_worker, act, c);
    if (c->refused == NULL)
        rc = commit_wait(r->broker);
    if (c->refused != NULL) {
        api_fail(answer, STATUS_BAD_REQUEST, "queue '%.*s' in vhost '%.*s' %s",
                 BYTES_ARGS(c->queue->name), BYTES_ARGS(r->segments[1]), c->refused);
    } else if (rc < 0) {
        api_answer_change(answer, rc, strerror(-rc));
    } else {
        done = json_object();
        json_object_set_new(done, "message_count", json_integer((json_int_t)c->messages));
        api_answer_json(answer, done);
    }
    queue_handle_unref(c->queue);
}

void api_purge_queue(const struct api_request *r, struct api_answer *answer)
{
    struct queue_change c = {.queue = find_queue(r, answer)};

    if (c.queue != NULL)
        change_queue(r, answer, &c, purge);
}

/* With "if_unused" and "if_empty" in the body. */
void api_delete_queue(const struct api_request *r, struct api_answer *answer)
{
    struct queue_change c = {.queue = NULL};
    json_t *body = api_body(r, answer);

    if (body == NULL)
        return;
    c.if_unused = json_is_true(json_object_get(body, "if_unused"));
    c.if_empty = json_is_true(json_object_get(body, "if_empty"));
    json_decref(body);
    c.queue = find_queue(r, answer);
    if (c.queue != NULL)
        change_queue(r, answer, &c, delete);
}

/* ---- Connections: /connections/PID ---- */

struct closing {
    uint64_t id;
    const char *reason;
    bool found;
};

static void close_connection(struct shard *s, void *context)
{
    struct closing *c = context;
    struct connection *connection = connection_find(s, c->id);

    if (connection == NULL || connection->state == CONNECTION_DEAD)
        return;
    c->found = true;
    connection_force_close(connection, c->reason);
}

/* Returns 0 for what is no number. */
static uint64_t parse_id(struct bytes text)
{
    char number[NUMBER_SIZE];
    char *end;
    uint64_t id;

    if (text.size == 0 || text.size >= sizeof(number))
        return 0;
    memcpy(number, text.data, text.size);
    number[text.size] = '\0';
    id = strtoull(number, &end, 10);
    return *end == '\0' ? id : 0;
}

/* With a "reason" in the body. A connection may be on its way from one worker to another: it is
 * looked for twice. */
void api_close_connection(const struct api_request *r, struct api_answer *answer)
{
    uint32_t workers = r->broker->server->worker_count;
    json_t *body = api_body(r, answer);
    struct closing c = {.id = parse_id(r->segments[1])};

    if (body == NULL)
        return;
    c.reason = json_string_value(json_object_get(body, "reason"));
    if (c.reason == NULL)
        c.reason = "Closed via management plugin";
    for (uint32_t i = 0; i < 2 * workers && !c.found && c.id != 0; i++)
        ask_and_wait(r->asker, i % workers, close_connection, &c);
    if (c.found)
        api_answer_change(answer, 0, "");
    else
        api_fail(answer, STATUS_NOT_FOUND, "there is no connection '%.*s'",
                 BYTES_ARGS(r->segments[1]));
    json_decref(body);
}
