/* Waiting on one thread for what another one tells once. */
#ifndef LEVERET_ADMIN_WAITER_H
#define LEVERET_ADMIN_WAITER_H

#include <pthread.h>
#include <stdbool.h>

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool done;
    int result;
};

void waiter_init(struct waiter *w);

/* Tells a struct waiter its result. Once; any thread. */
void waiter_tell(void *waiter, int result);

/* Waits until it is told, and returns the result. The waiter is released. */
int waiter_wait(struct waiter *w);

#endif
