/* Memory and disk alarms (RabbitMQ "Memory and Disk Alarms"): who publishes is not read from and is
 * told so, who does not goes on. */
#include <stdlib.h>
#include <string.h>

#include "tests/wire/raw.h"

enum {
    BODY_SIZE = 64 * 1024,
    BODIES_MAX = 4096, /* 256 MiB, far above the watermark */
    FRAMES_MAX = BODY_SIZE + 256,
    WATERMARK_MIB = 64,
};

#define HEAD \
    "listeners:\n" \
    "  - {address: 127.0.0.1, port: @PORT@}\n" \
    "workers: @WORKERS@\n"

/* No paging, which would keep memory below the watermark. */
static const char MEMORY_CONFIG[] = HEAD "memory:\n"
                                         "  target: 1GiB\n"
                                         "  high_watermark: 64MiB\n"
                                         "disk:\n"
                                         "  free_limit: 0\n";

/* No disk has so much. */
static const char DISK_CONFIG[] = HEAD "memory:\n"
                                       "  high_watermark_percent: 0\n"
                                       "disk:\n"
                                       "  free_limit: 1048576GiB\n";

static struct raw *connect_publisher(const struct broker *b, const char *capability)
{
    struct raw *r = raw_connect(b);

    raw_handshake_with(r, capability, 2047, 131072, 0);
    raw_open_channel(r, 1);
    return r;
}

static void put_frame(uint8_t **end, unsigned type, const void *payload, size_t size)
{
    struct raw_bytes head = {.size = 0};

    put_u8(&head, type);
    put_u16(&head, 1);
    put_u32(&head, (uint32_t)size);
    memcpy(*end, head.data, head.size);
    memcpy(*end + head.size, payload, size);
    *end += head.size + size;
    *(*end)++ = AMQP_FRAME_END;
}

/* Writes the frames of one message to `orders`; returns their size. */
static size_t put_publish(uint8_t *frames, const void *body, size_t size)
{
    struct raw_bytes method = {.size = 0};
    struct raw_bytes header = {.size = 0};
    uint8_t *end = frames;

    put_u32(&method, AMQP_BASIC_PUBLISH_METHOD);
    put_u16(&method, 0);
    put_short_string(&method, "");
    put_short_string(&method, "orders");
    put_u8(&method, 0);
    put_u16(&header, AMQP_BASIC_CLASS);
    put_u16(&header, 0);
    put_u64(&header, size);
    put_u16(&header, 0);
    put_frame(&end, AMQP_FRAME_METHOD, method.data, method.size);
    put_frame(&end, AMQP_FRAME_HEADER, header.data, header.size);
    put_frame(&end, AMQP_FRAME_BODY, body, size);
    return (size_t)(end - frames);
}

static void send_publish(struct raw *r, const void *body, size_t size)
{
    uint8_t frames[FRAMES_MAX];

    raw_send(r, frames, put_publish(frames, body, size));
}

/* A method that is answered when it is read. */
static void send_channel_open(struct raw *r, unsigned channel)
{
    struct raw_bytes m = {.size = 0};

    put_short_string(&m, "");
    raw_send_method(r, channel, AMQP_CHANNEL_OPEN_METHOD, &m);
}

static void expect_blocked(struct raw *r, const char *reason)
{
    struct raw_frame f = raw_expect_method(r, 0, AMQP_CONNECTION_BLOCKED_METHOD);

    ck_assert_uint_eq(f.payload[0], strlen(reason));
    ck_assert_mem_eq(f.payload + 1, reason, strlen(reason));
}

START_TEST(publisher_is_blocked_while_the_disk_is_low_and_others_go_on)
{
    struct broker *b = broker_start(DISK_CONFIG);
    struct channel *ch = open_channel(connect_client_to(b));
    struct raw *told;
    struct raw *untold;

    declare_queue(ch, "orders", 0, NO_ARGS);
    told = connect_publisher(b, "connection.blocked");
    untold = connect_publisher(b, NULL);
    send_publish(told, "a", 1);
    expect_blocked(told, "low on disk");
    send_publish(untold, "b", 1);

    /* Who has published is not read from any more, who has not is. */
    send_channel_open(told, 2);
    declare_queue(ch, "others", 0, NO_ARGS);
    ck_assert(!raw_comes(told, 300));
    ck_assert(!raw_comes(untold, 0)); /* it cannot be told */
    raw_close(told);
    raw_close(untold);
    ck_assert(broker_stop(b));
}
END_TEST

/* How long somebody waits for an answer who does not publish. */
static void note_answer(struct channel *ch, int64_t *slowest_ms)
{
    int64_t begin = now_ms();

    message_count(ch, "others");
    if (now_ms() - begin > *slowest_ms)
        *slowest_ms = now_ms() - begin;
}

/* Nobody consumes what it publishes: the watermark ends that, and until then and afterwards the
 * others are answered. */
START_TEST(publisher_is_blocked_while_memory_is_above_the_watermark)
{
    static uint8_t body[BODY_SIZE];
    static uint8_t frames[FRAMES_MAX];
    size_t size = put_publish(frames, body, sizeof(body));
    size_t sent = size;
    struct broker *b = broker_start(MEMORY_CONFIG);
    struct channel *ch = open_channel(connect_client_to(b));
    struct raw *publisher = connect_publisher(b, "connection.blocked");
    int published = 0;
    int64_t slowest_ms = 0;

    declare_queue(ch, "others", 0, NO_ARGS);
    /* It may cease to read in the midst of a message. */
    declare_queue(ch, "orders", 0, NO_ARGS);
    while (sent == size && !raw_comes(publisher, published < 900 ? 0 : 20)) {
        ck_assert_int_lt(published, BODIES_MAX);
        sent = raw_send_until_answered(publisher, frames, size);
        published++;
        if (published % 50 == 0)
            note_answer(ch, &slowest_ms);
    }
    expect_blocked(publisher, "low on memory");
    note_answer(ch, &slowest_ms);
    ck_assert_msg(slowest_ms < deadline_ms() / 5, "somebody waited for %ld ms", (long)slowest_ms);
    if (!broker_is_sanitized())
        ck_assert_int_lt(broker_resident_kib(b), 2L * WATERMARK_MIB * 1024);
    if (!broker_is_sanitized()) { /* which keeps back what is freed */
        purge_queue(ch, "orders");
        raw_expect_method(publisher, 0, AMQP_CONNECTION_UNBLOCKED_METHOD);
        raw_send(publisher, frames + sent, size - sent);
        send_channel_open(publisher, 2);
        raw_expect_method(publisher, 2, AMQP_CHANNEL_OPEN_OK_METHOD);
    }
    raw_close(publisher);
    ck_assert(broker_stop(b));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("alarms");
    TCase *tcase = tcase_create("alarms");

    tcase_set_timeout(tcase, 4.0 * deadline_ms() / 1000.0);
    tcase_add_test(tcase, publisher_is_blocked_while_the_disk_is_low_and_others_go_on);
    tcase_add_test(tcase, publisher_is_blocked_while_memory_is_above_the_watermark);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return wire_main_alone(make_suite);
}
