#include "session/held_settles.h"

#include "base/memory.h"
#include "session/dead_letters.h"
#include "session/durable_log.h"
#include "session/paging.h"
#include "session/shard.h"

#include <assert.h>
#include <stdlib.h>

/* How long after a journal did not take a dead letter it is sent again. */
#define SEND_AGAIN_AFTER_MS 1000

static void on_retry(struct timer *t);

void held_settles_init(struct held_settles *h, struct shard *s)
{
    h->shard = s;
    list_init(&h->all);
    list_init(&h->refused);
    timer_init(&h->retry, on_retry);
}

static void free_held(struct held_settle *held)
{
    list_remove(&held->in_shard);
    list_remove(&held->refused);
    if (held->message != NULL)
        message_unref(held->message);
    queue_handle_unref(held->queue);
    free(held);
}

void held_settles_release(struct held_settles *h)
{
    while (!list_empty(&h->all))
        free_held(container_of(list_first(&h->all), struct held_settle, in_shard));
}

/* ---- A letter's way ---- */

struct held_settle *held_settle_begin(struct shard *s, const struct effect *e)
{
    struct queue_handle *queue = queue_owner(e->queue);
    struct held_settle *held;

    if (queue->durable == NULL || store_location_is_none(e->location) || paging_owns(e->location))
        return NULL;
    held = memory_alloc_zeroed(1, sizeof(*held));
    held->shard = s;
    list_append(&s->held_settles.all, &held->in_shard);
    list_node_init(&held->refused);
    held->from = queue->durable;
    held->queue = queue_handle_ref(queue);
    held->message = e->message != NULL ? message_ref(e->message) : NULL;
    held->reason = e->reason;
    held->sequence = e->sequence;
    held->location = e->location;
    held->waiting = 1;
    return held;
}

struct held_settle *held_settle_begin_reading(struct shard *s, const struct effect *e)
{
    struct held_settle *held = held_settle_begin(s, e);

    if (held != NULL)
        hash_map_insert(&held->from->held, &held->by_sequence, held->sequence);
    return held;
}

void held_settle_read(struct held_settle *held, struct message *msg)
{
    held->message = msg;
    if (msg != NULL)
        dead_letter_send(held->shard, held->queue, msg, held->reason, held);
    held_settle_answer(held, true);
}

void held_settle_expect(struct held_settle *held)
{
    held->waiting++;
}

void held_settle_sent(struct held_settle *held)
{
    if (held->waiting == 1 && !held->was_refused) {
        free_held(held);
        return;
    }
    hash_map_insert(&held->from->held, &held->by_sequence, held->sequence);
    held_settle_answer(held, true);
}

static void send_again_later(struct held_settles *h, struct held_settle *held)
{
    list_append(&h->refused, &held->refused);
    if (!timer_is_set(&h->retry))
        timer_set(&h->shard->worker->timers, &h->retry,
                  shard_now_ms(h->shard) + SEND_AGAIN_AFTER_MS);
}

static void settle(struct held_settle *held)
{
    struct durable_queue *d = held->from;

    if (d == NULL)
        return;
    hash_map_remove(&d->held, &held->by_sequence);
    durable_queue_settled(d, held->sequence, held->location);
}

void held_settle_answer(struct held_settle *held, bool kept)
{
    assert(held->waiting != 0);
    held->waiting--;
    held->was_refused |= !kept;
    if (held->waiting != 0)
        return;
    if (held->was_refused) {
        send_again_later(&held->shard->held_settles, held);
        return;
    }
    settle(held);
    free_held(held);
}

static void on_retry(struct timer *t)
{
    struct held_settles *h = container_of(t, struct held_settles, retry);
    struct list again;
    struct list_node *node;

    list_init(&again);
    list_splice(&again, &h->refused);
    while ((node = list_take_first(&again)) != NULL) {
        struct held_settle *held = container_of(node, struct held_settle, refused);

        held->was_refused = false;
        held->waiting = 1;
        dead_letter_send(h->shard, held->queue, held->message, held->reason, held);
        held_settle_answer(held, true);
    }
    shard_run_effects(h->shard);
}

struct answer_record {
    struct mail_record head;
    struct held_settle *held;
    bool kept;
};

static void handle_answer(struct worker *w, struct mail_record *r)
{
    const struct answer_record *a = (const struct answer_record *)(const void *)r;

    (void)w;
    held_settle_answer(a->held, a->kept);
}

void held_settle_mail_answer(struct shard *s, uint32_t to, struct held_settle *held, bool kept)
{
    struct answer_record a = {
        .head = {.handle = handle_answer, .size = sizeof(a)},
        .held = held,
        .kept = kept,
    };

    shard_send(s, to, &a.head);
}

/* ---- What a durable queue must know of its own ---- */

static bool sequence_matches(const struct hash_node *node, const void *key)
{
    return container_of(node, const struct held_settle, by_sequence)->sequence ==
           *(const uint64_t *)key;
}

static struct held_settle *find(const struct durable_queue *d, uint64_t sequence)
{
    struct hash_node *node = hash_map_find(&d->held, sequence, sequence_matches, &sequence);

    return node == NULL ? NULL : container_of(node, struct held_settle, by_sequence);
}

bool durable_queue_holds(const struct durable_queue *d, uint64_t sequence)
{
    return d->held.count != 0 && find(d, sequence) != NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void durable_queue_list_held(const struct durable_queue *d, uint64_t first, uint64_t head,
                             struct sequence_list *kept)
{
    uint32_t room = kept->count + (uint32_t)d->held.count;
    uint32_t before = kept->count;

    if (room > kept->capacity) {
        kept->items = memory_resize(kept->items, room, sizeof(*kept->items));
        kept->capacity = room;
    }
    for (struct hash_node *n = hash_map_first(&d->held); n != NULL;
         n = hash_map_next(&d->held, n)) {
        uint64_t sequence = container_of(n, struct held_settle, by_sequence)->sequence;

        if (sequence >= first && sequence < head)
            kept->items[kept->count++] = sequence;
    }
    if (kept->count != before)
        qsort(kept->items, kept->count, sizeof(*kept->items), compare);
}

bool durable_queue_relocate_held(struct durable_queue *d, uint64_t sequence,
                                 struct store_location from, struct store_location to)
{
    struct held_settle *held = d->held.count != 0 ? find(d, sequence) : NULL;

    if (held == NULL || held->location.segment != from.segment ||
        held->location.offset != from.offset)
        return false;
    held->location = to;
    return true;
}

void durable_queue_forget_held(struct durable_queue *d, queue_release release, void *context)
{
    struct hash_node *n;

    while ((n = hash_map_first(&d->held)) != NULL) {
        struct held_settle *held = container_of(n, struct held_settle, by_sequence);

        hash_map_remove(&d->held, n);
        held->from = NULL;
        if (release != NULL)
            release(context, held->location);
    }
    hash_map_clear(&d->held);
}
