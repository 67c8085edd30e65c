/* The administrator's side of a running broker: an HTTP API on a socket in the file system, which
 * only the broker's user can open. A thread of its own serves it; what workers own it asks of them
 * by mail. */
#ifndef LEVERET_ADMIN_ADMIN_H
#define LEVERET_ADMIN_ADMIN_H

#include "admin/ask.h"
#include "admin/http.h"

#include <pthread.h>
#include <stdbool.h>

struct admin {
    struct asker asker;
    struct http http;
    char *path;  /* of the socket */
    int stop_fd; /* an eventfd */
    bool running;
    pthread_t thread;
};

/* Opens the socket at `path`, with mode 0600, and starts the thread; the workers of `b` run. A
 * socket that nobody listens on any more is replaced. Returns 0, or -errno after logging why: then
 * there is no admin side and admin_stop() does nothing. */
int admin_start(struct admin *a, struct broker *b, const char *path);

/* Ends the thread and removes the socket. The workers still run. */
void admin_stop(struct admin *a);

#endif
