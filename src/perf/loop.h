/* An epoll loop over clients. It calls their events from loop_turn and nowhere else. One thread
 * at a time. */
#ifndef LEVERET_PERF_LOOP_H
#define LEVERET_PERF_LOOP_H

#include "perf/client.h"

#include <stdint.h>

/* Fields are private. */
struct loop {
    int epoll_fd;
    uint8_t *input;
};

/* Returns 0 or -errno. */
int loop_init(struct loop *l);
void loop_free(struct loop *l);

/* Watches a client that was started. It must not move while it is watched; that its socket is
 * closed ends it. Returns 0 or -errno. */
int loop_add(struct loop *l, struct client *c);

/* Watches for room in the client's socket, or stops to, as client->wants_output says. To be called
 * after sending outside of loop_dispatch. */
void loop_update(struct loop *l, struct client *c);

/* What loop_wait found. */
struct loop_events {
    int count;
    int64_t now_ns; /* when the wait ended */
};

/* Sleeps until something happens or `timeout_ns` is over (0: looks only; < 0: no limit). */
struct loop_events loop_wait(struct loop *l, int64_t timeout_ns);

/* Hands what was found to the clients. */
void loop_dispatch(struct loop *l, struct loop_events found);

/* loop_wait and loop_dispatch. Returns the time after the wait. */
int64_t loop_turn(struct loop *l, int64_t timeout_ns);

#endif
