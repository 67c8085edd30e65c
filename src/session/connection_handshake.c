/* Who is there, what may he do, and what both agree on: from connection.start to connection.open-ok
 * (AMQP 0-9-1 §2.2.4), and noticing that users or permissions changed later on. */
#include "session/connection.h"

#include "auth/login.h"
#include "auth/sasl.h"
#include "base/log.h"
#include "net/tls.h"
#include "server/listener_tls.h"
#include "server/vhost.h"
#include "session/broker.h"
#include "session/shard.h"
#include "session/user_limits.h"
#include "session/vhost_limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>

static const struct {
    const char *name;
    enum client_capability bit;
} CAPABILITIES[] = {
    {"authentication_failure_close", CLIENT_AUTHENTICATION_FAILURE_CLOSE},
    {"consumer_cancel_notify", CLIENT_CONSUMER_CANCEL_NOTIFY},
    {"connection.blocked", CLIENT_CONNECTION_BLOCKED},
};

static void log_tls(const struct connection *c)
{
    if (stream_tls_established(&c->stream))
        log_debug("connection", "%s: %s, %s%s", c->peer, stream_tls_version(&c->stream),
                  stream_tls_cipher(&c->stream),
                  stream_tls_kernel_sends(&c->stream) ? ", encrypted by the kernel"
                                                      : ", encrypted by OpenSSL");
}

/* `name` has room for the user that the transport vouches for, which the answer refers to. */
static struct sasl_peer peer_of(const struct connection *c, char name[LOGIN_NAME_MAX + 1])
{
    bool is_known = stream_tls_peer_user(&c->stream, name, LOGIN_NAME_MAX + 1) == 0;

    return (struct sasl_peer){
        .identity = is_known ? bytes_from_string(name) : bytes_of(NULL, 0),
        .is_private = c->peer_is_loopback || stream_is_tls(&c->stream),
    };
}

/* Why EXTERNAL is not for this client, to the operator. */
static const char *why_no_identity(const struct connection *c)
{
    char name[LOGIN_NAME_MAX + 1];

    if (!stream_is_tls(&c->stream))
        return "no certificate without TLS (tls of the listener)";
    if (!stream_tls_peer_is_verified(&c->stream))
        return "it showed no certificate (tls.verify)";
    switch (stream_tls_peer_user(&c->stream, name, sizeof(name))) {
    case -ENOENT:
        return "its certificate names no user: it has no such name (tls.user_from, "
               "tls.user_san_index)";
    case -EINVAL:
        return "its certificate names no user: what is there is no text, or has a zero byte in it "
               "(tls.user_from)";
    case -ENOMSG:
        return "its certificate names no user: tls.user_pattern finds none in its name";
    default:
        return "its certificate names no user: the name is too long (tls.user_from)";
    }
}

const char *connection_why_no_mechanism(const struct connection *c)
{
    const uint32_t mechanisms = c->listener->config->mechanisms;

    if ((mechanisms & ~(uint32_t)CONFIG_MECHANISM_EXTERNAL) != 0)
        return "passwords need TLS (plain_without_tls of the listener)";
    return why_no_identity(c);
}

void connection_start(struct connection *c)
{
    const struct config_listener *listener = c->listener->config;
    char identity[LOGIN_NAME_MAX + 1];
    const struct sasl_peer peer = peer_of(c, identity);
    char names[SASL_NAMES_SIZE];
    struct amqp_method start = {
        .id = AMQP_CONNECTION_START,
        .connection_start =
            {
                .version_major = 0,
                .version_minor = 9,
                .server_properties.encoded = buffer_bytes(&c->shard->broker->server_properties),
                .locales = bytes_from_string("en_US"),
            },
    };

    log_tls(c);
    c->mechanisms = sasl_offered(listener->mechanisms, &peer, listener->plain_without_tls);
    start.connection_start.mechanisms = bytes_of(names, sasl_names(c->mechanisms, names));
    c->state = CONNECTION_EXPECT_START_OK;
    connection_send(c, 0, &start);
}

