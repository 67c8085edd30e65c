#include "session/alarms.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/system_memory.h"
#include "session/broker.h"
#include "session/connection.h"
#include "session/shard.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>

#define ALARMS_TICK_MS 1000

static const char *reason(unsigned active)
{
    switch (active) {
    case ALARM_MEMORY:
        return "low on memory";
    case ALARM_DISK:
        return "low on disk";
    default:
        return "low on memory & disk";
    }
}

/* ---- Publishers ---- */

void alarms_block(struct connection *c)
{
    const struct alarms *a = &c->shard->broker->alarms;
    const struct amqp_method blocked = {
        .id = AMQP_CONNECTION_BLOCKED,
        .connection_blocked.reason = bytes_from_string(reason(atomic_load(&a->active))),
    };

    if ((c->read_paused & READ_PAUSED_BY_ALARM) != 0)
        return;
    connection_pause_reading(c, READ_PAUSED_BY_ALARM);
    if ((c->client_capabilities & CLIENT_CONNECTION_BLOCKED) != 0)
        connection_send(c, 0, &blocked);
}

static void unblock(struct connection *c)
{
    if ((c->read_paused & READ_PAUSED_BY_ALARM) == 0)
        return;
    connection_resume_reading(c, READ_PAUSED_BY_ALARM);
    if ((c->client_capabilities & CLIENT_CONNECTION_BLOCKED) != 0)
        connection_send(c, 0, &(struct amqp_method){.id = AMQP_CONNECTION_UNBLOCKED});
}

static void handle_change(struct worker *w, struct mail_record *r)
{
    struct shard *s = shard_of(w);
    bool active = alarms_active(&s->broker->alarms);

    (void)r;
    list_for_each(&s->connections, node) {
        struct connection *c = container_of(node, struct connection, in_shard);

        if (c->state != CONNECTION_OPEN)
            continue;
        if (!active)
            unblock(c);
        else if (c->publishes)
            alarms_block(c);
    }
}

/* ---- Watching ---- */

static void look_at_memory(const struct alarms *a, unsigned *active)
{
    if (a->memory_watermark_bytes == 0)
        return;
    *active &= ~(unsigned)ALARM_MEMORY;
    if (system_memory_exceeds(a->memory_watermark_bytes))
        *active |= ALARM_MEMORY;
}

static void look_at_disk(struct alarms *a, unsigned *active)
{
    struct statvfs fs;

    if (a->disk_free_limit_bytes == 0)
        return;
    if (statvfs(a->directory, &fs) < 0) {
        if (a->disk_errno != errno)
            log_error("alarm", "%s: cannot be looked at: %s; publishers are held back",
                      a->directory, strerror(errno));
        a->disk_errno = errno;
        *active |= ALARM_DISK;
        return;
    }
    a->disk_errno = 0;
    *active &= ~(unsigned)ALARM_DISK;
    if ((uint64_t)fs.f_bavail * fs.f_frsize < a->disk_free_limit_bytes)
        *active |= ALARM_DISK;
}

static void log_change(const struct alarms *a, unsigned before, unsigned now)
{
    if ((now & ~before & ALARM_MEMORY) != 0)
        log_warning("alarm",
                    "memory is above %" PRIu64
                    " bytes (memory.high_watermark): publishers are held back",
                    a->memory_watermark_bytes);
    if ((now & ~before & ALARM_DISK) != 0)
        log_warning("alarm",
                    "less than %" PRIu64
                    " bytes are free on the disk of %s (disk.free_limit): publishers are held back",
                    a->disk_free_limit_bytes, a->directory);
    if ((before & ~now & ALARM_MEMORY) != 0)
        log_info("alarm", "memory is below its watermark again");
    if ((before & ~now & ALARM_DISK) != 0)
        log_info("alarm", "the disk has enough space again");
}

static void on_tick(struct timer *t)
{
    struct alarms *a = container_of(t, struct alarms, tick);
    struct server *server = a->broker->server;
    unsigned before = atomic_load(&a->active);
    unsigned now = before;

    if (system_memory_rests(&a->rest, clock_monotonic_ns(), clock_process_ns()))
        system_memory_give_back();
    look_at_memory(a, &now);
    look_at_disk(a, &now);
    if (now != before) {
        log_change(a, before, now);
        atomic_store(&a->active, now);
        for (uint32_t i = 0; i < server->worker_count; i++)
            worker_post(&server->workers[i], handle_change, NULL, 0);
    }
    timer_set(&server->workers[0].timers, t, server->workers[0].now_ms + ALARMS_TICK_MS);
}

static uint64_t memory_watermark(const struct config_memory *m)
{
    if (m->high_watermark_bytes != 0)
        return m->high_watermark_bytes;
    return system_memory_limit() / 100 * m->high_watermark_percent;
}

void alarms_init(struct alarms *a, struct broker *b, const char *directory)
{
    const struct config *c = b->server->config;

    a->broker = b;
    atomic_init(&a->active, 0);
    a->memory_watermark_bytes = memory_watermark(&c->memory);
    a->disk_free_limit_bytes = c->disk.free_limit_bytes;
    a->directory = directory;
    a->disk_errno = 0;
    timer_init(&a->tick, on_tick);
}

void alarms_start(struct alarms *a)
{
    on_tick(&a->tick);
}
