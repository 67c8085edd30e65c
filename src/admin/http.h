/* The HTTP/1.1 end of the API: libmicrohttpd on a listening socket that is given, driven by the
 * thread that calls. */
#ifndef LEVERET_ADMIN_HTTP_H
#define LEVERET_ADMIN_HTTP_H

#include "admin/ask.h"
#include "base/log_quota.h"

#include <stdbool.h>
#include <stdint.h>

struct MHD_Daemon;
struct broker;

struct http {
    struct MHD_Daemon *daemon;
    struct broker *broker;
    struct asker *asker;
    int64_t started_ms;
    uint32_t connections_max;
    bool is_full;                /* has all the connections that it may have */
    uint64_t body_max;           /* bytes of one body */
    uint64_t body_bytes;         /* that bodies hold which are coming in */
    struct log_quota complaints; /* of requests and their number */
};

/* Serves on `fd`, which it takes over. Returns 0 or -errno. */
int http_start(struct http *h, int fd, struct broker *b, struct asker *asker);

/* Handles requests until `stop_fd` is readable. */
void http_run(struct http *h, int stop_fd);

/* Closes what is open. */
void http_stop(struct http *h);

#endif
