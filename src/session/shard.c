#include "session/shard.h"

#include "amqp/frame.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/secret.h"
#include "broker/queue.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/connection.h"
#include "session/dead_letters.h"
#include "session/delivery_timers.h"
#include "session/durable_log.h"
#include "session/letter_window.h"
#include "session/queue_home.h"

#include <stdlib.h>

/* Deliveries of one queue before the next one gets its turn, and of all queues before the loop
 * looks at its sockets again. */
#define SHARD_QUEUE_BUDGET 256u
#define SHARD_QUEUE_BUDGET_BYTES (256u * 1024u)
#define SHARD_TURN_BUDGET 8192u
/* How long a shutdown waits; longer than a peer has for its answer to a close. */
#define SHARD_SHUT_DOWN_MS 4000

void shard_init(struct shard *s, struct worker *w, struct broker *b)
{
    uint64_t seed;

    *s = (struct shard){.worker = w, .broker = b};
    w->state = s;
    list_init(&s->connections);
    handshakes_init(&s->handshakes);
    connection_lines_init(&s->connection_lines, s);
    list_init(&s->dirty_connections);
    list_init(&s->dead_connections);
    list_init(&s->held_back);
    list_init(&s->dirty_channels);
    list_init(&s->active_queues);
    list_init(&s->due_consumers);
    hash_map_init(&s->connections_by_id);
    effects_init(&s->effects);
    route_init(&s->route);
    random_bytes(&seed, sizeof(seed));
    route_seed(&s->route, seed);
    route_cache_init(&s->routes);
    held_settles_init(&s->held_settles, s);
    dead_reads_init(&s->dead_reads, s);
    policy_walk_init(&s->policy_walk);
    output_pool_init(&s->output_pool);
    s->headroom = b->limits->frame_max + AMQP_FRAME_MAX_TOLERANCE;
    s->read_budget = b->limits->read_budget_bytes;
    s->output_high_watermark = b->limits->output_high_watermark_bytes;
    s->read_area = memory_alloc(s->headroom + s->read_budget);
    /* Passwords come in through it. */
    secret_exclude_from_dumps(s->read_area, s->headroom + s->read_budget);
}

void shard_release(struct shard *s)
{
    connection_lines_release(&s->connection_lines);
    dead_reads_release(&s->dead_reads);
    held_settles_release(&s->held_settles);
    policy_walk_release(&s->policy_walk);
    route_cache_release(&s->routes);
    route_free(&s->route);
    effects_free(&s->effects);
    output_pool_release(&s->output_pool);
    hash_map_clear(&s->connections_by_id);
    free(s->logs);
    free(s->read_area);
}

void shard_add_log(struct shard *s, struct durable_log *log)
{
    s->logs = memory_resize(s->logs, s->log_count + 1, sizeof(struct durable_log *));
    s->logs[s->log_count++] = log;
    s->log = s->logs[0];
}

void shard_send(struct shard *s, uint32_t to, struct mail_record *r)
{
    r->from = shard_id(s);
    if (to == shard_id(s)) {
        r->handle(s->worker, r);
        return;
    }
    memcpy(worker_mail(s->worker, to, r->size, r->handle) + 1, r + 1, r->size - sizeof(*r));
}

static struct durable_queue *durable_of(const struct effect *e)
{
    const struct queue_handle *queue = queue_owner(e->queue);

    return queue->durable;
}

static void run_effect(struct shard *s, const struct effect *e)
{
    switch (e->type) {
    case EFFECT_NONE:
        return;
    case EFFECT_DELIVER:
        queue_home_deliver(s, e);
        return;
    case EFFECT_DEAD_LETTER:
        if (letters_are_confirmed(queue_owner(e->queue)))
            letter_window_add(s, e);
        else if (dead_reads_want(s, e))
            dead_reads_add(s, e);
        else
            dead_letter_publish(s, e);
        return;
    case EFFECT_UNUSED:
        /* Consumers that a shutdown takes away are expected back. */
        if (!s->worker->stopping)
            queue_home_delete(s, queue_owner(e->queue));
        return;
    case EFFECT_SETTLED:
        queue_home_settled(s, queue_owner(e->queue), e->sequence, e->location);
        return;
    case EFFECT_RETURNED:
        if (!paging_owns(e->location))
            durable_queue_returned(durable_of(e), e->sequence, e->delivery_count);
        return;
    case EFFECT_FETCH:
        paging_fetch(s, queue_owner(e->queue));
        return;
    case EFFECT_TIMER:
        queue_home_set_timer(s, queue_owner(e->queue), e->due_ms);
        return;
    case EFFECT_CONSUMER_TIMER:
        delivery_timers_set(s, e->consumer, e->due_ms);
        return;
    case EFFECT_TAKEN_BACK:
        delivery_timers_taken_back(s, e);
        return;
    }
}

