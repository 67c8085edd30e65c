/* Requests to a running broker over its admin socket (admin/admin.h). One thread. */
#ifndef LEVERET_LEVERETCTL_CLIENT_H
#define LEVERET_LEVERETCTL_CLIENT_H

#include "base/buffer.h"
#include "base/bytes.h"

#include <stddef.h>

struct client_request {
    const char *socket; /* path of the admin socket */
    const char *method; /* "GET", "PUT", … */
    const char *path;   /* percent-encoded, with the query */
    struct bytes body;  /* JSON; empty: none */
};

/* Sends the request and waits for the answer, whose body is appended to `out`. Returns 0, or -errno
 * with one line in `error`: -ECONNREFUSED when no broker listens on the socket, -EACCES when this
 * user may not open it, -EPROTO when the broker refused the request, with its reason. */
int client_send(const struct client_request *r, struct buffer *out, char *error, size_t error_size);

/* Percent-encodes one part of a path; on the heap, for the caller to free. */
char *client_encode(const char *segment);

#endif
