/* Questions to workers from a thread that is none: what a worker owns is read and changed on the
 * worker, and the asking thread waits. A question is one piece of mail among the worker's others,
 * so it must be short: whoever wants much asks again and again. */
#ifndef LEVERET_ADMIN_ASK_H
#define LEVERET_ADMIN_ASK_H

#include <pthread.h>
#include <stdint.h>

struct broker;
struct shard;

struct asker {
    struct broker *broker;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    uint32_t pending; /* under `lock` */
};

/* Prepares an asker for one thread that is not a worker. The workers run as long as it asks. */
void asker_init(struct asker *a, struct broker *b);
void asker_release(struct asker *a);

/* Has `act` called on the worker, which `context` must outlive; returns at once. */
void ask(struct asker *a, uint32_t worker, void (*act)(struct shard *s, void *context),
         void *context);

/* Returns when all that was asked has been done. */
void asker_wait(struct asker *a);

/* Both. */
void ask_and_wait(struct asker *a, uint32_t worker, void (*act)(struct shard *s, void *context),
                  void *context);

#endif
