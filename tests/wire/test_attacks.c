/* Peers that mean harm, or are broken enough to do it: whatever one of them sends, keeps back or
 * asks for, the others are answered in time, the broker's memory stays within bounds, and the limit
 * that ends it is named. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/wire/raw.h"

enum {
    MAX_CHANNELS = 2047,
    MAX_QUEUES = 300,
    MAX_MESSAGE_SIZE = 16 * 1024 * 1024,
};

static const char ATTACKED_CONFIG[] = "listeners:\n"
                                      "  - {address: 127.0.0.1, port: @PORT@}\n"
                                      "workers: @WORKERS@\n"
                                      "limits:\n"
                                      "  handshake_timeout_ms: 2000\n"
                                      "  max_queues: 300\n";

/* ---- The others, and the bounds ---- */

static struct channel *witness;
static int64_t slowest_ms;
static long resident_kib;

/* The memory counts from what there is when as much was done before. */
static void attack_begins(void)
{
    witness = connect_channel();
    declare_queue(witness, "witness", 0, NO_ARGS);
    confirm_select(witness);
    slowest_ms = 0;
    resident_kib = against_oracle() ? 0 : broker_resident_kib(test_broker());
}

/* Someone else works: a message goes in and out. */
static void others_work(int times)
{
    for (int i = 0; i < times; i++) {
        int64_t begin = now_ms();

        publish(witness, "witness", "a");
        await_confirms(witness);
        expect_get(witness, "witness", "a", NO_ACK);
        if (now_ms() - begin > slowest_ms)
            slowest_ms = now_ms() - begin;
    }
}

static void others_were_served(void)
{
    ck_assert_msg(slowest_ms < deadline_ms() / 5, "somebody waited for %ld ms", (long)slowest_ms);
}

/* A sanitized broker keeps what it frees for a while. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MEMORY_FACTOR = 16 };
#else
enum { MEMORY_FACTOR = 1 };
#endif

static void memory_grew_by_less_than(long kib)
{
    long growth = broker_resident_kib(test_broker()) - resident_kib;

    ck_assert_msg(growth < kib * MEMORY_FACTOR, "the broker grew by %ld KiB", growth);
}

/* ---- Before the login ---- */

/* Half of them send nothing, half the header of the protocol byte by byte and no more. */
START_TEST(handshakes_that_stall_end_in_time)
{
    enum { PEERS = 300 };
    static struct raw *peers[PEERS];

    SKIP_WITH_ORACLE("its time-out is another");
    attack_begins();
    for (int i = 0; i < PEERS; i++)
        peers[i] = raw_connect(test_broker());
    for (size_t byte = 0; byte < 7; byte++) {
        for (int i = 0; i < PEERS; i += 2)
            raw_send_loosely(peers[i], "AMQP\0\0\x09\x01" + byte, 1);
        others_work(1);
    }
    memory_grew_by_less_than(PEERS * 16);
    for (int i = 0; i < PEERS; i++)
        raw_expect_end(peers[i]);
    ck_assert(broker_log_awaits(test_broker(), "(limits.handshake_timeout_ms)"));
    others_work(10);
    others_were_served();
}
END_TEST

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

START_TEST(noise_at_the_port_is_turned_away)
{
    enum { PEERS = 300, NOISE = 4096 };
    uint8_t noise[NOISE];

    SKIP_WITH_ORACLE("its memory is not measured");
    attack_begins();
    for (uint32_t i = 0; i < PEERS; i++) {
        struct raw *peer = raw_connect(test_broker());
        size_t answered;

        fill_with_noise(noise, sizeof(noise), i + 1);
        if (i % 2 != 0)
            memcpy(noise, "AMQP\0\0\x09\x01", 8);
        raw_send_loosely(peer, noise, sizeof(noise));
        shutdown(peer->fd, SHUT_WR);
        ck_assert(raw_read_to_end(peer, &answered));
        ck_assert_uint_lt(answered, 4096);
        raw_close(peer);
        if (i % 10 == 0)
            others_work(1);
    }
    others_were_served();
    memory_grew_by_less_than(8 * 1024);
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
            others_work(1);
    }
    others_were_served();
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
            others_work(1);
    }
    others_work(10);
    others_were_served();
    memory_grew_by_less_than(8 * 1024);
}
END_TEST

/* ---- Channels, queues ---- */

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
            others_work(1);
    }
    memory_grew_by_less_than(MAX_CHANNELS * 2);
    raw_send_method(peer, MAX_CHANNELS + 1, AMQP_CHANNEL_OPEN_METHOD,
                    &(struct raw_bytes){.data = {0}, .size = 1});
    raw_expect_connection_error(peer, 530, "NOT_ALLOWED - channel 2048 is above the negotiated *",
                                AMQP_CHANNEL_OPEN_METHOD);
    others_were_served();
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
            others_work(1);
    }
    others_were_served();
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
            others_work(1);
    }
    raw_expect_channel_error(peer, 1, 406,
                             "PRECONDITION_FAILED - cannot declare queue 'flood-299' in vhost '/': "
                             "the limit of 300 queues (limits.max_queues) is reached",
                             AMQP_QUEUE_DECLARE_METHOD);
    others_work(10);
    others_were_served();
    memory_grew_by_less_than(8 * 1024);
    raw_close(peer);
    /* Exclusive ones go with their connection: there is room again. */
    for (int64_t end = now_ms() + deadline_ms();;) {
        struct channel *ch = open_channel(witness->client);
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
    others_work(50);
    others_were_served();
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
    others_work(1);
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
    raw_expect_connection_error(peer, 502, "SYNTAX_ERROR - table with too many levels *",
                                AMQP_BASIC_PUBLISH_METHOD);
    others_work(10);
    others_were_served();
    memory_grew_by_less_than(4 * 1024);
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
    others_work(300);
    atomic_store(&f.stop, true);
    pthread_join(f.thread, NULL);
    free(frames);
    others_were_served();
    if (!against_oracle())
        memory_grew_by_less_than(4 * 1024);
}

START_TEST(flood_of_heartbeats_harms_nobody)
{
    flood_with("\x08\0\0\0\0\0\0\xce", 8, false);
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

    tcase_add_test(t, handshakes_that_stall_end_in_time);
    tcase_add_test(t, noise_at_the_port_is_turned_away);
    tcase_add_test(t, noise_of_a_client_ends_its_connection);
    tcase_add_test(t, connections_that_come_and_go_leave_nothing);
    tcase_add_test(t, all_channels_there_may_be_cost_little);
    tcase_add_test(t, channels_that_come_and_go_leave_nothing);
    tcase_add_test(t, flood_of_queues_ends_at_the_limit);
    tcase_add_test(t, bodies_that_do_not_come_take_no_memory);
    tcase_add_test(t, body_beyond_what_was_announced_ends_the_connection);
    tcase_add_test(t, bottomless_tables_are_refused);
    tcase_add_test(t, flood_of_heartbeats_harms_nobody);
    tcase_add_test(t, endless_content_of_empty_frames_harms_nobody);
    return s;
}

int main(void)
{
    return wire_main(make_suite, ATTACKED_CONFIG);
}
