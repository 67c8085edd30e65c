#include "broker/queue.h"

#include "base/memory.h"
#include "broker/queue_internal.h"
#include "broker/queue_lanes.h"

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
    if (options->rules != NULL)
        queue_need_extra(q);
    return q;
}

static void clear_lanes(struct queue *q, queue_release release, void *context)
{
    for (uint32_t lane = queue_lane_count(q); lane-- != 0;) {
        struct entries *e = queue_lane(q, lane);

        if (e != NULL)
            entries_clear(e, release, context);
    }
}

void queue_destroy(struct queue *q, queue_release release, void *context)
{
    assert(list_empty(&q->consumers));
    list_remove(&q->active_link);
    queue_held_changed(q);
    clear_lanes(q, release, context);
    if (q->extra != NULL)
        queue_free_extra(q);
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
    return queue_sum_lanes(q, entries_count);
}

uint32_t queue_consumer_count(const struct queue *q)
{
    return q->consumer_count;
}

const struct consumer *queue_active_consumer(const struct queue *q)
{
    return q->extra != NULL ? q->extra->active : NULL;
}

uint64_t queue_unacked_count(const struct queue *q)
{
    return q->unacked_count;
}

uint64_t queue_unacked_resident_bytes(const struct queue *q)
{
    return q->unacked_bytes;
}

uint64_t queue_ready_bytes(const struct queue *q)
{
    return queue_sum_lanes(q, entries_body_bytes);
}

uint32_t queue_messages_within(const struct queue *q, uint64_t bytes, uint32_t most)
{
    uint64_t average = queue_ready_bytes(q) / (queue_message_count(q) + 1);
    uint64_t fitting = 1 + bytes / (average + 1);

    return fitting < most ? (uint32_t)fitting : most;
}

uint64_t queue_next_sequence(const struct queue *q, uint32_t lane)
{
    const struct lane *higher;

    if (lane == 0)
        return q->ready.next_sequence;
    higher = q->extra->lanes->higher[lane - 1];
    return higher != NULL ? higher->ready.next_sequence : queue_lane_first_sequence(lane);
}

