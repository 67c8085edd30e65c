#include "admin/waiter.h"

void waiter_init(struct waiter *w)
{
    *w = (struct waiter){.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};
}

void waiter_tell(void *waiter, int result)
{
    struct waiter *w = waiter;

    pthread_mutex_lock(&w->lock);
    w->result = result;
    w->done = true;
    pthread_cond_signal(&w->told);
    pthread_mutex_unlock(&w->lock);
}

int waiter_wait(struct waiter *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->done)
        pthread_cond_wait(&w->told, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_cond_destroy(&w->told);
    pthread_mutex_destroy(&w->lock);
    return w->result;
}
