/* Running out of memory or disk: publishers, and only they, are not read from while it lasts, and
 * are told so with connection.blocked (RabbitMQ "Memory and Disk Alarms"). Consumers go on
 * draining.
 *
 * The first worker looks at memory and disk once a second, and gives memory back when the process
 * has next to nothing to do; every worker holds its own publishers back. */
#ifndef LEVERET_SESSION_ALARMS_H
#define LEVERET_SESSION_ALARMS_H

#include "base/system_memory.h"
#include "net/timer_wheel.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct broker;
struct connection;

enum alarm {
    ALARM_MEMORY = 1 << 0,
    ALARM_DISK = 1 << 1,
};

struct alarms {
    struct broker *broker;
    atomic_uint active;              /* of enum alarm */
    uint64_t memory_watermark_bytes; /* 0: no alarm */
    uint64_t disk_free_limit_bytes;  /* 0: no alarm */
    const char *directory;           /* whose file system is looked at */
    int disk_errno;                  /* why that cannot be looked at, or 0 */
    struct system_memory_rest rest;
    struct timer tick; /* the first worker's */
};

/* Before the workers run. `directory` is borrowed. */
void alarms_init(struct alarms *a, struct broker *b, const char *directory);

/* On the first worker, when it starts. */
void alarms_start(struct alarms *a);

/* Whether a publisher has to be held back now. */
static inline bool alarms_active(const struct alarms *a)
{
    return atomic_load_explicit(&a->active, memory_order_relaxed) != 0;
}

/* The connection has published while an alarm is on: it is not read from any more, and told. */
void alarms_block(struct connection *c);

#endif
