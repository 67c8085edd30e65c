/* Waiting for the definitions to be committed, on a thread that may wait: neither a worker nor the
 * definitions' own. Used once. */
#ifndef LEVERET_SESSION_COMMIT_WAIT_H
#define LEVERET_SESSION_COMMIT_WAIT_H

#include "store/definitions.h"

#include <pthread.h>
#include <stdbool.h>

struct commit_wait {
    pthread_mutex_t mutex;
    pthread_cond_t committed;
    bool done;
    int result;
};

void commit_wait_init(struct commit_wait *w);
void commit_wait_release(struct commit_wait *w);

/* What to give with the change, or the barrier, that is waited for. */
struct definitions_done commit_wait_done(struct commit_wait *w);

/* Waits. Returns what the definitions told: 0 or -errno. */
int commit_wait_for(struct commit_wait *w);

#endif