static uint8_t read_capabilities(struct bytes client_properties)
{
    struct value capabilities;
    struct value flag;
    uint8_t bits = 0;

    if (!amqp_table_find(client_properties, "capabilities", &capabilities) ||
        capabilities.type != VALUE_TABLE)
        return 0;
    for (size_t i = 0; i < sizeof(CAPABILITIES) / sizeof(CAPABILITIES[0]); i++) {
        if (amqp_table_find(capabilities.bytes, CAPABILITIES[i].name, &flag) &&
            flag.type == VALUE_BOOLEAN && flag.boolean)
            bits |= (uint8_t)CAPABILITIES[i].bit;
    }
    return bits;
}

/* What the client calls itself, all of it: the log escapes control characters, but ends at a zero
 * byte, which is escaped here. */
static void append_name(struct buffer *out, struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == 0)
            buffer_append(out, bytes_from_string("\\x00"));
        else
            buffer_append(out, bytes_of(&name.data[i], 1));
    }
}

/* Clients that cannot be told see their socket close, as RabbitMQ does it. */
static int refuse_login(struct connection *c, struct bytes mechanism, struct bytes user,
                        const char *why)
{
    struct buffer name;

    buffer_init(&name);
    append_name(&name, user);
    connection_lines_log(c->shard, CONNECTION_LINE_NO_LOGIN,
                         "%s: login of user '%.*s' was refused using mechanism %.*s: %s", c->peer,
                         BYTES_ARGS(buffer_bytes(&name)), BYTES_ARGS(mechanism), why);
    buffer_free(&name);
    if ((c->client_capabilities & CLIENT_AUTHENTICATION_FAILURE_CLOSE) != 0)
        return connection_fail(c, AMQP_ACCESS_REFUSED, 0,
                               "Login was refused using authentication mechanism %.*s. For details "
                               "see the broker logfile.",
                               BYTES_ARGS(mechanism));
    connection_kill(c);
    return -EPROTO;
}

static void send_tune(struct connection *c)
{
    const struct config_limits *limits = c->shard->broker->limits;
    const struct amqp_method tune = {
        .id = AMQP_CONNECTION_TUNE,
        .connection_tune =
            {
                .channel_max = limits->max_channels_per_connection,
                .frame_max = limits->frame_max,
                .heartbeat_s = limits->heartbeat_s,
            },
    };

    c->state = CONNECTION_EXPECT_TUNE_OK;
    connection_send(c, 0, &tune);
}

/* ---- Login ---- */

/* The network that a peer comes from, as far as others there can be taken for it: an IPv4 address,
 * or the first half of an IPv6 one. */
static struct bytes network_of(const struct connection *c, uint8_t out[sizeof(struct in6_addr)])
{
    enum { IPV6_NETWORK_SIZE = 8 };
    char host[SOCKET_ADDRESS_TEXT_SIZE];
    const char *end = strrchr(c->peer, ':');
    size_t size = end != NULL ? (size_t)(end - c->peer) : strlen(c->peer);

    if (c->peer[0] != '[' || size < 2)
        return bytes_of(c->peer, size);
    memcpy(host, c->peer + 1, size - 2);
    host[size - 2] = '\0';
    if (inet_pton(AF_INET6, host, out) != 1)
        return bytes_of(c->peer, size);
    return bytes_of(out, IPV6_NETWORK_SIZE);
}

/* Takes over a reference to the snapshot that the user is in. */
static void accept_login(struct connection *c, struct auth_database *db,
                         const struct auth_user *user)
{
    c->auth = db;
    c->auth_version = auth_database_version(db);
    c->user = user;
    handshakes_remove(c);
    stream_logged_in(&c->stream);
    send_tune(c);
}

