#include "session/lease.h"

#include "amqp/method.h"
#include "amqp/properties.h"
#include "amqp/table.h"
#include "base/memory.h"
#include "server/vhost.h"
#include "session/channel.h"
#include "session/delivery.h"
#include "session/expiration.h"
#include "session/queue_home.h"
#include "session/shard.h"
#include "session/subscription.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TAG_HEADER "delivery-tag"
#define TIMEOUT_HEADER "visibility-timeout"

/* A publish to the exchange until all that it asks have answered. */
struct lease {
    struct channel *channel; /* held */
    struct message *message; /* to be returned, a reference; NULL: not mandatory */
    uint64_t tag;            /* 0: all */
    uint64_t number;         /* of the channel's confirms; 0: none */
    int64_t timeout_ms;
    uint32_t waiting; /* answers, and 1 while it is being asked */
    uint32_t held;    /* deliveries that were */
};

/* ---- What is asked for ---- */

static int refuse_header(struct channel *ch, const char *header, const char *why)
{
    return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                          "invalid header '%s' for exchange '" TOPOLOGY_LEASE_EXCHANGE
                          "' in vhost '%.*s': %s",
                          header, BYTES_ARGS(ch->connection->vhost->name), why);
}

static int read_header(struct channel *ch, const struct message *msg, const char *header,
                       int64_t most, int64_t *out)
{
    struct amqp_properties p;
    struct value v;
    char why[64];

    if (!amqp_properties_view(message_properties(msg), &p) ||
        !amqp_properties_has(&p, AMQP_PROPERTY_HEADERS) ||
        !amqp_table_find(p.headers.encoded, header, &v))
        return refuse_header(ch, header, "missing");
    if (!value_is_integer(&v)) {
        snprintf(why, sizeof(why), "expected integer, got %s", value_type_name(v.type));
        return refuse_header(ch, header, why);
    }
    if (v.integer < 0 || v.integer > most) {
        snprintf(why, sizeof(why), "{%s,%" PRId64 "}",
                 v.integer < 0 ? "value_negative" : "value_too_large", v.integer);
        return refuse_header(ch, header, why);
    }
    *out = v.integer;
    return 0;
}

/* ---- The answer ---- */

static void return_message(struct channel *ch, const struct lease *l)
{
    char text[96] = "NO_ROUTE - the channel holds no delivery";
    struct amqp_method m = {
        .id = AMQP_BASIC_RETURN,
        .basic_return =
            {
                .reply_code = AMQP_NO_ROUTE,
                .exchange = message_exchange(l->message),
                .routing_key = message_routing_key(l->message),
            },
    };

    if (l->tag != 0)
        snprintf(text, sizeof(text), "NO_ROUTE - delivery %" PRIu64 " is not held by the channel",
                 l->tag);
    m.basic_return.reply_text = bytes_from_string(text);
    delivery_write_method(ch->connection, ch->number, &m, l->message);
}

static void finish(struct lease *l)
{
    struct channel *ch = l->channel;

    if (ch->state == CHANNEL_OPEN && l->held == 0 && l->message != NULL)
        return_message(ch, l);
    if (l->number != 0)
        channel_on_confirm(ch, l->number, l->held != 0);
    if (l->message != NULL)
        message_unref(l->message);
    free(l);
    channel_drop(ch);
}

static void answered(struct lease *l, uint32_t held)
{
    l->held += held;
    if (--l->waiting == 0)
        finish(l);
}

/* ---- To the queue's home and back ---- */

struct lease_record {
    struct mail_record head;
    struct lease *lease;
    struct consumer_link *link;
    uint64_t first;
    uint64_t last;
    int64_t timeout_ms;
    uint32_t held; /* in the answer */
};

static void handle_answer(struct worker *w, struct mail_record *r)
{
    const struct lease_record *a = (const struct lease_record *)(const void *)r;

    (void)w;
    answered(a->lease, a->held);
}

static void handle_extend(struct worker *w, struct mail_record *r)
{
    struct shard *s = shard_of(w);
    struct lease_record a = *(struct lease_record *)(void *)r;
    struct consumer *consumer = a.link->consumer;

    if (consumer != NULL)
        a.held =
            consumer_extend(consumer, a.first, a.last, a.timeout_ms, shard_now_ms(s), &s->effects);
    shard_run_effects(s);
    a.head.handle = handle_answer;
    shard_send(s, r->from, &a.head);
}

static void ask(struct lease *l, const struct subscription *sub, uint64_t first, uint64_t last)
{
    struct lease_record a = {
        .head = {.handle = handle_extend, .size = sizeof(a)},
        .lease = l,
        .link = sub->link,
        .first = first,
        .last = last,
        .timeout_ms = l->timeout_ms,
    };

    l->waiting++;
    shard_send(l->channel->shard, sub->queue->home_worker, &a.head);
}

static void ask_one(struct lease *l)
{
    const struct delivery_tag_entry *entry = delivery_tags_find(&l->channel->unacked, l->tag);

    if (entry != NULL)
        ask(l, entry->subscription, entry->number, entry->number);
}

static void ask_all(struct lease *l)
{
    list_for_each_safe(&l->channel->subscriptions, node) {
        const struct subscription *sub = container_of(node, struct subscription, in_channel);

        if (sub->unacked != 0)
            ask(l, sub, 0, UINT64_MAX);
    }
}

static struct lease *lease_create(struct channel *ch, struct message *msg, bool mandatory)
{
    struct lease *l = memory_alloc_zeroed(1, sizeof(*l));

    channel_hold(ch);
    l->channel = ch;
    l->message = mandatory ? message_ref(msg) : NULL;
    l->waiting = 1;
    if (ch->mode == CHANNEL_CONFIRM) {
        l->number = confirms_add(&ch->confirms, 1, false);
        channel_touch(ch);
    }
    return l;
}

int lease_publish(struct channel *ch, struct message *msg, bool mandatory)
{
    struct lease *l;
    int64_t timeout_ms = 0;
    int64_t tag = 0;

    if (read_header(ch, msg, TAG_HEADER, INT64_MAX, &tag) < 0 ||
        read_header(ch, msg, TIMEOUT_HEADER, EXPIRATION_MAX_MS, &timeout_ms) < 0)
        return -EPROTO;
    l = lease_create(ch, msg, mandatory);
    l->tag = (uint64_t)tag;
    l->timeout_ms = timeout_ms;
    if (tag != 0)
        ask_one(l);
    else
        ask_all(l);
    answered(l, 0);
    return 0;
}