/* A queue that has to ask for its first message is woken for that alone. */
static bool has_what_to_do(struct queue *q)
{
    const struct entries *first;

    if (list_empty(&q->ready_levels))
        return false;
    first = queue_first_lane(q);
    return entries_can_take(first) || (!q->fetching && entries_count(first) != 0);
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

uint64_t queue_append(struct queue *q, struct message *msg, struct store_location location)
{
    uint32_t lane = queue_has_lanes(q) ? queue_lane_of(q, msg) : 0;
    uint64_t sequence = entries_append(queue_need_lane(q, lane), msg, location);

    if (sequence == 0)
        return 0;
    message_ref(msg);
    if (queue_has_lanes(q))
        queue_lane_filled(q, lane);
    return sequence;
}

uint64_t queue_enqueue(struct queue *q, struct message *msg, struct store_location location,
                       int64_t expiry_ms, int64_t now_ms, struct effects *out)
{
    uint64_t sequence;

    if ((unsigned)(q->extra != NULL) | (unsigned)(expiry_ms != EXPIRY_NEVER))
        return queue_enqueue_by_rules(q, msg, location, expiry_ms, now_ms, out);
    sequence = entries_append(&q->ready, msg, location);
    if (sequence != 0)
        message_ref(msg);
    queue_update_active(q);
    return sequence;
}

void queue_return(struct queue *q, const struct entry *entry, uint32_t body_size, int64_t now_ms,
                  struct effects *out)
{
    struct effect *returned;

    if (entry->expiry != 0 && entry->expiry <= expiry_encode(now_ms)) {
        queue_end_entry(q, entry, DEAD_LETTER_EXPIRED, out);
        return;
    }
    entries_return(queue_lane_with(q, entry->sequence), entry, body_size);
    if (queue_has_lanes(q))
        queue_lane_filled(q, queue_lane_of_sequence(entry->sequence));
    if (!store_location_is_none(entry->location)) {
        returned = effects_add(out, EFFECT_RETURNED, q);
        returned->sequence = entry->sequence;
        returned->location = entry->location;
        returned->delivery_count = entry->delivery_count;
    }
    if (entry->expiry != 0)
        queue_watch_expiry(q, entry, out);
}

void queue_end_entry(struct queue *q, const struct entry *entry, enum dead_letter_reason reason,
                     struct effects *out)
{
    if (q->options->has_dead_letter_exchange) {
        struct effect *dead = effects_add(out, EFFECT_DEAD_LETTER, q);

        dead->reason = reason;
        dead->delivery_count = entry->delivery_count;
        dead->message = entry->message;
        dead->sequence = entry->sequence;
        dead->location = entry->location;
        if (entry->message == NULL)
            return;
    } else if (entry->message != NULL) {
        message_unref(entry->message);
    }
    queue_settled(q, entry, out);
}

/* Where the message is that a consumer may have now; NULL when there is none. */
static inline struct entries *can_take(struct queue *q, int64_t now_ms, struct effects *out)
{
    if (q->extra != NULL)
        return queue_can_take_by_rules(q, now_ms, out);
    return entries_can_take(&q->ready) ? &q->ready : NULL;
}

static inline void take_first(struct queue *q, struct entries *lane, struct entry *entry)
{
    if (q->extra != NULL)
        queue_take_by_rules(q, lane, entry);
    else
        entries_take_first(lane, entry);
}

uint32_t queue_hand_out(struct queue *q, uint32_t budget, int64_t now_ms, struct effects *out)
{
    uint32_t delivered = 0;
    struct entries *lane;

    while (delivered < budget && (lane = can_take(q, now_ms, out)) != NULL) {
        struct consumer *c = queue_next_consumer_ready(q);
        struct entry entry;

        if (c == NULL)
            break;
        if (!consumer_take_credit(c))
            continue;
        take_first(q, lane, &entry);
        consumer_deliver(c, &entry, effects_add(out, EFFECT_DELIVER, q));
        if (c->no_ack)
            queue_settled(q, &entry, out);
        else
            consumer_watch_delivery(c, now_ms, out);
        delivered++;
    }
    return delivered;
}

bool queue_deliver(struct queue *q, uint32_t budget, int64_t now_ms, struct effects *out)
{
    uint32_t delivered;

    queue_held_changed(q);
    delivered = queue_hand_out(q, budget, now_ms, out);
    if (delivered != 0 || !list_empty(&q->ready_levels))
        queue_fetch_ahead(q, out);
    queue_update_active(q);
    return list_linked(&q->active_link);
}

uint64_t queue_purge(struct queue *q, queue_release release, void *context)
{
    uint64_t purged = queue_message_count(q);

    queue_held_changed(q);
    clear_lanes(q, release, context);
    if (q->extra != NULL)
        queue_forget_expiries(q);
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
    struct entries *lane;
    struct entry entry;

    queue_held_changed(q);
    lane = can_take(q, now_ms, effects);
    if (lane == NULL) {
        bool empty = entries_count(queue_first_lane(q)) == 0;

        if (!empty)
            queue_fetch_ahead(q, effects);
        queue_update_active(q);
        return empty ? QUEUE_GET_EMPTY : QUEUE_GET_WAIT;
    }
    take_first(q, lane, &entry);

    *out = (struct effect){.type = EFFECT_DELIVER, .queue = q};
    if (getter != NULL) {
        consumer_deliver(getter, &entry, out);
        consumer_watch_delivery(getter, now_ms, effects);
    } else {
        hand_out(&entry, out);
        queue_settled(q, &entry, effects);
    }
    queue_fetch_ahead(q, effects);
    queue_update_active(q);
    return QUEUE_GET_MESSAGE;
}
