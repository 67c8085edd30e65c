#include "broker/queue.h"

#include "base/memory.h"
#include "broker/queue_internal.h"

struct queue *queue_create(const struct queue_options *options, void *owner, struct list *active)
{
    struct queue *q = memory_alloc_zeroed(1, sizeof(*q));

    list_node_init(&q->active_link);
    list_init(&q->ready_levels);
    entries_init(&q->ready);
    q->options = options;
    q->owner = owner;
    q->active = active;
    list_init(&q->consumers);
    list_init(&q->levels);
    return q;
}

void queue_destroy(struct queue *q, queue_release release, void *context)
{
    assert(list_empty(&q->consumers));
    list_remove(&q->active_link);
    queue_held_changed(q);
    entries_clear(&q->ready, release, context);
    free(q);
}

void *queue_owner(const struct queue *q)
{
    return q->owner;
}

struct queue *queue_from_active(struct list_node *link)
{
    return container_of(link, struct queue, active_link);
}

uint64_t queue_message_count(const struct queue *q)
{
    return entries_count(&q->ready);
}

uint32_t queue_consumer_count(const struct queue *q)
{
    return q->consumer_count;
}

uint64_t queue_unacked_count(const struct queue *q)
{
    return q->unacked_count;
}

uint64_t queue_ready_bytes(const struct queue *q)
{
    return q->ready_bytes;
}

uint64_t queue_next_sequence(const struct queue *q)
{
    return q->ready.next_sequence;
}

/* A queue that has to ask for its first message is woken for that alone. */
static bool has_what_to_do(const struct queue *q)
{
    if (list_empty(&q->ready_levels))
        return false;
    return entries_can_take(&q->ready) || (!q->fetching && entries_count(&q->ready) != 0);
}

void queue_update_active(struct queue *q)
{
    bool active = has_what_to_do(q);

    if (active == list_linked(&q->active_link))
        return;
    if (active)
        list_append(q->active, &q->active_link);
    else
        list_remove(&q->active_link);
}

uint64_t queue_enqueue(struct queue *q, struct message *msg, struct store_location location,
                       int64_t now_ms, struct effects *out)
{
    uint64_t sequence = entries_append(&q->ready, msg, location);

    (void)now_ms;
    (void)out;
    if (sequence == 0)
        return 0;
    message_ref(msg);
    q->ready_bytes += msg->body_size;
    queue_update_active(q);
    return sequence;
}

void queue_return(struct queue *q, const struct entry *entry, struct effects *out)
{
    struct effect *returned;

    entries_return(&q->ready, entry);
    q->ready_bytes += entry->message->body_size;
    if (store_location_is_none(entry->location))
        return;
    returned = effects_add(out, EFFECT_RETURNED, q);
    returned->sequence = entry->sequence;
    returned->location = entry->location;
    returned->delivery_count = entry->delivery_count;
}

static bool take_first(struct queue *q, struct entry *entry)
{
    if (!entries_take_first(&q->ready, entry))
        return false;
    q->ready_bytes -= entry->message->body_size;
    return true;
}

bool queue_deliver(struct queue *q, uint32_t budget, int64_t now_ms, struct effects *out)
{
    uint32_t delivered = 0;

    (void)now_ms;
    queue_held_changed(q);
    while (delivered < budget && entries_can_take(&q->ready)) {
        struct consumer *c = queue_next_consumer_ready(q);
        struct entry entry;

        if (c == NULL)
            break;
        if (!consumer_take_credit(c))
            continue;
        take_first(q, &entry);
        consumer_deliver(c, &entry, effects_add(out, EFFECT_DELIVER, q));
        if (c->no_ack)
            queue_settled(q, &entry, out);
        delivered++;
    }
    if (delivered != 0 || !list_empty(&q->ready_levels))
        queue_fetch_ahead(q, out);
    queue_bytes_when_empty(q);
    queue_update_active(q);
    return list_linked(&q->active_link);
}

uint64_t queue_purge(struct queue *q, queue_release release, void *context)
{
    uint64_t purged = entries_count(&q->ready);

    queue_held_changed(q);
    entries_clear(&q->ready, release, context);
    q->ready_bytes = 0;
    queue_update_active(q);
    return purged;
}

/* As consumer_deliver(), to nobody. */
static void hand_out(const struct entry *entry, struct effect *out)
{
    out->message = entry->message;
    out->sequence = entry->sequence;
    out->location = entry->location;
    out->delivery_count = entry->delivery_count;
    out->redelivered = entry->delivery_count != 0;
}

enum queue_get_outcome queue_get(struct queue *q, struct consumer *getter, int64_t now_ms,
                                 struct effect *out, struct effects *effects)
{
    struct entry entry;

    (void)now_ms;
    if (entries_count(&q->ready) == 0)
        return QUEUE_GET_EMPTY;
    queue_held_changed(q);
    if (!take_first(q, &entry)) {
        queue_fetch_ahead(q, effects);
        queue_update_active(q);
        return QUEUE_GET_WAIT;
    }

    /* Before anything is appended: `out` may be one of `effects`, which move then. */
    *out = (struct effect){.type = EFFECT_DELIVER, .queue = q};
    if (getter != NULL) {
        consumer_deliver(getter, &entry, out);
    } else {
        hand_out(&entry, out);
        queue_settled(q, &entry, effects);
    }
    queue_fetch_ahead(q, effects);
    queue_bytes_when_empty(q);
    queue_update_active(q);
    return QUEUE_GET_MESSAGE;
}
