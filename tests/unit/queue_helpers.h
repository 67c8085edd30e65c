/* A queue with its worker and a store that forgets nothing: message number n, with a body of its
 * own, is published n-th and is kept at location {1, n}. */
#ifndef LEVERET_TESTS_QUEUE_HELPERS_H
#define LEVERET_TESTS_QUEUE_HELPERS_H

#include "broker/queue.h"

struct queue_fixture {
    struct queue_options options;
    struct list active;
    struct effects effects;
    struct queue *queue;
    uint32_t next_effect; /* the first one that no expectation has seen */
    uint32_t body_size;   /* of what is published */
    uint64_t released;    /* locations */
    bool paging_fails;
    uint32_t pages;   /* the page function's answers */
    uint64_t safe_to; /* what is safe for page_out_unacked() */
};

void queue_start(struct queue_fixture *f);

/* Releases consumers and queue; every reference must be gone with them. */
void queue_finish(struct queue_fixture *f);

struct store_location stored_at(uint64_t number);

/* A message whose body begins with its number. */
struct message *numbered_message(const struct queue_fixture *f, uint64_t number);

/* Publishes the next `count` messages, with a location or without. */
void publish_stored(struct queue_fixture *f, uint32_t count);
void publish_plain(struct queue_fixture *f, uint32_t count);

/* Recovers message `number`, which is in the store alone. */
void restore_stored(struct queue_fixture *f, uint64_t number, uint32_t delivery_count);

struct consumer *consume_all(struct queue_fixture *f);
bool deliver_some(struct queue_fixture *f, uint32_t budget);

/* Pages out all that is durable behind the first `keep_first`. Returns the bytes given back. */
uint64_t page_out(struct queue_fixture *f, uint64_t keep_first);

/* Pages out what is unacked and has a number up to `safe_to`, but for `keep_bytes`. Returns the
 * bytes given back. */
uint64_t page_out_unacked(struct queue_fixture *f, uint64_t keep_bytes, uint64_t safe_to);

/* Answers EFFECT_FETCH with up to `max` messages. Returns how many there were. */
uint32_t fetch(struct queue_fixture *f, uint32_t max);

/* For queue_purge() and others; the context is the fixture. */
void count_release(void *context, struct store_location location);

void expect_effect(struct queue_fixture *f, enum effect_type type, uint64_t number);
void expect_delivered(struct queue_fixture *f, uint64_t number, uint32_t delivery_count);
void expect_no_effect(const struct queue_fixture *f);

/* Drops what the effects own and starts a new batch. */
void forget_effects(struct queue_fixture *f);

#endif
