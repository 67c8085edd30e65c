#include "session/letter_window.h"

#include "base/log.h"
#include "base/memory.h"
#include "server/vhost.h"
#include "session/dead_letters.h"
#include "session/dead_reads.h"
#include "session/durable_log.h"
#include "session/held_settles.h"
#include "session/paging.h"
#include "session/shard.h"
#include "store/recovery.h"

#include <inttypes.h>
#include <stdlib.h>

/* Of more letters than these the bodies are not kept in memory. */
#define RESIDENT_MAX 1024u

bool letters_are_confirmed(const struct queue_handle *queue)
{
    const struct queue_rules *rules = queue_handle_options(queue)->rules;

    return rules != NULL && rules->letters_confirmed;
}

/* ---- Counting ---- */

static void tell_queue(const struct letter_window *w)
{
    queue_set_letters(w->queue->queue, w->count, w->bytes);
}

static void count(struct letter_window *w, struct held_settle *held, uint32_t body_size)
{
    w->bytes += body_size;
    w->bytes -= held->body_size;
    held->body_size = body_size;
}

/* ---- Life ---- */

static void on_retry(struct timer *t);

static struct letter_window *need_window(struct shard *s, struct queue_handle *queue)
{
    struct letter_window *w = queue->letters;

    if (w != NULL)
        return w;
    w = memory_alloc_zeroed(1, sizeof(*w));
    w->shard = s;
    w->queue = queue;
    list_append(&s->held_settles.windows, &w->in_shard);
    list_init(&w->waiting);
    list_init(&w->sent);
    list_init(&w->refused);
    timer_init(&w->retry, on_retry);
    w->retry_ms = held_settles_config(s)->retry_min_ms;
    queue->letters = w;
    return w;
}

static void drop_all(struct list *letters)
{
    struct list_node *node;

    while ((node = list_take_first(letters)) != NULL) {
        struct held_settle *held = container_of(node, struct held_settle, in_window);

        held->window = NULL;
        held_settle_drop(held);
    }
}

void letter_window_end(struct queue_handle *queue)
{
    struct letter_window *w = queue->letters;
    struct list_node *node;

    if (w == NULL)
        return;
    drop_all(&w->waiting);
    drop_all(&w->refused);
    while ((node = list_take_first(&w->sent)) != NULL)
        container_of(node, struct held_settle, in_window)->window = NULL;
    timer_cancel(&w->shard->worker->timers, &w->retry);
    list_remove(&w->in_shard);
    queue->letters = NULL;
    free(w);
}

/* ---- Sending ---- */

static void send_read(struct held_settle *held)
{
    held->was_refused = false;
    held_settle_expect(held);
    dead_letter_send(held->shard, held->queue, held->message, held->reason, held);
    held_settle_answer(held, 0, true);
}

static void send_letter(struct letter_window *w, struct held_settle *held)
{
    list_append(&w->sent, &held->in_window);
    if (held->message != NULL) {
        send_read(held);
        return;
    }
    held_settle_expect(held);
    dead_reads_read(w->shard, held);
}

/* Sends what the window has room for. A queue may answer at once, which makes room for more: that
 * is seen here, not by a call within the call. */
static void send_more(struct letter_window *w)
{
    uint32_t window = held_settles_config(w->shard)->window;

    if (w->sending || w->shard->worker->stopping)
        return;
    w->sending = true;
    while (w->under_way < window && !list_empty(&w->waiting)) {
        struct list_node *node = list_take_first(&w->waiting);

        w->under_way++;
        send_letter(w, container_of(node, struct held_settle, in_window));
    }
    w->sending = false;
}

/* Those that are on their way are not among them: who gets them keeps them. */
static void say_dropped(const struct letter_window *w)
{
    uint64_t dropped = w->count;

    list_for_each(&w->sent, node) {
        if (container_of(node, struct held_settle, in_window)->message != NULL)
            dropped--;
    }
    if (dropped != 0)
        log_warning("dead-letter",
                    "%" PRIu64 " dead letters of queue '%.*s' in vhost '%.*s' that were not "
                    "confirmed are dropped: the queue has no dead-letter exchange any more",
                    dropped, BYTES_ARGS(w->queue->name),
                    BYTES_ARGS(((struct vhost *)w->queue->vhost)->name));
}

static void send_again(struct letter_window *w)
{
    struct shard *s = w->shard;
    struct list again;
    struct list_node *node;

    if (queue_handle_options(w->queue)->dead_letters == NULL)
        say_dropped(w);
    list_init(&again);
    list_splice(&again, &w->refused);
    w->sending = true;
    while (!s->worker->stopping && (node = list_take_first(&again)) != NULL)
        send_letter(w, container_of(node, struct held_settle, in_window));
    w->sending = false;
    list_splice(&w->refused, &again);
    send_more(w);
}

