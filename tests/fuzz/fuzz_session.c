/* Whole sessions of a hostile client: a broker with two workers is stepped by hand, and the input
 * is a script of what three connections send it - well-formed methods with arguments of every kind
 * in any order, contents, raw bytes - and of when they stop reading or break off.
 *
 * Whatever was sent: what the broker answers are well-formed frames, every connection ends once its
 * client has, and when what was declared is deleted, nothing is left. */
#include "amqp/constants.h"
#include "amqp/frame.h"
#include "amqp/method.h"
#include "amqp/properties.h"
#include "auth/users.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "server/server.h"
#include "session/broker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    WORKERS = 2,
    CLIENTS = 3,
    CHANNELS = 3,
    STEPS_MAX = 300,
    TURNS_AFTER_A_STEP = 3,
    END_WITHIN_MS = 20000,
    NAMES_MAX = 2048,
    FRAME_MAX = 131072,
};

static const char CONFIGURATION[] =
    "workers: 2\n"
    "listeners: [{address: 127.0.0.1, port: 0}]\n"
    "journal: {sync: never, segment_size: 1MiB}\n"
    "limits: {max_queues: 64, max_message_size: 64KiB, output_high_watermark: 64KiB}\n"
    "log: {level: error}\n"
    "login: {backoff_max_ms: 0}\n"
    "users: [{name: guest, password_hash: "
    "'$scrypt$ln=1,r=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$GtFTVFHSX5cWotwXQXkvzIOrcBocT3845H2CqxUjKwI'}]\n"
    "permissions: [{user: guest, vhost: /, configure: .*, write: .*, read: .*}]\n";

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_session: %s\n", what);
    abort();
}

/* ---- The broker, one for all inputs ---- */

