/* Peers that mean harm, or are broken enough to do it: whatever one of them sends, keeps back or
 * asks for, the others are answered in time, the broker's memory stays within bounds, and the limit
 * that ends it is named. Those that stall before the login are in test_half_open. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/wire/tls_client.h"
#include "tests/wire/tls_files.h"

#include "tests/wire/raw.h"
#include "tests/wire/witness.h"

enum {
    MAX_CHANNELS = 2047,
    MAX_QUEUES = 300,
    MAX_EXCHANGES = 300,
    MAX_BINDINGS = 1000,
    MAX_MESSAGE_SIZE = 16 * 1024 * 1024,
};

/* The second listener speaks TLS, the third expects PROXY headers, the last is a Unix socket. */
static const char ATTACKED_CONFIG[] =
    "listeners:\n"
    "  - {address: 127.0.0.1, port: @PORT@}\n"
    "  - {address: 127.0.0.1, port: 0, tls: {certificate: %s, key: %s}}\n"
    "  - {address: 127.0.0.1, port: 0, proxy_protocol: {networks: [127.0.0.1]}}\n"
    "  - {address: \"unix:%s\"}\n"
    "workers: @WORKERS@\n"
    "limits:\n"
    "  handshake_timeout_ms: @HANDSHAKE_MS@\n"
    "  max_queues: 300\n"
    "  max_exchanges: 300\n"
    "  max_bindings: 1000\n";

/* ---- The others, and the bounds ---- */

static struct witness others;
static long resident_kib;

/* The memory counts from what there is when as much was done before. */
static void attack_begins(void)
{
    witness_begin(&others, connect_channel());
    resident_kib = against_oracle() ? 0 : broker_resident_kib(test_broker());
}

/* A sanitized broker keeps what it frees for a while. */
enum { SANITIZED_FACTOR = 16 };

static void memory_grew_by_less_than(long kib)
{
    long growth = broker_resident_kib(test_broker()) - resident_kib;

    if (broker_is_sanitized())
        kib *= SANITIZED_FACTOR;
    ck_assert_msg(growth < kib, "the broker grew by %ld KiB", growth);
}

/* ---- Before the login ---- */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void fill_with_noise(uint8_t *data, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)next_random(&seed);
}

static struct raw *connect_plain(void)
{
    return raw_connect(test_broker());
}

static struct raw *connect_tls(void)
{
    return raw_connect_to(test_broker(), 1);
}

static struct raw *connect_proxy(void)
{
    return raw_connect_to(test_broker(), 2);
}

static struct raw *connect_unix(void)
{
    return raw_connect_unix(tls_file("attacked.sock"));
}

static struct raw *connect_admin(void)
{
    char directory[256];
    char path[300];

    broker_data_directory(test_broker(), directory, sizeof(directory));
    snprintf(path, sizeof(path), "%s/admin.sock", directory);
    return raw_connect_unix(path);
}

