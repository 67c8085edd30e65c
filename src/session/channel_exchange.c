/* exchange.declare, .delete, .bind and .unbind, and queue.bind and .unbind: what changes routes. */
#include "session/channel.h"

#include "base/arena.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/channel_topology.h"
#include "session/definition_changes.h"
#include "session/delayed_exchange.h"
#include "session/topic_access.h"

#include <errno.h>

int channel_check_arguments(struct channel *ch, struct amqp_table encoded)
{
    const struct config_limits *limits = ch->shard->broker->limits;
    const struct amqp_table_limits shape = {
        .depth = limits->max_table_depth,
        .size_bytes = limits->max_header_table_size_bytes,
    };

    if (encoded.encoded.size > shape.size_bytes)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                              "arguments of %zu bytes are larger than the limit of %zu "
                              "(limits.max_header_table_size)",
                              encoded.encoded.size, shape.size_bytes);
    if (amqp_table_validate(encoded.encoded, &shape, NULL) < 0)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                              "arguments are nested deeper than the limit of %u "
                              "(limits.max_table_depth)",
                              shape.depth);
    return 0;
}

int channel_decode_arguments(struct channel *ch, struct arena *a, struct amqp_table encoded,
                             struct table *out)
{
    struct amqp_error e;

    *out = table_empty();
    if (channel_check_arguments(ch, encoded) < 0)
        return -EPROTO;
    if (amqp_table_decode(a, encoded.encoded, out, &e) < 0)
        return connection_fail_with(ch->connection, &e);
    return 0;
}

static int check_alternate_exchange(struct channel *ch, struct bytes exchange,
                                    const struct table *arguments)
{
    const struct value *alternate = table_get(arguments, "alternate-exchange");

    if (alternate == NULL || alternate->type != VALUE_STRING)
        return 0;
    if (channel_check_permission(ch, PERMISSION_READ, "exchange", exchange) < 0)
        return -EPROTO;
    return channel_check_permission(ch, PERMISSION_WRITE, "exchange", alternate->bytes);
}

/* `*changed`: there is something to be committed, by this or by another that was quicker. */
static int declare(struct channel *ch, const struct amqp_exchange_declare *m,
                   const struct table *arguments, bool *changed)
{
    struct vhost *vhost = ch->connection->vhost;
    struct exchange_declaration d = {
        .name = m->exchange,
        .type = m->type,
        .passive = m->passive,
        .durable = m->durable,
        .auto_delete = m->auto_delete,
        .internal = m->internal,
        .arguments = arguments,
        .exchanges_max = ch->shard->broker->limits->max_exchanges,
    };
    struct refusal r;
    uint64_t before;
    int rc;

    if (!m->passive && m->exchange.size != 0) {
        if (channel_check_permission(ch, PERMISSION_CONFIGURE, "exchange", m->exchange) < 0 ||
            check_alternate_exchange(ch, m->exchange, arguments) < 0)
            return -EPROTO;
    }
    vhost_lock_write(vhost);
    before = definition_changes_of(vhost);
    rc = delayed_exchange_declare(ch->shard, vhost->topology, &d, &r);
    *changed = definition_changes_of(vhost) != before ||
               definition_uncommitted_exchange(vhost, m->exchange);
    vhost_unlock(vhost);
    return rc < 0 ? channel_refuse_with(ch, &r) : 0;
}

static int on_declare(struct channel *ch, const struct amqp_exchange_declare *m)
{
    struct arena arena;
    struct table arguments;
    bool changed = false;
    int rc;

    arena_init(&arena);
    rc = channel_decode_arguments(ch, &arena, m->arguments, &arguments);
    if (rc == 0)
        rc = declare(ch, m, &arguments, &changed);
    arena_free(&arena);
    if (rc == 0)
        channel_answer_committed(ch, &(struct amqp_method){.id = AMQP_EXCHANGE_DECLARE_OK}, changed,
                                 m->no_wait);
    return rc;
}

