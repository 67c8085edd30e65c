/* One AMQP connection with one channel, as a client, on a non-blocking socket.
 *
 * It does the handshake, opens channel 1, answers heartbeats and closes, and tells its owner what
 * else comes through events. It is driven by a loop (perf/loop.h), or, while a program sets
 * things up, by the blocking calls at the end of this header. One thread at a time. */
#ifndef LEVERET_PERF_CLIENT_H
#define LEVERET_PERF_CLIENT_H

#include "amqp/method.h"
#include "base/buffer.h"
#include "base/bytes.h"
#include "perf/options.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    CLIENT_CHANNEL = 1,
    CLIENT_FRAME_MAX = 131072,
    CLIENT_INPUT_SIZE = 512 * 1024, /* of the buffer that client_ready reads into */
    CLIENT_BODY_START = 16,         /* bytes of a body that a delivery shows */
};

enum client_state {
    CLIENT_UNCONNECTED,
    CLIENT_CONNECTING,
    CLIENT_STARTING, /* waits for connection.start */
    CLIENT_TUNING,   /* waits for connection.tune */
    CLIENT_OPENING,  /* waits for connection.open-ok */
    CLIENT_CHANNEL_OPENING,
    CLIENT_OPEN,
    CLIENT_CLOSING, /* waits for connection.close-ok */
    CLIENT_CLOSED,  /* as asked for; the socket is closed */
    CLIENT_FAILED,  /* `error` says why; the socket is closed */
};

/* Where a broker is, resolved, with what it is told at the start. */
struct client_target {
    struct sockaddr_storage address;
    socklen_t address_size;
    uint32_t heartbeat_s;
    const struct broker_address *broker;
    SSL_CTX *tls; /* NULL: none */
};

/* A message that came. */
struct client_delivery {
    uint64_t delivery_tag;
    uint64_t body_size;
    bool redelivered;
    uint8_t start[CLIENT_BODY_START]; /* valid for min(body_size, CLIENT_BODY_START) bytes */
};

struct client;

/* What a client tells its owner. An entry may be NULL. */
struct client_events {
    /* Methods may be sent on the channel. */
    void (*opened)(struct client *c);
    void (*delivered)(struct client *c, const struct client_delivery *d);
    /* basic.ack or basic.nack of a publish. */
    void (*confirmed)(struct client *c, uint64_t delivery_tag, bool multiple, bool ack);
    /* Any other method on the channel, basic.return included. */
    void (*method)(struct client *c, const struct amqp_method *m);
    /* Once, when the state has become CLIENT_CLOSED or CLIENT_FAILED. The client may be started
     * again from here. */
    void (*ended)(struct client *c);
};

/* Fields are for reading, but for `events` and `context`. */
struct client {
    int fd;
    SSL *ssl; /* NULL: without TLS */
    enum client_state state;
    const struct client_events *events;
    void *context;
    const struct client_target *target;

    uint32_t frame_max;
    uint32_t heartbeat_s;
    bool blocked;        /* connection.blocked holds */
    bool wants_output;   /* the socket took no more: watch for EPOLLOUT */
    bool watches_output; /* the loop's: it does */
    int64_t received_ns; /* when something last came, and was last sent */
    int64_t sent_ns;

    struct buffer rest;   /* start of a frame whose end has not come */
    struct buffer output; /* methods on their way out */
    size_t output_sent;
    struct bytes bulk; /* borrowed bytes on their way out */

    bool content;             /* a delivery or return is on its way */
    bool content_is_delivery; /* else a basic.return */
    bool content_has_header;
    uint64_t content_left; /* bytes of body to come */
    struct client_delivery delivery;

    uint64_t replies;             /* how many -ok methods have come on the channel */
    uint32_t reply_message_count; /* of the last queue.declare-ok, delete-ok or purge-ok */
    char error[400];
};

/* Resolves the host name and readies TLS. Returns 0, or -1 with `error` filled in. */
int client_target_init(struct client_target *t, const struct perf_options *o, char *error,
                       size_t error_size);

/* Frees what it has; once for a target and its copies. A zeroed one is fine. */
void client_target_release(struct client_target *t);

/* Readies a client; allocates nothing. */
void client_init(struct client *c, const struct client_target *target,
                 const struct client_events *events, void *context);

/* Closes the socket without ado and frees memory. */
void client_free(struct client *c);

/* Begins to connect. Returns 0, or -1 with `error` filled in. */
int client_start(struct client *c);

/* Reads what there is into `input` (CLIENT_INPUT_SIZE bytes, scratch), handles it, writes what
 * waits. `events` are those of epoll. `now_ns` is monotonic. */
void client_ready(struct client *c, uint32_t events, uint8_t *input, int64_t now_ns);

/* Queues a method on the channel; client_flush sends it. */
void client_send(struct client *c, const struct amqp_method *m);

/* Queues basic.ack. */
void client_send_ack(struct client *c, uint64_t delivery_tag, bool multiple);

/* Whether client_send_bulk may be called. */
static inline bool client_bulk_ready(const struct client *c)
{
    return c->state == CLIENT_OPEN && c->bulk.size == 0 && c->output.size == 0 && !c->blocked;
}

/* Sends encoded frames. They stay the caller's and must not change until client_bulk_ready() is
 * true again. */
void client_send_bulk(struct client *c, struct bytes frames, int64_t now_ns);

/* Writes what waits, as far as the socket takes it. */
void client_flush(struct client *c, int64_t now_ns);

/* Sends a heartbeat when it is time, and fails the client when the broker has been silent for two
 * intervals. To be called about every second. */
void client_tick(struct client *c, int64_t now_ns);

/* Asks the broker to close the connection; ends with the event `ended`. */
void client_close(struct client *c, int64_t now_ns);

/* Marks the client as failed, for a reason its owner found. */
void client_fail(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Blocking, for set-up and clean-up. They return 0, or -1 with c->error filled in. */

/* Starts the client and waits until its channel is open. */
int client_connect(struct client *c);

/* Sends a method and waits for its answer (an -ok). */
int client_call(struct client *c, const struct amqp_method *m);

/* Waits until `replies` -ok methods have come since the channel was opened. */
int client_wait_replies(struct client *c, uint64_t replies);

/* Closes the connection and waits for it, 5 seconds at most. */
void client_disconnect(struct client *c);

#endif