static void finish_login(struct connection *c, const struct login *l)
{
    struct auth_database *db = auth_database_current();
    const struct auth_user *user = auth_find_user(db, login_username(l));

    /* What is in force now counts: it may have changed while the password was looked at. */
    if (l->user != NULL && user != NULL && login_holds_for(l, user)) {
        accept_login(c, db, user);
        return;
    }
    auth_database_unref(db);
    refuse_login(c, bytes_from_string(c->mechanism->name), login_username(l),
                 l->user != NULL ? "the user was changed meanwhile"
                                 : auth_outcome_text(l->outcome));
}

static void handle_login(struct worker *w, struct mail_record *r)
{
    struct login *l = *(struct login **)(void *)(r + 1);
    struct shard *s = shard_of(w);
    struct connection *c = connection_find(s, l->number);

    if (c != NULL && c->state == CONNECTION_AUTHENTICATING) {
        finish_login(c, l);
        if (c->state != CONNECTION_DEAD) {
            connection_resume_reading(c, READ_PAUSED_BY_LOGIN);
            connection_take_kept_input(c);
        }
    }
    login_end(s->broker->logins, l);
}

/* On a thread of the logins. */
static void on_login_done(struct login *l)
{
    worker_post(l->context, handle_login, &l, sizeof(l));
}

/* Passwords that nobody has seen yet are looked at elsewhere; nothing is read until then. */
static int log_in(struct connection *c, const struct sasl_credentials *credentials)
{
    uint8_t network[sizeof(struct in6_addr)];
    const struct login_request request = {
        .username = credentials->username,
        .password = credentials->password,
        .address = network_of(c, network),
        .peer_is_loopback = c->peer_is_loopback,
    };
    struct auth_database *db = auth_database_current();
    const struct auth_user *user;
    enum auth_outcome outcome = login_begin(c->shard->broker->logins, &request, db, &user,
                                            on_login_done, c->shard->worker, c->id);

    if (user != NULL) {
        accept_login(c, db, user);
        return 0;
    }
    auth_database_unref(db);
    if (outcome != AUTH_PENDING)
        return refuse_login(c, bytes_from_string(c->mechanism->name), credentials->username,
                            auth_outcome_text(outcome));
    c->state = CONNECTION_AUTHENTICATING;
    connection_pause_reading(c, READ_PAUSED_BY_LOGIN);
    return 0;
}

/* Whom the transport vouches for needs no look at a password. */
static int log_in_proved(struct connection *c, struct bytes username)
{
    struct auth_database *db = auth_database_current();
    enum auth_outcome outcome;
    const struct auth_user *user = auth_login_proved(db, username, c->peer_is_loopback, &outcome);

    if (user != NULL) {
        accept_login(c, db, user);
        return 0;
    }
    auth_database_unref(db);
    return refuse_login(c, bytes_from_string(c->mechanism->name), username,
                        auth_outcome_text(outcome));
}

/* The mechanism was not offered. */
static int refuse_mechanism(struct connection *c, const struct sasl_mechanism *m)
{
    if ((c->listener->config->mechanisms & m->bit) != 0 && (m->flags & SASL_SENDS_PASSWORD) != 0)
        return connection_fail(c, AMQP_ACCESS_REFUSED, AMQP_CONNECTION_START_OK,
                               "authentication mechanism %s is not offered without TLS, but to "
                               "the broker's own machine (plain_without_tls of the listener)",
                               m->name);
    if ((c->listener->config->mechanisms & m->bit) != 0 && (m->flags & SASL_NEEDS_IDENTITY) != 0)
        return refuse_login(c, bytes_from_string(m->name), bytes_of(NULL, 0), why_no_identity(c));
    return connection_fail(c, AMQP_COMMAND_INVALID, AMQP_CONNECTION_START_OK,
                           "invalid authentication mechanism '%s'", m->name);
}