/* Wherever the broker listens, and how what is meant for that begins. */
static const struct {
    struct raw *(*connect)(void);
    const char *start;
    size_t start_size;
} PORTS[] = {
    {connect_plain, "AMQP\0\0\x09\x01", 8},
    {connect_plain, "AMQP\0\0\x09\x01\1\0\0\0\0\x08\0", 15},
    {connect_tls, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 11},
    {connect_tls, "AMQP\0\0\x09\x01", 8},
    {connect_proxy, "PROXY TCP4 ", 11},
    {connect_proxy, "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16},
    {connect_unix, "AMQP\0\0\x09\x01", 8},
    {connect_admin, "GET /", 5},
};

START_TEST(noise_at_every_port_is_turned_away)
{
    enum { PEERS = 200, NOISE = 4096 };
    uint8_t noise[NOISE];

    SKIP_WITH_ORACLE("its memory is not measured");
    ck_assert(broker_log_awaits(test_broker(), "is ready"));
    attack_begins();
    for (uint32_t i = 0; i < PEERS; i++) {
        struct raw *peer = PORTS[_i].connect();
        size_t answered;

        fill_with_noise(noise, sizeof(noise), i + 1);
        if (i % 2 != 0)
            memcpy(noise, PORTS[_i].start, PORTS[_i].start_size);
        raw_send_loosely(peer, noise, sizeof(noise));
        shutdown(peer->fd, SHUT_WR);
        ck_assert(raw_read_to_end(peer, &answered));
        ck_assert_uint_lt(answered, 4096);
        raw_close(peer);
        if (i % 10 == 0)
            witness_work(&others, 1);
    }
    witness_was_served(&others, 5);
    memory_grew_by_less_than(8 * 1024);
}
END_TEST

/* ---- TLS ---- */

static struct tls_terms terms_of_tls(int version)
{
    return (struct tls_terms){.port = broker_listener_port(test_broker(), 1),
                              .min_version = version,
                              .max_version = version};
}

START_TEST(connections_of_tls_that_come_and_go_leave_nothing)
{
    enum { ROUNDS = 200 };

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    for (int i = 0; i < ROUNDS; i++) {
        struct tls_terms t = terms_of_tls(i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
        struct tls_client *c = i % 4 == 0 ? tls_client_new(&t) : tls_connect(&t);

        tls_client_free(c);
        if (i % 10 == 0)
            witness_work(&others, 1);
    }
    witness_work(&others, 10);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(16 * 1024);
}
END_TEST

START_TEST(renegotiation_is_asked_for_in_vain)
{
    enum { PEERS = 100 };

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    for (int i = 0; i < PEERS; i++) {
        struct tls_terms t = terms_of_tls(TLS1_2_VERSION);
        struct tls_client *c = tls_connect(&t);
        char error[256] = "";

        ck_assert_int_eq(SSL_renegotiate(tls_client_ssl(c)), 1);
        ck_assert(!tls_client_shake_hands(c, error, sizeof(error)));
        tls_client_free(c);
        witness_work(&others, 1);
    }
    witness_was_served(&others, 5);
    memory_grew_by_less_than(16 * 1024);
}
END_TEST

/* What TLS 1.3 has instead: new keys, as often as the peer likes, each of which it wants answered
 * with new keys. */
START_TEST(key_updates_harm_nobody)
{
    enum { UPDATES = 5000 };
    struct tls_terms t;
    struct tls_client *c;

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    t = terms_of_tls(TLS1_3_VERSION);
    c = tls_connect(&t);
    for (int i = 0; i < UPDATES; i++) {
        if (SSL_key_update(tls_client_ssl(c), SSL_KEY_UPDATE_REQUESTED) != 1)
            break;
        if (SSL_do_handshake(tls_client_ssl(c)) != 1)
            break;
        tls_client_send(c, NULL, 0);
        if (i % 100 == 0)
            witness_work(&others, 1);
    }
    tls_client_free(c);
    witness_was_served(&others, 5);
    /* Each frees a few contexts of OpenSSL's, which sanitizers keep back: 256 MiB of them. */
    memory_grew_by_less_than(broker_is_sanitized() ? 24 * 1024 : 4 * 1024);
}
END_TEST

START_TEST(noise_of_a_client_ends_its_connection)
{
    enum { PEERS = 100, NOISE = 4096 };
    uint8_t noise[NOISE];

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    for (uint32_t i = 0; i < PEERS; i++) {
        struct raw *peer = raw_connect(test_broker());
        size_t answered;

        raw_handshake(peer);
        raw_open_channel(peer, 1);
        fill_with_noise(noise, sizeof(noise), i + 1);
        /* A frame's beginning, or any bytes. */
        if (i % 2 != 0)
            memcpy(noise, "\1\0\1\0\0\0\x40", 7);
        raw_send_loosely(peer, noise, sizeof(noise));
        shutdown(peer->fd, SHUT_WR);
        ck_assert(raw_read_to_end(peer, &answered));
        raw_close(peer);
        if (i % 10 == 0)
            witness_work(&others, 1);
    }
    witness_was_served(&others, 5);
    memory_grew_by_less_than(8 * 1024);
}
END_TEST

START_TEST(connections_that_come_and_go_leave_nothing)
{
    enum { ROUNDS = 400 };

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    for (int i = 0; i < ROUNDS; i++) {
        struct raw *peer = raw_connect(test_broker());

        if (i % 4 != 0)
            raw_handshake(peer);
        if (i % 4 > 1)
            raw_open_channel(peer, 1);
        raw_close(peer);
        if (i % 20 == 0)
            witness_work(&others, 1);
    }
    witness_work(&others, 10);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(8 * 1024);
}
END_TEST

/* ---- Channels, queues, exchanges, bindings ---- */

START_TEST(all_channels_there_may_be_cost_little)
{
    struct raw *peer;

    SKIP_WITH_ORACLE("its limits are others");
    attack_begins();
    peer = raw_connect(test_broker());
    raw_handshake_with(peer, NULL, MAX_CHANNELS, 131072, 0);
    for (unsigned i = 1; i <= MAX_CHANNELS; i++) {
        raw_open_channel(peer, i);
        if (i % 100 == 0)
            witness_work(&others, 1);
    }
    memory_grew_by_less_than(MAX_CHANNELS * 2);
    raw_send_method(peer, MAX_CHANNELS + 1, AMQP_CHANNEL_OPEN_METHOD,
                    &(struct raw_bytes){.data = {0}, .size = 1});
    raw_expect_connection_error(peer, 530,
                                "NOT_ALLOWED - channel 2048 is above the negotiated channel_max "
                                "(2047) (limits.max_channels_per_connection)",
                                AMQP_CHANNEL_OPEN_METHOD);
    witness_was_served(&others, 5);
}
END_TEST

START_TEST(channels_that_come_and_go_leave_nothing)
{
    enum { ROUNDS = 1000 };
    struct raw *peer;
    struct raw_bytes close = {.size = 0};

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    peer = raw_connect(test_broker());
    raw_handshake(peer);
    put_u16(&close, 200);
    put_short_string(&close, "");
    put_u32(&close, 0);
    for (int i = 0; i < ROUNDS; i++) {
        raw_open_channel(peer, 1);
        raw_send_method(peer, 1, AMQP_CHANNEL_CLOSE_METHOD, &close);
        raw_expect_method(peer, 1, AMQP_CHANNEL_CLOSE_OK_METHOD);
        if (i % 100 == 0)
            witness_work(&others, 1);
    }
    witness_was_served(&others, 5);
    memory_grew_by_less_than(4 * 1024);
}
END_TEST

static void send_declare(struct raw *peer, unsigned channel, const char *name)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, name);
    put_u8(&b, 4 | 16); /* exclusive, no-wait */
    put_u32(&b, 0);
    raw_send_method(peer, channel, AMQP_QUEUE_DECLARE_METHOD, &b);
}

