/* What becomes of a message that died in a queue: the headers that tell its story and the keys it
 * is routed by on its way to the dead-letter exchange (RabbitMQ "Dead Letter Exchanges").
 *
 * Pure: works on decoded headers in the caller's arena; what is added lives there too. A caller
 * takes the steps in this order: collects the message's keys, writes the headers, asks for the new
 * keys, removes the expiration property, routes, and leaves out each queue that closes a cycle. */
#ifndef LEVERET_BROKER_DEAD_LETTER_H
#define LEVERET_BROKER_DEAD_LETTER_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/table.h"
#include "broker/effects.h"
#include "broker/queue_options.h"

#include <stdbool.h>
#include <stdint.h>

/* The keys a message is routed by: the published one, then those of CC and BCC. */
struct routing_keys {
    struct bytes *items;
    uint32_t count;
};

enum routing_keys_scope {
    ROUTING_KEYS_ALL,     /* CC and BCC: what a publish is routed by */
    ROUTING_KEYS_VISIBLE, /* CC alone: what x-death tells */
};

/* The routing key followed by the strings of the header CC and, in scope, BCC. Headers of another
 * shape add nothing (a publish with them was refused). `headers` may be NULL. The array lives in
 * `a`, the keys in what they were taken from. */
struct routing_keys routing_keys_collect(struct arena *a, struct bytes routing_key,
                                         const struct table *headers,
                                         enum routing_keys_scope scope);

/* One death. Everything is borrowed and must live as long as the headers. */
struct dead_letter_event {
    enum dead_letter_reason reason;
    struct bytes queue;               /* where it died */
    struct bytes exchange;            /* through which it had come there */
    const struct bytes *routing_keys; /* by which it had come there, those of BCC left out */
    uint32_t routing_key_count;
    int64_t time_s;          /* seconds since 1970 */
    struct bytes expiration; /* the expiration property, empty when there was none */
};

/* "rejected", "expired", "maxlen" or "delivery_limit". */
struct bytes dead_letter_reason_name(enum dead_letter_reason reason);

/* Records the death in `headers`: x-death, newest first, one table for each queue and reason with
 * the count of deaths (the rest of it tells of the first one); x-first-death-reason, -queue and
 * -exchange when there is no x-death yet. An x-death of another type than an array is replaced. */
void dead_letter_headers(struct arena *a, struct table *headers,
                         const struct dead_letter_event *event);

/* The keys the dead letter is routed by: the queue's dead-letter routing key when it has one (the
 * CC header is then removed), else those it had. To be asked after dead_letter_headers, which
 * records the keys it had. */
struct routing_keys dead_letter_keys(struct arena *a, struct table *headers,
                                     const struct queue_options *options,
                                     struct routing_keys previous);

/* Whether a message that just died for `reason` (recorded in `headers` already) must not enter
 * the queue called `destination`: it died there before, and nobody rejected it since. */
bool dead_letter_is_cycle(const struct table *headers, struct bytes destination,
                          enum dead_letter_reason reason);

#endif