static int authenticate(struct connection *c, const struct amqp_connection_start_ok *m)
{
    char identity[LOGIN_NAME_MAX + 1];
    const struct sasl_peer peer = peer_of(c, identity);
    struct sasl_credentials credentials;

    if (c->mechanism->start(m->response, &peer, &credentials) < 0)
        return refuse_login(c, m->mechanism, bytes_of(NULL, 0), "malformed response");
    if (credentials.password.data == NULL)
        return log_in_proved(c, credentials.username);
    return log_in(c, &credentials);
}

static int on_start_ok(struct connection *c, const struct amqp_connection_start_ok *m)
{
    int rc;

    c->client_capabilities = read_capabilities(m->client_properties.encoded);
    c->mechanism = sasl_mechanism_find(m->mechanism);
    if (c->mechanism == NULL)
        rc = connection_fail(c, AMQP_COMMAND_INVALID, AMQP_CONNECTION_START_OK,
                             "unknown authentication mechanism '%.*s'", BYTES_ARGS(m->mechanism));
    else if ((c->mechanisms & c->mechanism->bit) == 0)
        rc = refuse_mechanism(c, c->mechanism);
    else
        rc = authenticate(c, m);
    /* The password stays in no buffer of ours. */
    explicit_bzero((void *)(uintptr_t)m->response.data, m->response.size);
    return rc;
}

/* A limit that the peer may lower and not raise; 0 asks for none. `key` is its name in limits. */
static int check_limit(struct connection *c, const char *name, uint32_t asked, uint32_t offered,
                       const char *key)
{
    if (asked == 0)
        return connection_fail(c, AMQP_NOT_ALLOWED, AMQP_CONNECTION_TUNE_OK,
                               "negotiated %s = 0 (no limit) is higher than the maximum allowed "
                               "value (%" PRIu32 ") (limits.%s)",
                               name, offered, key);
    if (asked > offered)
        return connection_fail(c, AMQP_NOT_ALLOWED, AMQP_CONNECTION_TUNE_OK,
                               "negotiated %s = %" PRIu32
                               " is higher than the maximum allowed value (%" PRIu32
                               ") (limits.%s)",
                               name, asked, offered, key);
    return 0;
}

static int on_tune_ok(struct connection *c, const struct amqp_connection_tune_ok *m)
{
    const struct config_limits *limits = c->shard->broker->limits;

    if (check_limit(c, "channel_max", m->channel_max, limits->max_channels_per_connection,
                    "max_channels_per_connection") < 0 ||
        check_limit(c, "frame_max", m->frame_max, limits->frame_max, "frame_max") < 0)
        return -EPROTO;
    if (m->frame_max < AMQP_FRAME_MIN_SIZE)
        return connection_fail(c, AMQP_NOT_ALLOWED, AMQP_CONNECTION_TUNE_OK,
                               "negotiated frame_max = %" PRIu32
                               " is lower than the minimum allowed value (%d)",
                               m->frame_max, AMQP_FRAME_MIN_SIZE);
    c->channel_max = m->channel_max;
    c->frame_max = m->frame_max;
    c->heartbeat_s = m->heartbeat_s;
    c->state = CONNECTION_EXPECT_OPEN;
    return 0;
}