/* Without waiting for answers, until the limit says no. */
START_TEST(flood_of_queues_ends_at_the_limit)
{
    struct raw *peer;
    char name[32];

    SKIP_WITH_ORACLE("its limits are others");
    attack_begins();
    peer = raw_connect(test_broker());
    raw_handshake(peer);
    raw_open_channel(peer, 1);
    for (int i = 0; i < 10 * MAX_QUEUES; i++) {
        snprintf(name, sizeof(name), "flood-%d", i);
        send_declare(peer, 1, name);
        if (i % 100 == 0)
            witness_work(&others, 1);
    }
    raw_expect_channel_error(peer, 1, 406,
                             "PRECONDITION_FAILED - cannot declare queue 'flood-299' in vhost '/': "
                             "the limit of 300 queues is reached (limits.max_queues)",
                             AMQP_QUEUE_DECLARE_METHOD);
    witness_work(&others, 10);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(8 * 1024);
    raw_close(peer);
    /* Exclusive ones go with their connection: there is room again. */
    for (int64_t end = now_ms() + deadline_ms();;) {
        struct channel *ch = open_channel(others.channel->client);
        bool refused;

        send_queue_declare(ch, "room", EXCLUSIVE, NO_ARGS);
        refused = next_method(ch) == AMQP_CHANNEL_CLOSE_METHOD;
        if (!refused)
            break;
        ck_assert_int_lt(now_ms(), end);
        expect_channel_error(ch, 406, "PRECONDITION_FAILED - cannot declare queue 'room' *");
    }
}
END_TEST

static void send_declare_of_exchange(struct raw *peer, unsigned channel, const char *name)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, name);
    put_short_string(&b, "topic");
    put_u8(&b, 16); /* no-wait */
    put_u32(&b, 0);
    raw_send_method(peer, channel, AMQP_EXCHANGE_DECLARE_METHOD, &b);
}

START_TEST(flood_of_exchanges_ends_at_the_limit)
{
    struct raw *peer;
    char name[32];

    SKIP_WITH_ORACLE("its limits are others");
    attack_begins();
    peer = raw_connect(test_broker());
    raw_handshake(peer);
    raw_open_channel(peer, 1);
    for (int i = 0; i < 10 * MAX_EXCHANGES; i++) {
        snprintf(name, sizeof(name), "flood-%d", i);
        send_declare_of_exchange(peer, 1, name);
        if (i % 100 == 0)
            witness_work(&others, 1);
    }
    raw_expect_channel_error(peer, 1, 406,
                             "PRECONDITION_FAILED - cannot declare exchange 'flood-300' in vhost "
                             "'/': the limit of 300 exchanges is reached (limits.max_exchanges)",
                             AMQP_EXCHANGE_DECLARE_METHOD);
    witness_work(&others, 10);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(8 * 1024);
    raw_close(peer);
    for (int i = 0; i < MAX_EXCHANGES; i++) {
        snprintf(name, sizeof(name), "flood-%d", i);
        delete_exchange(others.channel, name, 0);
    }
    declare_exchange(others.channel, "room", "topic", 0, NO_ARGS);
}
END_TEST

