/* A connection with one channel that minds nothing: when the broker dies, calls say so. For actors
 * that work until their broker is killed, each on a thread of its own. */
#ifndef LEVERET_TESTS_FAULT_LINK_H
#define LEVERET_TESTS_FAULT_LINK_H

#include <amqp.h>
#include <amqp_framing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/wire/broker_process.h"

struct link {
    amqp_connection_state_t connection;
    bool lost;
    uint8_t *body;
    size_t body_capacity;
    uint64_t published; /* since link_confirm_select() */
};

/* What came: a method, with its content when it has one. Valid until the next call on the link. */
struct link_event {
    amqp_method_number_t method;
    void *fields;
    const amqp_basic_properties_t *properties;
    const uint8_t *body;
    size_t body_size;
};

enum link_result {
    LINK_EVENT,
    LINK_NOTHING, /* in time */
    LINK_LOST,
};

/* Returns false when there is no broker. */
bool link_open(struct link *l, const struct broker *b);

/* Closes without a word. */
void link_drop(struct link *l);

/* Waits for what comes next, at most `timeout_ms`. */
enum link_result link_next(struct link *l, int timeout_ms, struct link_event *e);

/* Sends a method; false when the link is lost. */
bool link_send(struct link *l, amqp_method_number_t method, void *fields);

/* Sends a method and waits for `reply`, which must be the next to come. Returns its fields; NULL
 * when the link is lost, or channel.close came: that is answered, and the channel opened again. */
void *link_call(struct link *l, amqp_method_number_t method, void *fields,
                amqp_method_number_t reply);

/* Of the last link_call that returned NULL: the code of the channel.close or connection.close, or
 * 0. */
unsigned link_refusal(void);

bool link_confirm_select(struct link *l);

bool link_publish(struct link *l, const char *exchange, const char *key, bool mandatory,
                  const amqp_basic_properties_t *properties, const void *body, size_t size);

/* Both ends of the range that a basic.ack or basic.nack of the broker settles, given what was
 * settled before. */
uint64_t link_confirm_tag(const struct link_event *e, bool *multiple, bool *accepted);

#endif
