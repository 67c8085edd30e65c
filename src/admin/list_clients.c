/* Connections, their channels and consumers. They live on workers, which write the rows: those of
 * some connections a turn, and those of one connection's channels a turn. A connection may move
 * from one worker to another between two turns; it is looked for where it may have gone. */
#include "admin/active_consumers.h"
#include "admin/api.h"
#include "admin/json_value.h"
#include "admin/listing.h"
#include "amqp/table.h"
#include "base/memory.h"
#include "broker/credit_pool.h"
#include "net/listener.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/connection.h"
#include "session/shard.h"
#include "session/subscription.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    CONNECTIONS_A_TURN = 64,
    ROWS_A_TURN = 256,
};

static const char *const CONNECTION_KEY[] = {"pid", NULL};
static const char *const CHANNEL_KEY[] = {"connection_pid", "number", NULL};
static const char *const CONSUMER_KEY[] = {"vhost", "queue_name", "channel_pid", "consumer_tag",
                                           NULL};

/* ---- Values ---- */

/* "ADDRESS:PORT" taken apart. */
static void set_address(json_t *row, const char *host_key, const char *port_key, const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t size = colon != NULL ? (size_t)(colon - text) : strlen(text);

    if (size >= 2 && text[0] == '[') {
        text++;
        size -= 2;
    }
    json_object_set_new(row, host_key, json_from_bytes(bytes_of(text, size)));
    json_object_set_new(row, port_key,
                        json_integer(colon != NULL ? strtol(colon + 1, NULL, 10) : 0));
}

static void local_address(const struct connection *c, char text[SOCKET_ADDRESS_TEXT_SIZE])
{
    struct socket_address local = {.size = sizeof(local.storage)};

    text[0] = '\0';
    if (getsockname(c->stream.fd, (struct sockaddr *)&local.storage, &local.size) == 0)
        socket_address_format(&local, text);
}

static const char *state_name(const struct connection *c)
{
    switch (c->state) {
    case CONNECTION_EXPECT_HEADER:
    case CONNECTION_EXPECT_START_OK:
        return "starting";
    case CONNECTION_AUTHENTICATING:
        return "securing";
    case CONNECTION_EXPECT_TUNE_OK:
        return "tuning";
    case CONNECTION_EXPECT_OPEN:
        return "opening";
    case CONNECTION_OPEN:
        return (c->read_paused & READ_PAUSED_BY_ALARM) != 0 ? "blocked" : "running";
    case CONNECTION_CLOSE_SENT:
    case CONNECTION_CLOSE_RECEIVED:
    case CONNECTION_DRAINING:
        return "closing";
    case CONNECTION_DEAD:
        return "closed";
    }
    return "";
}

static json_t *user_name(const struct connection *c)
{
    return json_from_bytes(c->user != NULL ? auth_user_name(c->user) : bytes_of(NULL, 0));
}

static json_t *vhost_name(const struct connection *c)
{
    return json_from_bytes(c->vhost != NULL ? c->vhost->name : bytes_of(NULL, 0));
}

static json_t *number_text(uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, number);
    return json_string(text);
}

static json_t *channel_id(const struct channel *ch)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64 ".%u", ch->connection->id, (unsigned)ch->number);
    return json_string(text);
}

/* ---- Connections ---- */

static json_t *connection_row(const struct connection *c)
{
    char local[SOCKET_ADDRESS_TEXT_SIZE];
    char name[2 * SOCKET_ADDRESS_TEXT_SIZE + 8];
    json_t *row = json_object();

    local_address(c, local);
    snprintf(name, sizeof(name), "%s -> %s", c->peer, local);
    json_object_set_new(row, "pid", number_text(c->id));
    json_object_set_new(row, "name", json_string(name));
    json_object_set_new(row, "user", user_name(c));
    json_object_set_new(row, "vhost", vhost_name(c));
    json_object_set_new(row, "state", json_string(state_name(c)));
    json_object_set_new(row, "channels", json_integer(c->channel_count));
    set_address(row, "peer_host", "peer_port", c->peer);
    set_address(row, "host", "port", local);
    json_object_set_new(row, "protocol", json_string("AMQP 0-9-1"));
    json_object_set_new(row, "timeout", json_integer(c->heartbeat_s));
    json_object_set_new(row, "frame_max", json_integer(c->frame_max));
    json_object_set_new(row, "channel_max", json_integer(c->channel_max));
    json_object_set_new(row, "worker", json_integer(shard_id(c->shard)));
    return row;
}