static void send_bind(struct raw *peer, unsigned channel, const char *queue, const char *key)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, queue);
    put_short_string(&b, "amq.topic");
    put_short_string(&b, key);
    put_u8(&b, 1); /* no-wait */
    put_u32(&b, 0);
    raw_send_method(peer, channel, AMQP_QUEUE_BIND_METHOD, &b);
}

START_TEST(flood_of_bindings_ends_at_the_limit)
{
    struct raw *peer;
    char key[64];

    SKIP_WITH_ORACLE("its limits are others");
    attack_begins();
    declare_queue(others.channel, "flooded", 0, NO_ARGS);
    peer = raw_connect(test_broker());
    raw_handshake(peer);
    raw_open_channel(peer, 1);
    for (int i = 0; i < 10 * MAX_BINDINGS; i++) {
        snprintf(key, sizeof(key), "%d.*.%d.#.%d.*.#", i, i % 7, i * 3);
        send_bind(peer, 1, "flooded", key);
        if (i % 100 == 0)
            witness_work(&others, 1);
    }
    raw_expect_channel_error(peer, 1, 406,
                             "PRECONDITION_FAILED - cannot bind queue 'flooded' to exchange "
                             "'amq.topic' in vhost '/': the limit of 1000 bindings is reached "
                             "(limits.max_bindings)",
                             AMQP_QUEUE_BIND_METHOD);
    witness_work(&others, 10);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(8 * 1024);
    raw_close(peer);
    delete_queue(others.channel, "flooded", 0); /* and they with it */
    declare_queue(others.channel, "room", EXCLUSIVE, NO_ARGS);
    bind_queue(others.channel, "room", "amq.topic", "#", NO_ARGS);
}
END_TEST

/* ---- Content ---- */

static void send_publish(struct raw *peer, unsigned channel)
{
    struct raw_bytes b = {.size = 0};

    put_u16(&b, 0);
    put_short_string(&b, "");
    put_short_string(&b, "nowhere");
    put_u8(&b, 0);
    raw_send_method(peer, channel, AMQP_BASIC_PUBLISH_METHOD, &b);
}

/* Announced and never sent, on many channels: 640 MiB in all. */
START_TEST(bodies_that_do_not_come_take_no_memory)
{
    enum { CHANNELS = 40 };
    struct raw *peer;

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    peer = raw_connect(test_broker());
    raw_handshake(peer);
    for (unsigned i = 1; i <= CHANNELS; i++) {
        raw_open_channel(peer, i);
        send_publish(peer, i);
        raw_send_header(peer, i, MAX_MESSAGE_SIZE);
        raw_send_frame(peer, 3, i, "x", 1);
    }
    /* It has taken all of that when it answers. */
    raw_open_channel(peer, CHANNELS + 1);
    witness_work(&others, 50);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(16 * 1024);
}
END_TEST

START_TEST(body_beyond_what_was_announced_ends_the_connection)
{
    struct raw *peer;

    attack_begins();
    peer = raw_connect(test_broker());
    raw_handshake(peer);
    raw_open_channel(peer, 1);
    send_publish(peer, 1);
    raw_send_header(peer, 1, 10);
    raw_send_frame(peer, 3, 1, "0123456", 7);
    raw_send_frame(peer, 3, 1, "789x", 4);
    raw_expect_connection_error(peer, 505, "UNEXPECTED_FRAME - *", AMQP_BASIC_PUBLISH_METHOD);
    witness_work(&others, 1);
}
END_TEST

