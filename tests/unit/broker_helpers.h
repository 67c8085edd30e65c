/* A whole broker inside the test, on a port and a directory of its own, and a client that speaks to
 * it: for what is done to a running broker by calls, and seen by clients. */
#ifndef LEVERET_TESTS_UNIT_BROKER_HELPERS_H
#define LEVERET_TESTS_UNIT_BROKER_HELPERS_H

#include "amqp/method.h"
#include "base/buffer.h"
#include "session/broker.h"

#include <stdint.h>

struct test_broker {
    struct server server;
    struct broker broker;
    char directory[512];
};

/* Starts a broker with the YAML text on a new data directory, or on the one that it had.
 * `listeners` is added to the text. What fails, fails the test. */
struct test_broker *start_test_broker(const char *yaml);
void restart_test_broker(struct test_broker *t, const char *yaml);

/* What SIGHUP does. */
void reload_test_broker(struct test_broker *t, const char *yaml);

/* Stops the broker; the second also removes its directory. */
void halt_test_broker(struct test_broker *t);
void stop_test_broker(struct test_broker *t);

struct test_client {
    int fd;
    struct buffer input;
    struct amqp_method method; /* that came last */
};

/* A connection with virtual host "/" and channel 1 open; NULL when the login or the opening is
 * refused: then `reason` (or NULL), 256 bytes, has the text of connection.close, or is empty. */
struct test_client *connect_test_client(struct test_broker *t, const char *user,
                                        const char *password, char *reason);

/* The same of a client that sends everything at once, before it has had an answer. What is refused
 * fails the test. */
struct test_client *connect_test_client_ahead(struct test_broker *t, const char *user,
                                              const char *password);

void close_test_client(struct test_client *c);

void client_send(struct test_client *c, uint16_t channel, const struct amqp_method *m);

/* Waits for the next method and returns its id, 0 when the broker has closed. Its content is in
 * c->method, until the next call. */
uint32_t client_receive(struct test_client *c);

/* Declares queue `name` on channel 1 and returns the reply code of the refusal, 0 when there is
 * none; the channel is open again afterwards. The text goes to `reason` (or NULL), 256 bytes. */
int client_declare(struct test_client *c, const char *name, char *reason);

/* Waits until the connection is closed by the broker. Returns the reply code; the text goes to
 * `reason` (or NULL), 256 bytes. */
int client_expect_close(struct test_client *c, char *reason);

#endif
