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
#include <stdint.h>

/* What becomes of a message that a queue's length limits leave no room for (RabbitMQ "Queue Length
 * Limit"). */
enum queue_overflow {
    OVERFLOW_DROP_HEAD,
    OVERFLOW_REJECT_PUBLISH,
    OVERFLOW_REJECT_PUBLISH_DLX, /* refused and dead-lettered */
};

struct dead_letter_address {
    struct bytes exchange;
    struct bytes routing_key; /* when there is one */
};

/* What a queue does beyond keeping messages and handing them out. */
struct queue_rules {
    int64_t message_ttl_ms; /* INT64_MAX: none */
    int64_t expires_ms;     /* INT64_MAX: never */
    uint64_t max_length;    /* ready messages; UINT64_MAX: no limit */
    uint64_t max_length_bytes;
    uint64_t delivery_limit;       /* UINT64_MAX: none */
    int64_t visibility_timeout_ms; /* of a delivery; INT64_MAX: none */
    int64_t consumer_timeout_ms;   /* of a delivery; INT64_MAX: that of the configuration */
    enum queue_overflow overflow;
    uint8_t max_priority; /* 0: messages have no priorities */
    bool single_active_consumer;
    bool counts_deliveries; /* tells consumers, in x-delivery-count */
    bool delays;            /* keeps what a delayed exchange delays */
    bool letters_confirmed; /* a dead letter is kept until every queue that it goes to has it */
};

#define QUEUE_RULES_NONE \
    { \
        .message_ttl_ms = INT64_MAX, .expires_ms = INT64_MAX, .max_length = UINT64_MAX, \
        .max_length_bytes = UINT64_MAX, .delivery_limit = UINT64_MAX, \
        .visibility_timeout_ms = INT64_MAX, .consumer_timeout_ms = INT64_MAX, \
    }

/* Owned by whoever holds the struct; strings and table live in `arena`. */
struct queue_options {
    struct arena arena;
    struct table arguments; /* as declared, for comparison and for whoever lists queues */
    bool durable;
    bool exclusive;
    bool auto_delete;
    bool has_dead_letter_exchange; /* "" (the default exchange) counts */
    bool has_dead_letter_routing_key;
    const struct dead_letter_address *dead_letters; /* where to, when there is an exchange */
    const struct queue_rules *rules;                /* NULL: none, as of most queues */
};

/* Fills `o` from a declare, copying `arguments`. `queue` and `vhost` are for the texts. Returns 0,
 * or -EPROTO with `r` filled (406 `invalid arg 'x-…' for queue 'q' in vhost '/': …`) and nothing
 * to free. Unknown x- arguments are kept and neither refused nor compared. */
int queue_options_parse(struct queue_options *o, bool durable, bool exclusive, bool auto_delete,
                        const struct table *arguments, struct bytes queue, struct bytes vhost,
                        struct refusal *r);

/* The options of the queue in which the messages of a delayed exchange wait: what expires there is
 * to be routed on. */
void queue_options_for_delays(struct queue_options *o, bool durable);

void queue_options_free(struct queue_options *o);

/* Fills what the arguments of `o`, which are checked, say of dead letters and rules. */
void queue_options_read(struct queue_options *o);

/* Whether a queue may be declared with this value of a known argument, if nothing else is wrong. */
bool queue_argument_is_valid(const char *name, const struct value *v);

/* Whether x-queue-type says quorum; the arguments need not be checked. */
bool queue_options_is_quorum(const struct queue_options *o);

static inline bool queue_options_counts_deliveries(const struct queue_options *o)
{
    return o->rules != NULL && o->rules->counts_deliveries;
}

/* Whether it is the queue of a delayed exchange. */
static inline bool queue_options_delays(const struct queue_options *o)
{
    return o->rules != NULL && o->rules->delays;
}

/* Whether a redeclare asks for what there is; the arguments of `received`, which is all that counts
 * of it beside durable and auto_delete, need not be checked. Returns 0, or -EPROTO with `r` filled
 * with RabbitMQ's 406 `inequivalent arg '…' for queue 'q' in vhost '/': received … but current is
 * …`.
 * (`exclusive` is compared by the caller, who knows the owner: it is a 405.) */
int queue_options_equivalent(const struct queue_options *current,
                             const struct queue_options *received, struct bytes queue,
                             struct bytes vhost, struct refusal *r);

#endif
