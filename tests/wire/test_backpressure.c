/* Peers that do not read and peers that send without end: what they are sent is not buffered
 * without bound, nothing is lost over it, and the others go on. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/wire/raw.h"

enum {
    BODY_SIZE = 100000,
    BODY_COUNT = 300,         /* 30 MB in all */
    HELD_BACK_AT_LEAST = 150, /* what sockets and the high watermark hold is less than the rest */
    GROWTH_MAX_KIB = 16 * 1024,
};

static char body[BODY_SIZE + 1];

/* Body i begins with its number. */
static void publish_bodies(struct channel *ch, const char *queue, int count)
{
    for (int i = 0; i < count; i++) {
        memset(body, 'x', BODY_SIZE);
        body[snprintf(body, sizeof(body), "%d", i)] = ' ';
        publish(ch, queue, body);
    }
    await_confirms(ch);
}

/* A raw connection with a small receive buffer and a consumer of `queue`, which reads nothing
 * after consume-ok. */
static struct raw *sleeping_consumer(const char *queue, bool no_ack)
{
    struct raw *r = raw_connect(test_broker());
    struct raw_bytes b = {.size = 0};
    int size = 32 * 1024;

    setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    raw_handshake(r);
    raw_open_channel(r, 1);
    put_u16(&b, 0);
    put_short_string(&b, queue);
    put_short_string(&b, "sleeper");
    put_u8(&b, no_ack ? 2 : 0);
    put_u32(&b, 0);
    raw_send_method(r, 1, AMQP_BASIC_CONSUME_METHOD, &b);
    raw_expect_method(r, 1, AMQP_BASIC_CONSUME_OK_METHOD);
    return r;
}

/* Reads one delivery and returns the number that its body begins with. */
static int read_delivery(struct raw *r)
{
    size_t left = BODY_SIZE;
    int number = -1;
    struct raw_frame f;

    raw_expect_method(r, 1, AMQP_BASIC_DELIVER_METHOD);
    f = raw_read_frame(r);
    ck_assert_uint_eq(f.type, 2);
    while (left > 0) {
        f = raw_read_frame(r);
        ck_assert_uint_eq(f.type, 3);
        if (number < 0)
            number = atoi((const char *)f.payload);
        left -= f.size;
    }
    return number;
}

START_TEST(deliveries_wait_in_the_queue_for_a_sleeping_consumer)
{
    struct channel *ch = connect_channel();
    struct raw *sleeper;

    SKIP_WITH_ORACLE("it buffers what a consumer does not read");
    declare_queue(ch, "q", 0, NO_ARGS);
    confirm_select(ch);
    sleeper = sleeping_consumer("q", true);
    publish_bodies(ch, "q", BODY_COUNT);
    ck_assert_uint_ge(message_count(ch, "q"), HELD_BACK_AT_LEAST);
    for (int i = 0; i < BODY_COUNT; i++)
        ck_assert_int_eq(read_delivery(sleeper), i);
    ck_assert_uint_eq(message_count(ch, "q"), 0);
}
END_TEST

START_TEST(sleeping_consumer_that_is_lost_loses_nothing)
{
    struct channel *ch = connect_channel();
    struct raw *sleeper;

    declare_queue(ch, "q", 0, NO_ARGS);
    confirm_select(ch);
    sleeper = sleeping_consumer("q", false);
    publish_bodies(ch, "q", BODY_COUNT);
    raw_close(sleeper);
    await_message_count(ch, "q", BODY_COUNT);
    consume(ch, "q", "c", NO_ACK, NO_ARGS);
    for (int i = 0; i < BODY_COUNT; i++) {
        struct delivery d;

        if (next_method(ch) != AMQP_BASIC_DELIVER_METHOD)
            ck_abort_msg("the deliveries end");
        d = expect_delivery(ch, NULL, ANY_REDELIVERED);
        ck_assert_int_eq(atoi(d.body), i);
    }
}
END_TEST

START_TEST(others_take_what_a_sleeping_consumer_does_not)
{
    struct channel *ch = connect_channel();
    struct channel *awake = connect_channel();
    int count = 0;

    SKIP_WITH_ORACLE("it buffers what a consumer does not read");
    declare_queue(ch, "q", 0, NO_ARGS);
    confirm_select(ch);
    sleeping_consumer("q", false);
    consume(awake, "q", "awake", NO_ACK, NO_ARGS);
    publish_bodies(ch, "q", BODY_COUNT);
    for (int64_t deadline = now_ms() + deadline_ms(); count < HELD_BACK_AT_LEAST; count++) {
        ck_assert_int_lt(now_ms(), deadline);
        expect_delivery(awake, NULL, ANY_REDELIVERED);
    }
}
END_TEST

START_TEST(fanout_goes_on_beside_a_sleeping_consumer)
{
    struct channel *ch = connect_channel();
    struct channel *awake = connect_channel();

    confirm_select(ch);
    declare_queue(ch, "asleep", 0, NO_ARGS);
    declare_queue(awake, "awake", 0, NO_ARGS);
    bind_queue(ch, "asleep", "amq.fanout", "", NO_ARGS);
    bind_queue(awake, "awake", "amq.fanout", "", NO_ARGS);
    sleeping_consumer("asleep", true);
    consume(awake, "awake", "c", NO_ACK, NO_ARGS);
    memset(body, 'x', BODY_SIZE);
    for (int i = 0; i < 100; i++) {
        publish_to(ch, "amq.fanout", "", body);
        expect_delivery(awake, NULL, ANY_REDELIVERED);
    }
    await_confirms(ch);
}
END_TEST