/* Tables within tables, as deep as a frame of headers has room for. */
START_TEST(bottomless_tables_are_refused)
{
    enum { LEVELS = 10000, LEVEL_SIZE = 7, PROPERTIES = 14 };
    static uint8_t payload[PROPERTIES + 4 + LEVELS * LEVEL_SIZE];
    struct raw *peer;
    uint8_t *p = payload + PROPERTIES;

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    peer = raw_connect(test_broker());
    memcpy(payload, "\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0", PROPERTIES); /* class basic, headers */
    for (uint32_t level = 0; level <= LEVELS; level++) {
        uint32_t size = (LEVELS - level) * LEVEL_SIZE;

        for (int shift = 24; shift >= 0; shift -= 8)
            *p++ = (uint8_t)(size >> shift);
        if (level == LEVELS)
            break;
        memcpy(p, "\1aF", 3);
        p += 3;
    }
    raw_handshake(peer);
    raw_open_channel(peer, 1);
    send_publish(peer, 1);
    raw_send_frame(peer, 2, 1, payload, sizeof(payload));
    raw_expect_connection_error(peer, 502,
                                "SYNTAX_ERROR - table with too many levels at octet 219 of 70000: "
                                "32 at most",
                                AMQP_BASIC_PUBLISH_METHOD);
    witness_work(&others, 10);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(4 * 1024);
}
END_TEST

/* As large a table of headers as a frame has room for, again and again, into nowhere and into a
 * queue that has room for a few. */
START_TEST(giant_headers_take_no_more_than_they_are)
{
    enum { PROPERTIES = 14, TABLE = 130000, FIELD = 4, TIMES = 500, KEPT = 10 };
    static uint8_t payload[PROPERTIES + 4 + TABLE];
    struct raw *peer;
    uint8_t *p = payload;

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    declare_queue(others.channel, "nowhere", 0, ARGS(arg_int("x-max-length", KEPT)));
    memcpy(p, "\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0", PROPERTIES); /* class basic, headers */
    p += PROPERTIES;
    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(TABLE >> shift);
    for (unsigned i = 0; i < TABLE / FIELD; i++, p += FIELD) {
        memcpy(p, "\2aaV", FIELD); /* nothing, under names of two letters */
        p[1] = (uint8_t)('a' + i % 26);
    }
    peer = raw_connect(test_broker());
    raw_handshake(peer);
    raw_open_channel(peer, 1);
    for (int i = 0; i < TIMES; i++) {
        send_publish(peer, 1);
        raw_send_frame(peer, 2, 1, payload, sizeof(payload));
        if (i % 20 == 0)
            witness_work(&others, 1);
    }
    /* All has been taken when it answers. */
    raw_open_channel(peer, 2);
    ck_assert_uint_eq(message_count(others.channel, "nowhere"), KEPT);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(12 * 1024);
}
END_TEST

/* Bodies that say they are compressed are bytes like others: 10 KiB that would be 10 MiB. */
START_TEST(nothing_is_decompressed)
{
    enum { TIMES = 200, SIZE = 10 * 1024 };
    static uint8_t body[SIZE] = "\x1f\x8b\x08\0\0\0\0\0\0\3";
    struct raw *peer;

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    declare_queue(others.channel, "nowhere", 0, NO_ARGS);
    peer = raw_connect(test_broker());
    raw_handshake(peer);
    raw_open_channel(peer, 1);
    for (int i = 0; i < TIMES; i++) {
        struct raw_bytes header = {.size = 0};

        put_u32(&header, 60 << 16); /* class basic */
        put_u64(&header, SIZE);
        put_u16(&header, 1 << 14); /* content-encoding */
        put_short_string(&header, "gzip");
        send_publish(peer, 1);
        raw_send_frame(peer, 2, 1, header.data, header.size);
        raw_send_frame(peer, 3, 1, body, SIZE);
    }
    raw_open_channel(peer, 2);
    witness_work(&others, 10);
    ck_assert_uint_eq(message_count(others.channel, "nowhere"), TIMES);
    for (int i = 0; i < TIMES; i++)
        ck_assert_uint_eq(expect_get(others.channel, "nowhere", NULL, NO_ACK).body_size, SIZE);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(TIMES * SIZE / 1024 + 4 * 1024);
}
END_TEST

/* ---- Floods ---- */

struct flood {
    pthread_t thread;
    atomic_bool stop;
    struct raw *peer;
    const uint8_t *frames;
    size_t size;
};

static void *run_flood(void *argument)
{
    struct flood *f = argument;

    while (!atomic_load(&f->stop))
        raw_send_loosely(f->peer, f->frames, f->size);
    return NULL;
}

