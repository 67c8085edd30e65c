/* A connection: the handshake, heartbeats, its channels and what is written to it (AMQP 0-9-1
 * §2.2, §4.2). Lives on one worker. */
#ifndef LEVERET_SESSION_CONNECTION_H
#define LEVERET_SESSION_CONNECTION_H

#include "amqp/error.h"
#include "amqp/method.h"
#include "auth/users.h"
#include "base/hash_map.h"
#include "base/list.h"
#include "base/log_quota.h"
#include "net/listener.h"
#include "net/reactor.h"
#include "net/stream.h"
#include "net/timer_wheel.h"
#include "session/output.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct message;
struct sasl_mechanism;
struct server_listener;
struct shard;
struct vhost;

enum connection_state {
    CONNECTION_EXPECT_HEADER,
    CONNECTION_EXPECT_START_OK,
    CONNECTION_AUTHENTICATING, /* its password is being looked at; nothing is read */
    CONNECTION_EXPECT_TUNE_OK,
    CONNECTION_EXPECT_OPEN,
    CONNECTION_OPEN,
    CONNECTION_CLOSE_SENT,     /* by us: everything but close-ok is discarded */
    CONNECTION_CLOSE_RECEIVED, /* by the peer: close-ok goes when the channels are gone */
    CONNECTION_DRAINING,       /* the socket closes when the output is written */
    CONNECTION_DEAD,           /* freed at the end of the turn */
};

/* What the client says it can do (connection.start-ok, "capabilities"). */
enum client_capability {
    CLIENT_AUTHENTICATION_FAILURE_CLOSE = 1 << 0,
    CLIENT_CONSUMER_CANCEL_NOTIFY = 1 << 1,
    CLIENT_CONNECTION_BLOCKED = 1 << 2,
};

/* The peer has said its last word, and channels still work off what it said before. */
enum connection_ending {
    CONNECTION_GOES_ON,
    CONNECTION_ENDS_BY_CLOSE, /* connection.close came */
    CONNECTION_ENDS_BY_EOF,   /* the stream ended */
};

/* Why nothing is read. */
enum read_pause {
    READ_PAUSED_BY_OUTPUT = 1 << 0,  /* the peer does not take what it asked for */
    READ_PAUSED_BY_BACKLOG = 1 << 1, /* a channel waits and its peer goes on sending */
    READ_PAUSED_BY_ALARM = 1 << 2,   /* it publishes, and memory or disk is short */
    READ_PAUSED_BY_END = 1 << 3,     /* there is nothing to come */
    READ_PAUSED_BY_JOURNAL = 1 << 4, /* it publishes faster than a disk writes */
    READ_PAUSED_BY_REPLIES = 1 << 5, /* those that it answers do not read */
    READ_PAUSED_BY_LOGIN = 1 << 7,   /* nobody knows yet who it is */
};

struct connection {
    struct list_node in_shard;
    struct list_node dirty;
    struct list_node held_back;     /* paused by a journal */
    struct list_node in_handshakes; /* it has not logged in (session/handshakes.h) */
    struct hash_node by_id;
    struct shard *shard;
    uint64_t id; /* unique in the life of the broker, > 0 */
    enum connection_state state;
    uint8_t client_capabilities;
    uint8_t read_paused;   /* of enum read_pause */
    bool closing_channels; /* a close by the peer is telling the channels */
    bool placed;           /* connection_place() was asked */
    uint8_t ending;        /* enum connection_ending */
    bool publishes;        /* it has published */
    bool counts_in_vhost;  /* for its limit of connections */
    uint32_t moving_to;    /* the worker that it is to move to, plus 1; 0: none */

    const struct server_listener *listener; /* where it came in */
    struct stream stream;
    struct reactor_source source;
    struct timer timer; /* the handshake's end, then heartbeats, then the end of a close */
    struct output output;
    uint8_t *partial; /* the start of a frame that has not come wholly */
    uint32_t partial_size;

    uint16_t channel_max;
    uint16_t heartbeat_s;
    uint32_t frame_max;
    uint32_t channel_slots; /* length of `channels` */
    uint16_t channel_count;
    uint32_t channels_opened;     /* ever */
    struct channel **channels;    /* by number; slot 0 is unused */
    struct channel *body_channel; /* whose body frame is coming in; NULL: its bytes are dropped */
    uint32_t body_left;
    bool expect_frame_end;
    enum amqp_method_id method; /* the one being handled, for errors */

    int64_t last_read_ms;
    int64_t last_write_ms;

