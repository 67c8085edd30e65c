/* basic.ack, .nack, .reject, .recover and .recover-async. */
#include "session/settle.h"

#include "session/channel.h"
#include "session/queue_home.h"
#include "session/subscription.h"
#include "session/transaction.h"

#include <errno.h>
#include <inttypes.h>

/* Deliveries of one subscription whose numbers ascend: what the queue hears at once. */
struct run {
    struct subscription *subscription; /* NULL: none yet */
    uint64_t first;
    uint64_t last;
    uint32_t count;
};

static void settle_run(struct channel *ch, const struct run *run, enum settle_outcome outcome)
{
    if (run->subscription == NULL)
        return;
    queue_settle(ch->shard, run->subscription, run->first, run->last, run->count, outcome);
    subscription_settled(run->subscription, run->count);
}

void settle_tags(struct channel *ch, uint64_t first, uint64_t last, enum settle_outcome outcome)
{
    struct run run = {.subscription = NULL};
    uint64_t tag = delivery_tags_next(&ch->unacked, first - 1);

    while (tag != 0 && tag <= last) {
        struct delivery_tag_entry entry = *delivery_tags_find(&ch->unacked, tag);

        delivery_tags_remove(&ch->unacked, tag);
        if (entry.subscription != run.subscription || entry.number < run.last) {
            settle_run(ch, &run, outcome);
            run = (struct run){.subscription = entry.subscription, .first = entry.number};
        }
        run.last = entry.number;
        run.count++;
        /* What is settled behind the last tag is not walked over once more for each ack. */
        if (tag == last)
            break;
        tag = delivery_tags_next(&ch->unacked, tag);
    }
    settle_run(ch, &run, outcome);
}

static int refuse_unknown_tag(struct channel *ch, uint64_t tag)
{
    return channel_refuse(ch, AMQP_PRECONDITION_FAILED, "unknown delivery tag %" PRIu64, tag);
}

static int settle_in_transaction(struct channel *ch, uint64_t first, uint64_t last,
                                 enum settle_outcome outcome)
{
    for (uint64_t tag = delivery_tags_next(&ch->unacked, first - 1); tag != 0 && tag <= last;
         tag = tag != last ? delivery_tags_next(&ch->unacked, tag) : 0) {
        struct delivery_tag_entry *entry = delivery_tags_find(&ch->unacked, tag);

        if (entry->in_transaction)
            continue;
        entry->in_transaction = 1;
        transaction_add_settlement(ch->transaction, tag, outcome);
    }
    return 0;
}

/* Whether the channel knows the tag as delivered and not settled, in no transaction either. */
static bool is_unsettled(struct channel *ch, uint64_t tag)
{
    const struct delivery_tag_entry *entry = delivery_tags_find(&ch->unacked, tag);

    return entry != NULL && !entry->in_transaction;
}

static int settle(struct channel *ch, uint64_t tag, bool multiple, enum settle_outcome outcome)
{
    uint64_t first = multiple ? 1 : tag;
    uint64_t last = tag != 0 ? tag : UINT64_MAX;

    if (!(tag == 0 && multiple) && !is_unsettled(ch, tag)) {
        if (!expired_tags_has(&ch->expired, tag))
            return refuse_unknown_tag(ch, tag);
        expired_tags_count_late(ch, tag);
    }
    if (ch->mode == CHANNEL_TRANSACTION)
        return settle_in_transaction(ch, first, last, outcome);
    settle_tags(ch, first, last, outcome);
    return 0;
}

static enum settle_outcome outcome_of(bool requeue)
{
    return requeue ? SETTLE_REQUEUE : SETTLE_REJECT;
}

/* The end of the run of tags from `first` on that the transaction at hand settles, or does not. */
static uint64_t end_of_alike(struct channel *ch, uint64_t first)
{
    bool in_transaction = delivery_tags_find(&ch->unacked, first)->in_transaction;
    uint64_t last = first;

    for (uint64_t tag = first;
         tag != 0 && delivery_tags_find(&ch->unacked, tag)->in_transaction == in_transaction;
         tag = delivery_tags_next(&ch->unacked, tag))
        last = tag;
    return last;
}

/* What the transaction at hand settles is no longer the channel's to recover. */
static void recover_outside_transaction(struct channel *ch)
{
    uint64_t first = delivery_tags_next(&ch->unacked, 0);

    while (first != 0) {
        uint64_t last = end_of_alike(ch, first);
        uint64_t next = delivery_tags_next(&ch->unacked, last);

        if (!delivery_tags_find(&ch->unacked, first)->in_transaction)
            settle_tags(ch, first, last, SETTLE_REQUEUE);
        first = next;
    }
}

static int recover(struct channel *ch, bool requeue)
{
    if (!requeue)
        return channel_refuse(ch, AMQP_NOT_IMPLEMENTED, "requeue=false");
    if (ch->mode == CHANNEL_TRANSACTION)
        recover_outside_transaction(ch);
    else
        settle_tags(ch, 1, UINT64_MAX, SETTLE_REQUEUE);
    return 0;
}

int channel_on_settle_method(struct channel *ch, const struct amqp_method *m)
{
    switch ((int)m->id) {
    case AMQP_BASIC_ACK:
        return settle(ch, m->basic_ack.delivery_tag, m->basic_ack.multiple, SETTLE_ACK);
    case AMQP_BASIC_NACK:
        return settle(ch, m->basic_nack.delivery_tag, m->basic_nack.multiple,
                      outcome_of(m->basic_nack.requeue));
    case AMQP_BASIC_REJECT:
        return settle(ch, m->basic_reject.delivery_tag, false, outcome_of(m->basic_reject.requeue));
    case AMQP_BASIC_RECOVER_ASYNC:
        return recover(ch, m->basic_recover_async.requeue);
    case AMQP_BASIC_RECOVER:
        if (recover(ch, m->basic_recover.requeue) < 0)
            return -EPROTO;
        channel_send(ch, &(struct amqp_method){.id = AMQP_BASIC_RECOVER_OK});
        return 0;
    default:
        return channel_refuse(ch, AMQP_COMMAND_INVALID, "unexpected method %s",
                              amqp_method_name(m->id));
    }
}
