/* queue.declare, .bind, .unbind, .purge and .delete. */
#include "session/channel.h"

#include "base/memory.h"
#include "base/random.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/channel_topology.h"
#include "session/definition_changes.h"
#include "session/reply_registry.h"
#include "session/server_names.h"
#include "session/shard.h"
#include "session/vhost_limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- Finding ---- */

int channel_queue_name(struct channel *ch, struct bytes name, struct bytes *out)
{
    *out = name.size != 0 ? name : ch->last_queue;
    if (out->size == 0)
        return channel_refuse(ch, AMQP_NOT_FOUND, "no previously declared queue");
    return 0;
}

int channel_refuse_no_queue(struct channel *ch, struct bytes name)
{
    return channel_refuse(ch, AMQP_NOT_FOUND, "no queue '%.*s' in vhost '%.*s'", BYTES_ARGS(name),
                          BYTES_ARGS(ch->connection->vhost->name));
}

static int refuse_locked(struct channel *ch, struct bytes name)
{
    return channel_refuse(ch, AMQP_RESOURCE_LOCKED,
                          "cannot obtain exclusive access to locked queue '%.*s' in vhost '%.*s'. "
                          "It could be originally declared on another connection or the exclusive "
                          "property value does not match that of the original declaration.",
                          BYTES_ARGS(name), BYTES_ARGS(ch->connection->vhost->name));
}

static bool locked_for(const struct channel *ch, const struct queue_handle *queue)
{
    return queue->owner != 0 && queue->owner != ch->connection->id;
}

static struct queue_handle *lookup(struct channel *ch, struct bytes name)
{
    struct vhost *vhost = ch->connection->vhost;
    struct queue_handle *queue;

    vhost_lock_read(vhost);
    queue = topology_find_queue(vhost->topology, name);
    if (queue != NULL)
        queue_handle_ref(queue);
    vhost_unlock(vhost);
    return queue;
}

struct queue_handle *channel_find_queue(struct channel *ch, struct bytes name)
{
    struct queue_handle *queue = lookup(ch, name);

    if (queue == NULL) {
        channel_refuse_no_queue(ch, name);
        return NULL;
    }
    if (locked_for(ch, queue)) {
        refuse_locked(ch, name);
        queue_handle_unref(queue);
        return NULL;
    }
    return queue;
}

/* Asks the queue's home and parks the channel until it answers. Drops the caller's reference. */
static void ask(struct channel *ch, struct queue_handle *queue, struct queue_command *question)
{
    question->channel = ch;
    question->queue = queue;
    channel_wait(ch);
    queue_ask(ch->shard, question);
    queue_handle_unref(queue);
}

/* ---- queue.declare ---- */

static void remember_last_queue(struct channel *ch, struct bytes name)
{
    if (bytes_equal(ch->last_queue, name))
        return;
    free((void *)(uintptr_t)ch->last_queue.data);
    ch->last_queue = bytes_of(bytes_to_string(name), name.size);
}

static struct amqp_method declare_ok(struct bytes name, uint64_t messages, uint32_t consumers)
{
    return (struct amqp_method){
        .id = AMQP_QUEUE_DECLARE_OK,
        .queue_declare_ok = {
            .queue = name,
            .message_count = messages > UINT32_MAX ? UINT32_MAX : (uint32_t)messages,
            .consumer_count = consumers,
        }};
}

static void ask_status(struct channel *ch, struct queue_handle *queue, bool no_wait)
{
    ask(ch, queue, &(struct queue_command){.operation = QUEUE_STATUS, .no_wait = no_wait});
}

/* What is asked for need not be right: it is held against what there is, which is. */
static int declare_existing(struct channel *ch, struct queue_handle *queue,
                            const struct amqp_queue_declare *m, const struct queue_options *asked)
{
    struct refusal r;

    if (locked_for(ch, queue) || queue->options.exclusive != asked->exclusive) {
        refuse_locked(ch, queue->name);
        queue_handle_unref(queue);
        return -EPROTO;
    }
    if (queue_options_equivalent(&queue->options, asked, queue->name, ch->connection->vhost->name,
                                 &r) < 0) {
        queue_handle_unref(queue);
        return channel_refuse_with(ch, &r);
    }
    channel_keep_method(ch);
    ask_status(ch, queue, m->no_wait);
    return 0;
}

