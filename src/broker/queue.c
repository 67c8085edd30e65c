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
    (void)release;
    (void)context;
    assert(list_empty(&q->consumers));
    list_remove(&q->active_link);
    entries_clear(&q->ready);
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

void queue_update_active(struct queue *q)
{
    bool deliverable = !list_empty(&q->ready_levels) && entries_count(&q->ready) != 0;

    if (deliverable == list_linked(&q->active_link))
        return;
    if (deliverable)
        list_append(q->active, &q->active_link);
    else
        list_remove(&q->active_link);
}

uint64_t queue_enqueue(struct queue *q, struct message *msg, struct store_location location,
                       int64_t now_ms, struct effects *out)
{
    uint64_t sequence = entries_append(&q->ready, msg);

    (void)location;
    (void)now_ms;
    (void)out;
    if (sequence == 0)
        return 0;
    message_ref(msg);
    q->ready_bytes += msg->body_size;
    queue_update_active(q);
    return sequence;
}

void queue_return(struct queue *q, struct entry entry)
{
    entries_return(&q->ready, &entry);
    q->ready_bytes += entry.message->body_size;
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
    while (delivered < budget && entries_count(&q->ready) != 0) {
        struct consumer *c = queue_next_consumer_ready(q);
        struct entry entry;

        if (c == NULL)
            break;
        if (!consumer_take_credit(c))
            continue;
        take_first(q, &entry);
        consumer_deliver(c, &entry, effects_add(out, EFFECT_DELIVER, q));
        delivered++;
    }
    queue_update_active(q);
    return list_linked(&q->active_link);
}

uint64_t queue_purge(struct queue *q, queue_release release, void *context)
{
    uint64_t purged = entries_count(&q->ready);

    (void)release;
    (void)context;
    entries_clear(&q->ready);
    q->ready_bytes = 0;
    queue_update_active(q);
    return purged;
}

enum queue_get_outcome queue_get(struct queue *q, struct consumer *getter, int64_t now_ms,
                                 struct effect *out, struct effects *effects)
{
    struct entry entry;

    (void)now_ms;
    (void)effects;
    if (!take_first(q, &entry))
        return QUEUE_GET_EMPTY;

    *out = (struct effect){.type = EFFECT_DELIVER, .queue = q};
    if (getter != NULL) {
        consumer_deliver(getter, &entry, out);
    } else {
        out->message = entry.message;
        out->delivery_count = entry.delivery_count;
        out->redelivered = entry.delivery_count != 0;
    }
    queue_update_active(q);
    return QUEUE_GET_MESSAGE;
}
