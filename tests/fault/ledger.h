/* What a broker has been given and what it has promised, over all its lives: a book against which
 * its queues are held after each restart. Any thread; queues are numbers here, and sets of queues
 * bits. */
#ifndef LEVERET_TESTS_FAULT_LEDGER_H
#define LEVERET_TESTS_FAULT_LEDGER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/fault/link.h"

enum {
    LEDGER_QUEUES = 32,
    LEDGER_MAX_BODY = 20 * 1024,
    LEDGER_ID_SIZE = 24,
};

struct ledger_message {
    uint32_t published;   /* where it was published to */
    uint32_t targets;     /* where it may be: there, and where dead letters go */
    uint32_t promised;    /* confirmed, or seen after a restart: it is there until it is settled */
    uint32_t settle_sent; /* may be gone */
    uint32_t gone;        /* the broker surely had the settle, or it was seen not to be there */
    uint32_t delivered;   /* came to a client */
    uint32_t marked;      /* the broker surely had that it was delivered */
    uint32_t rejected_at; /* where it was rejected: it is there still, or */
    uint32_t owed_at;     /* where dead letters go from there */
    uint32_t rejects;
    uint16_t publisher;
    uint16_t life; /* in which it was published */
    bool persistent;
    bool confirmed;
};

struct ledger {
    pthread_mutex_t lock;
    struct ledger_message *messages;
    uint32_t count;
    uint32_t capacity;
    const char *queue_names[LEDGER_QUEUES];
    uint32_t
        unseen_allowed[LEDGER_QUEUES]; /* deliveries that a killed broker may have had under way */
    uint16_t life;
    int violations;
    char context[64]; /* of violations: seed and round */
};

void ledger_init(struct ledger *l);
void ledger_free(struct ledger *l);

/* The broker ended: what was transient is gone. */
void ledger_next_life(struct ledger *l);

/* Says on standard error what a broker did that it must not. */
void ledger_violation(struct ledger *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A new message for the queues in `targets`. Returns its number; numbers of one publisher rise. */
uint32_t ledger_add(struct ledger *l, uint16_t publisher, uint32_t targets, bool persistent);
void ledger_confirm(struct ledger *l, uint32_t id);
void ledger_confirm_at(struct ledger *l, uint32_t id, int queue);

/* What a message is made of follows from its number. */
size_t ledger_body(uint32_t id, uint8_t body[LEDGER_MAX_BODY]);
void ledger_publish_properties(const struct ledger_message *m, uint32_t id,
                               char text[LEDGER_ID_SIZE], amqp_basic_properties_t *out);

/* A message came from a queue: it is one that may come, and as it was. Returns its number, or
 * UINT32_MAX when it is none. */
uint32_t ledger_delivered(struct ledger *l, int queue, const struct link_event *e,
                          bool redelivered);

/* The settle was sent / the broker surely has it. */
void ledger_settle_sent(struct ledger *l, uint32_t id, int queue);
void ledger_settled(struct ledger *l, uint32_t id, int queue);
/* The message was rejected and `dead` is where its queue's dead letters go: it is in one of the two
 * from now on, perhaps in both. */
void ledger_reject_sent(struct ledger *l, uint32_t id, int queue, int dead);
/* The broker surely has that the message was delivered. */
void ledger_mark(struct ledger *l, uint32_t id, int queue);

/* A queue's whole content right after a restart, told one by one between begin and end. */
struct ledger_inspection {
    int queue;
    bool ordered; /* whether publishers' order is kept in it */
    uint32_t seen_count;
    uint32_t *seen;
    uint32_t seen_capacity;
    uint32_t flagged_unseen; /* redelivered, though it never came */
    int64_t last_of[64];     /* by publisher */
};

void ledger_inspect_begin(struct ledger_inspection *i, int queue, bool ordered);
/* Returns the message's number, or UINT32_MAX when it is none. */
uint32_t ledger_inspect(struct ledger *l, struct ledger_inspection *i, const struct link_event *e,
                        bool redelivered);
void ledger_inspect_end(struct ledger *l, struct ledger_inspection *i);

#endif
