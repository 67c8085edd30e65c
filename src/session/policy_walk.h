/* How queues come to follow changed policies: each worker walks the queues at home there, for a
 * bounded time in each turn, so that deliveries go on meanwhile. */
#ifndef LEVERET_SESSION_POLICY_WALK_H
#define LEVERET_SESSION_POLICY_WALK_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct broker;
struct queue_handle;
struct shard;

/* Called once, on any thread, when every queue follows what was changed, what is too much in one is
 * dropped, and the change is on disk: with 0, or -errno when it could not be written (it is in
 * force, and is tried again). `call` may be NULL. */
struct policies_done {
    void (*call)(void *context, int result);
    void *context;
};

/* A shard's. */
struct policy_walk {
    struct queue_handle **queues; /* all at home here, each at its home_index */
    uint32_t count;
    uint32_t capacity;
    uint32_t left;     /* of them, the first so many, that have to be looked at */
    struct list asked; /* changes that wait for the end of the walk */
};

void policy_walk_init(struct policy_walk *w);

/* Forgets what was asked; the workers have ended. */
void policy_walk_release(struct policy_walk *w);

/* A queue that follows already comes home, or goes. */
void policy_walk_add(struct policy_walk *w, struct queue_handle *queue);
void policy_walk_remove(struct policy_walk *w, struct queue_handle *queue);

/* Has every queue follow the policies as they are now, and what is queued for the definitions by
 * now committed; then calls `done`. Any thread, while workers run. */
void policy_walk_start(struct broker *b, struct policies_done done);

/* The end of a turn. Returns whether there is more to look at. */
bool policy_walk_go_on(struct shard *s);

#endif
