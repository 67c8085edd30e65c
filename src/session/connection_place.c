#include "session/connection_place.h"

#include "base/memory.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/connection.h"
#include "session/shard.h"

#include <stdlib.h>

/* A connection with more channels stays where it is. */
#define PLACE_MAX_CHANNELS 64u
/* So many connections a worker may have whatever the others have. */
#define PLACE_FREE_SHARE 8u

static bool channel_is_movable(const struct channel *ch)
{
    return ch->state == CHANNEL_OPEN && !ch->waiting && !ch->replaying && ch->holds == 0 &&
           list_empty(&ch->subscriptions) && ch->backlog.size == 0 && ch->reply_consumer == NULL;
}

static bool is_movable(const struct connection *c)
{
    if (c->state != CONNECTION_OPEN || c->shard->worker->stopping || c->channel_count == 0 ||
        c->channel_count > PLACE_MAX_CHANNELS || !list_empty(&c->exclusive_queues) ||
        !list_empty(&c->congested) || c->read_paused != 0)
        return false;
    for (uint32_t i = 1; i < c->channel_slots; i++) {
        if (c->channels[i] != NULL && !channel_is_movable(c->channels[i]))
            return false;
    }
    return true;
}

/* Few connections may sit together; many are spread. */
static bool has_room(struct shard *s, uint32_t home)
{
    struct server *server = s->worker->server;
    uint32_t average = atomic_load(&server->connection_count) / server->worker_count;
    uint32_t there =
        atomic_load_explicit(&s->broker->shards[home].connection_count, memory_order_relaxed);

    return there < PLACE_FREE_SHARE || there < average + average / 2;
}

bool connection_place(struct connection *c, uint32_t home)
{
    if (c->placed)
        return false;
    c->placed = true;
    if (!c->shard->worker->server->config->follow_queues)
        return false;
    if (home == shard_id(c->shard) || !is_movable(c) || !has_room(c->shard, home))
        return false;
    c->moving_to = home + 1;
    return true;
}

/* A connection on its way, with its input. */
struct arrival {
    struct mail_record head;
    struct connection *connection;
    uint8_t *input; /* the receiver's */
    size_t input_size;
};

static void arrive(struct shard *s, struct connection *c)
{
    c->shard = s;
    c->moving_to = 0;
    c->output.pool = &s->output_pool;
    for (uint32_t i = 1; i < c->channel_slots; i++) {
        struct channel *ch = c->channels[i];

        if (ch == NULL)
            continue;
        ch->shard = s;
        if (confirms_reportable(&ch->confirms))
            channel_touch(ch);
    }
    connection_join(c, s);
}

static void handle_arrival(struct worker *w, struct mail_record *r)
{
    struct arrival *a = (struct arrival *)(void *)r;
    struct connection *c = a->connection;

    arrive(shard_of(w), c);
    if (c->state == CONNECTION_OPEN && w->stopping)
        connection_force_close(c, "broker forced connection closure with reason 'shutdown'");
    else if (c->state == CONNECTION_OPEN && atomic_load(&c->vhost->deleted))
        connection_close_for_deleted_vhost(c);
    else if (c->state == CONNECTION_OPEN)
        connection_take_input(c, bytes_of(a->input, a->input_size));
    free(a->input);
}

void connection_depart(struct connection *c, struct bytes input)
{
    struct shard *s = c->shard;
    struct arrival *a;

    for (uint32_t i = 1; i < c->channel_slots; i++) {
        if (c->channels[i] != NULL)
            list_remove(&c->channels[i]->dirty);
    }
    connection_leave(c);
    a = (struct arrival *)(void *)worker_mail(s->worker, c->moving_to - 1, sizeof(*a),
                                              handle_arrival);
    a->connection = c;
    a->input = memory_alloc(input.size);
    a->input_size = input.size;
    if (input.size != 0)
        memcpy(a->input, input.data, input.size);
}
