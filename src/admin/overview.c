/* The broker as a whole. */
#include "admin/api.h"
#include "admin/json_value.h"
#include "base/clock.h"
#include "base/system_memory.h"
#include "net/listener.h"
#include "server/reload.h"
#include "session/broker.h"

#include <errno.h>
#include <jansson.h>
#include <sys/statvfs.h>
#include <unistd.h>

static json_t *listeners(const struct server *s)
{
    json_t *all = json_array();

    for (uint32_t i = 0; i < s->workers[0].listener_count; i++) {
        char text[SOCKET_ADDRESS_TEXT_SIZE];

        socket_address_format(&s->workers[0].listeners[i].listener.address, text);
        json_array_append_new(all, json_string(text));
    }
    return all;
}

static json_t *alarms(const struct alarms *a)
{
    unsigned active = atomic_load(&a->active);
    json_t *all = json_array();

    if ((active & ALARM_MEMORY) != 0)
        json_array_append_new(all, json_string("memory"));
    if ((active & ALARM_DISK) != 0)
        json_array_append_new(all, json_string("disk"));
    return all;
}

static json_t *disk_free(const char *directory)
{
    struct statvfs v;

    if (statvfs(directory, &v) < 0)
        return json_null();
    return json_from_count(v.f_bavail * v.f_frsize);
}

void api_overview(const struct api_request *r, struct api_answer *answer)
{
    const struct broker *b = r->broker;
    struct server *s = b->server;
    json_t *o = json_object();

    json_object_set_new(o, "product_name", json_string(s->config->server.product));
    json_object_set_new(o, "product_version", json_string(s->version));
    json_object_set_new(o, "os_pid", json_integer(getpid()));
    json_object_set_new(o, "uptime_s", json_integer((clock_monotonic_ms() - r->started_ms) / 1000));
    json_object_set_new(o, "data_directory", json_from_bytes(bytes_from_string(b->data.path)));
    json_object_set_new(o, "config_file", json_from_bytes(bytes_from_string(s->config->file)));
    json_object_set_new(o, "listeners", listeners(s));
    json_object_set_new(o, "workers", json_integer(s->worker_count));
    json_object_set_new(o, "connections", json_integer(atomic_load(&s->connection_count)));
    json_object_set_new(o, "connections_max", json_integer(s->max_connections));
    json_object_set_new(o, "handshakes", json_integer(atomic_load(&s->handshake_count)));
    json_object_set_new(o, "handshakes_max", json_integer(s->max_handshakes));
    json_object_set_new(o, "queues", json_integer(atomic_load(&s->queue_count)));
    json_object_set_new(o, "exchanges", json_integer(atomic_load(&s->vhosts.totals.exchanges)));
    json_object_set_new(o, "bindings", json_integer(atomic_load(&s->vhosts.totals.bindings)));
    json_object_set_new(o, "alarms", alarms(&b->alarms));
    json_object_set_new(o, "mem_used", json_from_count(system_memory_resident()));
    json_object_set_new(o, "mem_limit", json_from_count(b->alarms.memory_watermark_bytes));
    json_object_set_new(o, "disk_free", disk_free(b->data.path));
    json_object_set_new(o, "disk_free_limit", json_from_count(b->alarms.disk_free_limit_bytes));
    api_answer_json(answer, o);
}

/* The main thread reads the configuration, as for the signal from outside. */
void api_reload(const struct api_request *r, struct api_answer *answer)
{
    char *problems;
    int rc = reload_ask(&problems);

    (void)r;
    if (rc == -EINVAL && problems != NULL)
        api_answer_change(answer, rc, problems);
    else
        api_answer_change(answer, rc, "the broker closes");
    free(problems);
}