    uint32_t mechanisms;                    /* offered; of enum config_mechanism */
    const struct sasl_mechanism *mechanism; /* that the peer chose */
    struct vhost *vhost;
    struct auth_database *auth; /* a reference */
    const struct auth_user *user;
    struct auth_account *account; /* that it counts for; a reference, NULL before it is open */
    const struct permission_set *permissions;
    const struct topic_permissions *topics; /* NULL: every routing key is allowed */
    uint64_t auth_version;

    struct log_quota channel_errors; /* that are logged */

    struct list exclusive_queues; /* by queue_handle.by_owner */
    struct list congested;        /* subscriptions held back, by .congested */
    struct list reply_consumers;  /* with replies that are held for them, by .waits */
    uint64_t replies_bytes;       /* direct replies of its own that nobody has taken yet */
    bool peer_is_loopback;
    bool expects_proxy_header; /* before all else (connection_proxy.h) */
    char peer[SOCKET_ADDRESS_TEXT_SIZE];
};

/* Takes over `fd`, which came in at a listener. Where the broker has too many connections another
 * one that has not logged in gives way, or else this one is refused by closing it. */
void connection_accept(struct shard *s, int fd, const struct socket_address *peer,
                       struct server_listener *at);

/* Leaving a shard and joining one: its lists, its loop and its timers (connection_place.h). */
void connection_leave(struct connection *c);
void connection_join(struct connection *c, struct shard *s);

/* Handles input as if it had just been read; what is not whole is kept. */
void connection_take_input(struct connection *c, struct bytes input);

/* The shard's connection with this id, or NULL. */
struct connection *connection_find(const struct shard *s, uint64_t id);

/* Frees a dead connection. */
void connection_free(struct connection *c);

/* Sends a method. */
void connection_send(struct connection *c, uint16_t channel, const struct amqp_method *m);

/* Sends whole frames that were encoded before. */
void connection_send_frame(struct connection *c, struct bytes frames);

/* Logs that the error closes a channel, unless there were too many of them within a second: those
 * are counted, and their number is logged with the next one or at the connection's end. */
void connection_log_channel_error(struct connection *c, unsigned channel,
                                  const struct amqp_error *e);

/* Notes that there is output; it is written at the end of the turn. */
void connection_touch(struct connection *c);

/* Writes what waits. The end of a turn. */
void connection_flush(struct connection *c);

/* Whether more should not be delivered to it now. */
bool connection_congested(const struct connection *c);

/* Closes the connection with an error: connection.close, then nothing but its answer is read.
 * `method` is the one at fault, 0 for none. Returns -EPROTO. */
int connection_fail(struct connection *c, int code, uint32_t method, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As connection_fail, with an error that the codec filled. */
int connection_fail_with(struct connection *c, const struct amqp_error *e);

enum {
    CONNECTION_LIMIT_SOURCE_SIZE = 96,
};

/* Who set a limit that the handshake agreed on: the key of `limits` in the configuration, or the
 * client, that asked for another than is configured. For an error's text. */
void connection_limit_source(uint32_t agreed, uint32_t configured, const char *key,
                             char out[CONNECTION_LIMIT_SOURCE_SIZE]);

/* Why none was offered to a client, to the operator. */
const char *connection_why_no_mechanism(const struct connection *c);

/* Closes it because the broker shuts down or its user is gone (320). */
void connection_force_close(struct connection *c, const char *why);

/* Closes it because its virtual host was deleted (320). */
void connection_close_for_deleted_vhost(struct connection *c);

/* Sets the connection's only timer, which is for what its state waits for: in `in_ms`
 * milliseconds. */
void connection_set_timer(struct connection *c, int64_t in_ms);

/* The socket is gone or is to go at once. Channels and exclusive queues end. */
void connection_kill(struct connection *c);

/* Stops and resumes reading for one reason. */
void connection_pause_reading(struct connection *c, enum read_pause reason);
void connection_resume_reading(struct connection *c, enum read_pause reason);

/* A channel has worked off what it had: an ending connection may end now. */
void connection_on_channel_idle(struct connection *c);

/* A channel whose close was asked for is gone. */
void connection_on_channel_gone(struct connection *c, struct channel *ch);

/* Handles one whole frame's method on channel 0 before and after the connection is open. */
int connection_on_method(struct connection *c, const struct amqp_method *m);

/* The handshake's part of connection_on_method. */
int connection_on_handshake_method(struct connection *c, const struct amqp_method *m);

/* Handles what was kept of the input while nothing was read, as if it had just come. */
void connection_take_kept_input(struct connection *c);

/* Sends connection.start. */
void connection_start(struct connection *c);

/* Takes notice of changed users and permissions. Returns 0, or -EPROTO when the connection had to
 * go. */
int connection_refresh_auth(struct connection *c);

/* Does away with what the connection alone may use: its exclusive queues. */
void connection_delete_exclusive_queues(struct connection *c);

#endif
