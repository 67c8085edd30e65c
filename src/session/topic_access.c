#include "session/topic_access.h"

#include "amqp/properties.h"
#include "amqp/table.h"
#include "auth/topic_permissions.h"
#include "base/arena.h"
#include "broker/dead_letter.h"
#include "broker/message.h"
#include "server/vhost.h"
#include "session/channel.h"

#include <errno.h>

static bool is_topic_exchange(struct vhost *v, struct bytes name)
{
    const struct exchange *e;
    bool is_topic;

    vhost_lock_read(v);
    e = topology_find_exchange(v->topology, name);
    is_topic = e != NULL && bytes_equal_string(exchange_type(e), "topic");
    vhost_unlock(v);
    return is_topic;
}

/* What restricts the user's keys there; NULL: nothing. */
static const struct topic_permission *restriction(const struct channel *ch, struct bytes exchange)
{
    const struct connection *c = ch->connection;
    const struct topic_permission *t = topic_permissions_find(c->topics, exchange);

    return t != NULL && is_topic_exchange(c->vhost, exchange) ? t : NULL;
}

static int check(struct channel *ch, const struct topic_permission *t, enum permission_kind kind,
                 struct bytes exchange, struct bytes routing_key)
{
    const struct connection *c = ch->connection;

    if (topic_permission_check(t, kind, routing_key))
        return 0;
    return channel_refuse(ch, AMQP_ACCESS_REFUSED,
                          "access to topic '%.*s' in exchange '%.*s' in vhost '%.*s' refused for "
                          "user '%.*s'",
                          BYTES_ARGS(routing_key), BYTES_ARGS(exchange), BYTES_ARGS(c->vhost->name),
                          BYTES_ARGS(auth_user_name(c->user)));
}

int channel_check_topic(struct channel *ch, enum permission_kind kind, struct bytes exchange,
                        struct bytes routing_key)
{
    return check(ch, restriction(ch, exchange), kind, exchange, routing_key);
}

static struct table decode_headers(struct arena *a, const struct message *msg)
{
    struct table headers = table_empty();
    struct amqp_properties properties;
    struct amqp_error e;

    if (!amqp_properties_view(message_properties(msg), &properties) ||
        amqp_table_decode(a, properties.headers.encoded, &headers, &e) < 0)
        return table_empty();
    return headers;
}

static int check_all_keys(struct channel *ch, const struct topic_permission *t,
                          struct bytes exchange, const struct message *msg)
{
    struct routing_keys keys;
    struct table headers;
    struct arena arena;
    int rc = 0;

    arena_init(&arena);
    headers = decode_headers(&arena, msg);
    keys = routing_keys_collect(&arena, message_routing_key(msg), &headers, ROUTING_KEYS_ALL);
    for (size_t i = 0; i < keys.count && rc == 0; i++)
        rc = check(ch, t, PERMISSION_WRITE, exchange, keys.items[i]);
    arena_free(&arena);
    return rc;
}

int channel_check_message_topics(struct channel *ch, struct bytes exchange,
                                 const struct message *msg)
{
    const struct topic_permission *t = restriction(ch, exchange);

    if (t == NULL)
        return 0;
    if ((msg->flags & MESSAGE_HAS_EXTRA_KEYS) == 0)
        return check(ch, t, PERMISSION_WRITE, exchange, message_routing_key(msg));
    return check_all_keys(ch, t, exchange, msg);
}
