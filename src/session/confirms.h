/* The publisher confirms of a channel: which publishes are numbered, which of them every queue has
 * taken, and what to tell the client (RabbitMQ "Consumer Acknowledgements and Publisher
 * Confirms"). Costs nothing while each publish is settled at once. One thread: the channel's
 * worker. */
#ifndef LEVERET_SESSION_CONFIRMS_H
#define LEVERET_SESSION_CONFIRMS_H

#include <stdbool.h>
#include <stdint.h>

struct confirm_slot;

struct confirms {
    struct confirm_slot *ring; /* the publishes from `first` to `last` */
    uint32_t capacity;
    uint64_t first;   /* the lowest number that was not told to the client */
    uint64_t last;    /* the highest number given */
    uint32_t waiting; /* numbers in the ring that are not settled */
    uint64_t *early;  /* numbers settled while a lower one was not, since the last report */
    uint32_t early_count;
    uint32_t early_capacity;
};

void confirms_init(struct confirms *c);
void confirms_free(struct confirms *c);

/* Numbers the next publish, which waits for `pending` queues (0: settled at once, accepted or,
 * with `refused`, refused). */
uint64_t confirms_add(struct confirms *c, uint32_t pending, bool refused);

/* One of the queues that `number` waited for has taken or refused it. */
void confirms_settle(struct confirms *c, uint64_t number, bool accepted);

/* Whether confirms_report() has something to say. */
bool confirms_reportable(const struct confirms *c);

/* Whether a publish is not settled yet. */
static inline bool confirms_waiting(const struct confirms *c)
{
    return c->waiting != 0;
}

/* Says what the client is to be told and forgets it: runs as one with `multiple`, refused ones
 * singly. */
void confirms_report(struct confirms *c,
                     void (*tell)(void *context, uint64_t number, bool multiple, bool accepted),
                     void *context);

#endif