static int check_new(struct channel *ch, struct bytes name, bool server_named)
{
    struct server *server = ch->shard->worker->server;
    uint32_t limit = server->config->limits.max_queues;

    if (!server_named && bytes_starts_with(name, "amq."))
        return channel_refuse(ch, AMQP_ACCESS_REFUSED,
                              "queue name '%.*s' contains reserved prefix 'amq.*'",
                              BYTES_ARGS(name));
    if (limit != 0 && atomic_load(&server->queue_count) >= limit)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                              "cannot declare queue '%.*s' in vhost '%.*s': the limit of %" PRIu32
                              " queues is reached (limits.max_queues)",
                              BYTES_ARGS(name), BYTES_ARGS(ch->connection->vhost->name), limit);
    return 0;
}

/* Makes the queue, at home on this worker, unless another connection was quicker: then `*existing`
 * is a reference to what that made; or unless it cannot be made: then that has been refused. Takes
 * over `options` if it made the queue. */
static struct queue_handle *create(struct channel *ch, struct bytes name,
                                   struct queue_options *options, struct queue_handle **existing)
{
    struct vhost *vhost = ch->connection->vhost;
    uint64_t owner = options->exclusive ? ch->connection->id : 0;
    struct queue_handle *queue;
    int64_t limit;

    vhost_lock_write(vhost);
    *existing = topology_find_queue(vhost->topology, name);
    if (*existing != NULL) {
        queue_handle_ref(*existing);
        vhost_unlock(vhost);
        return NULL;
    }
    if (!vhost_limits_allow_queue(vhost, &limit)) {
        vhost_unlock(vhost);
        channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                       "cannot declare queue '%.*s': queue limit in vhost '%.*s' (%" PRId64
                       ") is reached (%s)",
                       BYTES_ARGS(name), BYTES_ARGS(vhost->name), limit,
                       vhost_limits_queues_key(vhost));
        return NULL;
    }
    queue = queue_home_create(ch->shard, vhost, name, options, owner);
    vhost_unlock(vhost);
    if (queue == NULL)
        channel_refuse(
            ch, AMQP_INTERNAL_ERROR,
            "queue '%.*s' in vhost '%.*s' cannot be made durable: the definitions cannot "
            "be written",
            BYTES_ARGS(name), BYTES_ARGS(vhost->name));
    else if (owner != 0)
        list_append(&ch->connection->exclusive_queues, &queue->by_owner);
    return queue;
}

/* RabbitMQ "Access Control": declaring a dead-letter exchange is reading from the queue and
 * writing to the exchange. */
static int check_dead_letter_permissions(struct channel *ch, struct bytes name,
                                         const struct queue_options *options)
{
    if (!options->has_dead_letter_exchange)
        return 0;
    if (channel_check_permission(ch, PERMISSION_READ, "queue", name) < 0)
        return -EPROTO;
    return channel_check_permission(ch, PERMISSION_WRITE, "exchange",
                                    options->dead_letters->exchange);
}

/* Checks what is asked for. Returns 0, or -EPROTO after refusing it, with nothing to free. */
static int parse_new(struct channel *ch, struct bytes name, const struct queue_options *asked,
                     struct queue_options *options)
{
    struct refusal r;

    if (queue_options_parse(options, asked->durable, asked->exclusive, asked->auto_delete,
                            &asked->arguments, name, ch->connection->vhost->name, &r) < 0)
        return channel_refuse_with(ch, &r);
    if (check_dead_letter_permissions(ch, name, options) < 0) {
        queue_options_free(options);
        return -EPROTO;
    }
    return 0;
}

static int declare_new(struct channel *ch, struct bytes name, const struct amqp_queue_declare *m,
                       const struct queue_options *asked)
{
    struct queue_handle *existing = NULL;
    struct queue_options options;
    struct amqp_method ok;

    if (parse_new(ch, name, asked, &options) < 0)
        return -EPROTO;
    if (check_new(ch, name, m->queue.size == 0) < 0 ||
        create(ch, name, &options, &existing) == NULL) {
        queue_options_free(&options);
        return existing != NULL ? declare_existing(ch, existing, m, asked) : -EPROTO;
    }
    ok = declare_ok(name, 0, 0);
    channel_answer_committed(ch, &ok, asked->durable && ch->shard->broker->definitions != NULL,
                             m->no_wait);
    return 0;
}

/* As with RabbitMQ, a queue that is there is found before anything else is said of the arguments;
 * but nobody would find a quorum queue again whose name the server made. */
static int declare(struct channel *ch, struct bytes name, const struct amqp_queue_declare *m,
                   const struct queue_options *asked)
{
    struct queue_handle *queue;

    if (m->queue.size == 0 && queue_options_is_quorum(asked))
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                              "Cannot declare a server-named queue for type rabbit_quorum_queue");
    remember_last_queue(ch, name);
    queue = lookup(ch, name);
    return queue != NULL ? declare_existing(ch, queue, m, asked) : declare_new(ch, name, m, asked);
}

