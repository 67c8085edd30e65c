/* The uncommitted publishes and settlements of a transactional channel (AMQP 0-9-1 class tx). */
#ifndef LEVERET_SESSION_TRANSACTION_H
#define LEVERET_SESSION_TRANSACTION_H

#include "broker/message.h"
#include "broker/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;

struct transaction_publish {
    struct message *message; /* a reference */
    bool mandatory;
};

struct transaction_settlement {
    uint64_t tag;
    enum settle_outcome outcome;
};

struct transaction {
    struct transaction_publish *publishes;
    uint32_t publish_count;
    uint32_t publish_capacity;
    struct transaction_settlement *settlements;
    uint32_t settlement_count;
    uint32_t settlement_capacity;
    bool committing; /* commit-ok goes when every publish is settled */
    bool refused;    /* a queue did not take one of the commit's publishes */
};

struct transaction *transaction_create(void);
void transaction_free(struct transaction *t);

/* Takes over the reference. */
void transaction_add_publish(struct transaction *t, struct message *msg, bool mandatory);
void transaction_add_settlement(struct transaction *t, uint64_t tag, enum settle_outcome outcome);

/* The publishes of a commit are all settled, or one was refused: answers it. */
void transaction_finish_commit(struct channel *ch);

#endif
