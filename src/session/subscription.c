#include "session/subscription.h"

#include "base/memory.h"
#include "broker/queue.h"
#include "session/channel.h"
#include "session/connection.h"
#include "session/delivery.h"
#include "session/queue_home.h"
#include "session/shard.h"

#include <stdlib.h>

struct subscription *subscription_create(struct channel *ch, struct queue_handle *queue,
                                         struct bytes tag, bool no_ack, bool getter)
{
    struct subscription *s = memory_alloc_zeroed(1, sizeof(*s));

    s->channel = ch;
    s->queue = queue_handle_ref(queue);
    s->state = SUBSCRIPTION_OPENING;
    s->no_ack = no_ack;
    s->getter = getter;
    s->prefetch = ch->prefetch;
    s->counts_deliveries = queue_options_counts_deliveries(&queue->options);
    s->tag = bytes_of(bytes_to_string(tag), tag.size);
    list_node_init(&s->congested);
    list_append(&ch->subscriptions, &s->in_channel);
    return s;
}

void subscription_free(struct subscription *s)
{
    list_remove(&s->in_channel);
    list_remove(&s->congested);
    queue_handle_unref(s->queue);
    number_runs_free(&s->taken_back);
    free((void *)(uintptr_t)s->tag.data);
    free((void *)(uintptr_t)s->arguments.data);
    free(s);
}

void subscription_stop(struct subscription *s)
{
    list_remove(&s->congested); /* nobody is to resume it */
    if (s->state == SUBSCRIPTION_OPEN && !s->getter)
        queue_stop_link(s->channel->shard, s);
}

void subscription_release(struct subscription *s)
{
    if (s->state == SUBSCRIPTION_RELEASING)
        return;
    list_remove(&s->congested); /* the connection may be freed before the home answers */
    if (s->state == SUBSCRIPTION_OPENING || s->asked) {
        s->abandoned = true;
        return;
    }
    s->state = SUBSCRIPTION_RELEASING;
    queue_release_link(s->channel->shard, s);
}

void subscription_end(struct subscription *s)
{
    if (s->state == SUBSCRIPTION_OPEN)
        s->state = SUBSCRIPTION_ENDED;
    if (s->state == SUBSCRIPTION_ENDED && s->unacked == 0)
        subscription_release(s);
}

void subscription_settled(struct subscription *s, uint32_t count)
{
    s->unacked -= count;
    if (s->state == SUBSCRIPTION_ENDED && s->unacked == 0)
        subscription_release(s);
}

static bool is_local(const struct subscription *s)
{
    return s->queue->home_worker == shard_id(s->channel->shard);
}

/* Holds the queue back while the client does not read: a local queue's consumer is paused, another
 * worker's runs out of its window. */
static void hold_back(struct subscription *s)
{
    if (is_local(s))
        consumer_pause(s->link->consumer);
    if (!list_linked(&s->congested))
        list_append(&s->channel->connection->congested, &s->congested);
}

static void return_window(struct subscription *s)
{
    queue_return_window(s->channel->shard, s, s->unreturned, s->unreturned_bytes);
    s->unreturned = 0;
    s->unreturned_bytes = 0;
}

void subscription_deliver(struct subscription *s, uint64_t number, struct message *msg,
                          uint32_t delivery_count, bool owned)
{
    struct channel *ch = s->channel;
    struct connection *c = ch->connection;

    if (s->state == SUBSCRIPTION_OPEN && !s->abandoned) {
        uint64_t tag = ++ch->last_delivery_tag;

        if (!s->no_ack) {
            delivery_tags_add(&ch->unacked, tag, s, number);
            s->unacked++;
        }
        if (s->counts_deliveries)
            delivery_write_counted(c, ch->number, s->tag, tag, delivery_count, msg);
        else
            delivery_write(c, ch->number, s->tag, tag, delivery_count != 0, msg);
        if (!is_local(s)) {
            s->unreturned++;
            s->unreturned_bytes += msg->body_size;
        }
        if (connection_congested(c))
            hold_back(s);
        else if (s->unreturned >= CONSUMER_LINK_WINDOW / 2 ||
                 s->unreturned_bytes >= CONSUMER_LINK_WINDOW_BYTES / 2)
            return_window(s);
    }
    if (owned)
        message_unref(msg);
}

void subscription_resume(struct subscription *s)
{
    if (s->state != SUBSCRIPTION_OPEN)
        return;
    if (is_local(s))
        consumer_resume(s->link->consumer);
    else if (s->unreturned != 0)
        return_window(s);
}
