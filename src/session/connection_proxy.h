/* The start of a connection that comes through a proxy: its PROXY header (net/proxy_header.h). */
#ifndef LEVERET_SESSION_CONNECTION_PROXY_H
#define LEVERET_SESSION_CONNECTION_PROXY_H

#include "session/connection.h"

#include <stdbool.h>

/* Reads on at the header, past TLS, which begins behind it. Returns true when it is whole: the
 * connection's peer is from then on the one that the proxy speaks for. Else more has to come, or
 * what came is no header and the connection is dead. */
bool connection_read_proxy_header(struct connection *c);

#endif
