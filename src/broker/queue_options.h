/* The arguments of a queue: which there are, what type and range each has, and their values for
 * one queue. One table, walked by the check at declare, by the comparison at a redeclare and by
 * the documentation's test (RabbitMQ "Queues", "Optional Arguments"). Pure; any thread. */
#ifndef LEVERET_BROKER_QUEUE_OPTIONS_H
#define LEVERET_BROKER_QUEUE_OPTIONS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/table.h"
#include "broker/refusal.h"

#include <stdbool.h>

/* Owned by whoever holds the struct; strings and table live in `arena`. */
struct queue_options {
    struct arena arena;
    struct table arguments; /* as declared, for comparison and for whoever lists queues */
    bool durable;
    bool exclusive;
    bool auto_delete;
    bool has_dead_letter_exchange; /* "" (the default exchange) counts */
    bool has_dead_letter_routing_key;
    struct bytes dead_letter_exchange;
    struct bytes dead_letter_routing_key;
};

/* Fills `o` from a declare, copying `arguments`. `queue` and `vhost` are for the texts. Returns 0,
 * or -EPROTO with `r` filled (406 `invalid arg 'x-…' for queue 'q' in vhost '/': …`) and nothing
 * to free. Unknown x- arguments are kept and neither refused nor compared. */
int queue_options_parse(struct queue_options *o, bool durable, bool exclusive, bool auto_delete,
                        const struct table *arguments, struct bytes queue, struct bytes vhost,
                        struct refusal *r);

void queue_options_free(struct queue_options *o);

/* Whether a redeclare asks for what there is. Returns 0, or -EPROTO with `r` filled with
 * RabbitMQ's 406 `inequivalent arg '…' for queue 'q' in vhost '/': received … but current is …`.
 * (`exclusive` is compared by the caller, who knows the owner: it is a 405.) */
int queue_options_equivalent(const struct queue_options *current,
                             const struct queue_options *received, struct bytes queue,
                             struct bytes vhost, struct refusal *r);

#endif
