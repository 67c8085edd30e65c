#include "session/lost_messages.h"

#include "base/log.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/paging.h"
#include "session/shard.h"
#include "store/segment.h"

#include <inttypes.h>

static void tell_of_left_out(struct timer *t)
{
    struct lost_messages *l = container_of(t, struct lost_messages, tell);

    log_error("paging",
              "%u more messages are damaged on disk and are lost, %" PRIu64
              " since the start; a worker lists %d a second",
              log_quota_tell(&l->quota), l->count, LOG_QUOTA_LINES);
}

void lost_messages_init(struct lost_messages *l)
{
    *l = (struct lost_messages){.count = 0};
    timer_init(&l->tell, tell_of_left_out);
}

void lost_messages_report(struct shard *s, const struct queue_handle *queue, uint64_t sequence,
                          struct store_location location)
{
    struct lost_messages *l = &s->paging.lost;
    const struct vhost *vhost = queue->vhost;

    l->count++;
    if (!log_quota_take(&l->quota, shard_now_ms(s))) {
        if (!timer_is_set(&l->tell))
            timer_set(&s->worker->timers, &l->tell, l->quota.end_ms);
        return;
    }
    log_error("paging",
              "message %" PRIu64 " of queue '%.*s' in vhost '%.*s' is damaged on disk (segment "
              "%08" PRIx32 ", offset %" PRIu32 ") and is lost",
              sequence, BYTES_ARGS(queue->name), BYTES_ARGS(vhost->name), paging_segment(location),
              location_offset(location));
}