/* Frames that mean nothing, again and again, as fast as they are taken. */
static void flood_with(const char *frame, size_t size, bool amid_content)
{
    enum { TIMES = 2000 };
    struct flood f = {.stop = false};
    uint8_t *frames = malloc(size * TIMES);

    for (int i = 0; i < TIMES; i++)
        memcpy(frames + (size_t)i * size, frame, size);
    f.frames = frames;
    f.size = size * TIMES;
    attack_begins();
    f.peer = raw_connect(test_broker());
    raw_handshake(f.peer);
    raw_open_channel(f.peer, 1);
    if (amid_content) {
        send_publish(f.peer, 1);
        raw_send_header(f.peer, 1, 10);
    }
    pthread_create(&f.thread, NULL, run_flood, &f);
    witness_work(&others, 300);
    atomic_store(&f.stop, true);
    pthread_join(f.thread, NULL);
    free(frames);
    witness_was_served(&others, 5);
    if (!against_oracle())
        memory_grew_by_less_than(4 * 1024);
}

START_TEST(flood_of_heartbeats_harms_nobody)
{
    flood_with("\x08\0\0\0\0\0\0\xce", 8, false);
}
END_TEST

/* Asks for the same message again and again, 64 KiB a time, and reads nothing. */
START_TEST(reader_that_never_reads_costs_its_buffers)
{
    enum { SIZE = 64 * 1024, TIMES = 2000 };
    static char body[SIZE + 1];
    struct flood f = {.stop = false};
    struct raw_bytes get = {.size = 0};

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    memset(body, 'x', SIZE);
    declare_queue(others.channel, "large", 0, NO_ARGS);
    publish(others.channel, "large", body);
    await_confirms(others.channel);
    /* basic.get, and basic.nack of all, which puts it back. */
    put_bytes(&get, "\1\0\1\0\0\0\x0d\0\x3c\0\x46\0\0\5large\0\xce", 21);
    put_bytes(&get, "\1\0\1\0\0\0\x0d\0\x3c\0\x78\0\0\0\0\0\0\0\0\3\xce", 21);
    f.size = get.size * TIMES;
    f.frames = malloc(f.size);
    for (int i = 0; i < TIMES; i++)
        memcpy((uint8_t *)(uintptr_t)f.frames + (size_t)i * get.size, get.data, get.size);
    f.peer = raw_connect(test_broker());
    raw_handshake(f.peer);
    raw_open_channel(f.peer, 1);
    pthread_create(&f.thread, NULL, run_flood, &f);
    witness_work(&others, 300);
    atomic_store(&f.stop, true);
    shutdown(f.peer->fd, SHUT_RDWR);
    pthread_join(f.thread, NULL);
    free((void *)(uintptr_t)f.frames);
    witness_was_served(&others, 5);
    memory_grew_by_less_than(16 * 1024);
}
END_TEST

START_TEST(endless_content_of_empty_frames_harms_nobody)
{
    flood_with("\3\0\1\0\0\0\0\xce", 8, true);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("attacks");
    TCase *t = wire_tcase(s, "attacks");

    tcase_add_loop_test(t, noise_at_every_port_is_turned_away, 0, sizeof(PORTS) / sizeof(PORTS[0]));
    tcase_add_test(t, noise_of_a_client_ends_its_connection);
    tcase_add_test(t, connections_that_come_and_go_leave_nothing);
    tcase_add_test(t, connections_of_tls_that_come_and_go_leave_nothing);
    tcase_add_test(t, renegotiation_is_asked_for_in_vain);
    tcase_add_test(t, key_updates_harm_nobody);
    tcase_add_test(t, all_channels_there_may_be_cost_little);
    tcase_add_test(t, channels_that_come_and_go_leave_nothing);
    tcase_add_test(t, flood_of_queues_ends_at_the_limit);
    tcase_add_test(t, flood_of_exchanges_ends_at_the_limit);
    tcase_add_test(t, flood_of_bindings_ends_at_the_limit);
    tcase_add_test(t, bodies_that_do_not_come_take_no_memory);
    tcase_add_test(t, body_beyond_what_was_announced_ends_the_connection);
    tcase_add_test(t, bottomless_tables_are_refused);
    tcase_add_test(t, giant_headers_take_no_more_than_they_are);
    tcase_add_test(t, nothing_is_decompressed);
    tcase_add_test(t, flood_of_heartbeats_harms_nobody);
    tcase_add_test(t, reader_that_never_reads_costs_its_buffers);
    tcase_add_test(t, endless_content_of_empty_frames_harms_nobody);
    return s;
}

int main(void)
{
    static char config[2048];

    tls_files_make();
    snprintf(config, sizeof(config), ATTACKED_CONFIG, tls_file("server.pem"),
             tls_file("server_key.pem"), tls_file("attacked.sock"));
    return wire_main(make_suite, config);
}
