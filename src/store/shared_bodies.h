/* How many queues hold each message of a segment that several of them share, by the message's
 * place. For what is held once nothing needs to be here: a segment without shared messages has an
 * empty table, which takes no memory. Else 8 to 16 bytes a message. One thread. */
#ifndef LEVERET_STORE_SHARED_BODIES_H
#define LEVERET_STORE_SHARED_BODIES_H

#include <stdbool.h>
#include <stdint.h>

struct shared_body {
    uint32_t offset; /* 0: free */
    uint32_t holders;
};

struct shared_bodies {
    struct shared_body *slots;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t count;
};

void shared_bodies_free(struct shared_bodies *b);

/* One more queue holds the message at `offset` (not 0); one that is not in the table was held by
 * `before` until now. Returns how many hold it now. */
uint32_t shared_bodies_add(struct shared_bodies *b, uint32_t offset, uint32_t before);

/* One queue less holds it. Returns how many are left: 0 for one that is not in the table. */
uint32_t shared_bodies_remove(struct shared_bodies *b, uint32_t offset);

#endif