/* Effects may bring about more effects, which are appended behind them. */
void shard_run_effects(struct shard *s)
{
    if (s->running_effects)
        return;
    s->running_effects = true;
    while (s->next_effect < s->effects.count) {
        struct effect e = s->effects.items[s->next_effect++];

        run_effect(s, &e);
    }
    s->effects.count = 0;
    s->next_effect = 0;
    s->running_effects = false;
}

void shard_finish_effects(struct shard *s, const struct queue *q)
{
    for (uint32_t i = s->next_effect; i < s->effects.count; i++) {
        struct effect e = s->effects.items[i];

        if (e.queue != q)
            continue;
        s->effects.items[i].type = EFFECT_NONE;
        if (e.type == EFFECT_DELIVER || e.type == EFFECT_DEAD_LETTER || e.type == EFFECT_SETTLED)
            run_effect(s, &e);
    }
}

/* Every active queue in turn, a bounded number of messages each, large ones fewer: a consumer that
 * does not read is noticed between two goes. */
static void deliver(struct shard *s)
{
    uint64_t end = s->messages_routed + SHARD_TURN_BUDGET;

    struct list_node *link;

    while (s->messages_routed < end && (link = list_take_first(&s->active_queues)) != NULL) {
        struct queue *q = queue_from_active(link);
        struct queue_handle *handle = queue_owner(q);

        list_append(&s->active_queues, link);
        queue_deliver(q, queue_messages_within(q, SHARD_QUEUE_BUDGET_BYTES, SHARD_QUEUE_BUDGET),
                      shard_now_ms(s), &s->effects);
        s->messages_routed += s->effects.count;
        shard_run_effects(s);
        if (handle->durable != NULL)
            durable_queue_delivered(handle->durable);
    }
}

static void report_confirms(struct shard *s)
{
    struct list_node *node;

    while ((node = list_take_first(&s->dirty_channels)) != NULL) {
        struct channel *ch = container_of(node, struct channel, dirty);

        expired_tags_tidy(ch);
        channel_report_confirms(ch);
    }
}

static void write_output(struct shard *s)
{
    struct list_node *node;

    while ((node = list_take_first(&s->dirty_connections)) != NULL)
        connection_flush(container_of(node, struct connection, dirty));
}

static void bury_connections(struct shard *s)
{
    struct list_node *node;

    while ((node = list_take_first(&s->dead_connections)) != NULL)
        connection_free(container_of(node, struct connection, in_shard));
}

static void on_give_up(struct timer *t)
{
    struct shard *s = container_of(t, struct shard, give_up);

    log_warning("server", "worker %u closes without the answers it waits for", shard_id(s));
    s->gave_up = true;
}

void shard_shut_down(struct shard *s)
{
    timer_init(&s->give_up, on_give_up);
    timer_set(&s->worker->timers, &s->give_up, shard_now_ms(s) + SHARD_SHUT_DOWN_MS);
    list_for_each_safe(&s->connections, node)
        connection_force_close(container_of(node, struct connection, in_shard),
                               "broker forced connection closure with reason 'shutdown'");
}

static bool is_done(const struct shard *s)
{
    return s->gave_up ||
           (list_empty(&s->connections) && s->orphans == 0 && s->held_settles.unanswered == 0);
}

bool shard_end_turn(struct shard *s)
{
    bool more_is_due = delivery_timers_run(s);
    bool walking;

    deliver(s);
    walking = policy_walk_go_on(s);
    report_confirms(s);
    worker_send_mail(s->worker);
    write_output(s);
    bury_connections(s);
    if (s->routes.filled != 0)
        route_cache_tidy(&s->routes);
    for (uint32_t i = 0; i < s->log_count; i++)
        durable_log_end_turn(s->logs[i]);
    if (s->worker->stopping && !s->worker->finished && is_done(s)) {
        timer_cancel(&s->worker->timers, &s->give_up);
        worker_finished(s->worker);
    }
    /* Writing may have settled publishes. */
    return more_is_due || walking || !list_empty(&s->active_queues) ||
           !list_empty(&s->dirty_channels);
}