static struct server server;
static struct broker broker;
static char data_path[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static void end_broker(void)
{
    broker_release(&broker);
    server_release(&server);
    auth_database_replace(NULL);
    nftw(data_path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void begin_broker(void)
{
    struct config_problems problems;
    struct auth_database *users;
    struct config *config;

    snprintf(data_path, sizeof(data_path), "%s/leveret-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(data_path) != NULL, "no directory for the broker's data");
    config_problems_init(&problems);
    require(config_load_text("session", bytes_from_string(CONFIGURATION), NULL, &config,
                             &problems) == 0,
            "the configuration is refused");
    require(auth_database_build(config, NULL, &users, &problems) == 0, "the users are refused");
    auth_database_replace(users);
    log_set_level(LOG_LEVEL_ERROR);
    require(server_init(&server, config, &BROKER_WORKER_OPS) == 0, "no server");
    require(broker_init(&broker, &server, "fuzz", data_path, &problems) == 0, "no broker");
    config_problems_free(&problems);
    for (uint32_t i = 0; i < WORKERS; i++)
        server.workers[i].ops->start(&server.workers[i]);
}

/* Returns whether there is more to do at once. */
static bool turn(int wait_ms)
{
    bool work_left = false;

    for (uint32_t i = 0; i < WORKERS; i++)
        work_left = worker_turn(&server.workers[i], i == 0 ? wait_ms : 0) || work_left;
    return work_left;
}

static void turns(unsigned count)
{
    while (count-- > 0)
        turn(0);
}

/* ---- The clients ---- */

struct client {
    int fd; /* -1: not connected */
    bool stops_reading;
    bool ended; /* the broker has closed */
    struct buffer input;
};

static struct client clients[CLIENTS];

/* What the broker sends is well-formed and something that a broker may send. */
static void check_frame(const struct amqp_frame *f)
{
    struct bytes payload = amqp_frame_payload(f);
    const struct amqp_method_info *info;
    struct amqp_content_header header;
    struct amqp_error error;
    struct amqp_method m;

    if (f->type == AMQP_FRAME_HEADER) {
        require(amqp_content_header_decode(payload, &header, &error) == 0,
                "a malformed content header was sent");
    } else if (f->type == AMQP_FRAME_METHOD) {
        require(amqp_method_decode(payload, &m, &error) == 0, "a malformed method was sent");
        info = amqp_method_info(m.id);
        require(info != NULL && (info->direction & AMQP_TO_CLIENT) != 0,
                "a method was sent that is not the broker's to send");
    }
}

static void check_input(struct client *c)
{
    static const char REFUSED_HEADER[] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
    struct bytes in = buffer_bytes(&c->input);
    struct amqp_error error;
    struct amqp_frame f;
    ssize_t n;

    while (in.size != 0 && (n = amqp_frame_decode(in, FRAME_MAX + 8, &f, &error)) != 0) {
        if (n < 0) {
            require(in.size == sizeof(REFUSED_HEADER) &&
                        memcmp(in.data, REFUSED_HEADER, sizeof(REFUSED_HEADER)) == 0,
                    "a malformed frame was sent");
            in.size = 0;
            break;
        }
        check_frame(&f);
        in = bytes_of(in.data + n, in.size - (size_t)n);
    }
    buffer_consume(&c->input, buffer_bytes(&c->input).size - in.size);
}

static void client_read(struct client *c)
{
    uint8_t area[16384];
    ssize_t n;

    while ((n = recv(c->fd, area, sizeof(area), MSG_DONTWAIT)) > 0)
        buffer_append(&c->input, bytes_of(area, (size_t)n));
    if (n == 0 || (n < 0 && errno != EAGAIN))
        c->ended = true;
    check_input(c);
}

/* What the broker does not take at once it is given time to take; what it will not take is lost. */
static void client_send(struct client *c, const void *data, size_t size)
{
    const uint8_t *at = data;

    for (unsigned patience = 100; size != 0 && patience != 0; patience--) {
        ssize_t n = send(c->fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN)
            return;
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
        if (size != 0) {
            turn(0);
            if (!c->stops_reading)
                client_read(c);
        }
    }
}

static void client_connect(struct client *c)
{
    struct socket_address loopback;
    struct worker *at;
    int ends[2];

    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0,
            "no socket pair");
    require(socket_address_parse(&loopback, "127.0.0.1", 1) == 0, "no address");
    c->fd = ends[0];
    c->stops_reading = false;
    c->ended = false;
    buffer_init(&c->input);
    at = &server.workers[(c - clients) % WORKERS];
    at->ops->accept(at, ends[1], &loopback, &server.listeners[0]);
}

static void send_method(struct client *c, uint16_t channel, const struct amqp_method *m)
{
    struct buffer out;

    buffer_init(&out);
    amqp_method_frame_encode(channel, m, &out);
    client_send(c, buffer_bytes(&out).data, buffer_bytes(&out).size);
    buffer_free(&out);
}

/* Up to the point where every method may follow. */
static void client_log_in(struct client *c)
{
    static const uint8_t HEADER[] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
    static const char RESPONSE[] = "\0guest\0guest";
    struct amqp_method m = {.id = AMQP_CONNECTION_START_OK};

    client_send(c, HEADER, sizeof(HEADER));
    m.connection_start_ok.client_properties.encoded = bytes_of("", 0);
    m.connection_start_ok.mechanism = bytes_from_string("PLAIN");
    m.connection_start_ok.response = bytes_of(RESPONSE, sizeof(RESPONSE) - 1);
    m.connection_start_ok.locale = bytes_from_string("en_US");
    send_method(c, 0, &m);
    m = (struct amqp_method){.id = AMQP_CONNECTION_TUNE_OK};
    m.connection_tune_ok.channel_max = CHANNELS;
    m.connection_tune_ok.frame_max = FRAME_MAX;
    send_method(c, 0, &m);
    m = (struct amqp_method){.id = AMQP_CONNECTION_OPEN};
    m.connection_open.virtual_host = bytes_from_string("/");
    send_method(c, 0, &m);
    for (int channel = 1; channel <= CHANNELS; channel++)
        send_method(c, (uint16_t)channel, &(struct amqp_method){.id = AMQP_CHANNEL_OPEN});
}

/* The client has said its last word; the broker ends the connection. */
static void client_end(struct client *c)
{
    int64_t begin = clock_monotonic_ms();

    shutdown(c->fd, SHUT_WR);
    while (!c->ended) {
        bool work_left = turn(0);

        client_read(c);
        if (!c->ended && !work_left)
            turn(1);
        require(clock_monotonic_ms() - begin < END_WITHIN_MS,
                "a connection did not end with its client");
    }
    close(c->fd);
    c->fd = -1;
    buffer_free(&c->input);
}

/* ---- The script ---- */

struct script {
    const uint8_t *at;
    const uint8_t *end;
};

static uint8_t take(struct script *s)
{
    return s->at < s->end ? *s->at++ : 0;
}

static struct bytes take_bytes(struct script *s, size_t size)
{
    struct bytes b = bytes_of(s->at, size);

    if (size > (size_t)(s->end - s->at))
        b.size = (size_t)(s->end - s->at);
    s->at += b.size;
    return b;
}

static const char *pick(struct script *s, const char *const *from, size_t count)
{
    return from[take(s) % count];
}

#define PICK(script, array) pick(script, array, sizeof(array) / sizeof((array)[0]))

static const char *const QUEUES[] = {"a", "b", "c", "d", "e", "", "amq.rabbitmq.reply-to"};
static const char *const EXCHANGES[] = {"",          "x",          "y",         "z",
                                        "amq.topic", "amq.fanout", "amq.match", "amq.lease"};
static const char *const KEYS[] = {"a", "b", "c", "d", "e", "#", "*.a", "a.b.c", "", "3"};
static const char *const TAGS[] = {"t", "u", "v", ""};
static const char *const TYPES[] = {"direct",
                                    "topic",
                                    "fanout",
                                    "headers",
                                    "x-consistent-hash",
                                    "x-random",
                                    "x-modulus-hash",
                                    "x-delayed-message",
                                    "none"};
static const char *const ARGUMENTS[] = {
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-queue-type",
    "x-queue-mode",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-visibility-timeout",
    "x-consumer-timeout",
    "x-priority",
    "x-match",
    "alternate-exchange",
    "x-delayed-type",
    "x-delay",
    "hash-header",
    "hash-property",
    "visibility-timeout",
    "delivery-tag",
    "CC",
    "BCC",
};
static const char *const VALUES[] = {
    "x",
    "y",
    "a",
    "b",
    "drop-head",
    "reject-publish",
    "reject-publish-dlx",
    "at-least-once",
    "at-most-once",
    "classic",
    "quorum",
    "lazy",
    "all",
    "any",
    "direct",
    "topic",
    "fanout",
};
static const int64_t NUMBERS[] = {0, 1, 2, 5, 10, 255, 256, 1000, -1, INT64_MAX};

static struct value take_value(struct script *s, struct arena *a)
{
    struct value_array array = {.items = NULL};

    switch (take(s) % 8) {
    case 0:
    case 1:
        return value_int64(NUMBERS[take(s) % (sizeof(NUMBERS) / sizeof(NUMBERS[0]))]);
    case 2:
        return value_int32((int32_t)NUMBERS[take(s) % 9]);
    case 3:
    case 4:
        return value_string(bytes_from_string(PICK(s, VALUES)));
    case 5:
        return value_boolean((take(s) & 1) != 0);
    case 6:
        value_array_append(a, &array, value_string(bytes_from_string(PICK(s, KEYS))));
        return value_array(array);
    default:
        return value_void();
    }
}

/* The fields of a table, encoded without its length into `out`. */
static void take_table(struct script *s, struct buffer *out)
{
    struct table t = table_empty();
    unsigned count = take(s) % 8;
    struct arena a;

    arena_init(&a);
    for (unsigned i = 0; count < 6 && i < count; i++)
        table_set(&a, &t, PICK(s, ARGUMENTS), take_value(s, &a));
    amqp_table_encode_fields(&t, out);
    arena_free(&a);
}

static void append_long(struct buffer *out, uint32_t n)
{
    uint8_t octets[4];

    amqp_store32(octets, n);
    buffer_append(out, bytes_of(octets, sizeof(octets)));
}

static void append_short_string(struct buffer *out, const char *text)
{
    uint8_t size = (uint8_t)strlen(text);

    buffer_append(out, bytes_of(&size, 1));
    buffer_append(out, bytes_of(text, size));
}

static const char *take_string(struct script *s, const char *field)
{
    if (field == NULL)
        return "";
    if (strstr(field, "queue") != NULL)
        return PICK(s, QUEUES);
    if (strstr(field, "exchange") != NULL || strstr(field, "source") != NULL ||
        strstr(field, "destination") != NULL)
        return PICK(s, EXCHANGES);
    if (strstr(field, "key") != NULL)
        return PICK(s, KEYS);
    if (strstr(field, "tag") != NULL)
        return PICK(s, TAGS);
    if (strstr(field, "type") != NULL)
        return PICK(s, TYPES);
    return "/";
}

/* Bits are gathered; everything else is written as its type says. */
static void append_field(struct script *s, const struct amqp_field_info *field, struct buffer *out)
{
    static const uint8_t ZEROS[8];
    size_t before;
    uint8_t octet;

    switch (field->type) {
    case AMQP_FIELD_octet:
        octet = field->name == NULL ? 0 : take(s);
        buffer_append(out, bytes_of(&octet, 1));
        break;
    case AMQP_FIELD_short:
        buffer_append(out, bytes_of(ZEROS, 1));
        octet = field->name == NULL ? 0 : take(s) % 16;
        buffer_append(out, bytes_of(&octet, 1));
        break;
    case AMQP_FIELD_long:
        append_long(out, 0);
        break;
    case AMQP_FIELD_longlong:
        buffer_append(out, bytes_of(ZEROS, 7));
        octet = take(s) % 12;
        buffer_append(out, bytes_of(&octet, 1));
        break;
    case AMQP_FIELD_shortstr:
        append_short_string(out, take_string(s, field->name));
        break;
    case AMQP_FIELD_longstr:
        append_long(out, 0);
        break;
    case AMQP_FIELD_table:
        before = buffer_bytes(out).size;
        append_long(out, 0);
        take_table(s, out);
        amqp_store32((uint8_t *)(uintptr_t)buffer_bytes(out).data + before,
                     (uint32_t)(buffer_bytes(out).size - before - 4));
        break;
    case AMQP_FIELD_bit:
    case AMQP_FIELD_END:
        break;
    }
}

static void send_frame(struct client *c, uint8_t type, uint16_t channel, struct bytes payload)
{
    struct buffer out;
    uint8_t header[AMQP_FRAME_HEADER_SIZE];
    const uint8_t end = AMQP_FRAME_END;

    buffer_init(&out);
    amqp_frame_encode_header(header, type, channel, (uint32_t)payload.size);
    buffer_append(&out, bytes_of(header, sizeof(header)));
    buffer_append(&out, bytes_of(payload.data, payload.size));
    buffer_append(&out, bytes_of(&end, 1));
    client_send(c, buffer_bytes(&out).data, buffer_bytes(&out).size);
    buffer_free(&out);
}

/* A queue that the broker names goes with its connection. */
static bool is_nameless_declare(enum amqp_method_id id, struct bytes payload)
{
    return id == AMQP_QUEUE_DECLARE && payload.size > 6 && payload.data[6] == 0;
}

static void send_content(struct script *s, struct client *c, uint16_t channel)
{
    static const char *const EXPIRATIONS[] = {"0", "1", "5", "1000", "-1", "x"};
    static const uint32_t SIZES[] = {0, 1, 100, 1000, 5000, 20000};
    static uint8_t body[20000];
    uint32_t size = SIZES[take(s) % (sizeof(SIZES) / sizeof(SIZES[0]))];
    struct amqp_properties p = {.present = 0};
    struct buffer headers, out;
    uint8_t frame[8192] = {0};
    size_t header_size;
    uint8_t which = take(s);

    buffer_init(&headers);
    buffer_init(&out);
    if ((which & 1) != 0) {
        p.present |= AMQP_PROPERTY_HEADERS;
        take_table(s, &headers);
        p.headers.encoded = buffer_bytes(&headers);
    }
    if ((which & 2) != 0) {
        p.present |= AMQP_PROPERTY_DELIVERY_MODE;
        p.delivery_mode = take(s) % 3;
    }
    if ((which & 4) != 0) {
        p.present |= AMQP_PROPERTY_EXPIRATION;
        p.expiration = bytes_from_string(PICK(s, EXPIRATIONS));
    }
    if ((which & 8) != 0) {
        p.present |= AMQP_PROPERTY_PRIORITY;
        p.priority = take(s);
    }
    if ((which & 16) != 0) {
        p.present |= AMQP_PROPERTY_REPLY_TO;
        p.reply_to = bytes_from_string(PICK(s, QUEUES));
    }
    amqp_properties_encode(&p, &out);
    header_size = amqp_content_header_encode(frame, channel, size, buffer_bytes(&out));
    client_send(c, frame, header_size);
    if (size != 0)
        send_frame(c, AMQP_FRAME_BODY, channel, bytes_of(body, size));
    buffer_free(&headers);
    buffer_free(&out);
}

static void send_script_method(struct script *s, struct client *c, uint16_t channel,
                               const struct amqp_method_info *info)
{
    struct buffer out;
    uint8_t bits = 0;
    unsigned bit_count = 0;

    buffer_init(&out);
    append_long(&out, info->id);
    for (const struct amqp_field_info *f = info->fields; f->type != AMQP_FIELD_END; f++) {
        if (f->type == AMQP_FIELD_bit) {
            bool exclusive = is_nameless_declare(info->id, buffer_bytes(&out)) && bit_count == 2;

            if (bit_count == 0)
                bits = take(s);
            bits &= take(s); /* most are not set */
            if (f->name == NULL)
                bits &= (uint8_t) ~(1u << bit_count);
            else if (exclusive)
                bits |= (uint8_t)(1u << bit_count);
            bit_count++;
            if ((f + 1)->type != AMQP_FIELD_bit) {
                bits &= (uint8_t)((1u << bit_count) - 1);
                buffer_append(&out, bytes_of(&bits, 1));
                bit_count = 0;
            }
            continue;
        }
        append_field(s, f, &out);
    }
    send_frame(c, AMQP_FRAME_METHOD, channel, buffer_bytes(&out));
    buffer_free(&out);
    if (info->has_content && take(s) % 16 != 0)
        send_content(s, c, channel);
}

/* What happens most in sessions; the first of them in the most. */
static const enum amqp_method_id USUAL[] = {
    AMQP_BASIC_PUBLISH,   AMQP_BASIC_PUBLISH,  AMQP_BASIC_PUBLISH,    AMQP_BASIC_PUBLISH,
    AMQP_QUEUE_DECLARE,   AMQP_QUEUE_DECLARE,  AMQP_BASIC_CONSUME,    AMQP_BASIC_CONSUME,
    AMQP_BASIC_ACK,       AMQP_BASIC_ACK,      AMQP_BASIC_NACK,       AMQP_BASIC_REJECT,
    AMQP_BASIC_GET,       AMQP_QUEUE_BIND,     AMQP_EXCHANGE_DECLARE, AMQP_EXCHANGE_BIND,
    AMQP_BASIC_QOS,       AMQP_CONFIRM_SELECT, AMQP_TX_SELECT,        AMQP_TX_COMMIT,
    AMQP_TX_ROLLBACK,     AMQP_BASIC_CANCEL,   AMQP_QUEUE_PURGE,      AMQP_QUEUE_DELETE,
    AMQP_EXCHANGE_DELETE, AMQP_BASIC_RECOVER,  AMQP_CHANNEL_CLOSE,    AMQP_CHANNEL_CLOSE_OK,
    AMQP_CHANNEL_OPEN,    AMQP_QUEUE_UNBIND,   AMQP_EXCHANGE_UNBIND,  AMQP_CHANNEL_FLOW,
};

static void step(struct script *s)
{
    uint8_t kind = take(s);
    struct client *c = &clients[kind % CLIENTS];
    uint16_t channel = (uint16_t)(1 + kind / CLIENTS % CHANNELS);
    uint8_t what = take(s);

    if (c->fd < 0) {
        client_connect(c);
        if (what != 255)
            client_log_in(c);
    }
    if (what < 224) {
        enum amqp_method_id id = USUAL[what % (sizeof(USUAL) / sizeof(USUAL[0]))];

        send_script_method(s, c, channel, amqp_method_info(id));
    } else if (what < 232) {
        send_script_method(s, c, what % 2 == 0 ? channel : 0,
                           &AMQP_METHODS[take(s) % AMQP_METHOD_COUNT]);
    } else if (what < 236) {
        struct bytes raw = take_bytes(s, take(s));

        client_send(c, raw.data, raw.size);
    } else if (what < 240) {
        struct bytes raw = take_bytes(s, take(s));

        send_frame(c, take(s) % 9, channel, raw);
    } else if (what < 244) {
        c->stops_reading = !c->stops_reading;
    } else if (what < 248) {
        shutdown(c->fd, SHUT_RDWR);
    } else {
        turns(what - 240u);
    }
    turns(TURNS_AFTER_A_STEP);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (clients[i].fd >= 0 && !clients[i].stops_reading)
            client_read(&clients[i]);
    }
}

/* ---- The end of an input ---- */

struct names {
    struct arena arena;
    struct bytes names[NAMES_MAX];
    unsigned count;
};

static bool note(struct names *n, struct bytes name)
{
    if (n->count == NAMES_MAX)
        return false;
    n->names[n->count++] = arena_copy(&n->arena, name);
    return true;
}

static bool note_exchange(const struct exchange *x, void *context)
{
    struct bytes name = exchange_name(x);

    return name.size == 0 || bytes_starts_with(name, "amq.") || note(context, name);
}

static bool note_queue(struct queue_handle *h, void *context)
{
    return note(context, h->name);
}

static void delete_everything(struct client *c)
{
    struct vhost *v = vhost_find(&server.vhosts, bytes_from_string("/"));
    static struct names n;

    arena_init(&n.arena);
    n.count = 0;
    topology_each_exchange(v->topology, note_exchange, &n);
    for (unsigned i = 0; i < n.count; i++) {
        struct amqp_method m = {.id = AMQP_EXCHANGE_DELETE};

        m.exchange_delete.exchange = n.names[i];
        send_method(c, 1, &m);
    }
    n.count = 0;
    topology_each_queue(v->topology, note_queue, &n);
    for (unsigned i = 0; i < n.count; i++) {
        struct amqp_method m = {.id = AMQP_QUEUE_DELETE};

        m.queue_delete.queue = n.names[i];
        send_method(c, 1, &m);
    }
    arena_free(&n.arena);
}

/* Gone for its client, a connection is put away in the turns that follow. */
static void wait_for_connections(int64_t since_ms)
{
    while (atomic_load(&server.connection_count) != 0) {
        require(clock_monotonic_ms() - since_ms < END_WITHIN_MS, "a connection is left");
        if (!turn(0))
            turn(1);
    }
}

/* A declare that was under way when its client went still makes its queue, so that deleting may
 * take more than one go. */
static void clean_up(void)
{
    int64_t begin = clock_monotonic_ms();

    for (unsigned i = 0; i < CLIENTS; i++) {
        if (clients[i].fd >= 0)
            client_end(&clients[i]);
    }
    do {
        client_connect(&clients[0]);
        client_log_in(&clients[0]);
        delete_everything(&clients[0]);
        client_end(&clients[0]);
        wait_for_connections(begin);
        require(clock_monotonic_ms() - begin < END_WITHIN_MS, "a queue is left");
    } while (atomic_load(&server.queue_count) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = {.at = data, .end = data + size};
    static bool begun;

    if (!begun) {
        begin_broker();
        for (unsigned i = 0; i < CLIENTS; i++)
            clients[i].fd = -1;
        /* The first login sets OpenSSL up, whose end must come after that of the threads that use
         * it. */
        clean_up();
        atexit(end_broker);
        begun = true;
    }
    for (unsigned i = 0; i < STEPS_MAX && s.at < s.end; i++)
        step(&s);
    clean_up();
    return 0;
}