static void on_retry(struct timer *t)
{
    struct letter_window *w = container_of(t, struct letter_window, retry);
    struct shard *s = w->shard;

    send_again(w);
    shard_run_effects(s);
}

void letter_window_follow(struct queue_handle *queue)
{
    struct letter_window *w = queue->letters;

    if (w == NULL || w->count == 0 || queue_handle_options(queue)->dead_letters != NULL)
        return;
    timer_cancel(&w->shard->worker->timers, &w->retry);
    send_again(w);
}

static void say_stuck(struct letter_window *w)
{
    if (w->stuck)
        return;
    w->stuck = true;
    log_warning(
        "dead-letter",
        "dead letters of queue '%.*s' in vhost '%.*s' lead nowhere or are refused: they are "
        "kept, and sent again until they are taken",
        BYTES_ARGS(w->queue->name), BYTES_ARGS(((struct vhost *)w->queue->vhost)->name));
}

static void send_again_later(struct letter_window *w, struct held_settle *held)
{
    uint32_t longest = held_settles_config(w->shard)->retry_max_ms;

    held->was_sent = true;
    list_remove(&held->in_window);
    list_append(&w->refused, &held->in_window);
    say_stuck(w);
    if (timer_is_set(&w->retry))
        return;
    timer_set(&w->shard->worker->timers, &w->retry, shard_now_ms(w->shard) + w->retry_ms);
    if (w->retry_ms < longest)
        w->retry_ms = w->retry_ms <= longest / 2 ? 2 * w->retry_ms : longest;
}

void letter_window_answered(struct held_settle *held)
{
    struct letter_window *w = held->window;

    if (w == NULL) {
        held_settle_drop(held);
        return;
    }
    if (held->was_refused) {
        send_again_later(w, held);
        return;
    }
    w->retry_ms = held_settles_config(w->shard)->retry_min_ms;
    w->stuck = false;
    w->under_way--;
    w->count--;
    count(w, held, 0);
    tell_queue(w);
    list_remove(&held->in_window);
    held_settle_done(held);
    send_more(w);
}

void letter_window_read(struct held_settle *held, struct message *msg)
{
    struct letter_window *w = held->window;
    bool was_sending;

    if (paging_owns(held->location)) {
        paging_release(held->shard, held->location);
        held->location = (struct store_location){.segment = 0};
    }
    held->message = msg;
    if (w == NULL || msg == NULL) {
        held_settle_answer(held, 0, true);
        return;
    }
    count(w, held, msg->body_size);
    tell_queue(w);
    was_sending = w->sending;
    w->sending = true;
    send_read(held);
    w->sending = was_sending;
    held_settle_answer(held, 0, true);
}

/* ---- Coming ---- */

/* What is in the journal waits there. */
static void leave_on_disk(const struct letter_window *w, struct held_settle *held)
{
    uint32_t lane = queue_lane_of_sequence(held->sequence);

    if (w->count <= RESIDENT_MAX || held->message == NULL || held->from == NULL ||
        held->sequence >= durable_queue_safe_below(held->from, lane))
        return;
    message_unref(held->message);
    held->message = NULL;
}

void letter_window_add(struct shard *s, const struct effect *e)
{
    struct queue_handle *queue = queue_owner(e->queue);
    struct letter_window *w = need_window(s, queue);
    struct held_settle *held = held_settle_keep(s, e);

    if (held->from != NULL)
        durable_queue_died(held->from, held->sequence, held->reason);
    held->window = w;
    list_append(&w->waiting, &held->in_window);
    w->count++;
    if (held->message != NULL)
        count(w, held, held->message->body_size);
    tell_queue(w);
    leave_on_disk(w, held);
    send_more(w);
}

void letter_window_restore(struct shard *s, struct queue_handle *queue,
                           const struct recovered_message *m)
{
    const struct effect e = {
        .type = EFFECT_DEAD_LETTER,
        .reason = durable_mark_reason(m->delivery_count),
        .queue = queue->queue,
        .sequence = m->sequence,
        .location = m->location,
    };
    struct letter_window *w = need_window(s, queue);
    struct held_settle *held = held_settle_keep(s, &e);

    held->window = w;
    list_append(&w->waiting, &held->in_window);
    w->count++;
    count(w, held, m->body_size);
    tell_queue(w);
    if (!timer_is_set(&w->retry))
        timer_set(&s->worker->timers, &w->retry, shard_now_ms(s));
}
