#include "session/transaction.h"

#include "base/memory.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/publish.h"
#include "session/settle.h"
#include "session/shard.h"
#include "session/subscription.h"

#include <errno.h>
#include <stdlib.h>

struct transaction *transaction_create(void)
{
    return memory_alloc_zeroed(1, sizeof(struct transaction));
}

void transaction_free(struct transaction *t)
{
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->publish_count; i++)
        message_unref(t->publishes[i].message);
    free(t->publishes);
    free(t->settlements);
    free(t);
}

static uint32_t grown(uint32_t capacity)
{
    return capacity != 0 ? 2 * capacity : 16;
}

void transaction_add_publish(struct transaction *t, struct message *msg, bool mandatory)
{
    if (t->publish_count == t->publish_capacity) {
        t->publish_capacity = grown(t->publish_capacity);
        t->publishes = memory_resize(t->publishes, t->publish_capacity, sizeof(*t->publishes));
    }
    t->publishes[t->publish_count++] =
        (struct transaction_publish){.message = msg, .mandatory = mandatory};
}

void transaction_add_settlement(struct transaction *t, uint64_t tag, enum settle_outcome outcome)
{
    if (t->settlement_count == t->settlement_capacity) {
        t->settlement_capacity = grown(t->settlement_capacity);
        t->settlements =
            memory_resize(t->settlements, t->settlement_capacity, sizeof(*t->settlements));
    }
    t->settlements[t->settlement_count++] =
        (struct transaction_settlement){.tag = tag, .outcome = outcome};
}

/* Deliveries settled alike and one after the other go as one run. */
static void commit_settlements(struct channel *ch, struct transaction *t)
{
    for (uint32_t i = 0; i < t->settlement_count;) {
        uint32_t end = i + 1;

        while (end < t->settlement_count &&
               t->settlements[end].outcome == t->settlements[i].outcome &&
               t->settlements[end].tag == t->settlements[end - 1].tag + 1)
            end++;
        settle_tags(ch, t->settlements[i].tag, t->settlements[end - 1].tag,
                    t->settlements[i].outcome);
        i = end;
    }
    t->settlement_count = 0;
}

/* The workers with durable queues whose messages a commit settles. */
struct involved {
    uint64_t bits[CONFIG_WORKERS_MAX / 64];
};

static void find_involved(struct channel *ch, const struct transaction *t, struct involved *out)
{
    *out = (struct involved){.bits = {0}};
    for (uint32_t i = 0; i < t->settlement_count; i++) {
        const struct delivery_tag_entry *entry =
            delivery_tags_find(&ch->unacked, t->settlements[i].tag);

        if (entry != NULL && entry->subscription->queue->options.durable) {
            uint32_t worker = entry->subscription->queue->home_worker;

            out->bits[worker / 64] |= UINT64_C(1) << (worker % 64);
        }
    }
}

/* The commit waits for the settlements to be durable as well. */
static void await_settlements(struct channel *ch, const struct involved *involved)
{
    uint64_t number = ch->confirms.last + 1;
    uint32_t pending = 0;

    for (uint32_t w = 0; w < ch->shard->worker->server->worker_count; w++) {
        if ((involved->bits[w / 64] >> (w % 64) & 1) != 0)
            pending += ch->shard->broker->shards[w].log_count;
    }
    if (pending == 0)
        return;
    confirms_add(&ch->confirms, pending, false);
    for (uint32_t w = 0; w < ch->shard->worker->server->worker_count; w++) {
        if ((involved->bits[w / 64] >> (w % 64) & 1) != 0)
            queue_sync(ch->shard, w, ch, number);
    }
}

/* A refusal closes the channel, and with it the transaction. */
static int commit_publishes(struct channel *ch, struct transaction *t)
{
    struct transaction_publish *publishes = t->publishes;
    uint32_t count = t->publish_count;
    uint32_t i = 0;
    int rc = 0;

    t->publishes = NULL;
    t->publish_count = 0;
    t->publish_capacity = 0;
    while (i < count && rc == 0) {
        rc = publish_committed(ch, publishes[i].message, publishes[i].mandatory);
        i++;
    }
    for (; i < count; i++)
        message_unref(publishes[i].message);
    free(publishes);
    return rc;
}

/* Publishes are numbered like those under confirms; when all are settled, the commit is. */
static int on_commit(struct channel *ch)
{
    struct transaction *t = ch->transaction;
    struct involved involved;

    if (commit_publishes(ch, t) < 0)
        return -EPROTO;
    channel_wait(ch);
    t->committing = true;
    find_involved(ch, t, &involved);
    commit_settlements(ch, t);
    await_settlements(ch, &involved);
    channel_touch(ch);
    return 0;
}

void transaction_finish_commit(struct channel *ch)
{
    struct transaction *t = ch->transaction;

    t->committing = false;
    ch->waiting = false;
    ch->connection->method = ch->waiting_method;
    if (t->refused) {
        channel_refuse(ch, AMQP_PRECONDITION_FAILED, "partial tx completion");
        return;
    }
    channel_send(ch, &(struct amqp_method){.id = AMQP_TX_COMMIT_OK});
    channel_go_on(ch);
}

static int on_rollback(struct channel *ch)
{
    struct transaction *t = ch->transaction;

    for (uint32_t i = 0; i < t->publish_count; i++)
        message_unref(t->publishes[i].message);
    t->publish_count = 0;
    for (uint32_t i = 0; i < t->settlement_count; i++) {
        struct delivery_tag_entry *entry = delivery_tags_find(&ch->unacked, t->settlements[i].tag);

        if (entry != NULL)
            entry->in_transaction = 0;
    }
    t->settlement_count = 0;
    channel_send(ch, &(struct amqp_method){.id = AMQP_TX_ROLLBACK_OK});
    return 0;
}

static int on_select(struct channel *ch)
{
    if (ch->mode == CHANNEL_CONFIRM)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED,
                              "cannot switch from confirm to tx mode");
    ch->mode = CHANNEL_TRANSACTION;
    if (ch->transaction == NULL)
        ch->transaction = transaction_create();
    channel_send(ch, &(struct amqp_method){.id = AMQP_TX_SELECT_OK});
    return 0;
}

int channel_on_transaction_method(struct channel *ch, const struct amqp_method *m)
{
    if (m->id == AMQP_TX_SELECT)
        return on_select(ch);
    if (m->id != AMQP_TX_COMMIT && m->id != AMQP_TX_ROLLBACK)
        return channel_refuse(ch, AMQP_COMMAND_INVALID, "unexpected method %s",
                              amqp_method_name(m->id));
    if (ch->mode != CHANNEL_TRANSACTION)
        return channel_refuse(ch, AMQP_PRECONDITION_FAILED, "channel is not transactional");
    return m->id == AMQP_TX_COMMIT ? on_commit(ch) : on_rollback(ch);
}