/* The pseudo-queue is there for everybody; the name of a waiting channel while it waits. */
static bool names_reply_consumer(struct channel *ch, struct bytes name)
{
    uint64_t key = reply_queue_key(name);
    struct reply_address address;

    if (bytes_equal_string(name, REPLY_QUEUE_NAME))
        return true;
    return key != 0 && reply_registry_find(&ch->shard->broker->replies, key, &address);
}

/* Such a queue is there or not; no declare makes it. */
static int declare_reply_queue(struct channel *ch, const struct amqp_queue_declare *m)
{
    const struct amqp_method ok = declare_ok(m->queue, 0, 1);

    if (!names_reply_consumer(ch, m->queue))
        return channel_refuse_no_queue(ch, m->queue);
    if (!m->no_wait)
        channel_send(ch, &ok);
    return 0;
}

static int declare_passive(struct channel *ch, const struct amqp_queue_declare *m)
{
    struct queue_handle *queue = channel_find_queue(ch, m->queue);

    if (queue == NULL)
        return -EPROTO;
    remember_last_queue(ch, m->queue);
    ask_status(ch, queue, m->no_wait);
    return 0;
}

static int on_declare(struct channel *ch, const struct amqp_queue_declare *m)
{
    char generated[SERVER_NAME_SIZE];
    struct bytes name = m->queue;
    /* As with RabbitMQ: what goes with its connection outlives no restart. */
    struct queue_options asked = {.durable = m->durable && !m->exclusive,
                                  .exclusive = m->exclusive,
                                  .auto_delete = m->auto_delete};
    struct arena arena;
    int rc;

    if (bytes_starts_with(name, REPLY_QUEUE_NAME))
        return declare_reply_queue(ch, m);
    if (m->passive)
        return declare_passive(ch, m);
    if (name.size == 0) {
        server_name_make("amq.gen-", generated);
        name = bytes_from_string(generated);
    }
    if (channel_check_permission(ch, PERMISSION_CONFIGURE, "queue", name) < 0)
        return -EPROTO;
    arena_init(&arena);
    rc = channel_decode_arguments(ch, &arena, m->arguments, &asked.arguments);
    if (rc == 0)
        rc = declare(ch, name, m, &asked);
    arena_free(&arena);
    return rc;
}

/* ---- The others ---- */

static int bind_or_unbind(struct channel *ch, struct bytes queue, struct bytes exchange,
                          struct bytes routing_key, struct amqp_table arguments, bool bind,
                          bool no_wait)
{
    const struct amqp_method ok = {.id = bind ? AMQP_QUEUE_BIND_OK : AMQP_QUEUE_UNBIND_OK};
    struct binding_declaration b = {.source = exchange, .routing_key = routing_key};

    if (channel_queue_name(ch, queue, &b.destination) < 0)
        return -EPROTO;
    if (queue.size == 0 && routing_key.size == 0)
        b.routing_key = b.destination;
    return channel_bind(ch, &b, arguments, bind, &ok, no_wait);
}

static int on_bind(struct channel *ch, const struct amqp_queue_bind *m)
{
    return bind_or_unbind(ch, m->queue, m->exchange, m->routing_key, m->arguments, true,
                          m->no_wait);
}

static int on_unbind(struct channel *ch, const struct amqp_queue_unbind *m)
{
    return bind_or_unbind(ch, m->queue, m->exchange, m->routing_key, m->arguments, false, false);
}

static int on_purge(struct channel *ch, const struct amqp_queue_purge *m)
{
    struct queue_handle *queue;
    struct bytes name;

    if (channel_queue_name(ch, m->queue, &name) < 0 ||
        channel_check_permission(ch, PERMISSION_READ, "queue", name) < 0)
        return -EPROTO;
    queue = channel_find_queue(ch, name);
    if (queue == NULL)
        return -EPROTO;
    ask(ch, queue, &(struct queue_command){.operation = QUEUE_PURGE, .no_wait = m->no_wait});
    return 0;
}

static struct amqp_method delete_ok(uint64_t messages)
{
    return (struct amqp_method){
        .id = AMQP_QUEUE_DELETE_OK,
        .queue_delete_ok.message_count = messages > UINT32_MAX ? UINT32_MAX : (uint32_t)messages,
    };
}

/* Of a queue that another connection has just deleted. */
static bool deletion_is_uncommitted(struct channel *ch, struct bytes name)
{
    struct vhost *vhost = ch->connection->vhost;
    bool uncommitted;

    vhost_lock_read(vhost);
    uncommitted = definition_uncommitted_queue(vhost, name);
    vhost_unlock(vhost);
    return uncommitted;
}