/* A walk over the connections of one worker. */
struct walk {
    size_t cursor;
    json_t *rows;  /* those of a turn; NULL: only the ids are wanted */
    uint64_t *ids; /* of all */
    size_t id_count;
    size_t id_capacity;
};

static void visit_connection(struct hash_node *node, void *context)
{
    const struct connection *c = container_of(node, struct connection, by_id);
    struct walk *w = context;

    if (c->state == CONNECTION_DEAD)
        return;
    if (w->rows != NULL) {
        json_array_append_new(w->rows, connection_row(c));
        return;
    }
    if (w->id_count == w->id_capacity) {
        w->id_capacity = w->id_capacity != 0 ? 2 * w->id_capacity : CONNECTIONS_A_TURN;
        w->ids = memory_resize(w->ids, w->id_capacity, sizeof(*w->ids));
    }
    w->ids[w->id_count++] = c->id;
}

static void walk_connections(struct shard *s, void *context)
{
    struct walk *w = context;

    w->cursor =
        hash_map_scan(&s->connections_by_id, w->cursor, CONNECTIONS_A_TURN, visit_connection, w);
}

void api_connections(const struct api_request *r, struct api_answer *answer)
{
    struct listing l;

    listing_init(&l, CONNECTION_KEY, r->columns);
    for (uint32_t worker = 0; worker < r->broker->server->worker_count; worker++) {
        struct walk w = {.cursor = 0};

        do {
            w.rows = json_array();
            ask_and_wait(r->asker, worker, walk_connections, &w);
            listing_add_all(&l, w.rows);
        } while (w.cursor != 0);
    }
    listing_write(&l, &answer->body);
    listing_free(&l);
}

/* ---- Channels and consumers ---- */

/* A walk over the channels of one connection. */
struct channel_walk {
    uint64_t connection;
    struct bytes vhost; /* the only one wanted; empty: all */
    void (*add)(const struct channel *ch, const struct active_consumers *active, json_t *rows);
    const struct active_consumers *active;
    uint32_t next; /* the number to go on with; 0: at the end */
    bool found;
    json_t *rows; /* those of a turn */
};

static void add_channel(const struct channel *ch, const struct active_consumers *active,
                        json_t *rows)
{
    json_t *row = json_object();

    (void)active;
    json_object_set_new(row, "pid", channel_id(ch));
    json_object_set_new(row, "connection_pid", number_text(ch->connection->id));
    json_object_set_new(row, "number", json_integer(ch->number));
    json_object_set_new(row, "user", user_name(ch->connection));
    json_object_set_new(row, "vhost", vhost_name(ch->connection));
    json_object_set_new(row, "transactional", json_boolean(ch->mode == CHANNEL_TRANSACTION));
    json_object_set_new(row, "confirm", json_boolean(ch->mode == CHANNEL_CONFIRM));
    json_object_set_new(row, "consumer_count", json_integer(ch->consumer_count));
    json_object_set_new(row, "messages_unacknowledged", json_integer(ch->unacked.count));
    json_object_set_new(row, "messages_unconfirmed", json_integer(ch->confirms.waiting));
    json_object_set_new(row, "prefetch_count", json_integer(ch->prefetch));
    json_object_set_new(row, "global_prefetch_count",
                        json_integer(ch->pool != NULL ? atomic_load(&ch->pool->limit) : 0));
    json_object_set_new(row, "state", json_string(ch->waiting ? "waiting" : "running"));
    json_array_append_new(rows, row);
}

static json_t *arguments_of(const struct subscription *s)
{
    struct table arguments = table_empty();
    struct amqp_error e;
    struct arena arena;
    json_t *json;

    arena_init(&arena);
    if (s->arguments.size != 0 && amqp_table_decode(&arena, s->arguments, &arguments, &e) < 0)
        arguments = table_empty();
    json = json_from_table(&arguments);
    arena_free(&arena);
    return json;
}

