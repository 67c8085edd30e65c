#include "broker/entries_depth.h"
#include "broker/queue_internal.h"

uint64_t queue_resident_bytes(const struct queue *q)
{
    return q->ready.resident_bytes;
}

uint64_t queue_paged_count(const struct queue *q)
{
    return entries_paged(&q->ready);
}

uint64_t queue_page_out(struct queue *q, uint64_t keep_first, uint64_t up_to_sequence,
                        uint32_t max_messages, queue_page page, void *context)
{
    uint64_t given_back;

    queue_held_changed(q);
    given_back = entries_page_out(&q->ready, &(struct entries_page){
                                                 .keep_first = keep_first,
                                                 .up_to_sequence = up_to_sequence,
                                                 .max_messages = max_messages,
                                                 .page = page,
                                                 .context = context,
                                             });

    queue_update_active(q);
    return given_back;
}

void queue_page_again(struct queue *q)
{
    entries_page_again(&q->ready);
}

static uint64_t average_body(const struct queue *q)
{
    return q->ready_bytes / entries_count(&q->ready);
}

/* Whether what is in memory before the first message that is not will soon be gone. */
static bool runs_dry(const struct queue *q)
{
    uint64_t ahead = entries_ahead(&q->ready);

    if (ahead == UINT64_MAX)
        return false;
    if (!entries_can_take(&q->ready))
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
    if (entries_paged(&q->ready) != 0) {
        uint64_t fitting = max_bytes / (average_body(q) + 1);

        if (fitting < max)
            max = fitting != 0 ? (uint32_t)fitting : 1;
        count = entries_list_paged(&q->ready, max, sequences, locations);
    }
    q->fetching = count != 0;
    queue_update_active(q);
    return count;
}

static void lose(struct queue *q, uint64_t sequence, struct effects *out)
{
    struct entry lost = {.sequence = sequence};

    if (entries_lose(&q->ready, sequence, &lost.location))
        queue_settled(q, &lost, out);
}

void queue_fetched(struct queue *q, const uint64_t *sequences, struct message *const *messages,
                   uint32_t count, struct effects *out)
{
    queue_held_changed(q);
    for (uint32_t i = 0; i < count; i++) {
        if (messages[i] == NULL)
            lose(q, sequences[i], out);
        else if (!entries_put(&q->ready, sequences[i], messages[i]))
            message_unref(messages[i]);
    }
    entries_tidy_paged(&q->ready);
    queue_bytes_when_empty(q);
    q->fetching = false;
    queue_update_active(q);
}
