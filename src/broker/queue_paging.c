#include "broker/entries_internal.h"
#include "broker/queue_lanes.h"

static uint64_t resident_bytes(const struct entries *e)
{
    return e->resident_bytes;
}

uint64_t queue_resident_bytes(const struct queue *q)
{
    return queue_sum_lanes(q, resident_bytes);
}

uint64_t queue_paged_count(const struct queue *q)
{
    return queue_sum_lanes(q, entries_paged);
}

/* What is delivered before anything of the lane. */
static uint64_t count_above(struct queue *q, uint32_t lane)
{
    uint64_t count = 0;

    for (uint32_t above = queue_lane_count(q); --above > lane;) {
        const struct entries *e = queue_lane(q, above);

        if (e != NULL)
            count += entries_count(e);
    }
    return count;
}

uint64_t queue_page_out(struct queue *q, uint32_t lane, uint64_t keep_first,
                        uint64_t up_to_sequence, uint32_t max_messages, queue_page page,
                        void *context)
{
    struct entries *e = queue_lane(q, lane);
    uint64_t above = keep_first != 0 ? count_above(q, lane) : 0;
    uint64_t given_back;

    if (e == NULL)
        return 0;
    given_back = entries_page_out(e, &(struct entries_page){
                                         .keep_first = keep_first > above ? keep_first - above : 0,
                                         .up_to_sequence = up_to_sequence,
                                         .max_messages = max_messages,
                                         .page = page,
                                         .context = context,
                                     });
    queue_update_active(q);
    return given_back;
}

struct unacked_paging {
    uint64_t keep_bytes;
    uint32_t left; /* that may be looked at */
    queue_is_safe is_safe;
    struct entries_page page;
};

/* Returns the bytes given back. */
static uint64_t page_out_consumer(struct consumer *c, struct unacked_paging *p)
{
    struct unacked *u = &c->unacked;
    struct unacked_slot *slot;
    uint64_t given_back = 0;

    while (c->queue->unacked_bytes > p->keep_bytes && p->left != 0 &&
           (slot = unacked_next_to_page(u)) != NULL) {
        struct entry *entry = &slot->entry;

        p->left--;
        if (!p->is_safe(p->page.context, entry->sequence) ||
            !entries_has_place(&entry->location, entry->message, &p->page))
            break;
        c->queue->unacked_bytes -= message_footprint(entry->message);
        given_back += entries_let_go(unacked_page(u, slot));
    }
    return given_back;
}

uint64_t queue_page_out_unacked(struct queue *q, uint64_t keep_bytes, uint32_t max_messages,
                                queue_is_safe is_safe, queue_page page, void *context)
{
    struct unacked_paging p = {
        .keep_bytes = keep_bytes,
        .left = max_messages,
        .is_safe = is_safe,
        .page = {.page = page, .context = context},
    };
    uint64_t given_back = 0;

    list_for_each(&q->consumers, node) {
        struct consumer *c = container_of(node, struct consumer, by_queue);

        if (q->unacked_bytes <= keep_bytes || p.left == 0)
            break;
        if (c->unacked.count != 0)
            given_back += page_out_consumer(c, &p);
    }
    return given_back;
}

void queue_page_again(struct queue *q)
{
    for (uint32_t lane = queue_lane_count(q); lane-- != 0;) {
        struct entries *e = queue_lane(q, lane);

        if (e != NULL)
            entries_page_again(e);
    }
}

static uint64_t average_body(const struct queue *q)
{
    return queue_ready_bytes(q) / queue_message_count(q);
}

/* How many messages of the queue come before the first that is not in memory; UINT64_MAX when all
 * are. */
static uint64_t count_ahead(struct queue *q)
{
    uint64_t ahead = 0;

    for (uint32_t lane = queue_lane_count(q); lane-- != 0;) {
        const struct entries *e = queue_lane(q, lane);

        if (e == NULL)
            continue;
        if (entries_paged(e) != 0)
            return ahead + entries_ahead(e);
        ahead += entries_count(e);
    }
    return UINT64_MAX;
}

/* Whether what is in memory before the first message that is not will soon be gone. */
static bool runs_dry(struct queue *q)
{
    uint64_t ahead = count_ahead(q);

    if (ahead == UINT64_MAX)
        return false;
    if (!entries_can_take(queue_first_lane(q)))
        return true;
    return ahead < QUEUE_READ_AHEAD_MESSAGES && ahead * average_body(q) < QUEUE_READ_AHEAD_BYTES;
}

void queue_fetch_ahead(struct queue *q, struct effects *out)
{
    if (q->fetching || !runs_dry(q))
        return;
    q->fetching = true;
    effects_add(out, EFFECT_FETCH, q);
}

uint32_t queue_fetch_list(struct queue *q, uint32_t max, uint64_t max_bytes, uint64_t *sequences,
                          struct store_location *locations)
{
    uint32_t count = 0;

    assert(max != 0);
    if (queue_paged_count(q) != 0) {
        uint64_t fitting = max_bytes / (average_body(q) + 1);

        if (fitting < max)
            max = fitting != 0 ? (uint32_t)fitting : 1;
    }
    for (uint32_t lane = queue_lane_count(q); lane-- != 0 && count < max;) {
        struct entries *e;

        if (!queue_lane_is_there(q, lane))
            continue;
        e = queue_lane(q, lane);
        if (entries_paged(e) != 0)
            count += entries_list_paged(e, max - count, sequences + count, locations + count);
    }
    q->fetching = count != 0;
    queue_update_active(q);
    return count;
}

static void lose(struct queue *q, uint64_t sequence, struct effects *out)
{
    struct entry lost = {.sequence = sequence};

    if (entries_lose(queue_lane_with(q, sequence), sequence, &lost.location))
        queue_settled(q, &lost, out);
}

void queue_fetched(struct queue *q, const uint64_t *sequences, struct message *const *messages,
                   uint32_t count, struct effects *out)
{
    queue_held_changed(q);
    for (uint32_t i = 0; i < count; i++) {
        if (messages[i] == NULL)
            lose(q, sequences[i], out);
        else if (!entries_put(queue_lane_with(q, sequences[i]), sequences[i], messages[i]))
            message_unref(messages[i]);
    }
    for (uint32_t lane = queue_lane_count(q); lane-- != 0;) {
        struct entries *e = queue_lane(q, lane);

        if (e != NULL)
            entries_tidy_paged(e);
    }
    q->fetching = false;
    queue_update_active(q);
}