static int on_delete(struct channel *ch, const struct amqp_queue_delete *m)
{
    const struct amqp_method ok = delete_ok(0);
    struct queue_handle *queue;
    struct bytes name;

    if (channel_queue_name(ch, m->queue, &name) < 0 ||
        channel_check_permission(ch, PERMISSION_CONFIGURE, "queue", name) < 0)
        return -EPROTO;
    queue = lookup(ch, name);
    if (queue == NULL) {
        channel_answer_committed(ch, &ok, deletion_is_uncommitted(ch, name), m->no_wait);
        return 0;
    }
    if (locked_for(ch, queue)) {
        queue_handle_unref(queue);
        return refuse_locked(ch, name);
    }
    ask(ch, queue,
        &(struct queue_command){.operation = QUEUE_DELETE,
                                .if_unused = m->if_unused,
                                .if_empty = m->if_empty,
                                .no_wait = m->no_wait});
    return 0;
}

int channel_on_queue_method(struct channel *ch, const struct amqp_method *m)
{
    switch ((int)m->id) {
    case AMQP_QUEUE_DECLARE:
        return on_declare(ch, &m->queue_declare);
    case AMQP_QUEUE_BIND:
        return on_bind(ch, &m->queue_bind);
    case AMQP_QUEUE_UNBIND:
        return on_unbind(ch, &m->queue_unbind);
    case AMQP_QUEUE_PURGE:
        return on_purge(ch, &m->queue_purge);
    case AMQP_QUEUE_DELETE:
        return on_delete(ch, &m->queue_delete);
    default:
        return channel_refuse(ch, AMQP_COMMAND_INVALID, "unexpected method %s",
                              amqp_method_name(m->id));
    }
}

/* ---- Answers ---- */

/* A queue that was deleted while its home was asked is not there for a passive declare; another
 * declare makes it anew. One that another connection has just made is there when it is committed.
 */
static void on_status(struct channel *ch, const struct queue_command *answer)
{
    const struct amqp_method ok =
        declare_ok(answer->queue->name, answer->messages, answer->consumers);

    if (answer->outcome == QUEUE_GONE && channel_repeat_method(ch))
        return;
    if (answer->outcome == QUEUE_GONE)
        channel_refuse_no_queue(ch, answer->queue->name);
    else
        channel_answer_committed(ch, &ok, answer->definitions_changed, answer->no_wait);
}

static void on_purged(struct channel *ch, const struct queue_command *answer)
{
    if (answer->outcome == QUEUE_GONE)
        channel_refuse_no_queue(ch, answer->queue->name);
    else if (!answer->no_wait)
        channel_send(
            ch, &(struct amqp_method){.id = AMQP_QUEUE_PURGE_OK,
                                      .queue_purge_ok.message_count = (uint32_t)answer->messages});
}

static void on_deleted(struct channel *ch, const struct queue_command *answer)
{
    const struct amqp_method ok = delete_ok(answer->messages);
    struct bytes name = answer->queue->name;
    struct bytes vhost = ch->connection->vhost->name;

    if (answer->outcome == QUEUE_IN_USE)
        channel_refuse(ch, AMQP_PRECONDITION_FAILED, "queue '%.*s' in vhost '%.*s' in use",
                       BYTES_ARGS(name), BYTES_ARGS(vhost));
    else if (answer->outcome == QUEUE_NOT_EMPTY)
        channel_refuse(ch, AMQP_PRECONDITION_FAILED, "queue '%.*s' in vhost '%.*s' not empty",
                       BYTES_ARGS(name), BYTES_ARGS(vhost));
    else
        channel_answer_committed(ch, &ok,
                                 answer->definitions_changed || deletion_is_uncommitted(ch, name),
                                 answer->no_wait);
}

void channel_on_queue_answer(struct channel *ch, struct queue_command *answer)
{
    /* It brings a message, which has an end to find even when the channel has found its own. */
    if (ch->state != CHANNEL_OPEN && answer->operation != QUEUE_GET)
        return;
    switch (answer->operation) {
    case QUEUE_STATUS:
        on_status(ch, answer);
        return;
    case QUEUE_PURGE:
        on_purged(ch, answer);
        return;
    case QUEUE_DELETE:
        on_deleted(ch, answer);
        return;
    case QUEUE_CONSUME:
    case QUEUE_CANCEL:
    case QUEUE_GET:
        channel_on_consume_answer(ch, answer);
        return;
    }
}
