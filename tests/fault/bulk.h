/* Many numbered messages into a queue and out of it again, each checked. */
#ifndef LEVERET_TESTS_FAULT_BULK_H
#define LEVERET_TESTS_FAULT_BULK_H

#include "tests/fault/link.h"

struct bulk {
    const char *queue;
    uint32_t size; /* of a body, 8 at least */
    bool persistent;
};

/* What became of a publish, by number. */
enum outcome { UNANSWERED, CONFIRMED, REFUSED };

/* Publishes the messages from `first` on and waits for what becomes of each, at most a thousand
 * unanswered at a time. Fails the test when the broker goes, or does not answer. */
void bulk_publish(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count,
                  enum outcome *outcomes);

/* The same, and fails the test when one is not confirmed. */
void bulk_fill(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count);

/* Publishes single messages until one fares as wanted; returns the next number. */
uint32_t bulk_publish_until(const struct broker *b, const struct bulk *k, enum outcome wanted,
                            uint32_t number, enum outcome *outcomes);

uint32_t bulk_count_outcomes(const enum outcome *outcomes, uint32_t count, enum outcome wanted);

/* Consumes and acks `count` messages, which must be those from `first` on, one after the other. */
void bulk_drain(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count);

/* The same with basic.get. */
void bulk_get(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count);

/* Receives the `count` messages from `first` on, one after the other, and keeps them unacked. They
 * go back when the link is dropped. */
void bulk_hold(const struct broker *b, const struct bulk *k, uint32_t first, uint32_t count,
               struct link *l);

/* Rejects all that is held, and drops the link. */
void bulk_reject_held(struct link *l);

/* Consumes and rejects `count` messages, all at once when the last has come. */
void bulk_reject(const struct broker *b, const struct bulk *k, uint32_t count);

/* Consumes and acks all that is in the queue, counting by number how often each came. Fails the
 * test when one is not as it was published. */
uint32_t bulk_take_all(const struct broker *b, const struct bulk *k, uint32_t *times,
                       uint32_t numbers);

/* Ready messages, as a passive declare tells; and both ends of a queue's life. */
uint32_t bulk_count(const struct broker *b, const char *queue);
void bulk_await_count(const struct broker *b, const char *queue, uint32_t count);
void bulk_declare(const struct broker *b, const char *queue, bool durable);
/* A durable one, whose rejected messages go to queue `dead`. */
void bulk_declare_rejecting(const struct broker *b, const char *queue, const char *dead);
void bulk_purge(const struct broker *b, const char *queue);
void bulk_delete(const struct broker *b, const char *queue);

/* Bytes on disk below the broker's data directory. */
uint64_t bulk_disk_use(const struct broker *b, const char *below);
/* Waits until that is at most `bytes`. */
void bulk_await_disk_use(const struct broker *b, const char *below, uint64_t bytes);

#endif