static int on_open(struct connection *c, const struct amqp_connection_open *m)
{
    struct shard *s = c->shard;
    int64_t limit;

    c->vhost = vhost_find(&s->worker->server->vhosts, m->virtual_host);
    if (c->vhost == NULL)
        return connection_fail(c, AMQP_NOT_ALLOWED, AMQP_CONNECTION_OPEN, "vhost %.*s not found",
                               BYTES_ARGS(m->virtual_host));
    if (!user_limits_enter(c, &limit))
        return connection_fail(c, AMQP_NOT_ALLOWED, AMQP_CONNECTION_OPEN,
                               "connection refused for user '%.*s': user connection limit "
                               "(%" PRId64 ") is reached (%s)",
                               BYTES_ARGS(auth_user_name(c->user)), limit,
                               user_limits_connections_key(c));
    if (!vhost_limits_enter(c, &limit))
        return connection_fail(c, AMQP_NOT_ALLOWED, AMQP_CONNECTION_OPEN,
                               "access to vhost '%.*s' refused for user '%.*s': connection limit "
                               "(%" PRId64 ") is reached (%s)",
                               BYTES_ARGS(m->virtual_host), BYTES_ARGS(auth_user_name(c->user)),
                               limit, vhost_limits_connections_key(c->vhost));
    c->permissions = auth_permissions(c->user, c->vhost->name);
    c->topics = auth_topic_permissions(c->user, c->vhost->name);
    if (c->permissions == NULL)
        return connection_fail(c, AMQP_NOT_ALLOWED, AMQP_CONNECTION_OPEN,
                               "access to vhost '%.*s' refused for user '%.*s'",
                               BYTES_ARGS(m->virtual_host), BYTES_ARGS(auth_user_name(c->user)));
    c->state = CONNECTION_OPEN;
    connection_send(c, 0, &(struct amqp_method){.id = AMQP_CONNECTION_OPEN_OK});
    timer_cancel(&s->worker->timers, &c->timer);
    if (c->heartbeat_s != 0)
        timer_set(&s->worker->timers, &c->timer, shard_now_ms(s) + INT64_C(500) * c->heartbeat_s);
    log_debug("connection", "%s: user %.*s opened vhost %.*s", c->peer,
              BYTES_ARGS(auth_user_name(c->user)), BYTES_ARGS(c->vhost->name));
    return 0;
}

int connection_on_handshake_method(struct connection *c, const struct amqp_method *m)
{
    if (c->state == CONNECTION_EXPECT_START_OK && m->id == AMQP_CONNECTION_START_OK)
        return on_start_ok(c, &m->connection_start_ok);
    if (c->state == CONNECTION_EXPECT_TUNE_OK && m->id == AMQP_CONNECTION_TUNE_OK)
        return on_tune_ok(c, &m->connection_tune_ok);
    if (c->state == CONNECTION_EXPECT_OPEN && m->id == AMQP_CONNECTION_OPEN)
        return on_open(c, &m->connection_open);
    if (c->state > CONNECTION_OPEN)
        return 0;
    return connection_fail(c, AMQP_COMMAND_INVALID, m->id, "unexpected method %s in the handshake",
                           amqp_method_name(m->id));
}

int connection_refresh_auth(struct connection *c)
{
    struct auth_database *old = c->auth;
    char *name;
    int rc = 0;

    if (old == NULL || c->auth_version == auth_version() || c->state >= CONNECTION_CLOSE_SENT)
        return 0;
    name = bytes_to_string(auth_user_name(c->user));
    c->auth = auth_database_current();
    c->auth_version = auth_database_version(c->auth);
    c->user = auth_find_user(c->auth, auth_user_name(c->user));
    /* Somebody else who has the name now is not the one who logged in. */
    if (c->user != NULL && c->account != NULL && auth_user_account(c->user) != c->account)
        c->user = NULL;
    auth_database_unref(old);
    c->permissions = NULL;
    c->topics = NULL;
    if (c->user != NULL && c->vhost != NULL) {
        c->permissions = auth_permissions(c->user, c->vhost->name);
        c->topics = auth_topic_permissions(c->user, c->vhost->name);
    }
    if (c->user == NULL)
        rc = connection_fail(c, AMQP_CONNECTION_FORCED, 0, "user '%s' is deleted", name);
    else if (c->vhost != NULL && c->permissions == NULL)
        rc = connection_fail(c, AMQP_CONNECTION_FORCED, 0,
                             "user '%s' may not access vhost '%.*s' any more", name,
                             BYTES_ARGS(c->vhost->name));
    free(name);
    return rc;
}
