#include "admin/commit.h"

#include "session/broker.h"
#include "store/definitions.h"

#include <pthread.h>
#include <stdbool.h>

struct commit {
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool done;
    int result;
};

static void on_committed(void *context, int result)
{
    struct commit *c = context;

    pthread_mutex_lock(&c->lock);
    c->result = result;
    c->done = true;
    pthread_cond_signal(&c->finished);
    pthread_mutex_unlock(&c->lock);
}

int commit_wait(struct broker *b)
{
    struct commit c = {.lock = PTHREAD_MUTEX_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER};

    if (b->definitions == NULL)
        return 0;
    definitions_barrier(b->definitions,
                        (struct definitions_done){.call = on_committed, .context = &c});
    pthread_mutex_lock(&c.lock);
    while (!c.done)
        pthread_cond_wait(&c.finished, &c.lock);
    pthread_mutex_unlock(&c.lock);
    pthread_cond_destroy(&c.finished);
    pthread_mutex_destroy(&c.lock);
    return c.result;
}