/* RabbitMQ's words. */
static const char *activity_of(const struct subscription *s, bool active)
{
    const struct queue_rules *rules = s->queue->options.rules;

    if (rules == NULL || !rules->single_active_consumer)
        return "up";
    return active ? "single_active" : "waiting";
}

static void add_consumers(const struct channel *ch, const struct active_consumers *active,
                          json_t *rows)
{
    list_for_each(&ch->subscriptions, node) {
        const struct subscription *s = container_of(node, struct subscription, in_channel);
        bool is_active;
        json_t *row;

        if (s->getter || s->state != SUBSCRIPTION_OPEN)
            continue;
        row = json_object();
        json_object_set_new(row, "queue_name", json_from_bytes(s->queue->name));
        json_object_set_new(row, "vhost", vhost_name(ch->connection));
        json_object_set_new(row, "channel_pid", channel_id(ch));
        json_object_set_new(row, "consumer_tag", json_from_bytes(s->tag));
        json_object_set_new(row, "ack_required", json_boolean(!s->no_ack));
        json_object_set_new(row, "prefetch_count", json_integer(s->prefetch));
        is_active = active_consumers_have(active, s);
        json_object_set_new(row, "active", json_boolean(is_active));
        json_object_set_new(row, "activity_status", json_string(activity_of(s, is_active)));
        json_object_set_new(row, "arguments", arguments_of(s));
        json_object_set_new(row, "messages_unacknowledged", json_integer(s->unacked));
        json_array_append_new(rows, row);
    }
}

static void walk_channels(struct shard *s, void *context)
{
    struct channel_walk *w = context;
    const struct connection *c = connection_find(s, w->connection);

    w->found = c != NULL;
    if (c == NULL || c->state == CONNECTION_DEAD)
        return;
    if (w->vhost.size != 0 && (c->vhost == NULL || !bytes_equal(w->vhost, c->vhost->name))) {
        w->next = 0;
        return;
    }
    while (w->next < c->channel_slots && json_array_size(w->rows) < ROWS_A_TURN) {
        const struct channel *ch = c->channels[w->next++];

        if (ch != NULL && ch->state == CHANNEL_OPEN)
            w->add(ch, w->active, w->rows);
    }
    if (w->next >= c->channel_slots)
        w->next = 0;
}

/* `worker` is where the connection was. */
static void list_channels_of(const struct api_request *r, struct channel_walk *w, uint32_t worker,
                             struct listing *l)
{
    uint32_t worker_count = r->broker->server->worker_count;
    uint32_t misses = 0;

    w->next = 1;
    while (w->next != 0 && misses < worker_count) {
        w->rows = json_array();
        ask_and_wait(r->asker, worker, walk_channels, w);
        listing_add_all(l, w->rows);
        if (w->found) {
            misses = 0;
        } else {
            misses++;
            worker = (worker + 1) % worker_count;
        }
    }
}

/* `wanted` says what is added, and of which virtual host. */
static void list_channels(const struct api_request *r, const struct channel_walk *wanted,
                          struct listing *l)
{
    for (uint32_t worker = 0; worker < r->broker->server->worker_count; worker++) {
        struct walk w = {.cursor = 0};

        do
            ask_and_wait(r->asker, worker, walk_connections, &w);
        while (w.cursor != 0);
        for (size_t i = 0; i < w.id_count; i++) {
            struct channel_walk channels = *wanted;

            channels.connection = w.ids[i];
            list_channels_of(r, &channels, worker, l);
        }
        free(w.ids);
    }
}

void api_channels(const struct api_request *r, struct api_answer *answer)
{
    const struct channel_walk wanted = {.add = add_channel};
    struct listing l;

    listing_init(&l, CHANNEL_KEY, r->columns);
    list_channels(r, &wanted, &l);
    listing_write(&l, &answer->body);
    listing_free(&l);
}

void api_consumers(const struct api_request *r, struct api_answer *answer)
{
    struct active_consumers active;
    const struct channel_walk wanted = {
        .vhost = api_vhost_named(r), .add = add_consumers, .active = &active};
    struct listing l;

    if (active_consumers_find(&active, r, answer)) {
        listing_init(&l, CONSUMER_KEY, r->columns);
        list_channels(r, &wanted, &l);
        listing_write(&l, &answer->body);
        listing_free(&l);
    }
    active_consumers_free(&active);
}