static int on_delete(struct channel *ch, const struct amqp_exchange_delete *m)
{
    struct vhost *vhost = ch->connection->vhost;
    struct refusal r;
    uint64_t before;
    bool changed;
    int rc;

    if (m->exchange.size != 0 &&
        channel_check_permission(ch, PERMISSION_CONFIGURE, "exchange", m->exchange) < 0)
        return -EPROTO;
    vhost_lock_write(vhost);
    before = definition_changes_of(vhost);
    rc = topology_delete_exchange(vhost->topology, m->exchange, m->if_unused, &r);
    changed = definition_changes_of(vhost) != before ||
              definition_uncommitted_exchange(vhost, m->exchange);
    vhost_unlock(vhost);
    if (rc < 0)
        return channel_refuse_with(ch, &r);
    channel_answer_committed(ch, &(struct amqp_method){.id = AMQP_EXCHANGE_DELETE_OK}, changed,
                             m->no_wait);
    return 0;
}

static int change_binding(struct channel *ch, struct binding_declaration *b, bool bind,
                          bool *changed)
{
    struct vhost *vhost = ch->connection->vhost;
    struct refusal r;
    uint64_t before;
    int rc;

    b->connection = ch->connection->id;
    b->bindings_max = ch->shard->broker->limits->max_bindings;
    vhost_lock_write(vhost);
    before = definition_changes_of(vhost);
    rc = bind ? topology_bind(vhost->topology, b, &r) : topology_unbind(vhost->topology, b, &r);
    *changed = definition_changes_of(vhost) != before || definition_uncommitted_binding(vhost, b);
    vhost_unlock(vhost);
    return rc < 0 ? channel_refuse_with(ch, &r) : 0;
}

int channel_bind(struct channel *ch, struct binding_declaration *b, struct amqp_table encoded,
                 bool bind, const struct amqp_method *ok, bool no_wait)
{
    struct arena arena;
    struct table arguments;
    bool changed = false;
    int rc;

    if (channel_check_permission(ch, PERMISSION_WRITE, b->to_exchange ? "exchange" : "queue",
                                 b->destination) < 0 ||
        channel_check_permission(ch, PERMISSION_READ, "exchange", b->source) < 0 ||
        channel_check_topic(ch, PERMISSION_READ, b->source, b->routing_key) < 0)
        return -EPROTO;
    arena_init(&arena);
    rc = channel_decode_arguments(ch, &arena, encoded, &arguments);
    if (rc == 0) {
        b->arguments = &arguments;
        rc = change_binding(ch, b, bind, &changed);
        b->arguments = NULL;
    }
    arena_free(&arena);
    if (rc == 0)
        channel_answer_committed(ch, ok, changed, no_wait);
    return rc;
}

static int on_bind(struct channel *ch, const struct amqp_exchange_bind *m)
{
    struct binding_declaration b = {
        .source = m->source,
        .destination = m->destination,
        .to_exchange = true,
        .routing_key = m->routing_key,
    };

    return channel_bind(ch, &b, m->arguments, true,
                        &(struct amqp_method){.id = AMQP_EXCHANGE_BIND_OK}, m->no_wait);
}

static int on_unbind(struct channel *ch, const struct amqp_exchange_unbind *m)
{
    struct binding_declaration b = {
        .source = m->source,
        .destination = m->destination,
        .to_exchange = true,
        .routing_key = m->routing_key,
    };

    return channel_bind(ch, &b, m->arguments, false,
                        &(struct amqp_method){.id = AMQP_EXCHANGE_UNBIND_OK}, m->no_wait);
}

int channel_on_exchange_method(struct channel *ch, const struct amqp_method *m)
{
    switch ((int)m->id) {
    case AMQP_EXCHANGE_DECLARE:
        return on_declare(ch, &m->exchange_declare);
    case AMQP_EXCHANGE_DELETE:
        return on_delete(ch, &m->exchange_delete);
    case AMQP_EXCHANGE_BIND:
        return on_bind(ch, &m->exchange_bind);
    case AMQP_EXCHANGE_UNBIND:
        return on_unbind(ch, &m->exchange_unbind);
    default:
        return channel_refuse(ch, AMQP_COMMAND_INVALID, "unexpected method %s",
                              amqp_method_name(m->id));
    }
}
