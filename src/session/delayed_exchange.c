#include "session/delayed_exchange.h"

#include "amqp/properties.h"
#include "amqp/table.h"
#include "broker/delay.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/definition_changes.h"
#include "session/queue_home.h"
#include "session/shard.h"
#include "session/undefined_queue.h"

struct making {
    struct shard *shard;
    struct queue_handle *made; /* borrowed, or NULL */
};

static struct queue_handle *make(void *context, struct bytes exchange, bool durable)
{
    struct making *m = context;
    struct shard *s = m->shard;
    struct queue_options options;
    struct queue_handle *queue;

    queue_options_for_delays(&options, durable);
    queue = queue_home_create_hidden(s, exchange, &options);
    if (queue == NULL)
        queue_options_free(&options);
    m->made = queue;
    return queue;
}

int delayed_exchange_declare(struct shard *s, struct topology *t, struct exchange_declaration *d,
                             struct refusal *r)
{
    struct making making = {.shard = s};
    const struct delays_maker maker = {.make = make, .context = &making};
    int rc;

    d->delays = &maker;
    rc = topology_declare_exchange(t, d, r);
    d->delays = NULL;
    if (rc == 0 && making.made != NULL && making.made->durable != NULL)
        undefined_queue_begin(making.made->durable);
    return rc;
}

void delayed_exchange_restore(struct shard *s, struct vhost *vhost, struct exchange *e,
                              struct durable_log *log, uint64_t id,
                              const struct recovered *recovered)
{
    struct queue_options options;

    queue_options_for_delays(&options, true);
    topology_set_delays(
        vhost->topology, e,
        queue_home_restore_hidden(s, exchange_name(e), &options, log, id, recovered));
}

static void handle_removed(struct worker *w, struct mail_record *r)
{
    struct queue_handle *queue = *(struct queue_handle **)(void *)(r + 1);

    queue_home_delete_hidden(shard_of(w), queue);
    queue_handle_unref(queue);
}

void delayed_exchange_removed(struct vhost *vhost, const struct exchange *e)
{
    const struct definition_recorder *recorder = vhost->state;
    struct queue_handle *queue = exchange_delays(e);

    if (queue == NULL)
        return;
    queue_handle_ref(queue);
    worker_post(&recorder->broker->server->workers[queue->home_worker], handle_removed, &queue,
                sizeof(queue));
}

int64_t delayed_message_ms(const struct message *msg)
{
    struct amqp_properties p;
    struct value delay;

    if (!amqp_properties_view(message_properties(msg), &p) ||
        !amqp_properties_has(&p, AMQP_PROPERTY_HEADERS) ||
        !amqp_table_find(p.headers.encoded, DELAY_HEADER, &delay))
        return 0;
    return delay_of(&delay);
}