/* Sends without blocking until all is out or the peer takes nothing for a while. */
static size_t send_until_stuck(struct raw *r, const uint8_t *data, size_t size, int patience_ms)
{
    size_t sent = 0;

    while (sent < size) {
        struct pollfd p = {.fd = r->fd, .events = POLLOUT};
        ssize_t n;

        if (poll(&p, 1, patience_ms) <= 0)
            break;
        n = send(r->fd, data + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            ck_abort_msg("send: %s", strerror(errno));
        sent += n > 0 ? (size_t)n : 0;
    }
    return sent;
}

START_TEST(one_who_asks_and_does_not_read_is_not_read_either)
{
    enum { REQUESTS = 200000 };
    struct channel *ch = connect_channel();
    struct raw *r = raw_connect(test_broker());
    struct raw_bytes b = {.size = 0};
    uint8_t *requests;
    long before;
    size_t sent;
    char name[252];
    int size = 32 * 1024;

    SKIP_WITH_ORACLE("its memory is not measured");
    memset(name, 'n', 251);
    name[251] = '\0';
    declare_queue(ch, name, 0, NO_ARGS);
    setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    raw_handshake(r);
    raw_open_channel(r, 1);
    put_bytes(&b, "\1\0\1\0\0\1\x07\0\x32\0\x0a\0\0", 13);
    put_short_string(&b, name);
    put_bytes(&b, "\1\0\0\0\0\xce", 6); /* passive */
    requests = malloc(b.size * REQUESTS);
    for (size_t i = 0; i < REQUESTS; i++)
        memcpy(requests + i * b.size, b.data, b.size);
    before = broker_resident_kib(test_broker());
    sent = send_until_stuck(r, requests, b.size * REQUESTS, 500);
    ck_assert_msg(sent < b.size * REQUESTS, "all %zu bytes were taken", sent);
    ck_assert_int_lt(broker_resident_kib(test_broker()) - before, GROWTH_MAX_KIB);
    ck_assert_uint_eq(message_count(ch, name), 0); /* others go on */
    /* and all that was asked is answered once it reads */
    for (size_t i = 0; i < sent / b.size; i++)
        raw_expect_method(r, 1, AMQP_QUEUE_DECLARE_OK_METHOD);
    free(requests);
}
END_TEST

struct flood {
    pthread_t thread;
    atomic_bool stop;
    struct raw *r;
};

/* Publishes small messages that go nowhere, as fast as it can. */
static void *run_flood(void *argument)
{
    struct flood *f = argument;
    static const char frames[] = "\1\0\1\0\0\0\x0d\0\x3c\0\x28\0\0\0\4none\0\xce"
                                 "\2\0\1\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\5\0\0\xce"
                                 "\3\0\1\0\0\0\5hello\xce";
    enum { FRAMES_SIZE = sizeof(frames) - 1, TIMES = 500 };
    static uint8_t batch[FRAMES_SIZE * TIMES];

    for (int i = 0; i < TIMES; i++)
        memcpy(batch + i * FRAMES_SIZE, frames, FRAMES_SIZE);
    while (!atomic_load(&f->stop))
        raw_send(f->r, batch, sizeof(batch));
    return NULL;
}

START_TEST(flood_of_one_does_not_starve_the_others)
{
    struct flood flood = {.r = raw_connect(test_broker())};
    struct channel *ch = connect_channel();
    int64_t begin;

    declare_queue(ch, "q", 0, NO_ARGS);
    raw_handshake(flood.r);
    raw_open_channel(flood.r, 1);
    pthread_create(&flood.thread, NULL, run_flood, &flood);
    confirm_select(ch);
    begin = now_ms();
    for (int i = 0; i < 100; i++) {
        publish(ch, "q", "a");
        await_confirms(ch);
        expect_get(ch, "q", "a", NO_ACK);
    }
    ck_assert_int_lt(now_ms() - begin, deadline_ms());
    atomic_store(&flood.stop, true);
    pthread_join(flood.thread, NULL);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("backpressure");
    TCase *tcase = wire_tcase(suite, "sleepers");

    tcase_add_test(tcase, deliveries_wait_in_the_queue_for_a_sleeping_consumer);
    tcase_add_test(tcase, sleeping_consumer_that_is_lost_loses_nothing);
    tcase_add_test(tcase, others_take_what_a_sleeping_consumer_does_not);
    tcase_add_test(tcase, fanout_goes_on_beside_a_sleeping_consumer);
    tcase_add_test(tcase, one_who_asks_and_does_not_read_is_not_read_either);
    tcase = wire_tcase(suite, "floods");
    tcase_add_test(tcase, flood_of_one_does_not_starve_the_others);
    return suite;
}

int main(void)
{
    return wire_main(make_suite, NULL);
}
