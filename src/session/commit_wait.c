#include "session/commit_wait.h"

void commit_wait_init(struct commit_wait *w)
{
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->committed, NULL);
    w->done = false;
    w->result = 0;
}

void commit_wait_release(struct commit_wait *w)
{
    pthread_cond_destroy(&w->committed);
    pthread_mutex_destroy(&w->mutex);
}

static void on_committed(void *context, int result)
{
    struct commit_wait *w = context;

    pthread_mutex_lock(&w->mutex);
    w->done = true;
    w->result = result;
    pthread_cond_signal(&w->committed);
    pthread_mutex_unlock(&w->mutex);
}

struct definitions_done commit_wait_done(struct commit_wait *w)
{
    return (struct definitions_done){.call = on_committed, .context = w};
}

int commit_wait_for(struct commit_wait *w)
{
    int result;

    pthread_mutex_lock(&w->mutex);
    while (!w->done)
        pthread_cond_wait(&w->committed, &w->mutex);
    result = w->result;
    pthread_mutex_unlock(&w->mutex);
    return result;
}
