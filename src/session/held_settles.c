#include "session/held_settles.h"

#include "base/memory.h"
#include "session/broker.h"
#include "session/dead_letters.h"
#include "session/durable_log.h"
#include "session/letter_window.h"
#include "session/paging.h"
#include "session/shard.h"

#include <assert.h>
#include <stdlib.h>

static void on_retry(struct timer *t);

void held_settles_init(struct held_settles *h, struct shard *s)
{
    h->shard = s;
    list_init(&h->all);
    list_init(&h->refused);
    list_init(&h->windows);
    timer_init(&h->retry, on_retry);
}

const struct config_dead_letters *held_settles_config(const struct shard *s)
{
    return &s->broker->server->config->dead_letters;
}

static void free_held(struct held_settle *held)
{
    list_remove(&held->in_shard);
    list_remove(&held->refused);
    list_remove(&held->in_window);
    for (uint32_t i = 0; i < held->target_count; i++)
        queue_handle_unref(held->targets[i].queue);
    free(held->targets);
    if (held->message != NULL)
        message_unref(held->message);
    queue_handle_unref(held->queue);
    free(held);
}

void held_settles_release(struct held_settles *h)
{
    while (!list_empty(&h->all))
        free_held(container_of(list_first(&h->all), struct held_settle, in_shard));
    while (!list_empty(&h->windows))
        free(container_of(list_take_first(&h->windows), struct letter_window, in_shard));
}

/* ---- A letter's way ---- */

static struct held_settle *create(struct shard *s, const struct effect *e)
{
    struct held_settle *held = memory_alloc_zeroed(1, sizeof(*held));

    held->shard = s;
    list_append(&s->held_settles.all, &held->in_shard);
    list_node_init(&held->refused);
    list_node_init(&held->in_window);
    held->queue = queue_handle_ref(queue_owner(e->queue));
    held->reason = e->reason;
    held->sequence = e->sequence;
    held->location = e->location;
    return held;
}

static bool is_journaled(const struct effect *e)
{
    const struct queue_handle *queue = queue_owner(e->queue);

    return queue->durable != NULL && !store_location_is_none(e->location) &&
           !paging_owns(e->location);
}

struct held_settle *held_settle_begin(struct shard *s, const struct effect *e)
{
    struct held_settle *held;

    if (!is_journaled(e))
        return NULL;
    held = create(s, e);
    held->from = held->queue->durable;
    held->message = e->message != NULL ? message_ref(e->message) : NULL;
    held_settle_expect(held);
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
    if (held->to_confirm) {
        letter_window_read(held, msg);
        return;
    }
    held->message = msg;
    if (msg != NULL)
        dead_letter_send(held->shard, held->queue, msg, held->reason, held);
    held_settle_answer(held, 0, true);
}

void held_settle_expect(struct held_settle *held)
{
    if (held->waiting++ == 0)
        held->shard->held_settles.unanswered++;
}

void held_settle_sent(struct held_settle *held)
{
    if (held->waiting == 1 && !held->was_refused) {
        held->shard->held_settles.unanswered--;
        free_held(held);
        return;
    }
    hash_map_insert(&held->from->held, &held->by_sequence, held->sequence);
    held_settle_answer(held, 0, true);
}

static void send_again_later(struct held_settles *h, struct held_settle *held)
{
    list_append(&h->refused, &held->refused);
    if (!timer_is_set(&h->retry))
        timer_set(&h->shard->worker->timers, &h->retry,
                  shard_now_ms(h->shard) + held_settles_config(h->shard)->retry_min_ms);
}

static void settle(struct held_settle *held)
{
    struct durable_queue *d = held->from;

    if (d == NULL)
        return;
    hash_map_remove(&d->held, &held->by_sequence);
    durable_queue_settled(d, held->sequence, held->location);
}

void held_settle_answer(struct held_settle *held, uint32_t target, bool kept)
{
    assert(held->waiting != 0);
    held->waiting--;
    held->was_refused |= !kept;
    if (target != 0)
        held->targets[target - 1].has_it |= kept;
    if (held->waiting != 0)
        return;
    held->shard->held_settles.unanswered--;
    if (held->to_confirm) {
        letter_window_answered(held);
        return;
    }
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
        held_settle_expect(held);
        dead_letter_send(h->shard, held->queue, held->message, held->reason, held);
        held_settle_answer(held, 0, true);
    }
    shard_run_effects(h->shard);
}

struct answer_record {
    struct mail_record head;
    struct held_settle *held;
    uint32_t target;
    bool kept;
};

static void handle_answer(struct worker *w, struct mail_record *r)
{
    const struct answer_record *a = (const struct answer_record *)(const void *)r;

    struct shard *s = shard_of(w);

    held_settle_answer(a->held, a->target, a->kept);
    if (s->effects.count != 0)
        shard_run_effects(s);
}

void held_settle_mail_answer(struct shard *s, uint32_t to, struct held_settle *held,
                             uint32_t target, bool kept)
{
    struct answer_record a = {
        .head = {.handle = handle_answer, .size = sizeof(a)},
        .held = held,
        .target = target,
        .kept = kept,
    };

    shard_send(s, to, &a.head);
}

/* ---- Letters to be confirmed ---- */

struct held_settle *held_settle_keep(struct shard *s, const struct effect *e)
{
    struct held_settle *held = create(s, e);

    held->to_confirm = true;
    held->message = e->message;
    if (!is_journaled(e)) {
        /* A page is released by the EFFECT_SETTLED, unless it is to be read. */
        if (e->message != NULL)
            held->location = (struct store_location){.segment = 0};
        return held;
    }
    held->from = held->queue->durable;
    held->settle_comes = e->message != NULL;
    hash_map_insert(&held->from->held, &held->by_sequence, held->sequence);
    return held;
}

uint32_t held_settle_target(struct held_settle *held, struct queue_handle *queue)
{
    for (uint32_t i = 0; i < held->target_count; i++) {
        if (held->targets[i].queue == queue)
            return held->targets[i].has_it ? 0 : i + 1;
    }
    held->targets = memory_resize(held->targets, held->target_count + 1, sizeof(*held->targets));
    held->targets[held->target_count].queue = queue_handle_ref(queue);
    held->targets[held->target_count].has_it = false;
    return ++held->target_count;
}

void held_settle_done(struct held_settle *held)
{
    if (held->settle_comes) {
        held->done = true;
        return;
    }
    settle(held);
    free_held(held);
}

void held_settle_drop(struct held_settle *held)
{
    if (held->from != NULL) {
        hash_map_remove(&held->from->held, &held->by_sequence);
        durable_queue_release(held->from, held->location);
    } else if (paging_owns(held->location)) {
        paging_release(held->shard, held->location);
    }
    free_held(held);
}

bool held_settle_is_wanted(const struct held_settle *held)
{
    return held->from != NULL || held->window != NULL;
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

bool durable_queue_hold_settled(struct durable_queue *d, uint64_t sequence)
{
    struct held_settle *held = d->held.count != 0 ? find(d, sequence) : NULL;

    if (held == NULL)
        return false;
    held->settle_comes = false;
    if (held->done)
        held_settle_done(held);
    return true;
}

uint32_t durable_queue_held_mark(const struct durable_queue *d, uint64_t sequence)
{
    const struct held_settle *held = d->held.count != 0 ? find(d, sequence) : NULL;

    return held != NULL && held->to_confirm ? durable_mark(held->reason) : 0;
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
