#include "session/definition_changes.h"

#include "base/log.h"
#include "base/memory.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/channel.h"
#include "session/delayed_exchange.h"
#include "session/durable_log.h"
#include "session/shard.h"

#include <stdlib.h>
#include <string.h>

/* ---- Recording ---- */

/* Who waits for a change waits with a barrier behind it; failures are in the definitions' log. */
static const struct definitions_done NOBODY_WAITS = {.call = NULL};

static void count_change(struct definition_recorder *r)
{
    atomic_fetch_add_explicit(&r->changes, 1, memory_order_relaxed);
}

static void on_exchange_added(void *context, const struct exchange *e)
{
    struct definition_recorder *r = context;
    struct exchange_definition definition = {
        .vhost = r->vhost->name,
        .name = exchange_name(e),
        .type = exchange_type(e),
        .auto_delete = exchange_auto_delete(e),
        .internal = exchange_internal(e),
        .arguments = exchange_arguments(e),
    };

    if (!exchange_durable(e))
        return;
    if (exchange_delays(e) != NULL && exchange_delays(e)->durable != NULL) {
        const struct durable_queue *d = exchange_delays(e)->durable;

        definition.delays_id = d->id;
        definition.delays_shard = d->log->number;
    }
    definitions_add_exchange(r->definitions, &definition, NOBODY_WAITS);
    uncommitted_note_exchange(&r->uncommitted, definition.name);
    count_change(r);
}

static void on_exchange_removed(void *context, const struct exchange *e)
{
    struct definition_recorder *r = context;

    delayed_exchange_removed(r->vhost, e);
    if (!exchange_durable(e))
        return;
    definitions_remove_exchange(r->definitions, r->vhost->name, exchange_name(e), NOBODY_WAITS);
    uncommitted_note_exchange(&r->uncommitted, exchange_name(e));
    count_change(r);
}

static void on_queue_added(void *context, const struct queue_handle *h)
{
    struct definition_recorder *r = context;
    const struct durable_queue *d = h->durable;
    struct queue_definition definition = {
        .vhost = r->vhost->name,
        .name = h->name,
        .auto_delete = h->options.auto_delete,
        .arguments = &h->options.arguments,
    };

    if (d == NULL)
        return;
    definition.id = d->id;
    definition.shard = d->log->number;
    definitions_add_queue(r->definitions, &definition, NOBODY_WAITS);
    count_change(r);
}

static void on_queue_removed(void *context, const struct queue_handle *h)
{
    struct definition_recorder *r = context;

    if (h->durable == NULL)
        return;
    definitions_remove_queue(r->definitions, r->vhost->name, h->name, NOBODY_WAITS);
    uncommitted_note_queue(&r->uncommitted, h->name);
    count_change(r);
}

static struct binding_definition binding_of(const struct definition_recorder *r,
                                            const struct binding_declaration *b)
{
    return (struct binding_definition){
        .vhost = r->vhost->name,
        .source = b->source,
        .destination = b->destination,
        .to_exchange = b->to_exchange,
        .routing_key = b->routing_key,
        .arguments = b->arguments,
    };
}

static void on_binding_added(void *context, const struct binding_declaration *b, bool durable)
{
    struct definition_recorder *r = context;
    const struct binding_definition definition = binding_of(r, b);

    if (!durable)
        return;
    definitions_add_binding(r->definitions, &definition, NOBODY_WAITS);
    uncommitted_note_binding(&r->uncommitted, b);
    count_change(r);
}

static void on_binding_removed(void *context, const struct binding_declaration *b, bool durable)
{
    struct definition_recorder *r = context;
    const struct binding_definition definition = binding_of(r, b);

    if (!durable)
        return;
    definitions_remove_binding(r->definitions, &definition, NOBODY_WAITS);
    uncommitted_note_binding(&r->uncommitted, b);
    count_change(r);
}

void definition_recorder_start(struct definition_recorder *r, struct vhost *vhost,
                               struct broker *broker)
{
    *r = (struct definition_recorder){
        .observer =
            {
                .context = r,
                .exchange_added = on_exchange_added,
                .exchange_removed = on_exchange_removed,
                .queue_added = on_queue_added,
                .queue_removed = on_queue_removed,
                .binding_added = on_binding_added,
                .binding_removed = on_binding_removed,
            },
        .broker = broker,
        .definitions = broker->definitions,
        .vhost = vhost,
    };
    atomic_init(&r->changes, 0);
    uncommitted_init(&r->uncommitted, broker->definitions);
    vhost->state = r;
    topology_observe(vhost->topology, &r->observer);
}

void definition_recorder_free(struct definition_recorder *r)
{
    if (r == NULL)
        return;
    uncommitted_free(&r->uncommitted);
    free(r);
}

uint64_t definition_changes_of(const struct vhost *vhost)
{
    const struct definition_recorder *r = vhost->state;

    return r == NULL ? 0 : atomic_load_explicit(&r->changes, memory_order_relaxed);
}

bool definition_uncommitted_exchange(const struct vhost *vhost, struct bytes name)
{
    const struct definition_recorder *r = vhost->state;

    return r != NULL && uncommitted_has_exchange(&r->uncommitted, name);
}

bool definition_uncommitted_queue(const struct vhost *vhost, struct bytes name)
{
    const struct definition_recorder *r = vhost->state;

    return r != NULL && uncommitted_has_queue(&r->uncommitted, name);
}

bool definition_uncommitted_binding(const struct vhost *vhost, const struct binding_declaration *b)
{
    const struct definition_recorder *r = vhost->state;

    return r != NULL && uncommitted_has_binding(&r->uncommitted, b);
}

/* ---- Waiting ---- */

/* An answer that goes when the definitions are committed. */
struct pending_answer {
    struct channel *channel; /* held */
    struct shard *shard;
    struct buffer frame;
    int result;
};

static void handle_committed(struct worker *w, struct mail_record *r)
{
    struct pending_answer *p = *(struct pending_answer **)(void *)(r + 1);
    struct channel *ch = p->channel;

    (void)w;
    if (ch->state == CHANNEL_OPEN) {
        ch->waiting = false;
        ch->connection->method = ch->waiting_method;
        if (p->result == 0)
            connection_send_frame(ch->connection, buffer_bytes(&p->frame));
        else
            channel_refuse(ch, AMQP_INTERNAL_ERROR, "the definitions could not be written: %s",
                           strerror(-p->result));
        channel_go_on(ch);
    }
    channel_drop(ch);
    buffer_free(&p->frame);
    free(p);
}

/* On the definitions' thread. */
static void on_committed(void *context, int result)
{
    struct pending_answer *p = context;

    p->result = result;
    worker_post(p->shard->worker, handle_committed, &p, sizeof(p));
}

void channel_answer_committed(struct channel *ch, const struct amqp_method *ok, bool changed,
                              bool no_wait)
{
    struct pending_answer *p;

    if (no_wait)
        return;
    if (!changed) {
        channel_send(ch, ok);
        return;
    }
    p = memory_alloc_zeroed(1, sizeof(*p));
    p->channel = ch;
    p->shard = ch->shard;
    buffer_init(&p->frame);
    amqp_method_frame_encode(ch->number, ok, &p->frame);
    channel_wait(ch);
    channel_hold(ch);
    definitions_barrier(ch->shard->broker->definitions,
                        (struct definitions_done){.call = on_committed, .context = p});
}
